"""Leased primary: a group of replicas names one of them primary for a while, and that one answers reads by itself.

The idea
    Agreement by majorities is dear, a primary with backups is cheap but depends on a failure detector: where it is
    wrong, there are two primaries. So agreement is used for one purpose, to name the primary, and only for a span of
    time, its lease. While the lease lasts nobody else is named, whatever anybody believes about who is dead. The
    primary decides the order alone, tells its backups, and answers when enough of them have it on disk; reads it
    answers from its own state at once, without asking anybody. That is what the lease is for.

Who names it
    The group is all replicas, and it votes as in `node.protocols.raft`: a term is a reign, a majority of votes names
    its primary, and nobody gets the vote of a replica that holds more than it does: so a new primary begins with all
    that was acknowledged, and its log brings the backups up to date. Backups refuse what comes from an earlier term
    (fencing); so even two primaries could not both get a write acknowledged.

The lease
    Every message of the primary asks for the lease to be renewed, every answer grants it. Nobody compares clocks; each
    measures a span of time on its own:

    - the primary has the lease for `lease_seconds` from when it SENT a round of heartbeats that a majority answered;
    - who answered votes for nobody else for (1 + d) / (1 - d) times as long from when it ANSWERED, d being `max_drift`.

    An answer comes after its question, so the primary's span begins first; and it ends first in true time if no clock
    runs faster or slower than true time by more than the share d. A majority can name no other primary without one of
    those that granted. A replica that was restarted doesn't remember what it granted, and so votes for nobody until
    such a span is over. Who gets no majority until its lease is over is primary no more.

Messages, log, snapshots and clients
    As in `node.protocols.raft`: votes, entries, the table of the clients' last requests. A read that comes when there is
    no lease waits for its renewal.

What it survives, and where it fails
    Crashes, restarts, pauses, partitions, lost, repeated and late messages: it stays linearizable, as long as clocks
    keep within `max_drift`. A clock that runs faster or slower than that, or jumps, breaks it: a backup whose clock runs
    ahead helps to name a new primary while the old one, whose lease by its own clock isn't over, still answers reads
    with what has been overwritten. Writes are safe all the same. It makes progress while a majority is up and
    connected; after a primary's death nobody is named before its lease is over, and that is the price.

Sources: the lectures on Paxos naming a primary for a lease; Gray and Cheriton, "Leases", 1989; Burrows, "The Chubby lock
service", 2006; Ongaro's thesis, 2014, 6.4.1, on leases in Raft.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from node.machine import Machine
from node.protocol import Io, Message, Outcome, Record, Request, Status
from node.protocols.raft import Raft, RaftOptions


class LeasedPrimaryOptions(RaftOptions):
    election_seconds: float = Field(
        default=0.4,
        gt=0,
        description="a backup that hears no primary for between this and twice as long wants to be it",
    )
    lease_seconds: float = Field(
        default=1.0, gt=0, description="how long after it asked a primary may answer reads, if a majority agreed"
    )
    max_drift: float = Field(
        default=0.1, ge=0, lt=1, description="the share by which a clock may run faster or slower than true time"
    )

    @model_validator(mode="after")
    def _can_be_renewed(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                "lease_seconds must be larger than heartbeat_seconds, or a lease ends before it is renewed"
            )
        return self


class Asked(NamedTuple):
    """When a round of heartbeats was sent."""

    round: int
    at: float


class LeasedPrimary(Raft):
    name = "leased-primary"
    promises = (
        "linearizable under crashes, restarts, pauses, partitions and any delay or loss of messages, as long as clocks "
        "drift no more than max_drift; available while a majority is up and connected, after a lease has ended"
    )
    roles = ("primary", "candidate", "backup")
    chief = "primary"
    Options = LeasedPrimaryOptions

    options: LeasedPrimaryOptions

    def __init__(self, io: Io, machine: Machine, options: LeasedPrimaryOptions) -> None:
        super().__init__(io, machine, options)
        self.granted_at: float | None = None
        """When this replica last granted a lease; or may have, in an earlier life."""
        self.granted_to: str | None = None
        """To whom; None if it doesn't remember."""
        self.asked: deque[Asked] = deque()
        """The primary's rounds from the last confirmed one on."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        super().recover(records)
        if records:
            self.granted_at = self.io.now()

    @property
    def role(self) -> str:
        if self.leading:
            return "primary"
        return "candidate" if self.candidacy else "backup"

    def status(self) -> Status:
        status = super().status()
        remaining = self._lease_ends() - self.io.now() if self.leading else 0.0
        status["details"]["lease_seconds_left"] = max(0.0, round(remaining, 3))
        return status

    # ---- the primary's side of the lease

    def _begin_round(self) -> None:
        self._forget_confirmed()
        self.asked.append(Asked(self.round + 1, self.io.now()))
        super()._begin_round()

    def _lead(self) -> None:
        self.asked.clear()
        super()._lead()

    def _lease_ends(self) -> float:
        """On this replica's clock; now, if it never began."""
        self._forget_confirmed()
        if not self.asked or self.asked[0].round > self._confirmed_round():
            return self.io.now()
        return self.asked[0].at + self.options.lease_seconds

    def _forget_confirmed(self) -> None:
        """Keep the last round that was confirmed, and those after it."""
        confirmed = self._confirmed_round()
        while len(self.asked) > 1 and self.asked[1].round <= confirmed:
            self.asked.popleft()

    def _has_lease(self) -> bool:
        return self.io.now() < self._lease_ends()

    def _read(self, request: Request) -> None:
        """Under the lease nobody needs to be asked: nobody else can have changed anything."""
        if self._has_lease() and self.applied >= self._read_index():
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        else:
            super()._read(request)

    def _loyalty_seconds(self) -> float:
        return self.options.lease_seconds

    # ---- the backups' side of the lease

    def _follow(self, leader: str) -> None:
        super()._follow(leader)
        self.granted_at, self.granted_to = self.io.now(), leader

    def _grant_seconds(self) -> float:
        """How long a grant binds: longer than the lease, by all that two clocks may differ."""
        drift = self.options.max_drift
        return self.options.lease_seconds * (1 + drift) / (1 - drift)

    def _bound_for(self) -> float:
        """For how long this replica must not help to name a primary; 0 if it is free."""
        if self.granted_at is None:
            return 0.0
        return max(0.0, self.granted_at + self._grant_seconds() - self.io.now())

    def _ask_whether_to_stand(self) -> None:
        bound_seconds = self._bound_for()
        if bound_seconds > 0:  # not before it is over, and then soon
            self.quiet_since = self.io.now()
            self.patience = bound_seconds + self.io.random.uniform(0.0, 0.2) * self.options.election_seconds
        else:
            super()._ask_whether_to_stand()

    def _is_bound_against(self, candidate: str) -> bool:
        return self._bound_for() > 0 and candidate != self.granted_to

    def _on_prevote(self, sender: str, message: Message) -> None:
        if not self._is_bound_against(sender):
            super()._on_prevote(sender, message)

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        # Not even its term is taken note of: that would end the reign to which the lease was granted.
        if message["type"] != "vote" or not self._is_bound_against(sender):
            super().on_message(sender, message)
