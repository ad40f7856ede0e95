"""What a replica of Raft claims of itself: see `node.invariants`. They hold whatever happens, but for lost disks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from node.invariants import Accepted, Agreed, Answers, Claim, Decided, Exclusive, Grows, Serves, is_compared

if TYPE_CHECKING:
    from node.protocols.raft import Raft

TERM = "a term never goes back"
ONE_LEADER = "a term has one leader, in one life of it"
MATCHING = "entries of the same index and term follow the same entry"
ONE_ENTRY = "an index holds one entry, which a majority has"
ONCE = "a request is carried out once, at one index, with one result"
ANSWERS = "what is acknowledged was carried out, with that result"
SAME_STATE = "replicas that have applied as much are equal"
NOTHING_LOST = "a new leader knows everything that was acknowledged before it led"


class RaftClaims:
    """Finds out what is new by comparing with what it last told."""

    def __init__(self, replica: Raft) -> None:
        self.replica = replica
        self._term = 0
        self._led = 0
        self._served = 0
        self._applied = 0
        self._said_answers = False

    def new(self) -> Iterator[Claim]:
        replica = self.replica
        if not self._said_answers:
            self._said_answers = True
            yield Answers(ANSWERS)
        if replica.term != self._term:
            self._term = replica.term
            yield Grows(TERM, replica.term, "term")
        if replica.leading and replica.term != self._led:
            self._led = replica.term
            yield Exclusive(ONE_LEADER, f"term {replica.term}")
        yield from self._entries()
        if replica.applied != self._applied:
            yield from self._carried_out()
        if replica.leading and replica.term != self._served and replica.applied >= replica.term_begins:
            self._served = replica.term
            known = {client: sequence for client, (sequence, _) in replica.clients.items()}
            yield Serves(NOTHING_LOST, f"term {replica.term}", known)

    def _entries(self) -> Iterator[Claim]:
        """What was written to the log. What is cut away again by now is decided, and was told by others."""
        log = self.replica.log
        first, log.written_from = max(log.written_from, log.base + 1), log.last + 1
        for index in range(first, log.last + 1):
            term = log[index][0]
            yield Agreed(MATCHING, f"entry {index} of term {term}", log.term(index - 1), "after")
            yield Accepted(ONE_ENTRY, f"entry {index}", f"term {term}", log[index], "entry")

    def _carried_out(self) -> Iterator[Claim]:
        replica, told = self.replica, self._applied
        self._applied = replica.applied
        if replica.io.peers:  # who is alone writes and decides in one turn
            for index in range(max(told, replica.log.base) + 1, replica.applied + 1):
                yield Decided(ONE_ENTRY, f"entry {index}", replica.log[index], replica.io.majority, "entry")
        yield from replica.carried_out.new()
        if is_compared(replica.applied):
            state = [replica.machine.digest(), zlib.crc32(json.dumps(replica.clients, sort_keys=True).encode())]
            yield Agreed(SAME_STATE, f"after entry {replica.applied}", state, "state")
