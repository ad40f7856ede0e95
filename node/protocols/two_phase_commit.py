"""Two-phase commit: an operation is carried out by all replicas or by none.

The idea
    One replica, the lowest-numbered, leads for ever. It puts the operations that clients want into one order and takes
    them one by one through two phases. First it sends the operation to everybody and asks whether they can carry it out;
    who says yes has it on disk, and from then on can no longer refuse it. Only if ALL say yes does the leader decide to
    commit; if one doesn't answer in time, it decides to abort. It writes the decision down and tells everybody. This is
    atomic multicast, all or nothing, and the first thing one would try to build a replicated state machine.

Transactions
    Each operation is a transaction with a number of its own, counted upwards and never used again. A replica that has
    said yes and doesn't know the decision is IN DOUBT. It may neither carry out the operation nor forget it: others may
    have committed it, and others may have aborted it. Only the leader knows, so it asks the leader, again and again.

    A replica takes part in one transaction at a time, and nothing can be committed without it. So it can never miss more
    than one decision, and needs no log to catch up: each prepare says which transaction was committed last, and that
    tells what became of the one it is in doubt about. A replica that is further behind has lost its disk, and is sent the
    whole state.

Messages
    prepare  number, after, request   can you carry this out as the next one after the transaction `after`?
    vote     number                   yes, whatever happens: it is on my disk
    decide   number, commit           so be it, or it never was
    ask      number                   what became of this one?
    behind   last                     I lack what comes after this one
    state    number, last, machine, clients   then take everything

    There is no vote that says no: a replica that can't say yes keeps silent, and the leader waits for `vote_seconds`
    only. Nor is a decision acknowledged: who missed it is in doubt, and asks. So an operation takes three messages for
    each of the other replicas.

Reads
    Every replica answers reads from its own state, but not while it is in doubt: the operation that it is in doubt about
    may have been acknowledged already. When it isn't, nothing that it lacks can have been. So local reads are
    linearizable; they are what one gets for writing to all.

Clients
    A replica that doesn't lead refuses a change for certain, and names the leader. An aborted operation is refused for
    certain too, and so it stays: the same request that comes again, late or repeated, is not tried again. Whoever waited
    in the leader's queue meanwhile is refused along with it, for it would fare no better. Each replica remembers the last
    request of each client and its result, which is part of the replicated state.

What it survives, and where it stops
    Whatever happens to processes and messages, nothing wrong is ever answered. But one replica that is dead, slow or
    unreachable is enough for every change to be aborted; and when the leader fails, all comes to a halt: nobody else may
    decide, and who is in doubt answers not even reads until the leader is back. That is blocking. It shows as an outage
    and not as a violation, and is why the lectures go on to consensus.

Sources: the lectures on state machine replication (the strawman "atomic multicast"); Gray, "Notes on data base operating
systems", 1978; Skeen, "Nonblocking commit protocols", 1981, for why no rule of two phases can do without blocking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from node.invariants import Agreed, Answers, CarriedOut, Claim, News, Relied, Stored, is_compared
from node.machine import Machine
from node.protocol import Io, Message, Outcome, ProtocolOptions, Record, Request, Status
from node.protocols.client_table import ClientTable
from node.protocols.counted import CountsRecords

ONE_OPERATION = "a transaction's number names one operation"
ONE_OUTCOME = "a transaction is committed by all or by none"
ALL_PREPARED = "what is committed is on the disk of every replica"
SAME_STATE = "replicas that have committed as much are equal"
ONCE = "a request is carried out once"
DONE = "what is acknowledged was carried out"

QUEUE_LIMIT = 1_000
"""A replica lets no more requests than these wait."""


class TwoPhaseCommitOptions(ProtocolOptions):
    retry_seconds: float = Field(default=0.15, gt=0, description="how often what is not answered is sent again")
    vote_seconds: float = Field(
        default=0.6, gt=0, description="the leader aborts what not all have agreed to after so long"
    )
    compact_every: int = Field(default=2_000, ge=1, description="records after which the journal becomes one snapshot")

    @model_validator(mode="after")
    def _asks_again(self) -> Self:
        if self.vote_seconds <= self.retry_seconds:
            raise ValueError("vote_seconds must be larger than retry_seconds, or one lost message aborts an operation")
        return self


class Prepared(NamedTuple):
    """A transaction that this replica has agreed to and whose outcome it doesn't know."""

    number: int
    request: list[Any]
    """Client, sequence number and operation."""


@dataclass
class Round:
    """The leader's present transaction."""

    began: float
    votes: set[str] = field(default_factory=set)


class Waiting(NamedTuple):
    """A read that waits until this replica is no longer in doubt."""

    since: float
    request: Request


class TwoPhaseCommit(CountsRecords):
    name = "two-phase-commit"
    promises = (
        "linearizable, all replicas or none, under crashes, restarts, pauses, partitions and any delay or loss of "
        "messages; changes only while every replica is up and connected, and nothing but some reads without its leader"
    )
    tolerates = "none: it waits for every replica"
    roles = ("leader", "replica")
    chief = "leader"
    progresses_with = "all"
    Options = TwoPhaseCommitOptions
    phrases = {
        "prepare": "prepare transaction {number}: {request:request}",
        "vote": "vote: transaction {number} may commit",
        "ask": "ask: what became of transaction {number}?",
        "decide": "decide: transaction {number} shall {commit:commits}",
        "decision": "decision: transaction {number} shall {commit:commits}",
        "prepared": "prepared: transaction {number}, {request:request}",
    }

    options: TwoPhaseCommitOptions

    def __init__(self, io: Io, machine: Machine, options: TwoPhaseCommitOptions) -> None:
        super().__init__(io, machine, options)
        self.leader = io.replicas[0]
        # Durable.
        self.number = 0
        """The highest transaction that this replica has prepared."""
        self.last = 0
        """The last one that it has committed."""
        self.prepared: Prepared | None = None
        self.clients = ClientTable()
        """The last request of each client that was committed: `[sequence, result]`."""
        self.aborted: dict[str, int] = {}
        """The leader's: the last request of each client that was aborted."""
        # In memory only.
        self.round: Round | None = None
        self.queue: deque[Request] = deque()
        self.waiting: dict[tuple[str, int], list[Request]] = {}
        """Deliveries of the requests in the queue and of the one that is under way."""
        self.reads: deque[Waiting] = deque()
        self.news = News([Answers(DONE)])

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            match record["type"]:
                case "state":
                    self._restore(record)
                case "prepared":
                    self.number = record["number"]
                    self.prepared = Prepared(record["number"], record["request"])
                case "decision":
                    self._conclude(record["number"], record["commit"])
                    self._note_aborted(record["refused"].items())
        self.records = len(records)
        self.news.append(Stored(ALL_PREPARED, "the order of transactions", self.number))
        if self.leads and self.prepared is not None:
            # What the leader had not decided when it died nobody can have carried out.
            self._decide(False)
        self.io.set_timer("tick", self.options.retry_seconds)

    def on_timer(self, name: str) -> None:
        self.io.set_timer("tick", self.options.retry_seconds)
        now = self.io.now()
        if self.leads and self.round is not None:
            if now - self.round.began > self.options.vote_seconds:
                self._give_up()
            else:
                self._send_prepare(self.round)
        elif not self.leads and self.prepared is not None:
            self._wait_for_decision(self.prepared)
        while self.reads and now - self.reads[0].since > self.options.vote_seconds:
            read = self.reads.popleft().request
            self.io.reply(read, Outcome.fail("in doubt about an operation, and the leader is silent", self.leader))
        if self.records > self.options.compact_every:
            self._compact()

    @property
    def leads(self) -> bool:
        return self.io.id == self.leader

    def status(self) -> Status:
        return {
            "role": "leader" if self.leads else "replica",
            "leader": self.leader,
            "term": None,
            "log_index": self.number,
            "commit_index": self.last,
            "digest": self.machine.digest(),
            "details": {
                "in_doubt": None if self.leads or self.prepared is None else self.prepared.number,
                "votes": sorted(self.round.votes) if self.round else [],
                "waiting": len(self.waiting) + len(self.reads),
                "clients": len(self.clients),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.news.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        if request.operation["f"] in self.machine.queries:
            self._read(request)
        elif not self.leads:
            self.io.reply(request, Outcome.fail("not the leader", leader=self.leader))
        elif (known := self._remembered(request)) is not None:
            self.io.reply(request, known)
        else:
            self._enqueue(request)

    def _read(self, request: Request) -> None:
        """The leader is never in doubt: what it has not decided nobody has carried out."""
        if self.leads or self.prepared is None:
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        elif len(self.reads) < QUEUE_LIMIT:
            self.reads.append(Waiting(self.io.now(), request))
        else:
            self.io.reply(request, Outcome.fail("too many reads wait here", leader=self.leader))

    def _remembered(self, request: Request) -> Outcome | None:
        """What to say to a request whose fate is known; None if it is new."""
        last = self.clients.get(request.client)
        if last is not None and request.sequence == last[0]:
            return Outcome.ok(last[1])
        aborted = self.aborted.get(request.client, -1)
        if request.sequence == aborted:
            return Outcome.fail("it was aborted")
        if request.sequence < max(aborted, -1 if last is None else last[0]):
            return Outcome.info("an earlier request than the last one of this client: its result is forgotten")
        return None

    def _enqueue(self, request: Request) -> None:
        key = (request.client, request.sequence)
        if key in self.waiting:
            self.waiting[key].append(request)
        elif len(self.queue) >= QUEUE_LIMIT:
            self.io.reply(request, Outcome.info("too many requests wait"))
        else:
            self.waiting[key] = [request]
            self.queue.append(request)
            self._begin_next()

    def _answer(self, client: str, sequence: int, outcome: Outcome) -> None:
        for request in self.waiting.pop((client, sequence), ()):
            self.io.reply(request, outcome)

    # ---- the leader

    def _begin_next(self) -> None:
        """Begin with the request that has waited longest, unless one is under way."""
        request = self._next_new() if self.round is None else None
        if request is None:
            return
        self._prepare(self.number + 1, [request.client, request.sequence, request.operation])
        self.round = Round(self.io.now())
        self._send_prepare(self.round)
        self._decide_if_all_agree()

    def _next_new(self) -> Request | None:
        """The request that has waited longest, unless its fate is known by now: then whoever waits for it is told."""
        while self.queue:
            request = self.queue.popleft()
            known = self._remembered(request)
            if known is None:
                return request
            self._answer(request.client, request.sequence, known)
        return None

    def _send_prepare(self, present: Round) -> None:
        """To all whose vote is missing."""
        assert self.prepared is not None
        number, request = self.prepared
        message = {"type": "prepare", "number": number, "after": self.last, "request": request}
        for peer in self.io.peers:
            if peer not in present.votes:
                self.io.send(peer, message)

    def _on_vote(self, sender: str, message: Message) -> None:
        if self.round is None or self.prepared is None or message["number"] != self.prepared.number:
            self._tell(sender, message["number"])
            return
        self.round.votes.add(sender)
        self._decide_if_all_agree()

    def _decide_if_all_agree(self) -> None:
        if self.round is not None and self._suffice(self.round.votes):
            self._decide(True)

    def _suffice(self, votes: Collection[str]) -> bool:
        """Whether these, beside the leader itself, are enough to commit."""
        return len(votes) == len(self.io.peers)

    def _decide(self, commit: bool, refused: Iterable[Request] = ()) -> None:
        """Write the outcome of the present transaction down, tell everybody, and go on; also after a restart."""
        assert self.prepared is not None
        number, (client, sequence, _) = self.prepared
        turned_away = [] if commit else [(client, sequence)]
        turned_away += sorted((request.client, request.sequence) for request in refused)
        self._note_aborted(turned_away)
        refusals = {client: self.aborted[client] for client, _ in turned_away}
        self._append({"type": "decision", "number": number, "commit": commit, "refused": refusals})
        if commit:
            self.news.append(Relied(ALL_PREPARED, "the order of transactions", number, self.io.peers))
        self._conclude(number, commit)
        self.round = None
        for peer in self.io.peers:
            self.io.send(peer, {"type": "decide", "number": number, "commit": commit})
        if commit:
            self._answer(client, sequence, Outcome.ok(self.clients[client][1]))
        self._begin_next()

    def _note_aborted(self, requests: Iterable[tuple[str, int]]) -> None:
        for client, sequence in requests:
            self.aborted[client] = max(sequence, self.aborted.get(client, sequence))

    def _give_up(self) -> None:
        """Not all have agreed. Who waits behind would wait for the same."""
        assert self.round is not None and self.prepared is not None
        silent = ", ".join(peer for peer in self.io.peers if peer not in self.round.votes)
        self.io.log(f"aborts transaction {self.prepared.number}: no vote of {silent}")
        refused, (client, sequence, _) = list(self.queue), self.prepared.request
        self.queue.clear()
        self._decide(False, refused)
        outcome = Outcome.fail(f"aborted: no vote of {silent}")
        self._answer(client, sequence, outcome)
        for request in refused:
            self._answer(request.client, request.sequence, outcome)

    def _tell(self, sender: str, number: int) -> None:
        """What became of a transaction: commit or abort, unless it is still open."""
        if self.prepared is None or number < self.prepared.number:
            self.io.send(sender, {"type": "decide", "number": number, "commit": number == self.last})

    # ---- every replica

    def _prepare(self, number: int, request: list[Any]) -> None:
        """From here on it can't be refused any more."""
        self.number = number
        self.prepared = Prepared(number, request)
        self._append({"type": "prepared", "number": number, "request": request})
        self.news.append(Agreed(ONE_OPERATION, f"transaction {number}", request))
        self.news.append(Stored(ALL_PREPARED, "the order of transactions", number))

    def _on_prepare(self, sender: str, message: Message) -> None:
        number, after = message["number"], message["after"]
        if number > self.number:
            if self.prepared is not None:
                # The leader has gone on, so this one is decided; and it committed nothing after it without this replica.
                self._settle(self.prepared.number, self.prepared.number == after)
            if self.last != after:
                self.io.send(sender, {"type": "behind", "last": self.last})
                return
            self._prepare(number, message["request"])
        if self.prepared is not None and self.prepared.number == number:
            self.io.send(sender, {"type": "vote", "number": number})

    def _settle(self, number: int, commit: bool) -> None:
        """The leader's decision has become known here."""
        if self.prepared is None or self.prepared.number != number:
            return
        self._append({"type": "decision", "number": number, "commit": commit, "refused": {}})
        self._conclude(number, commit)
        self._answer_reads()

    def _wait_for_decision(self, prepared: Prepared) -> None:
        """Nobody but the leader knows what became of it."""
        self.io.send(self.leader, {"type": "ask", "number": prepared.number})

    def _answer_reads(self) -> None:
        while self.reads:
            self._read(self.reads.popleft().request)

    def _conclude(self, number: int, commit: bool) -> None:
        """Carry the prepared operation out, or forget it."""
        prepared, self.prepared = self.prepared, None
        self.news.append(Agreed(ONE_OUTCOME, f"transaction {number}", "commit" if commit else "abort"))
        if prepared is None or not commit:
            return
        client, sequence, operation = prepared.request
        result = self.machine.apply(operation)
        self.clients.note(client, sequence, result)
        self.last = number
        self.news.append(CarriedOut(ONCE, f"transaction {number}", client, sequence, result))
        if is_compared(number):
            self.news.append(Agreed(SAME_STATE, f"after transaction {number}", self.machine.digest(), "state"))

    # ---- the state as a whole

    def _state(self) -> dict[str, Any]:
        return {
            "type": "state",
            "number": self.number,
            "last": self.last,
            "machine": self.machine.snapshot(),
            "clients": dict(self.clients),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.number, self.last = state["number"], state["last"]
        self.machine.restore(state["machine"])
        self.clients = ClientTable(state["clients"])
        self.aborted = dict(state.get("aborted", {}))

    def _compact(self) -> None:
        records: list[Record] = [{**self._state(), "aborted": dict(self.aborted)}]
        if self.prepared is not None:
            records.append({"type": "prepared", "number": self.prepared.number, "request": self.prepared.request})
        self.io.compact(records)
        self.records = len(records)

    def _on_behind(self, sender: str, message: Message) -> None:
        """Only a replica that has lost its disk lacks more than one decision."""
        if message["last"] < self.last:
            # The present transaction is not part of it: that one is prepared as usual.
            self.io.send(sender, {**self._state(), "number": self.number - (self.prepared is not None)})

    def _on_state(self, message: Message) -> None:
        if message["last"] > self.last and self.prepared is None:
            self.io.log(f"takes over the leader's state after transaction {message['last']}")
            self._restore(message)
            self._compact()
            self.news.append(Stored(ALL_PREPARED, "the order of transactions", self.number))

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        match message["type"]:
            case "prepare":
                self._on_prepare(sender, message)
            case "vote":
                self._on_vote(sender, message)
            case "decide":
                self._settle(message["number"], message["commit"])
            case "ask":
                self._tell(sender, message["number"])
            case "behind":
                self._on_behind(sender, message)
            case "state":
                self._on_state(message)
