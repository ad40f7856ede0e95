"""Raft: the replicas elect a leader, and everybody copies the leader's log.

The idea
    All replicas start equal and carry out the same operations in the same order; so they stay equal. Like Multi-Paxos,
    Raft agrees on that order with majorities. Unlike it, Raft lets entries flow one way only, from the leader to the
    others, and lets nobody lead whose log might lack an entry that was decided. So a leader has nothing to learn
    before it begins, and a log never has gaps.

Terms and votes
    Time is divided into terms, numbered upwards; each has at most one leader. A replica that hears of a higher term
    enters it at once, and a leader or candidate of a lower one gives up. A replica votes once in a term, for the first
    that asks, and only if the candidate's log is at least as up to date as its own: its last entry is of a higher term,
    or of the same term and the log is not shorter. A majority of votes makes a leader. Term and vote are on disk
    before the answer leaves: a replica that forgot its vote in a restart could help two leaders into one term.

The log
    An entry holds the term in which a leader made it, and a request. With each batch of entries the leader sends index
    and term of the entry right before them; a follower that doesn't have exactly that one refuses, and the leader tries
    further back until the logs meet. From there on the follower takes over the leader's entries and drops its own that
    differ. So if two logs have an entry of the same index and term, they are equal up to it (log matching). An entry
    that the follower has already is kept where it is, and so is all after it: a late message must not cut off what a
    newer one brought.

When an entry is decided
    An entry of the leader's own term is committed once it is on the disks of a majority: every later leader needs a vote
    from that majority, and so has it. An entry of an EARLIER term is not committed by counting disks. A candidate that
    lacks it, but has one of a term in between, could still win and overwrite it. It is committed along with the first
    entry of the leader's own term after it. So that this is soon, a new leader begins its term with a no-op.

Elections, and why there is a pre-vote
    A follower that hears from no leader for its patience (drawn at random between one and two times `election_seconds`,
    anew for each election, so that seldom two stand at once) first asks all others whether they WOULD vote for it.
    They would not if they heard from a leader within `election_seconds`. Only with a majority of such promises, which
    bind nobody and write nothing, does it enter a new term and stand. Without this a replica that was cut off would
    count its term up all the while, and on its return depose a leader that everybody else is content with; one that
    doesn't hear the leader, but is heard by others, would do so again and again. The other side of it: a leader that
    isn't answered by a majority for `election_seconds` resigns, or followers that hear it would be loyal to it for ever.

Messages (each carries the sender's `term`)
    prevote    stands, last_index, last_term    would you vote for me in the term `stands`?
    prevoted   stands, granted                  yes, or no
    vote       last_index, last_term            I stand in this term
    voted      granted                          you have my vote, or not
    append     prev, prev_term, entries, commit, round    put these after the entry `prev` of that term
    appended   match, round                     my log equals yours up to `match`, on my disk
    refused    prev, hint, round                my entry `prev` is another one; try from `hint` on
    heartbeat  commit, round                    I lead; and you may carry out everything up to `commit`
    alive      round                            you lead
    snapshot   index, index_term, machine, clients, round    the entries are gone; here is what came of them

Reads
    Reads don't go through the log. The leader notes how far it has committed (or its no-op, if that isn't committed
    yet), asks all replicas whether it still leads (a new round of heartbeats, shared by all reads that wait for one), and
    answers from its state when a majority said so and that much is applied. A leader that was deposed without knowing it
    gets no such majority, and so answers nothing stale. No clock is trusted.

Clients
    Each replica remembers the last request of each client and its result; that table is part of the replicated state, so
    a request that reaches the log twice is carried out once, and the second time is answered with the first's result. It
    is one small entry per client. A replica that doesn't lead refuses a request for certain, and names the leader.
    Who has put one into its log and lost the lead waits until that index is decided: the request stands in it (ok), or
    another entry does, and then this one can't come to anything any more (fail); after `answer_seconds` it says that it
    doesn't know.

What is on disk
    Term, vote and log, before anything is said about them. How far the log is committed is not: the next leader finds
    out. Every `snapshot_every` entries the journal becomes one snapshot and the entries after it; in memory as many are
    kept for followers that lag. Who lags more is sent the snapshot.

What it survives, and where it stops
    Any crashes, restarts, pauses, partitions, lost, repeated, late and overtaken messages, and wrong clocks: it stays
    linearizable. It makes progress while some majority is up, connected and timely for a while: with 2f + 1 replicas f
    may fail. It does not survive a replica that loses its disk, nor one that lies.

Sources: Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014; Ongaro, "Consensus: bridging
theory and practice", 2014, for the pre-vote (9.6), reads (6.4) and a leader that resigns (6.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from node.invariants import CarriedOut, Claim, News
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Protocol, ProtocolOptions, Record, Request, Status
from node.protocols.client_table import ClientTable
from node.protocols.raft_claims import ONCE, RaftClaims
from node.protocols.raft_log import Entry, Log
from node.protocols.waiting_room import WaitingRoom

ANOTHER_ENTRY = "another entry was committed in its place"
UNDECIDED_LIMIT = 10_000
"""A leader takes no more requests while so many entries of its log, or so many reads, are not decided."""


class RaftOptions(ProtocolOptions):
    heartbeat_seconds: float = Field(default=0.1, gt=0, description="how often the leader tells all others it lives")
    election_seconds: float = Field(
        default=0.6,
        gt=0,
        description="a follower that hears no leader for between this and twice as long wants to lead; "
        "a leader that no majority answers for as long resigns",
    )
    retry_seconds: float = Field(default=0.25, gt=0, description="after this long unanswered entries are sent again")
    answer_seconds: float = Field(
        default=10.0, gt=0, description="how long a replica that lost the lead waits to learn what came of a request"
    )
    snapshot_every: int = Field(default=1_000, ge=1, description="entries after which the log is cut to a snapshot")
    batch: int = Field(default=256, ge=1, description="entries in one message at most")
    window: int = Field(default=4, ge=1, description="batches in flight to a follower; what comes then shares the next")

    @model_validator(mode="after")
    def _has_patience(self) -> Self:
        if self.election_seconds <= self.heartbeat_seconds:
            raise ValueError("election_seconds must be larger than heartbeat_seconds, or nobody leads for long")
        return self


class Flight(NamedTuple):
    """Entries on their way to a follower, or a snapshot in place of them."""

    first: int
    last: int


@dataclass
class Progress:
    """What the leader knows of one follower."""

    next: int
    """The entry to be sent next."""
    heard_at: float
    """When it last answered in this term."""
    match: int = 0
    """Its log is known to equal the leader's up to here."""
    round: int = 0
    """The last round of heartbeats that it answered."""
    met: bool = False
    """Whether it is known where its log meets the leader's; until then one batch at a time is tried."""
    flights: deque[Flight] = field(default_factory=deque)
    sent_at: float = 0.0


@dataclass
class Candidacy:
    """The votes for this replica; with `pre`, promises to vote for it."""

    term: int
    pre: bool
    votes: set[str]


class Read(NamedTuple):
    """A read that is answered when the round `after` is confirmed and the entry `needs` is applied."""

    after: int
    needs: int
    request: Request


class Raft(Protocol):
    name = "raft"
    promises = (
        "linearizable under crashes, restarts, pauses, partitions and any delay or loss of messages; "
        "available while a majority is up and connected"
    )
    roles = ("leader", "candidate", "follower")
    chief = "leader"
    Options = RaftOptions
    background = frozenset({"heartbeat", "alive"})
    phrases = {
        "prevote": "prevote: could I win term {stands}? my log ends with entry {last_index} of term {last_term}",
        "prevoted": "prevoted for term {stands}: {granted:yes}",
        "vote": "vote for me in term {term}? my log ends with entry {last_index} of term {last_term}",
        "voted": "voted in term {term}: {granted:yes}",
        "append": "append: {entries:terms}, behind entry {prev} of term {prev_term}; committed up to {commit}, in term {term}",
        "appended": "appended: my log is yours up to entry {match}, in term {term}",
        "refused": "refused: no such entry {prev} here, in term {term}",
        "snapshot": "snapshot of all up to entry {index}, in term {term}",
        "entries": "from entry {first} on: {entries:terms}",
        "term": "is in term {term}, {voted:voted}",
    }

    options: RaftOptions

    def __init__(self, io: Io, machine: Machine, options: RaftOptions) -> None:
        super().__init__(io, machine, options)
        self.quorum = io.majority
        # Durable.
        self.term = 0
        self.voted: str | None = None
        """For whom this replica voted in its term."""
        self.log = Log()
        # What comes of the log: as much of it as is known to be committed is applied at once.
        self.applied = 0
        self.clients = ClientTable()
        """The last request of each client that was not a query: `[sequence, result]`."""
        self.snapshot_at = 0
        # In memory only.
        self.leader: str | None = None
        self.candidacy: Candidacy | None = None
        self.quiet_since = io.now()
        """Since when there was no reason to be content: no leader heard, no vote given, no election begun."""
        self.patience = self._draw_patience()
        self.heard_leader_at: float | None = None
        self.waiting = WaitingRoom(io, self.clients, lambda: self.leader)
        """By index."""
        # The leader's.
        self.progress: dict[str, Progress] = {}
        self.term_begins = 0
        """The index of this leader's no-op."""
        self.round = 0
        self.reads: deque[Read] = deque()
        # For a witness.
        self.claims = RaftClaims(self)
        self.carried_out = News()
        """What was carried out since a witness last asked."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            match record["type"]:
                case "snapshot":
                    self._restore(record)
                case "term":
                    self.term, self.voted = record["term"], record["voted"]
                case "entries":
                    self.log.write(record["first"], record["entries"])
        self.snapshot_at = self.applied
        self.quiet_since = self.io.now()
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.io.set_timer("election", self.patience)

    def on_timer(self, name: str) -> None:
        if name == "election":
            self._consider_standing()
            return
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        if self.leading:
            self._resign_if_alone()
        if self.leading:
            self._begin_round()
            self._retry()
        self.waiting.give_up(self.options.answer_seconds, "in the log, and not yet decided")

    @property
    def leading(self) -> bool:
        return self.leader == self.io.id

    @property
    def role(self) -> str:
        if self.leading:
            return "leader"
        return "candidate" if self.candidacy else "follower"

    def status(self) -> Status:
        return {
            "role": self.role,
            "leader": self.leader,
            "term": self.term,
            "log_index": self.log.last,
            "commit_index": self.applied,
            "digest": self.machine.digest(),
            "details": {
                "voted": self.voted,
                "last_term": self.log.last_term,
                "match": {peer: progress.match for peer, progress in self.progress.items()},
                "reads": len(self.reads),
                "waiting": len(self.waiting),
                "snapshot_index": self.snapshot_at,
                "clients": len(self.clients),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.claims.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        is_query = request.operation["f"] in self.machine.queries
        if not is_query and self.clients.answer(self.io, request):
            return
        if (request.client, request.sequence) in self.waiting:
            self.waiting.admit(request)
        elif not self.leading:
            self.io.reply(request, Outcome.fail(f"not the {self.chief}", leader=self.leader))
        elif max(self.log.last - self.applied, len(self.reads)) >= UNDECIDED_LIMIT:
            self.io.reply(request, Outcome.fail("too many requests are not decided yet"))
        elif is_query:
            self._read(request)
        else:
            self._put(request)

    def _put(self, request: Request) -> None:
        """Put a request into the log, and send it out."""
        index = self.log.last + 1
        self.waiting.admit(request)
        self.waiting.put(index, [(request.client, request.sequence)])
        self._write(index, [[self.term, [request.client, request.sequence, request.operation]]])
        self._replicate()

    # ---- reads

    def _read(self, request: Request) -> None:
        """Answer from the state here, once it is sure that this replica led after the request had come."""
        is_idle = self.round == self._confirmed_round()
        self.reads.append(Read(self.round + 1, self._read_index(), request))
        if is_idle:
            self._begin_round()
        self._answer_reads()

    def _read_index(self) -> int:
        """A state that holds this entry holds everything that was committed before now.

        Before a leader has committed anything in its own term, it doesn't know how much earlier leaders had.
        """
        return max(self.applied, self.term_begins)

    def _confirmed_round(self) -> int:
        """The last round in which a majority, this replica included, said that it leads."""
        rounds = sorted([self.round, *(progress.round for progress in self.progress.values())], reverse=True)
        return rounds[self.quorum - 1]

    def _begin_round(self) -> None:
        """Tell everybody who leads and how far they may apply; who answers confirms it."""
        self.round += 1
        for peer, progress in self.progress.items():
            # What doesn't match the leader's log must not be applied.
            commit = min(self.applied, progress.match)
            self._send(peer, {"type": "heartbeat", "commit": commit, "round": self.round})

    def _answer_reads(self) -> None:
        confirmed = self._confirmed_round()
        while self.reads and self.reads[0].after <= confirmed and self.reads[0].needs <= self.applied:
            request = self.reads.popleft().request
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        if self.reads and self.round == confirmed < self.reads[-1].after:
            self._begin_round()

    # ---- elections

    def _draw_patience(self) -> float:
        return self.io.random.uniform(1.0, 2.0) * self.options.election_seconds

    def _consider_standing(self) -> None:
        """The timer of elections: it isn't moved for every message, but looks again when it goes off too early."""
        remaining = self.quiet_since + self.patience - self.io.now()
        if self.leading:
            remaining = self.patience
        elif remaining <= 0:
            remaining = self.patience = self._draw_patience()
            self._ask_whether_to_stand()
        self.io.set_timer("election", remaining)

    def _ask_whether_to_stand(self) -> None:
        self.leader = None
        self.quiet_since = self.io.now()
        self.candidacy = Candidacy(self.term + 1, True, {self.io.id})
        for peer in self.io.peers:
            self._send(peer, {"type": "prevote", "stands": self.term + 1, **self._end_of_log()})
        self._count_votes()

    def _stand(self) -> None:
        self._enter(self.term + 1, self.io.id)
        self.io.log(f"stands in term {self.term}")
        self.candidacy = Candidacy(self.term, False, {self.io.id})
        for peer in self.io.peers:
            self._send(peer, {"type": "vote", **self._end_of_log()})
        self._count_votes()

    def _end_of_log(self) -> dict[str, int]:
        return {"last_index": self.log.last, "last_term": self.log.last_term}

    def _count_votes(self) -> None:
        if self.candidacy is None or len(self.candidacy.votes) < self.quorum:
            return
        if self.candidacy.pre:
            self._stand()
        else:
            self._lead()

    def _enter(self, term: int, voted: str | None) -> None:
        self.term, self.voted = term, voted
        self.io.append(self._term_record())

    def _term_record(self) -> Record:
        return {"type": "term", "term": self.term, "voted": self.voted}

    def _is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so holds everything that may be committed, as far as this replica can tell."""
        return (last_term, last_index) >= (self.log.last_term, self.log.last)

    def _on_prevote(self, sender: str, message: Message) -> None:
        is_content = self.leading or (
            self.heard_leader_at is not None and self.io.now() - self.heard_leader_at < self.options.election_seconds
        )
        fits = self._is_up_to_date(message["last_index"], message["last_term"])
        granted = message["stands"] > self.term and fits and not is_content
        self._send(sender, {"type": "prevoted", "stands": message["stands"], "granted": granted})

    def _on_vote(self, sender: str, message: Message) -> None:
        fits = self._is_up_to_date(message["last_index"], message["last_term"])
        granted = message["term"] == self.term and self.voted in (None, sender) and fits
        if granted:
            self.quiet_since = self.io.now()
            if self.voted is None:
                self._enter(self.term, sender)
        self._send(sender, {"type": "voted", "granted": granted})

    def _on_voted(self, sender: str, message: Message, pre: bool) -> None:
        candidacy = self.candidacy
        term = message["stands"] if pre else message["term"]
        if message["granted"] and candidacy and (candidacy.pre, candidacy.term) == (pre, term):
            candidacy.votes.add(sender)
            self._count_votes()

    def _lead(self) -> None:
        self.candidacy = None
        self.leader = self.io.id
        self.progress = {peer: Progress(self.log.last + 1, self.io.now()) for peer in self.io.peers}
        self.term_begins = self._begin_term()
        self.io.log(f"leads in term {self.term} from entry {self.term_begins} on")
        self._begin_round()
        self._replicate()

    def _begin_term(self) -> int:
        """Write the no-op with which a leader's own entries begin; returns its index."""
        index = self.log.last + 1
        self._write(index, [[self.term, None]])
        return index

    def _resign_if_alone(self) -> None:
        since = self.io.now() - self._loyalty_seconds()
        answering = sum(progress.heard_at >= since for progress in self.progress.values())
        if answering + 1 < self.quorum:
            self._step_down("no majority answers")

    def _loyalty_seconds(self) -> float:
        """How long a leader that no majority answers goes on."""
        return self.options.election_seconds

    def _step_down(self, reason: str) -> None:
        """Lead no more, and stand no more. What is in the log waits for its fate."""
        if self.leading:
            self.io.log(f"leads no more in term {self.term}: {reason}")
            self.leader = None
            self.quiet_since = self.io.now()
        self.candidacy = None
        self.progress.clear()
        for read in self.reads:
            self.io.reply(read.request, Outcome.fail(f"not the {self.chief} any more", leader=self.leader))
        self.reads.clear()

    # ---- the leader's side of the log

    def _write(self, first: int, entries: Sequence[Entry]) -> None:
        self.log.write(first, entries)
        self.io.append({"type": "entries", "first": first, "entries": entries})

    def _replicate(self) -> None:
        """Send everybody what they lack, and see what is decided without them."""
        for peer in self.progress:
            self._replicate_to(peer)
        self._commit()

    def _replicate_to(self, peer: str) -> None:
        """Send a follower the entries that it lacks, as far as its window allows."""
        progress = self.progress[peer]
        while progress.next <= self.log.last and len(progress.flights) < (self.options.window if progress.met else 1):
            first = progress.next
            if first <= self.log.base:
                last = self.applied
                self._send(peer, {**self._snapshot(), "round": self.round})
            else:
                last = min(self.log.last, first + self.options.batch - 1)
                self._send_entries(peer, first, last)
            progress.flights.append(Flight(first, last))
            progress.next = last + 1
            progress.sent_at = self.io.now()

    def _send_entries(self, peer: str, first: int, last: int) -> None:
        message = {
            "type": "append",
            "prev": first - 1,
            "prev_term": self.log.term(first - 1),
            "entries": self.log.part(first, last),
            "commit": self.applied,
            "round": self.round,
        }
        self._send(peer, message)

    def _retry(self) -> None:
        """Links lose messages: what is not answered is sent again."""
        long_ago = self.io.now() - self.options.retry_seconds
        for peer, progress in self.progress.items():
            if progress.flights and progress.sent_at <= long_ago:
                progress.next = max(progress.flights[0].first, progress.match + 1)
                progress.flights.clear()
                self._replicate_to(peer)

    def _on_answer(self, sender: str, message: Message) -> None:
        """A follower answers, and so confirms that this replica leads."""
        if not self.leading or message["term"] < self.term:
            return
        progress = self.progress[sender]
        progress.heard_at = self.io.now()
        progress.round = max(progress.round, message["round"])
        if message["type"] == "appended":
            self._on_appended(sender, progress, message["match"])
        elif message["type"] == "refused" and message["prev"] > progress.match:
            progress.met = False
            progress.flights.clear()
            progress.next = max(progress.match + 1, min(message["hint"], message["prev"]))
            self._replicate_to(sender)
        self._answer_reads()

    def _on_appended(self, sender: str, progress: Progress, match: int) -> None:
        progress.met = True
        progress.match = max(progress.match, match)
        progress.next = max(progress.next, progress.match + 1)
        while progress.flights and progress.flights[0].last <= progress.match:
            progress.flights.popleft()
        self._commit()
        self._replicate_to(sender)

    def _commit(self) -> None:
        """Carry out what is decided: what a majority has, up to an entry of this leader's own term."""
        matches = sorted([self.log.last, *(progress.match for progress in self.progress.values())], reverse=True)
        index = matches[self.quorum - 1]
        if index > self.applied and self._may_commit(index):
            self._apply_to(index)

    def _may_commit(self, index: int) -> bool:
        """Whether an entry that a majority has is decided."""
        return self.log.term(index) == self.term

    # ---- the follower's side of the log

    def _follow(self, leader: str) -> None:
        """There is a leader in this term."""
        if self.leader != leader:
            self.io.log(f"follows {leader} in term {self.term}")
        self.leader = leader
        self.candidacy = None
        self.quiet_since = self.heard_leader_at = self.io.now()

    def _on_append(self, sender: str, message: Message) -> None:
        prev, entries = message["prev"], message["entries"]
        if not self._matches(prev, message["prev_term"]):
            answer = {"type": "refused", "prev": prev, "hint": self._hint(prev), "round": message["round"]}
            self._send(sender, answer)
            return
        self._take_over(prev + 1, entries)
        match = prev + len(entries)
        self._send(sender, {"type": "appended", "match": match, "round": message["round"]})
        self._apply_to(min(message["commit"], match))

    def _matches(self, index: int, term: int) -> bool:
        """Whether the entry here is the leader's; then so are all before it. What is committed is the same everywhere."""
        return index <= self.applied or self.log.term(index) == term

    def _hint(self, prev: int) -> int:
        """Where the leader should try next: past the end of a short log, or before all entries of a wrong term."""
        if prev > self.log.last:
            return self.log.last + 1
        return max(self.applied + 1, self.log.first_of_its_term(prev))

    def _take_over(self, first: int, entries: Sequence[Entry]) -> None:
        """Write the leader's entries from the first that differs on; where none does, leave the log as it is."""
        for offset, (term, _) in enumerate(entries):
            index = first + offset
            if index > self.applied and self.log.term(index) != term:
                self._write(index, entries[offset:])
                return

    def _on_heartbeat(self, sender: str, message: Message) -> None:
        self._send(sender, {"type": "alive", "round": message["round"]})
        self._apply_to(min(message["commit"], self.log.last))  # less only after a disk was lost

    # ---- carrying out

    def _apply_to(self, index: int) -> None:
        """Carry out the log up to an index that is decided."""
        while self.applied < index:
            self.applied += 1
            command = self.log[self.applied][1]
            if command is not None:
                self._apply(*command)
            self.waiting.decided(self.applied, ANOTHER_ENTRY)
        if self.applied - self.snapshot_at >= self.options.snapshot_every:
            self._compact()

    def _apply(self, client: str, sequence: int, operation: Any) -> None:
        if not self._is_repeated(client, sequence):
            result = self.machine.apply(operation)
            self.clients.note(client, sequence, result)
            self.carried_out.append(CarriedOut(ONCE, f"entry {self.applied}", client, sequence, result))
        self.waiting.carried_out((client, sequence))

    def _is_repeated(self, client: str, sequence: int) -> bool:
        return self.clients.covers(client, sequence)

    # ---- snapshots

    def _snapshot(self) -> Message:
        return {
            "type": "snapshot",
            "index": self.applied,
            "index_term": self.log.term(self.applied),
            "machine": self.machine.snapshot(),
            "clients": dict(self.clients),
        }

    def _restore(self, snapshot: Message) -> None:
        """Be where the snapshot is. The log after it stays if the entry that it ends with is here."""
        index, term = snapshot["index"], snapshot["index_term"]
        self.applied = index
        self.machine.restore(snapshot["machine"])
        self.clients.restore(snapshot["clients"])
        if self.log.term(index) == term:
            self.log.cut(index)
        else:
            self.log.restart(index, term)

    def _compact(self) -> None:
        """Cut the journal to a snapshot, term and vote, and what is not applied; keep some log for those that lag."""
        records = [self._snapshot(), self._term_record()]
        rest = self.log.part(self.applied + 1, self.log.last)
        if rest:
            records.append({"type": "entries", "first": self.applied + 1, "entries": rest})
        self.io.compact(records)
        self.snapshot_at = self.applied
        self.log.cut(max(self.log.base, self.applied - self.options.snapshot_every))

    def _on_snapshot(self, sender: str, message: Message) -> None:
        index = message["index"]
        if index > self.applied:
            self.io.log(f"takes the snapshot of {sender} at entry {index}")
            self._restore(message)
            self._compact()
            self.waiting.decided_up_to(index, ANOTHER_ENTRY)
        # All that is applied here is committed, and so is in the leader's log.
        self._send(sender, {"type": "appended", "match": self.applied, "round": message["round"]})

    # ---- messages

    def _send(self, peer: str, message: Message) -> None:
        self.io.send(peer, {**message, "term": self.term})

    def on_message(self, sender: str, message: Message) -> None:
        kind, term = message["type"], message["term"]
        if term > self.term:
            self._step_down(f"{sender} is in term {term}")
            self.leader = None
            self._enter(term, None)
        if kind in ("append", "heartbeat", "snapshot"):
            if term < self.term:
                self._send(sender, {"type": "alive", "round": 0})  # lets the old leader know of this term
                return
            self._follow(sender)
        match kind:
            case "prevote":
                self._on_prevote(sender, message)
            case "prevoted":
                self._on_voted(sender, message, pre=True)
            case "vote":
                self._on_vote(sender, message)
            case "voted":
                self._on_voted(sender, message, pre=False)
            case "append":
                self._on_append(sender, message)
            case "heartbeat":
                self._on_heartbeat(sender, message)
            case "snapshot":
                self._on_snapshot(sender, message)
            case "appended" | "refused" | "alive":
                self._on_answer(sender, message)
