"""Random mishaps for Multi-Paxos on the fake network, and a witness who sees everything and believes nothing."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

from node.machine import Operation
from node.machines.kv import KeyValue
from node.protocol import Message, Protocol
from node.protocols.multi_paxos import MultiPaxos
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Instant, Weather
from tests.support.tiny_checker import unexplained

HASTY = {
    "heartbeat_seconds": 0.05,
    "suspect_seconds": 0.2,
    "retry_seconds": 0.1,
    "answer_seconds": 2.0,
    "snapshot_every": 7,
    "window": 3,
}
"""Options that make much happen in little virtual time."""


class Broken(AssertionError):
    """Something that Paxos rules out has happened."""


class Witness:
    """Holds the replicas to the laws of Paxos at every step, by their messages and by what they apply.

    - a ballot is used by its owner alone, and by one incarnation of it;
    - under one ballot only one decree is proposed for a slot;
    - what a majority has accepted under one ballot is chosen, and no other decree is ever chosen for that slot;
    - every replica applies the same decrees, which were chosen, and replicas that applied as much are equal.
    """

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net
        self.majority = len(net.hosts) // 2 + 1
        self.owners: dict[tuple[int, ...], int] = {}
        self.proposed: dict[tuple[int, tuple[int, ...]], str] = {}
        self.acceptors: dict[tuple[int, tuple[int, ...]], set[str]] = defaultdict(set)
        self.chosen: dict[int, str] = {}
        self.applied: dict[tuple[str, int], int] = {}
        self.digests: dict[int, str] = {}
        net.spies.append(self.on_message)
        net.watchers.append(self.after_handler)

    def on_message(self, source: str, target: str, message: Message) -> None:
        ballot = tuple(message.get("ballot", ()))
        match message["type"]:
            case "prepare":
                incarnation = self.net.hosts[source].incarnation
                if int(source[1:]) != ballot[1] or self.owners.setdefault(ballot, incarnation) != incarnation:
                    raise Broken(f"{source} uses the ballot {ballot} a second time")
            case "accept":
                for slot, decree in message["entries"]:
                    text = json.dumps(decree)
                    if self.proposed.setdefault((slot, ballot), text) != text:
                        raise Broken(f"two decrees for slot {slot} under the ballot {ballot}")
                    self.vote(source, slot, ballot)
            case "accepted":
                for slot in message["slots"]:
                    self.vote(source, slot, ballot)

    def vote(self, acceptor: str, slot: int, ballot: tuple[int, ...]) -> None:
        acceptors = self.acceptors[slot, ballot]
        acceptors.add(acceptor)
        if len(acceptors) >= self.majority:
            decree = self.proposed[slot, ballot]
            if self.chosen.setdefault(slot, decree) != decree:
                raise Broken(f"slot {slot}: {self.chosen[slot]} and {decree} are both chosen")

    def after_handler(self, protocol: Protocol) -> None:
        assert isinstance(protocol, MultiPaxos)
        place = (protocol.io.id, self.net.hosts[protocol.io.id].incarnation)
        before = self.applied.get(place, 0)
        if protocol.applied == before:
            return
        if protocol.applied < before:
            raise Broken(f"{place[0]} goes back from slot {before} to {protocol.applied}")
        self.applied[place] = protocol.applied
        for slot in range(before + 1, protocol.applied + 1):
            decree = protocol.log.get(slot)
            if decree is not None and self.chosen.get(slot) != json.dumps(decree):
                raise Broken(f"{place[0]} applies {decree} in slot {slot}, chosen is {self.chosen.get(slot)}")
        digest = protocol.machine.digest()
        if self.digests.setdefault(protocol.applied, digest) != digest:
            raise Broken(f"{place[0]} has another state than others after slot {protocol.applied}")


class OnceOnly(KeyValue):
    """Clients never write the same value twice: who does has carried out a request twice."""

    def __init__(self) -> None:
        super().__init__()
        self.written: set[Any] = set()

    def apply(self, operation: Operation) -> Any:
        if operation["f"] != "read":
            value = operation["value"][1] if operation["f"] == "cas" else operation["value"]
            if value in self.written:
                raise Broken(f"{operation} is carried out twice")
            self.written.add(value)
        return super().apply(operation)


class Mishaps:
    """One random thing after the other goes wrong, or right again."""

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net
        self.random = random.Random(f"mishaps/{net.seed}")

    def step(self) -> None:
        harm = [self.kill, self.blink, self.partition, self.strand, self.strand, self.cut, self.pause, self.storm]
        mercy = [self.restart, self.restart, self.heal, self.resume, self.calm]
        self.random.choice([*harm, *mercy])()

    def some(self) -> list[str]:
        return self.random.sample(self.net.replicas, self.random.randint(1, len(self.net.replicas)))

    def kill(self) -> None:
        instant: Instant | None = self.random.choice([None, "before sync", "after sync"])
        victims = self.some()[: self.random.choice([1, 1, 1, 2, 5])]
        leaders = self.net.chiefs()
        if leaders and self.random.random() < 0.5:
            victims[0] = leaders[-1]
        for victim in victims:
            if instant is None:
                self.net.kill(victim)
            else:
                self.net.doom(victim, instant)

    def blink(self) -> None:
        """Replicas lose their memory, and nobody notices that they were gone."""
        for victim in self.some():
            self.net.kill(victim)
            self.net.restart(victim)

    def strand(self) -> None:
        """Leave the leader with one follower: together they accept, and nothing comes of it."""
        leaders = self.net.chiefs() or self.some()
        follower = self.random.choice(self.net.replicas)
        self.net.heal()
        self.net.partition({leaders[-1], follower}, set(self.net.replicas) - {leaders[-1], follower})

    def restart(self) -> None:
        self.net.restart(*self.some())

    def partition(self) -> None:
        shuffled = self.random.sample(self.net.replicas, len(self.net.replicas))
        place = self.random.randrange(1, len(shuffled))
        self.net.partition(shuffled[:place], shuffled[place:])

    def cut(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            source, target = self.random.sample(self.net.replicas, 2)
            self.net.cut(source, target)

    def heal(self) -> None:
        self.net.heal()

    def pause(self) -> None:
        self.net.pause(self.random.choice(self.net.replicas))

    def resume(self) -> None:
        self.net.resume(*self.some())

    def storm(self) -> None:
        loss, straggling = self.random.choice([0.0, 0.05, 0.2]), self.random.choice([0.0, 0.05, 0.3])
        self.net.weather = Weather(0.001, self.random.choice([0.005, 0.05]), loss, 0.1, straggling)

    def calm(self) -> None:
        self.net.weather = Weather()


def hammer(
    seed: int, replicas: int, protocol: type[MultiPaxos] = MultiPaxos, steps: int = 25, **options: Any
) -> tuple[FakeNetwork, Clients]:
    """One run: mishaps under load, then everything is healed, and all must be well. Raises `Broken` if not."""
    net = FakeNetwork(protocol, replicas, seed, {**HASTY, **options}, machine=OnceOnly)
    witness = Witness(net)
    mishaps = Mishaps(net)
    clients = Clients(net, 4, keys=("x", "y"), pause_seconds=0.05, patience_seconds=0.4, echoes=0.1)
    net.run(0.4)
    for _ in range(steps):
        mishaps.step()
        net.run(mishaps.random.choice([0.01, 0.05, 0.2, 0.4]))
    net.heal_everything()
    answered = clients.count("ok")
    if not net.run_until(lambda: clients.count("ok") >= answered + 10, 4.0):
        raise Broken("no progress within four seconds after healing")
    clients.stop()
    if not net.run_until(lambda: clients.open == 0, 4.0):
        raise Broken("an operation is still open")
    if not net.run_until(lambda: len({net[name].applied for name in net.replicas}) == 1, 4.0):
        raise Broken("a replica does not catch up")
    if len({net[name].status()["digest"] for name in net.replicas}) != 1:
        raise Broken("replicas differ")
    missing = [slot for slot in range(1, net["n1"].applied + 1) if slot not in witness.chosen]
    if missing:
        raise Broken(f"slots {missing} were applied and not chosen")
    if unexplained(clients.told):
        raise Broken(f"no order explains the operations on {unexplained(clients.told)}")
    return net, clients
