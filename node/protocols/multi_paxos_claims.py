"""What a replica of Multi-Paxos claims of itself: see `node.invariants`. They hold whatever happens, but for lost disks."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from node.invariants import Accepted, Agreed, Answers, Claim, Decided, Exclusive, Grows, Serves, is_compared

if TYPE_CHECKING:
    from node.protocols.multi_paxos import Ballot, MultiPaxos

PROMISE = "a promise never goes back"
OWNER = "a ballot belongs to one replica, in one life of it"
ONE_DECREE = "a slot holds one decree, which a majority has accepted under one ballot"
ONCE = "a request is carried out once, in one slot, with one result"
ANSWERS = "what is acknowledged was carried out, with that result"
SAME_STATE = "replicas that have applied as much are equal"
SAME_CLIENTS = "replicas that have applied as much remember the same of their clients"
NOTHING_LOST = "a new leader knows everything that was acknowledged before it stood"

_as_text = json.JSONEncoder(sort_keys=True).encode


class MultiPaxosClaims:
    """Finds out what is new by comparing with what it last told."""

    def __init__(self, replica: MultiPaxos) -> None:
        self.replica = replica
        self._promised: Ballot = (0, 0)
        self._ballot: Ballot = (0, 0)
        self._served: Ballot = (0, 0)
        self._accepted: dict[int, Ballot] = {}
        self._applied = 0
        self._said_answers = False

    def new(self) -> list[Claim]:
        # A list, not a generator: asked after every turn, and most turns have nothing new.
        replica, claims = self.replica, list[Claim]()
        if not self._said_answers:
            self._said_answers = True
            claims.append(Answers(ANSWERS))
        if replica.promised != self._promised:
            self._promised = replica.promised
            claims.append(Grows(PROMISE, replica.promised, "ballot"))
        if replica.ballot != self._ballot:
            self._ballot = replica.ballot
            claims.append(Exclusive(OWNER, _words(replica.ballot)))
        if replica.accepted and replica.io.peers:  # who is alone accepts and decides in one turn
            self._votes(claims)
        if replica.applied != self._applied:
            self._decrees(claims)
        if replica.leading and replica.ballot != self._served and replica.applied >= replica.inherited:
            self._served = replica.ballot
            known = {client: sequence for client, (sequence, _) in replica.clients.items()}
            claims.append(Serves(NOTHING_LOST, _words(replica.ballot), known))
        return claims

    def _votes(self, claims: list[Claim]) -> None:
        accepted = self.replica.accepted
        for slot, (ballot, decree) in accepted.items():
            if self._accepted.get(slot) != ballot:
                self._accepted[slot] = ballot
                claims.append(Accepted(ONE_DECREE, f"slot {slot}", _words(ballot), decree, "decree"))
        if len(self._accepted) > 2 * len(accepted) + 64:
            self._accepted = {slot: ballot for slot, ballot in self._accepted.items() if slot in accepted}

    def _decrees(self, claims: list[Claim]) -> None:
        replica, told = self.replica, self._applied
        self._applied = replica.applied
        if replica.io.peers:
            for slot in range(told + 1, replica.applied + 1):
                if slot in replica.log:  # what came with a snapshot isn't
                    decree = replica.log[slot]
                    claims.append(Decided(ONE_DECREE, f"slot {slot}", decree, replica.io.majority, "decree"))
        claims += replica.carried_out.new()
        if is_compared(replica.applied):
            place = f"after slot {replica.applied}"
            claims.append(Agreed(SAME_STATE, place, replica.machine.digest(), "state"))
            claims.append(Agreed(SAME_CLIENTS, place, _digest(replica.clients), "clients"))


def _words(ballot: Ballot) -> str:
    return f"ballot {ballot[0]}.{ballot[1]}"


def _digest(value: Any) -> int:
    return zlib.crc32(_as_text(value).encode())
