"""Naive two-phase agreement: a coordinator says "value V", a majority says yes, it says "commit". It isn't enough.

The idea
    What one would build before one has heard of Paxos. The operations stand in numbered slots, one after the other. One
    replica coordinates: it takes the operation that a client wants, and says to all: slot 5 is V. Who hears that writes
    it down and acks. When a majority has, the operation is committed: the coordinator carries it out, answers the
    client, and says "commit" to all. They carry out what they have written down. The coordinator is the lowest-numbered
    replica believed alive; when it is silent, the next one takes its place.

Messages
    heartbeat  applied          I am alive, and have carried out so many slots
    value      slot, request    let this be in the slot
    ack        slot             I have it on disk
    commit     slot             a majority has: carry it out
    behind     applied          I lack what comes after this slot
    state      applied, machine, clients   then take all that I have

    A coordinator that offers a value for a slot which somebody has filled already is sent the state, and tries the next
    slot. A failure-free operation takes three messages for each of the other replicas.

Where it fails
    Nothing tells one coordinator's value from another's, and nobody asks what may have been committed before. So:

    Two coordinators. A link between n1 and n2 is cut, both reach n3, and n2 believes n1 dead. n1 says "slot 5 is A", n2
    says "slot 5 is B", and n3 acks both. Either has a majority, either tells its client that it is done. n1 goes on
    with A in slot 5, n2 with B; n3 has what it heard last. From then on reads depend on who is asked. With
    `coordinators: all` everybody coordinates what it is asked for, and no fault is needed to see it.

    A coordinator that dies. n1 commits A in slot 5, answers the client, and dies before it says "commit". Others have A
    on their disks; but n2, which takes over, doesn't look for it, and offers B for slot 5. A was acknowledged and is
    gone. The new coordinator should have asked a majority what they had acked.

    What is missing is a number that orders coordinators (a ballot), a first phase in which a new one asks a majority
    what they have accepted, and replicas that refuse who is outdated: that is Paxos.

What it promises
    While nobody fails, nothing is late and there is one coordinator, it is linearizable. A failure may break it for ever:
    slots are never compared again.

Source: the lectures' "basic two-phase", where the question "what if there's more than one coordinator?" leads to Paxos.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from node.invariants import Agreed, Claim, News
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Record, Request, Status, replica_number
from node.protocols.client_table import ClientTable
from node.protocols.counted import CountsRecords
from node.protocols.detector import Detector, DetectorOptions

ONE_VALUE = "a slot holds one value"

QUEUE_LIMIT = 1_000
"""A replica lets no more requests than these wait."""


class NaiveTwoPhaseOptions(DetectorOptions):
    coordinators: Literal["one", "all"] = Field(
        default="one", description="the lowest-numbered replica alive coordinates, or everybody what it is asked for"
    )
    answer_seconds: float = Field(
        default=10.0, gt=0, description="a client that waits for a majority for so long is told that it isn't known"
    )
    compact_every: int = Field(default=2_000, ge=1, description="records after which the journal becomes one snapshot")


@dataclass
class Round:
    """What a coordinator is about."""

    slot: int
    key: tuple[str, int]
    entry: list[Any]
    """Client, sequence number and operation."""
    since: float
    acks: set[str] = field(default_factory=set)


@dataclass
class Waiting:
    """A request that waits for its turn, with all deliveries of it."""

    since: float
    requests: list[Request]


class NaiveTwoPhase(CountsRecords):
    name = "naive-two-phase"
    promises = (
        "linearizable while nobody fails and nobody alive is believed dead; a crash, a pause or a cut link may lose "
        "acknowledged operations and make replicas differ for ever"
    )
    consistency = "linearizable as long as nothing fails"
    tolerates = "none for certain"
    roles = ("leader", "follower")
    chief = "leader"
    """The coordinator."""
    progresses_with = "all"  # a majority would do, but not without the coordinator
    Options = NaiveTwoPhaseOptions
    background = frozenset({"heartbeat"})
    phrases = {
        "value": "slot {slot} shall be {request:request}",
        "ack": "ack of slot {slot}",
        "commit": "commit slot {slot}",
        "behind": "behind: all up to slot {applied} is here",
        "state": "the state after slot {applied}",
        "acked": "acked: slot {slot}, {request:request}",
        "committed": "committed: slot {slot}, {request:request}",
    }

    options: NaiveTwoPhaseOptions

    def __init__(self, io: Io, machine: Machine, options: NaiveTwoPhaseOptions) -> None:
        super().__init__(io, machine, options)
        # Durable.
        self.applied = 0
        """The last slot that was carried out here."""
        self.clients = ClientTable()
        """The last request of each client that was carried out: `[sequence, result]`."""
        self.acked: tuple[int, list[Any]] | None = None
        """The last slot that this replica has said yes to, and with which operation."""
        # In memory only.
        self.detector = Detector(io, options)
        self.told: dict[str, int] = {}
        """How far each peer said that it is."""
        self.round: Round | None = None
        self.waiting: dict[tuple[str, int], Waiting] = {}
        """In order of arrival; the present round's is among them."""
        self.news = News()

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            match record["type"]:
                case "state":
                    self._restore(record)
                case "acked":
                    self.acked = record["slot"], record["request"]
                case "committed":
                    self._install(record["request"])
        self.records = len(records)
        self.news.clear()
        for peer in self.io.peers:
            self.detector.hear(peer)  # at the beginning everybody gets the benefit of the doubt
        self.io.set_timer("tick", self.options.heartbeat_seconds)

    def on_timer(self, name: str) -> None:
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.detector.tick()
        for peer in self.io.peers:
            self.io.send(peer, {"type": "heartbeat", "applied": self.applied})
        self._give_up_late_ones()
        if not self.coordinates:
            self._resign()
        elif self.round is not None:
            self._offer(self.round)
        if self.records > self.options.compact_every:
            self._compact()

    @property
    def coordinator(self) -> str:
        """Whom this replica takes for the coordinator."""
        return min([self.io.id, *self.detector.alive()], key=replica_number)

    @property
    def coordinates(self) -> bool:
        return self.options.coordinators == "all" or self.coordinator == self.io.id

    def status(self) -> Status:
        return {
            "role": "leader" if self.coordinates else "follower",
            "leader": self.io.id if self.coordinates else self.coordinator,
            "term": None,
            "log_index": self.acked[0] if self.acked else self.applied,
            "commit_index": self.applied,
            "digest": self.machine.digest(),
            "details": {
                "alive": self.detector.alive(),
                "acks": sorted(self.round.acks) if self.round else [],
                "waiting": len(self.waiting),
                "clients": len(self.clients),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.news.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        key = (request.client, request.sequence)
        if not self.coordinates:
            self.io.reply(request, Outcome.fail("not the coordinator", leader=self.coordinator))
        elif key in self.waiting:
            self.waiting[key].requests.append(request)
        elif (known := self.clients.outcome(*key)) is not None:
            self.io.reply(request, known)
        elif len(self.waiting) >= QUEUE_LIMIT:
            self.io.reply(request, Outcome.fail("too many requests wait"))
        else:
            self.waiting[key] = Waiting(self.io.now(), [request])
            self._begin_next()

    def _answer(self, key: tuple[str, int], outcome: Outcome) -> None:
        waiting = self.waiting.pop(key, None)
        for request in waiting.requests if waiting else ():
            self.io.reply(request, outcome)

    def _give_up_late_ones(self) -> None:
        limit = self.io.now() - self.options.answer_seconds
        for key in [key for key, waiting in self.waiting.items() if waiting.since < limit]:
            self._answer(key, Outcome.info("no majority has answered"))
        if self.round is not None and self.round.key not in self.waiting:
            self.round = None
            self._begin_next()

    def _resign(self) -> None:
        """Somebody with a lower number is there: what is under way may be committed by nobody, or have been acked."""
        self.round = None
        for key in list(self.waiting):
            self._answer(key, Outcome.info("another replica coordinates now", leader=self.coordinator))

    # ---- the coordinator

    def _begin_next(self) -> None:
        """Offer what has waited longest for the next slot, unless something is under way."""
        while self.round is None and self.waiting:
            key = next(iter(self.waiting))
            known = self.clients.outcome(*key)
            if known is not None:
                self._answer(key, known)
                continue
            entry = [*key, self.waiting[key].requests[0].operation]
            self.round = Round(self.applied + 1, key, entry, self.io.now())
            self._note(self.round.slot, entry)
            self._offer(self.round)
            self._commit_if_enough()

    def _offer(self, present: Round) -> None:
        message = {"type": "value", "slot": present.slot, "request": present.entry}
        for peer in self.io.peers:
            if peer not in present.acks:
                self.io.send(peer, message)

    def _on_ack(self, sender: str, slot: int) -> None:
        if self.round is not None and self.round.slot == slot:
            self.round.acks.add(sender)
            self._commit_if_enough()

    def _commit_if_enough(self) -> None:
        present = self.round
        if present is None or len(present.acks) + 1 < self.io.majority:
            return
        self._commit(present.slot, present.entry)
        self.round = None
        for peer in self.io.peers:
            self.io.send(peer, {"type": "commit", "slot": present.slot})
        self._answer(present.key, Outcome.ok(self.clients[present.key[0]][1]))
        self._begin_next()

    # ---- every replica

    def _note(self, slot: int, entry: list[Any]) -> None:
        """Have it on disk. What was there before, by whoever it was, is forgotten."""
        if self.acked != (slot, entry):
            self.acked = slot, entry
            self._append({"type": "acked", "slot": slot, "request": entry})

    def _on_value(self, sender: str, slot: int, entry: list[Any]) -> None:
        if slot <= self.applied:
            if self.acked != (slot, entry):  # else it is only repeated
                self.io.send(sender, self._state())
        elif slot > self.applied + 1:
            self.io.send(sender, {"type": "behind", "applied": self.applied})
        else:
            self._note(slot, entry)
            self.io.send(sender, {"type": "ack", "slot": slot})

    def _on_commit(self, sender: str, slot: int) -> None:
        if slot == self.applied + 1 and self.acked is not None and self.acked[0] == slot:
            self._commit(slot, self.acked[1])
            self._start_again()
        elif slot > self.applied:
            self.io.send(sender, {"type": "behind", "applied": self.applied})

    def _commit(self, slot: int, entry: list[Any]) -> None:
        self._append({"type": "committed", "slot": slot, "request": entry})
        self._install(entry)

    def _install(self, entry: list[Any]) -> None:
        client, sequence, operation = entry
        result = self.machine.apply(operation)
        last = self.clients.get(client)
        if last is None or sequence >= last[0]:
            self.clients.note(client, sequence, result)
        self.applied += 1
        self.news.append(Agreed(ONE_VALUE, f"slot {self.applied}", entry))

    def _start_again(self) -> None:
        """Somebody else has filled the slot that was offered here: try the next one."""
        if self.round is not None and self.round.slot <= self.applied:
            self.round = None
            self._begin_next()

    # ---- the state as a whole

    def _state(self) -> dict[str, Any]:
        return {
            "type": "state",
            "applied": self.applied,
            "machine": self.machine.snapshot(),
            "clients": dict(self.clients),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.applied = state["applied"]
        self.machine.restore(state["machine"])
        self.clients = ClientTable(state["clients"])

    def _compact(self) -> None:
        records: list[Record] = [self._state()]
        if self.acked is not None:
            records.append({"type": "acked", "slot": self.acked[0], "request": self.acked[1]})
        self.io.compact(records)
        self.records = len(records)

    def _on_state(self, sender: str, message: Message) -> None:
        if message["applied"] > self.applied:
            self.io.log(f"takes over the state of {sender} at slot {message['applied']}")
            self._restore(message)
            self._compact()
            self._start_again()

    def _on_heartbeat(self, sender: str, applied: int) -> None:
        """Who is behind and doesn't move has missed something."""
        if self.coordinates and applied < self.applied and self.told.get(sender) == applied:
            self.io.send(sender, self._state())
        self.told[sender] = applied

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        self.detector.hear(sender)
        match message["type"]:
            case "heartbeat":
                self._on_heartbeat(sender, message["applied"])
            case "value":
                self._on_value(sender, message["slot"], message["request"])
            case "ack":
                self._on_ack(sender, message["slot"])
            case "commit":
                self._on_commit(sender, message["slot"])
            case "behind":
                if message["applied"] < self.applied:
                    self.io.send(sender, self._state())
            case "state":
                self._on_state(sender, message)
