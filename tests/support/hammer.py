"""Random mishaps under load on the fake network, for any protocol, and what must be true after them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from node.machine import Operation
from node.machines.kv import KeyValue
from node.protocol import Protocol
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Instant, Weather
from tests.support.tiny_checker import unexplained


class Broken(AssertionError):
    """Something that the protocol rules out has happened."""


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
        chiefs = self.net.chiefs()
        if chiefs and self.random.random() < 0.5:
            victims[0] = chiefs[-1]
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
        """Leave whoever is in charge with one other: what the two agree upon comes to nothing."""
        chiefs = self.net.chiefs() or self.some()
        other = self.random.choice(self.net.replicas)
        self.net.heal()
        self.net.partition({chiefs[-1], other}, set(self.net.replicas) - {chiefs[-1], other})

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


def is_even(net: FakeNetwork) -> bool:
    """Whether all replicas have applied as much."""
    return len({net[name].status()["commit_index"] for name in net.replicas}) == 1


def hammer(
    protocol: type[Protocol],
    seed: int,
    replicas: int,
    options: Mapping[str, Any],
    witness: Callable[[FakeNetwork], object] | None = None,
    steps: int = 25,
    *,
    make_clients: Callable[[FakeNetwork], Clients] | None = None,
    mishaps: type[Mishaps] = Mishaps,
    converges: bool = True,
    patience_seconds: float = 4.0,
) -> tuple[FakeNetwork, Clients]:
    """One run: mishaps under load, then everything is healed, and all must be well. Raises `Broken` if not.

    With `converges` all replicas must be equal in the end, not only tell one story.
    """
    net = FakeNetwork(protocol, replicas, seed, options, machine=OnceOnly)
    if witness is not None:
        witness(net)
    trouble = mishaps(net)
    if make_clients is None:
        clients = Clients(net, 4, keys=("x", "y"), pause_seconds=0.05, patience_seconds=0.4, echoes=0.1)
    else:
        clients = make_clients(net)
    net.run(0.4)
    for _ in range(steps):
        if net.witness.broken:
            raise Broken(net.witness.broken[0].sentence)
        trouble.step()
        net.run(trouble.random.choice([0.01, 0.05, 0.2, 0.4]))
    net.heal_everything()
    answered = clients.count("ok")
    if not net.run_until(lambda: clients.count("ok") >= answered + 10, patience_seconds):
        raise Broken(f"no progress within {patience_seconds} seconds after healing")
    clients.stop()
    if not net.run_until(lambda: clients.open == 0, patience_seconds):
        raise Broken("an operation is still open")
    if converges:
        if not net.run_until(lambda: is_even(net), patience_seconds):
            raise Broken("a replica does not catch up")
        if len({net[name].status()["digest"] for name in net.replicas}) != 1:
            raise Broken("replicas differ")
    if net.witness.broken:
        raise Broken(net.witness.broken[0].sentence)
    if unexplained(clients.told):
        raise Broken(f"no order explains the operations on {unexplained(clients.told)}")
    return net, clients


def runs_until_caught(run: Callable[[int], object], limit: int) -> int | None:
    """How many of the seeds 0, 1, ... it takes until a run breaks; None if `limit` runs pass."""
    for seed in range(limit):
        try:
            run(seed)
        except (Broken, KeyError):
            return seed + 1
    return None


def finds(flaw: str, limit: int, run: Callable[[int], object]) -> None:
    """Fails unless one of so many runs of a protocol with this flaw breaks."""
    runs = runs_until_caught(run, limit)
    print(f"{flaw}: caught after {runs} runs")
    assert runs is not None, f"{flaw} went unnoticed in {limit} runs"
