"""A witness for Raft: it reads every message, looks at every replica after every handler, and believes nothing."""

from __future__ import annotations

import json

from node.protocol import Message, Protocol
from node.protocols.raft import Raft
from tests.support.fake_network import FakeNetwork
from tests.support.hammer import Broken


class Witness:
    """Holds the replicas to the laws of Raft at every step.

    - a term has one leader, in one incarnation of it;
    - entries of the same index and term are the same, and so is what stands before them (log matching);
    - a leader's log has every entry that was carried out in an earlier term (leader completeness);
    - all replicas carry out the same entries, and replicas that carried out as many are equal.
    """

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net
        self.leaders: dict[int, tuple[str, int]] = {}
        self.entries: dict[tuple[int, int], str] = {}
        self.carried_out: dict[int, tuple[str, int]] = {}
        """By index: the entry, and the term in which it was first carried out."""
        self.applied: dict[tuple[str, int], int] = {}
        self.digests: dict[int, str] = {}
        net.spies.append(self.on_message)
        net.watchers.append(self.after_handler)

    def on_message(self, source: str, target: str, message: Message) -> None:
        if message["type"] == "append":
            previous = message["prev_term"]
            for index, (term, command) in enumerate(message["entries"], message["prev"] + 1):
                text = json.dumps([previous, command])
                if self.entries.setdefault((index, term), text) != text:
                    raise Broken(f"{source} has another entry {index} of term {term}, or another before it")
                previous = term

    def after_handler(self, protocol: Protocol) -> None:
        assert isinstance(protocol, Raft)
        place = (protocol.io.id, self.net.hosts[protocol.io.id].incarnation)
        if protocol.leading:
            self.see_leader(protocol, place)
        before = self.applied.get(place, 0)
        if protocol.applied == before:
            return
        if protocol.applied < before:
            raise Broken(f"{place[0]} goes back from entry {before} to {protocol.applied}")
        self.applied[place] = protocol.applied
        for index in range(max(before, protocol.log.base) + 1, protocol.applied + 1):
            text = json.dumps(protocol.log[index])
            if self.carried_out.setdefault(index, (text, protocol.term))[0] != text:
                raise Broken(f"entry {index}: {place[0]} carries out {text}, others {self.carried_out[index][0]}")
        digest = protocol.machine.digest()
        if self.digests.setdefault(protocol.applied, digest) != digest:
            raise Broken(f"{place[0]} has another state than others after entry {protocol.applied}")

    def see_leader(self, protocol: Raft, place: tuple[str, int]) -> None:
        leader = self.leaders.get(protocol.term)
        if leader == place:
            return
        if leader is not None:
            raise Broken(f"{place[0]} and {leader[0]} both lead in term {protocol.term}")
        self.leaders[protocol.term] = place
        for index, (text, term) in self.carried_out.items():
            if term >= protocol.term or index <= protocol.log.base:
                continue
            if index > protocol.log.last or json.dumps(protocol.log[index]) != text:
                raise Broken(f"{place[0]} leads in term {protocol.term} without entry {index} of term {term}")
