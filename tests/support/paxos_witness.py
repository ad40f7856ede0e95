"""A witness for Multi-Paxos: it reads every message, looks at every replica after every handler, and believes nothing."""

from __future__ import annotations

import json
from collections import defaultdict

from node.protocol import Message, Protocol
from node.protocols.multi_paxos import MultiPaxos
from tests.support.fake_network import FakeNetwork
from tests.support.hammer import Broken


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
