"""Multi-Paxos: the replicas agree on a log, one decree after the other, and every one of them carries it out.

The idea
    All replicas start equal and carry out the same operations in the same order; so they stay equal. The order is a log
    of numbered slots, and what stands in a slot (a decree: some clients' requests) is agreed upon by the consensus
    algorithm Paxos. A decree is chosen once a majority has accepted it under one ballot. Any two majorities share a
    replica, and that replica tells whoever comes later what it accepted: so what is chosen stays chosen.

Ballots
    A ballot is (round, number of the replica): unique to its owner, totally ordered. A replica writes down the ballot
    it stands with before it tells anyone, and after a restart stands with a higher round, so none is ever used twice.

Messages (the first five are Paxos; slots and decrees travel as lists of [slot, decree])
    prepare    ballot                       let me lead; what have you accepted?
    promise    ballot, applied, accepted    I take part in no lower ballot; up to `applied` I know what was chosen, and
                                            after it this is what I accepted, and under which ballots
    accept     ballot, entries, commit      please accept these decrees
    accepted   ballot, slots                I have, and it is on my disk
    commit     ballot, commit               everything up to this slot is chosen
    nack       ballot                       I have promised this higher ballot
    heartbeat  leading, applied, hears, ... I am alive; how far I am; whom I hear; whom I follow
    fetch      first                        I lack the decrees from this slot on
    decrees    first, decrees               here they are
    snapshot   applied, machine, clients    they are gone from my log; here is what came of them

One leader at a time, if all goes well
    To lead is to have a majority of promises for one ballot. They hold for ALL slots, so a leader that stays needs no
    more than one round trip for a decree (accept, accepted), and has several slots in flight. Who leads is only a hint:
    the lowest-numbered replica that is believed alive, hears a majority, is heard by it, and isn't far behind. Two that
    both believe it cost time and nothing else: acceptors refuse the lower ballot (nack), and who is refused steps down
    and tries again after a random delay. A replica that doesn't hear the leader but hears that a majority follows it
    doesn't disturb it.

A new leader inherits
    First it learns whatever any replica of its majority knows to be chosen. For each later slot that one of them
    accepted something in, it proposes the decree of the highest ballot: it may be chosen already, and if so it is this
    one. Slots in between that nobody of the majority accepted anything in are filled with a no-op. Only then come new
    requests.

Clients
    Each replica remembers the last request of each client and its result; that table is part of the replicated state, so
    a request that reaches the log twice is carried out once, and the second time is answered with the first's result. It
    is one small entry per client. A replica that doesn't lead refuses a request for certain only if it has not proposed
    it. Who has proposed one and lost the lead waits until the slot is decided: the request stands in it (ok), or another
    decree does, and then this proposal can't come to anything any more (fail); after `answer_seconds` it says that it
    doesn't know. Reads go through the log like everything else: an old leader that doesn't know it yet answers nothing
    stale.

What is on disk
    The promised ballot and every accepted decree, before the answer that tells of it. How much is known to be chosen is
    noted along with accepted decrees; if the newest note is lost, the others know. Every `snapshot_every` decrees the
    journal becomes one snapshot and what is still undecided.

What it survives, and where it stops
    Any crashes, restarts, pauses, partitions, lost, repeated, late and overtaken messages, and wrong clocks: it stays
    linearizable. It makes progress while some majority is up, connected and timely for a while; no algorithm can promise
    more in a network without bounds on delay (Fischer, Lynch and Paterson). It does not survive a replica that loses its
    disk, nor one that lies.

Sources: Lamport, "The Part-Time Parliament", 1998, and "Paxos Made Simple", 2001; Chandra, Griesemer and Redstone,
"Paxos Made Live", 2007; the lectures' scenarios (proposer dies after prepare, after accept; acceptor dies; two
proposers), which tests/test_multi_paxos.py plays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field

from node.invariants import CarriedOut, Claim, News
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Protocol, Record, Request, Status, replica_number
from node.protocols.client_table import ClientTable
from node.protocols.detector import Detector, DetectorOptions
from node.protocols.multi_paxos_claims import ONCE, MultiPaxosClaims
from node.protocols.waiting_room import WaitingRoom

Ballot = tuple[int, int]
"""Round, then the number of the replica that owns it."""
Command = list[Any]
"""One request in a decree: `[client, sequence, operation]`."""
Decree = list[Command]
"""What stands in a slot: the requests to be carried out, in order. The empty one is the no-op."""

NO_BALLOT: Ballot = (0, 0)
REQUESTS_PER_DECREE = 64
ENTRIES_PER_MESSAGE = 64
SLOTS_AHEAD_PER_WINDOW = 8
"""An acceptor looks this many windows past what it has applied, and ignores what lies beyond: it has to catch up."""
QUEUE_LIMIT = 10_000
ANOTHER_DECREE = "another decree was chosen in its place"


class MultiPaxosOptions(DetectorOptions):
    retry_seconds: float = Field(default=0.25, gt=0, description="after this long an unanswered message is sent again")
    answer_seconds: float = Field(
        default=10.0, gt=0, description="how long a replica that lost the lead waits to learn what came of a request"
    )
    snapshot_every: int = Field(default=1_000, ge=1, description="decrees after which the log is cut to a snapshot")
    window: int = Field(default=4, ge=1, description="slots in flight; requests beyond them share the next decree")


class Accepted(NamedTuple):
    ballot: Ballot
    decree: Decree


@dataclass
class Proposal:
    """A decree that this leader has sent out and that is not known to be chosen."""

    decree: Decree
    accepted_by: set[str]
    sent_at: float


@dataclass
class Candidacy:
    """The promises that this replica has gathered for its ballot."""

    promises: dict[str, Message]
    began: float
    sent_at: float


@dataclass
class Sign:
    """What a peer told with its last heartbeat."""

    ballot: Ballot
    leading: bool
    leader: str | None
    fit: bool
    applied: int
    hears: list[str]


class MultiPaxos(Protocol):
    name = "multi-paxos"
    promises = (
        "linearizable under crashes, restarts, pauses, partitions and any delay or loss of messages; "
        "available while a majority is up and connected"
    )
    roles = ("leader", "candidate", "follower")
    chief = "leader"
    Options = MultiPaxosOptions
    background = frozenset({"heartbeat"})
    phrases = {
        "prepare": "prepare ballot {ballot:pair}",
        "promise": (
            "promise ballot {ballot:pair}; slots applied: {applied}, accepted beyond: {accepted:slots}",
            "promise ballot {ballot:pair}",
        ),
        "nack": "nack: ballot {ballot:pair} is promised",
        "accept": "accept: {entries:slots} (ballot {ballot:pair})",
        "accepted": (
            "accepted: {slots:slots} (ballot {ballot:pair})",
            "accepted: slot {slot} is {decree:decree} (ballot {ballot:pair})",
        ),
        "commit": "commit: chosen up to slot {commit}",
        "chosen": "chosen: slot {slot} is {decree:decree}",
        "fetch": "fetch: what is chosen from slot {first} on?",
        "decrees": "decrees from slot {first} on: {decrees:decrees}",
        "snapshot": "snapshot of all up to slot {applied}",
    }

    options: MultiPaxosOptions

    def __init__(self, io: Io, machine: Machine, options: MultiPaxosOptions) -> None:
        super().__init__(io, machine, options)
        self.quorum = io.majority
        self.number = replica_number(io.id)
        # The acceptor's: durable.
        self.promised = NO_BALLOT
        self.accepted: dict[int, Accepted] = {}
        """By slot, beyond what is applied."""
        # The learner's: durable, up to the last decrees that are known to be chosen, which can be learned again.
        self.applied = 0
        self.chosen: dict[int, Decree] = {}
        """Known to be chosen and not applied, because a slot before is missing."""
        self.clients = ClientTable()
        """The last request of each client: `[sequence, result]`."""
        self.snapshot_at = 0
        self.log: dict[int, Decree] = {}
        """The last applied decrees, for replicas that lag; in memory only."""
        # The proposer's: in memory only.
        self.ballot = NO_BALLOT
        self.leading = False
        self.candidacy: Candidacy | None = None
        self.proposals: dict[int, Proposal] = {}
        self.next_slot = 1
        self.inherited = 0
        """Up to this slot, what stands in it may have been decided before this replica led."""
        self.queue: deque[Command] = deque()
        self.waiting = WaitingRoom(io, self.clients, self._leader)
        """By slot, once they are proposed."""
        # Who is there.
        self.detector = Detector(io, options)
        self.signs: dict[str, Sign] = {}
        self.seen = NO_BALLOT
        self.hope_last_tick: str | None = None
        self.refusals = 0
        self.stand_after = 0.0
        self.fetched_at = -options.retry_seconds
        self.applied_last_tick = 0
        # For a witness.
        self.claims = MultiPaxosClaims(self)
        self.carried_out = News()
        """What was carried out since a witness last asked."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        known = 0
        chosen: dict[int, Decree] = {}
        for record in records:
            match record["type"]:
                case "snapshot":
                    self._restore(record)
                case "promise":
                    self.promised = max(self.promised, _ballot(record["ballot"]))
                case "accepted":
                    ballot = _ballot(record["ballot"])
                    self.promised = max(self.promised, ballot)
                    self.accepted[record["slot"]] = Accepted(ballot, record["decree"])
                    known = max(known, record["applied"])
                case "chosen":
                    chosen[record["slot"]] = record["decree"]
        for slot in range(self.applied + 1, known + 1):
            if slot not in chosen:
                chosen[slot] = self.accepted[slot].decree
        self.chosen = {slot: decree for slot, decree in chosen.items() if slot > self.applied}
        self.snapshot_at = self.applied
        self._apply_chosen()
        self.seen = self.promised
        self._heartbeat(self.io.peers)
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.io.set_timer("retry", self.options.retry_seconds)

    def on_timer(self, name: str) -> None:
        if name == "retry":
            self.io.set_timer("retry", self.options.retry_seconds)
            self._retry()
            return
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.detector.tick()
        if self.leading and not self._is_connected():
            self._step_down("no majority is connected")
        self._consider_standing()
        self._heartbeat(self.io.peers)
        self._fetch_if_stuck()
        self.waiting.give_up(self.options.answer_seconds, "proposed, and not yet decided")

    @property
    def role(self) -> str:
        if self.leading:
            return "leader"
        return "candidate" if self.candidacy else "follower"

    def status(self) -> Status:
        return {
            "role": self.role,
            "leader": self._leader(),
            "term": f"{self.promised[0]}.{self.promised[1]}",
            "log_index": max(self.accepted, default=self.applied),
            "commit_index": self.applied,
            "digest": self.machine.digest(),
            "details": {
                "promised": list(self.promised),
                "ballot": list(self.ballot),
                "in_flight": len(self.proposals),
                "queued": len(self.queue),
                "waiting": len(self.waiting),
                "chosen_ahead": len(self.chosen),
                "snapshot_index": self.snapshot_at,
                "clients": len(self.clients),
                "alive": self.detector.alive(),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.claims.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        if self._is_repeated(request.client, request.sequence):
            self.clients.answer(self.io, request)
        elif (request.client, request.sequence) in self.waiting:
            self.waiting.admit(request)
        elif not (self.leading or self.candidacy):
            self.io.reply(request, Outcome.fail("not the leader", leader=self._leader()))
        elif len(self.queue) >= QUEUE_LIMIT:
            self.io.reply(request, Outcome.fail("too many requests are queued"))
        else:
            self.waiting.admit(request)
            self.queue.append([request.client, request.sequence, request.operation])
            self._propose_queued()

    # ---- proposer: phase 1

    def _consider_standing(self) -> None:
        hope = self._hope()
        if self.candidacy:
            if hope != self.io.id:
                self._step_down(f"{hope or 'nobody'} should lead")
            elif self.io.now() - self.candidacy.began > 2 * self.options.suspect_seconds:
                self._step_down("too few promises, or decrees that could not be learned, for too long")
            return
        # Not at the first sight of it: a lower-numbered replica may just not have told yet that it is fit.
        steady, self.hope_last_tick = hope == self.hope_last_tick, hope
        may_stand = hope == self.io.id and steady and not self.leading and self.io.now() >= self.stand_after
        if may_stand and not self._others_are_led():
            self._stand()

    def _stand(self) -> None:
        self.ballot = self._new_ballot()
        self.io.log(f"stands with ballot {self.ballot[0]}.{self.ballot[1]}")
        self._promise(self.ballot)
        own = {"applied": self.applied, "accepted": self._accepted_as_json()}
        self.candidacy = Candidacy({self.io.id: own}, self.io.now(), self.io.now())
        for peer in self.io.peers:
            self.io.send(peer, {"type": "prepare", "ballot": self.ballot})
        self._lead_if_promised()

    def _new_ballot(self) -> Ballot:
        """Higher than any that this replica has seen, and never to be used by another replica or life."""
        return max(self.seen, self.promised)[0] + 1, self.number

    def _on_promise(self, sender: str, message: Message) -> None:
        if self.candidacy and _ballot(message["ballot"]) == self.ballot:
            self.candidacy.promises.setdefault(sender, message)
            self._lead_if_promised()

    def _lead_if_promised(self) -> None:
        """Lead once a majority has promised and everything that one of it knows to be chosen is known here."""
        candidacy = self.candidacy
        if candidacy is None or len(candidacy.promises) < self.quorum:
            return
        wisest = max(candidacy.promises, key=lambda peer: candidacy.promises[peer]["applied"])
        if candidacy.promises[wisest]["applied"] > self.applied:
            self._fetch(wisest)
            return
        self.candidacy = None
        self.leading = True
        self.refusals = 0
        entries = self._inheritance(candidacy.promises.values())
        self.inherited = self.applied + len(entries)
        self.next_slot = self.inherited + 1
        self.io.log(f"leads with ballot {self.ballot[0]}.{self.ballot[1]}; {len(entries)} slots to resolve")
        self._propose(entries)
        self._heartbeat(self.io.peers)
        self._propose_queued()

    def _inheritance(self, promises: Iterable[Message]) -> list[tuple[int, Decree]]:
        """For every slot that may be decided already: its only possible decree, or a no-op if it can't be."""
        highest: dict[int, Accepted] = {}
        for promise in promises:
            for slot, ballot, decree in promise["accepted"]:
                found = Accepted(_ballot(ballot), decree)
                if slot not in highest or found.ballot > highest[slot].ballot:
                    highest[slot] = found
        decrees = {slot: found.decree for slot, found in highest.items()} | self.chosen
        last = max(decrees, default=self.applied)
        return [(slot, decrees.get(slot, [])) for slot in range(self.applied + 1, last + 1)]

    # ---- proposer: phase 2

    def _propose_queued(self) -> bool:
        """Propose what is queued, as far as the window allows; tells whether anything was sent."""
        entries: list[tuple[int, Decree]] = []
        while self.leading and self.queue and len(self.proposals) + len(entries) < self.options.window:
            count = min(len(self.queue), REQUESTS_PER_DECREE)
            decree = [self.queue.popleft() for _ in range(count)]
            # One that isn't waited for any more was carried out meanwhile; the table of clients sees to it.
            self.waiting.put(self.next_slot, [(client, sequence) for client, sequence, _ in decree])
            entries.append((self.next_slot, decree))
            self.next_slot += 1
        self._propose(entries)
        return bool(entries)

    def _propose(self, entries: list[tuple[int, Decree]]) -> None:
        if not entries:
            return
        for slot, decree in entries:
            self.proposals[slot] = Proposal(decree, {self.io.id}, self.io.now())
            self._accept(self.ballot, slot, decree)
        for peer in self.io.peers:
            self._send_accept(peer, entries)
        self._count_votes(slot for slot, _ in entries)

    def _send_accept(self, peer: str, entries: list[tuple[int, Decree]]) -> None:
        for first in range(0, len(entries), ENTRIES_PER_MESSAGE):
            part = entries[first : first + ENTRIES_PER_MESSAGE]
            message = {"type": "accept", "ballot": self.ballot, "entries": part, "commit": self.applied}
            self.io.send(peer, message)

    def _on_accepted(self, sender: str, message: Message) -> None:
        if not self.leading or _ballot(message["ballot"]) != self.ballot:
            return
        for slot in message["slots"]:
            if slot in self.proposals:
                self.proposals[slot].accepted_by.add(sender)
        self._count_votes(message["slots"])

    def _count_votes(self, slots: Iterable[int]) -> None:
        before = self.applied
        for slot in slots:
            proposal = self.proposals.get(slot)
            if proposal and len(proposal.accepted_by) >= self.quorum:
                del self.proposals[slot]
                if slot > self.applied:
                    self.chosen[slot] = proposal.decree
        self._apply_chosen()
        if self.applied == before:
            return
        if self._propose_queued():
            return  # which has told what is chosen, too
        for peer in self.io.peers:
            self.io.send(peer, {"type": "commit", "ballot": self.ballot, "commit": self.applied})

    def _retry(self) -> None:
        """Links lose messages: whatever is not answered is sent again."""
        long_ago = self.io.now() - self.options.retry_seconds
        if self.candidacy and self.candidacy.sent_at <= long_ago:
            self.candidacy.sent_at = self.io.now()
            for peer in self.io.peers:
                if peer not in self.candidacy.promises:
                    self.io.send(peer, {"type": "prepare", "ballot": self.ballot})
            self._lead_if_promised()
        overdue = [slot for slot, proposal in self.proposals.items() if proposal.sent_at <= long_ago]
        for slot in overdue:
            self.proposals[slot].sent_at = self.io.now()
        for peer in self.io.peers:
            missing = [slot for slot in overdue if peer not in self.proposals[slot].accepted_by]
            self._send_accept(peer, [(slot, self.proposals[slot].decree) for slot in missing])

    def _step_down(self, reason: str) -> None:
        """Lead no more. Requests that were not proposed are refused for certain; the others wait for their slots."""
        self.io.log(f"steps down: {reason}")
        self.leading = False
        self.candidacy = None
        self.proposals.clear()
        for client, sequence, _ in self.queue:
            self.waiting.turn_away((client, sequence), "not the leader")
        self.queue.clear()

    def _on_nack(self, message: Message) -> None:
        self._give_way(_ballot(message["ballot"]))

    def _give_way(self, ballot: Ballot) -> None:
        """Step down for a higher ballot, and wait a random while before standing again, longer each time."""
        if (self.leading or self.candidacy) and ballot > self.ballot:
            delay = self.io.random.uniform(0.2, 1.0) * self.options.retry_seconds * 2**self.refusals
            self.refusals = min(self.refusals + 1, 4)
            self.stand_after = self.io.now() + delay
            self._step_down(f"ballot {ballot[0]}.{ballot[1]} is higher")

    # ---- acceptor

    def _promise(self, ballot: Ballot) -> None:
        """Take part in no lower ballot, not even after a restart."""
        self.promised = ballot
        self.io.append({"type": "promise", "ballot": ballot})

    def _accept(self, ballot: Ballot, slot: int, decree: Decree) -> None:
        self.promised = ballot
        self.accepted[slot] = Accepted(ballot, decree)
        record = {"type": "accepted", "ballot": ballot, "slot": slot, "decree": decree, "applied": self.applied}
        self.io.append(record)

    def _accepted_as_json(self) -> list[list[Any]]:
        return [[slot, *self.accepted[slot]] for slot in sorted(self.accepted)]

    def _on_prepare(self, sender: str, message: Message) -> None:
        ballot = _ballot(message["ballot"])
        if ballot < self.promised:
            self.io.send(sender, {"type": "nack", "ballot": self.promised})
            return
        if ballot > self.promised:
            self._give_way(ballot)
            self._promise(ballot)
        accepted = self._accepted_as_json()
        self.io.send(sender, {"type": "promise", "ballot": ballot, "applied": self.applied, "accepted": accepted})

    def _on_accept(self, sender: str, message: Message) -> None:
        ballot = _ballot(message["ballot"])
        if ballot < self.promised:
            self.io.send(sender, {"type": "nack", "ballot": self.promised})
            return
        self._give_way(ballot)
        slots = []
        horizon = self.applied + SLOTS_AHEAD_PER_WINDOW * self.options.window
        for slot, decree in message["entries"]:
            if slot > horizon:
                continue
            # What is applied was chosen: no proposal for its slot can differ, and it needn't be written again.
            if slot > self.applied and (slot not in self.accepted or self.accepted[slot].ballot < ballot):
                self._accept(ballot, slot, decree)
            slots.append(slot)
        if slots:
            self.io.send(sender, {"type": "accepted", "ballot": ballot, "slots": slots})
        self._on_commit(sender, message)

    # ---- learner

    def _on_commit(self, sender: str, message: Message) -> None:
        """The owner of the ballot knows everything up to `commit` to be chosen: so what it had accepted here is."""
        ballot, commit = _ballot(message["ballot"]), message["commit"]
        for slot in range(self.applied + 1, commit + 1):
            if slot not in self.chosen:
                if slot not in self.accepted or self.accepted[slot].ballot != ballot:
                    break
                self.chosen[slot] = self.accepted[slot].decree
        self._apply_chosen()
        if self.applied < commit:
            self._fetch(sender)

    def _apply_chosen(self) -> None:
        """Carry out what is chosen, in order of slots, as far as there is no gap."""
        while self.applied + 1 in self.chosen:
            self.applied += 1
            decree = self.chosen.pop(self.applied)
            self.accepted.pop(self.applied, None)
            self.log[self.applied] = decree
            for command in decree:
                self._apply(command)
            self.waiting.decided(self.applied, ANOTHER_DECREE)
        if self.applied - self.snapshot_at >= self.options.snapshot_every:
            self._compact()

    def _apply(self, command: Command) -> None:
        client, sequence, operation = command
        if not self._is_repeated(client, sequence):
            result = self.machine.apply(operation)
            self.clients.note(client, sequence, result)
            self.carried_out.append(CarriedOut(ONCE, f"slot {self.applied}", client, sequence, result))
        self.waiting.carried_out((client, sequence))

    def _is_repeated(self, client: str, sequence: int) -> bool:
        return self.clients.covers(client, sequence)

    # ---- snapshots and catching up

    def _snapshot(self) -> Message:
        machine, clients = self.machine.snapshot(), dict(self.clients)
        return {"type": "snapshot", "applied": self.applied, "machine": machine, "clients": clients}

    def _restore(self, snapshot: Message) -> None:
        self.applied = snapshot["applied"]
        self.machine.restore(snapshot["machine"])
        self.clients.restore(snapshot["clients"])
        for slots in (self.accepted, self.chosen):
            for slot in [slot for slot in slots if slot <= self.applied]:
                del slots[slot]
        self.log.clear()

    def _compact(self) -> None:
        """Cut the journal to a snapshot, the promise, and what is not applied; keep some log for those that lag."""
        records: list[Record] = [self._snapshot(), {"type": "promise", "ballot": self.promised}]
        for slot, (ballot, decree) in sorted(self.accepted.items()):
            records.append(
                {"type": "accepted", "ballot": ballot, "slot": slot, "decree": decree, "applied": self.applied}
            )
        for slot, decree in sorted(self.chosen.items()):
            records.append({"type": "chosen", "slot": slot, "decree": decree})
        self.io.compact(records)
        self.snapshot_at = self.applied
        for slot in [slot for slot in self.log if slot <= self.applied - self.options.snapshot_every]:
            del self.log[slot]

    def _fetch_if_stuck(self) -> None:
        """Ask for decrees that others have applied, if nothing has moved here since the last tick."""
        alive = [peer for peer in self.detector.alive() if peer in self.signs]
        wisest = max(alive, key=lambda peer: self.signs[peer].applied, default=None)
        if wisest and self.signs[wisest].applied > self.applied == self.applied_last_tick:
            self._fetch(wisest)
        self.applied_last_tick = self.applied

    def _fetch(self, peer: str) -> None:
        if self.io.now() - self.fetched_at >= self.options.retry_seconds:
            self.fetched_at = self.io.now()
            self.io.send(peer, {"type": "fetch", "first": self.applied + 1})

    def _on_fetch(self, sender: str, message: Message) -> None:
        first = message["first"]
        if first > self.applied:
            return
        if first not in self.log:
            self.io.send(sender, self._snapshot())
            return
        last = min(self.applied, first + ENTRIES_PER_MESSAGE - 1)
        decrees = [self.log[slot] for slot in range(first, last + 1)]
        message = {"type": "decrees", "first": first, "decrees": decrees, "applied": self.applied}
        self.io.send(sender, message)

    def _on_decrees(self, sender: str, message: Message) -> None:
        news = False
        for slot, decree in enumerate(message["decrees"], message["first"]):
            if slot > self.applied and slot not in self.chosen:
                news = True
                self.chosen[slot] = decree
                self.io.append({"type": "chosen", "slot": slot, "decree": decree})
        self._after_learning(sender, message, news)

    def _on_snapshot(self, sender: str, message: Message) -> None:
        news = message["applied"] > self.applied
        if news:
            self.io.log(f"takes the snapshot of {sender} at slot {message['applied']}")
            self._restore(message)
            self._compact()
            self.waiting.decided_up_to(self.applied, ANOTHER_DECREE)
        self._after_learning(sender, message, news)

    def _after_learning(self, sender: str, message: Message, news: bool) -> None:
        if self.leading and news:
            # Somebody else decides. To go on would be to tell followers that this ballot's decrees were chosen there.
            self._step_down(f"{sender} knows decrees that were not chosen here")
        self._apply_chosen()
        self.fetched_at = self.io.now() - self.options.retry_seconds
        if self.applied < message["applied"]:
            self._fetch(sender)
        self._lead_if_promised()

    # ---- who is there

    def _heartbeat(self, peers: Iterable[str]) -> None:
        message = {
            "type": "heartbeat",
            "ballot": self.ballot if self.leading else self.promised,
            "leading": self.leading,
            "leader": self._heard_leader(),
            "fit": self._is_fit(),
            "applied": self.applied,
            "hears": self.detector.alive(),
        }
        for peer in peers:
            self.io.send(peer, message)

    def _on_heartbeat(self, sender: str, message: Message) -> None:
        if sender not in self.signs and self.io.id not in message["hears"]:
            self._heartbeat([sender])  # it has just begun, or this replica has: don't let it wait for the next tick
        ballot, applied = _ballot(message["ballot"]), message["applied"]
        self.signs[sender] = Sign(
            ballot, message["leading"], message["leader"], message["fit"], applied, message["hears"]
        )
        if message["leading"]:
            self._on_commit(sender, {"ballot": ballot, "commit": applied})

    def _is_connected(self) -> bool:
        """Whether this replica and those that it hears and that hear it are a majority."""
        linked = [peer for peer in self._known_alive() if self.io.id in self.signs[peer].hears]
        return len(linked) + 1 >= self.io.majority

    def _is_fit(self) -> bool:
        """Whether this replica could lead: connected to a majority, and not far behind."""
        newest = max((self.signs[peer].applied for peer in self._known_alive()), default=0)
        return self._is_connected() and self.applied + SLOTS_AHEAD_PER_WINDOW * self.options.window >= newest

    def _known_alive(self) -> list[str]:
        return [peer for peer in self.detector.alive() if peer in self.signs]

    def _hope(self) -> str | None:
        """Who should lead: the lowest-numbered of those that are alive and fit."""
        fit = [peer for peer in self._known_alive() if self.signs[peer].fit]
        if self._is_fit():
            fit.append(self.io.id)
        return min(fit, key=replica_number, default=None)

    def _heard_leader(self) -> str | None:
        """The leader, as far as this replica hears it itself."""
        if self.leading:
            return self.io.id
        leaders = [peer for peer in self._known_alive() if self.signs[peer].leading]
        return max(leaders, key=lambda peer: self.signs[peer].ballot, default=None)

    def _leader(self) -> str | None:
        """Whom to send a client to: the leader, by hearsay if need be, or whoever should become it."""
        hearsay = [self.signs[peer].leader for peer in self._known_alive()]
        known = self._heard_leader() or next((leader for leader in hearsay if leader not in (None, self.io.id)), None)
        hope = self._hope()
        return known or (hope if hope != self.io.id else None)

    def _others_are_led(self) -> bool:
        """Whether a majority follows a leader of a lower number, which may be unheard here."""
        leaders = [self.signs[peer].leader for peer in self._known_alive()]
        for leader in leaders:
            if leader is None or replica_number(leader) >= self.number:
                continue
            followers = leaders.count(leader) + (0 if self.detector.is_alive(leader) else 1)
            if followers >= self.io.majority:
                return True
        return False

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        self.detector.hear(sender)
        if "ballot" in message:
            self.seen = max(self.seen, _ballot(message["ballot"]))
        match message["type"]:
            case "prepare":
                self._on_prepare(sender, message)
            case "promise":
                self._on_promise(sender, message)
            case "accept":
                self._on_accept(sender, message)
            case "accepted":
                self._on_accepted(sender, message)
            case "commit":
                self._on_commit(sender, message)
            case "nack":
                self._on_nack(message)
            case "heartbeat":
                self._on_heartbeat(sender, message)
            case "fetch":
                self._on_fetch(sender, message)
            case "decrees":
                self._on_decrees(sender, message)
            case "snapshot":
                self._on_snapshot(sender, message)


def _ballot(value: Any) -> Ballot:
    number, owner = value
    return number, owner
