"""Paxos, the single decree: the replicas agree on one value for each key, once and for ever.

The idea
    Many may propose, some may die, and still no two replicas ever believe that different values were chosen. A value is
    chosen once a majority of replicas has accepted it under one proposal number. Any two majorities share a replica; so
    whoever proposes later, and asks a majority first, meets one that accepted it, and proposes the same value again.
    Every replica is proposer, acceptor and learner in one. Nobody leads: any replica serves any client.

    Each key is an agreement of its own. It is made for the machine `register`, which takes one value for each key: the
    decree is the first request that changes it. What comes later finds the key decided and is answered from there; a
    request that would change it once more (there are some in other machines) is refused for certain.

What a replica knows of each key, as in the lectures
    n_a, v_a    the highest proposal that it accepted, and its value
    n_h         the highest proposal number that it has seen
    my_n        the number of its own proposal
    A number is (count, number of the replica): totally ordered, and never used by two. n_h, n_a and v_a are on disk
    before the answer that tells of them. A proposer counts its own number as seen, and so uses none again after a
    restart.

Messages (each names the `key`)
    prepare          n             a proposer picks my_n > n_h: will you listen to this number and to no lower one?
    prepare-ok       n, n_a, v_a   n >= n_h: n_h = n; and this is what I have accepted
    prepare-reject   n, n_h        n < n_h: I listen to somebody else
    accept           n, v          a majority said ok: v is the value of the highest n_a among them, or, if there is
                                   none, the proposer's own
    accept-ok        n             n >= n_h: n_h = n_a = n, v_a = v
    accept-reject    n, n_h        n < n_h: somebody was faster. It has to be checked here, too, not only at prepare
    decide           v             a majority accepted it: v is chosen. Whoever knows so says so to all later proposers

    A proposer that is rejected, or isn't answered by a majority within `retry_seconds`, begins again with a higher
    number, and with more patience. A replica that accepted a value and hears no more of it proposes on its own: its
    proposer may be dead.

Reads
    A replica that knows the decision answers by it; it will never change. Otherwise it proposes, without a value of its
    own: if nobody of a majority has accepted anything, then nothing had been chosen when it began to ask, and that is
    the answer. If somebody has, the read finishes the agreement on that value.

Two proposers
    Each prepare of one makes the other's accept fail. Two that begin again at once can go on like that for ever: no
    algorithm can be sure to end in a network without bounds on delay (Fischer, Lynch and Paterson). So who is rejected
    waits for a random time, longer after each rejection, and then it ends soon in practice. With `back_off: false` the
    duel can be watched.

What it survives, and where it stops
    Any crashes, restarts, pauses, partitions, lost, repeated and late messages, and wrong clocks: with 2f + 1 replicas
    it decides while f of them are away, and never decides twice. It does not survive a replica that loses its disk.

Sources: Lamport, "The Part-Time Parliament", 1998, and "Paxos Made Simple", 2001; the lectures' Paxos, whose scenarios
(proposer dies after prepare, after accept; acceptor dies after accept; two proposers; a value accepted by one only;
master and that one die together) tests/test_paxos.py plays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from node.invariants import Accepted, CarriedOut, Claim, Decided, Exclusive, Grows, News
from node.machine import Machine
from node.protocol import Io, Message, Outcome, ProtocolOptions, Record, Request, Status, replica_number
from node.protocols.counted import CountsRecords

Number = tuple[int, int]
"""A count, then the number of the replica that proposes."""
Command = list[Any]
"""The request that is the value: `[client, sequence, operation]`."""

NO_NUMBER: Number = (0, 0)
WAITING_PER_KEY = 1_000
MOST_DOUBLINGS = 3
"""Of the time that a proposal is given: where messages take longer than `retry_seconds` nobody would ever end otherwise."""

NEVER_BACK = "the number promised for a key never goes back"
ONE_VALUE = "a key has one value, which a majority has accepted under one number"
OWN_NUMBER = "a proposal number belongs to one replica, in one life of it"
ONCE = "for each key one request is carried out"


class PaxosOptions(ProtocolOptions):
    retry_seconds: float = Field(
        default=0.25, gt=0, description="a proposal that a majority doesn't answer for so long begins again"
    )
    back_off: bool = Field(
        default=True, description="whether a proposer that was rejected waits a random while before it begins again"
    )
    answer_seconds: float = Field(
        default=10.0, gt=0, description="a client that waits for a decision for so long is told that it isn't known"
    )
    snapshot_every: int = Field(default=5_000, ge=1, description="records after which the journal becomes a snapshot")


@dataclass
class Proposal:
    """A proposal of this replica under way."""

    my_n: Number
    readers: set[int]
    """The deliveries of reads that waited when it began: they may be told that nothing is chosen."""
    promises: dict[str, tuple[Number, Command | None]] = field(default_factory=dict)
    value: Command | None = None
    """None until a majority said ok to the prepare."""
    accepted_by: set[str] = field(default_factory=set)


@dataclass
class Waiting:
    since: float
    request: Request


@dataclass
class Agreement:
    """What this replica knows of one key that isn't decided."""

    n_h: Number = NO_NUMBER
    n_a: Number = NO_NUMBER
    v_a: Command | None = None
    # In memory only.
    proposal: Proposal | None = None
    waiting: list[Waiting] = field(default_factory=list)
    seen: Number = NO_NUMBER
    """The highest number that a rejection named."""
    rejections: int = 0
    timeouts: int = 0
    """How many proposals in a row a majority didn't answer in time: the next ones are given more of it."""
    is_due: bool = False
    """Whether a timer is set to begin, or begin again."""


class Paxos(CountsRecords):
    name = "paxos"
    promises = (
        "linearizable, one decision for each key, under crashes, restarts, pauses, partitions and any delay or loss of "
        "messages; available while a majority is up and connected"
    )
    Options = PaxosOptions
    machines = {"register": frozenset({"read", "write"})}
    machines_why = "each key is one decision, once and for ever"
    phrases = {
        "prepare": "prepare {n:pair} for {key}",
        "prepare-ok": "prepare-ok {n:pair} for {key}; accepted so far: {v_a:request}, under {n_a:pair}",
        "prepare-reject": "prepare-reject {n:pair} for {key}: {n_h:pair} is promised",
        "accept": "accept {n:pair} for {key}: {v:request}",
        "accept-ok": "accept-ok {n:pair} for {key}",
        "accept-reject": "accept-reject {n:pair} for {key}: {n_h:pair} is promised",
        "decide": "decide for {key}: {v:request}",
        "promise": "promise {n:pair} for {key}",
        "accepted": "accepted {n:pair} for {key}: {v:request}",
        "decided": "decided for {key}: {v:request}",
    }

    options: PaxosOptions

    def __init__(self, io: Io, machine: Machine, options: PaxosOptions) -> None:
        super().__init__(io, machine, options)
        self.quorum = io.majority
        self.number = replica_number(io.id)
        # Durable.
        self.agreements: dict[str, Agreement] = {}
        """By key, as long as it isn't decided here."""
        self.decided: dict[str, list[Any]] = {}
        """By key: the value that was chosen, and what came of it."""
        # In memory only.
        self.rejections = 0
        self.news = News()
        """What became true since a witness last asked, as far as it is kept."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            match record["type"]:
                case "snapshot":
                    self.machine.restore(record["machine"])
                    self.decided = dict(record["decided"])
                case "promise":
                    self._agreement(record["key"]).n_h = _number(record["n"])
                case "accepted":
                    agreement = self._agreement(record["key"])
                    agreement.n_h = agreement.n_a = _number(record["n"])
                    agreement.v_a = record["v"]
                case "decided":
                    self._carry_out(record["key"], record["v"])
        self.records = len(records)
        for key in self.agreements:
            self._finish_later(key)

    def status(self) -> Status:
        return {
            "role": "replica",
            "leader": None,
            "term": None,
            "log_index": len(self.decided) + len(self.agreements),
            "commit_index": len(self.decided),
            "digest": self.machine.digest(),
            "details": {
                "undecided": len(self.agreements),
                "proposals": sum(agreement.proposal is not None for agreement in self.agreements.values()),
                "waiting": sum(len(agreement.waiting) for agreement in self.agreements.values()),
                "rejections": self.rejections,
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.news.new()

    def on_timer(self, name: str) -> None:
        """Begin, or begin again, with the key that the timer is named after; unless there is no reason left."""
        agreement = self.agreements.get(name)
        if agreement is None:
            return
        agreement.is_due = False
        if agreement.proposal is not None and self.options.back_off:
            agreement.timeouts = min(agreement.timeouts + 1, MOST_DOUBLINGS)
        agreement.proposal = None
        self._answer_overdue(agreement)
        if agreement.waiting or agreement.v_a is not None:
            self._prepare(name)
        self._compact_if_due()

    def _agreement(self, key: str) -> Agreement:
        return self.agreements.setdefault(key, Agreement())

    # ---- clients

    def on_request(self, request: Request) -> None:
        key = request.operation["key"]
        if key in self.decided:
            self._answer(request)
            return
        agreement = self._agreement(key)
        if len(agreement.waiting) >= WAITING_PER_KEY:
            self.io.reply(request, Outcome.fail("too many requests wait for this key"))
            return
        agreement.waiting.append(Waiting(self.io.now(), request))
        if agreement.proposal is None and not agreement.is_due:
            self._prepare(key)
            self._compact_if_due()

    def _is_query(self, request: Request) -> bool:
        return request.operation["f"] in self.machine.queries

    def _answer(self, request: Request) -> None:
        """The key is decided: by this request, or so that it comes too late."""
        (client, sequence, _), result = self.decided[request.operation["key"]]
        if (client, sequence) == (request.client, request.sequence):
            self.io.reply(request, Outcome.ok(result))
            return
        executed = self.machine.execute(request.operation)
        if executed.effect is None:
            self.io.reply(request, Outcome.ok(executed.result))
        else:
            self.io.reply(request, Outcome.fail("the one decision for this key was another"))

    def _answer_overdue(self, agreement: Agreement) -> None:
        limit = self.io.now() - self.options.answer_seconds
        overdue = [waiting for waiting in agreement.waiting if waiting.since < limit]
        agreement.waiting = [waiting for waiting in agreement.waiting if waiting.since >= limit]
        for waiting in overdue:
            self.io.reply(waiting.request, Outcome.info("proposed, and not yet decided"))

    # ---- proposer

    def _new_number(self, agreement: Agreement) -> Number:
        return max(agreement.n_h, agreement.seen)[0] + 1, self.number

    def _prepare(self, key: str) -> None:
        """Phase 1: ask all replicas to listen."""
        agreement = self.agreements[key]
        readers = {waiting.request.token for waiting in agreement.waiting if self._is_query(waiting.request)}
        my_n = self._new_number(agreement)
        proposal = agreement.proposal = Proposal(my_n, readers)
        self.news.append(Exclusive(OWN_NUMBER, f"{_words(my_n)} for {key}"))
        self._begin_later(key, self.options.retry_seconds * 2**agreement.timeouts)
        self._promise(key, agreement, my_n)
        proposal.promises[self.io.id] = (agreement.n_a, agreement.v_a)
        self._send_all({"type": "prepare", "key": key, "n": my_n})
        self._accept_if_promised(key, agreement, proposal)

    def _on_prepare_ok(self, sender: str, message: Message) -> None:
        agreement, proposal = self._proposal(message)
        if agreement is None or proposal is None or proposal.value is not None:
            return
        proposal.promises[sender] = (_number(message["n_a"]), message["v_a"])
        self._accept_if_promised(message["key"], agreement, proposal)

    def _accept_if_promised(self, key: str, agreement: Agreement, proposal: Proposal) -> None:
        """Phase 2: a majority listens."""
        if len(proposal.promises) < self.quorum:
            return
        value = self._accepted_value(proposal)
        if value is None:
            value = self._own_value(agreement)
        if value is None:
            self._nothing_chosen(key, agreement, proposal)
        elif proposal.my_n < agreement.n_h:
            self._begin_again(key, agreement, agreement.n_h)
        else:
            proposal.value = value
            self._accept(key, agreement, proposal.my_n, value)
            proposal.accepted_by.add(self.io.id)
            self._send_all({"type": "accept", "key": key, "n": proposal.my_n, "v": value})
            self._decide_if_accepted(key, proposal)

    def _accepted_value(self, proposal: Proposal) -> Command | None:
        """The value that may be chosen already: the one accepted under the highest number."""
        return max(proposal.promises.values(), key=lambda promise: promise[0])[1]

    def _own_value(self, agreement: Agreement) -> Command | None:
        for waiting in agreement.waiting:
            if not self._is_query(waiting.request):
                return [waiting.request.client, waiting.request.sequence, waiting.request.operation]
        return None

    def _nothing_chosen(self, key: str, agreement: Agreement, proposal: Proposal) -> None:
        """Nothing was chosen when the proposal began: that is the answer for the reads that waited then."""
        answered = [waiting.request for waiting in agreement.waiting if waiting.request.token in proposal.readers]
        agreement.waiting = [waiting for waiting in agreement.waiting if waiting.request.token not in proposal.readers]
        agreement.proposal = None
        agreement.timeouts = 0
        agreement.is_due = False
        self.io.cancel_timer(key)
        for request in answered:
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        if agreement.waiting:
            self._prepare(key)

    def _on_accept_ok(self, sender: str, message: Message) -> None:
        _, proposal = self._proposal(message)
        if proposal is not None and proposal.value is not None:
            proposal.accepted_by.add(sender)
            self._decide_if_accepted(message["key"], proposal)

    def _decide_if_accepted(self, key: str, proposal: Proposal) -> None:
        """Phase 3: a majority accepted."""
        if len(proposal.accepted_by) >= self.quorum:
            self._send_all({"type": "decide", "key": key, "v": proposal.value})
            self._learn(key, proposal.value)

    def _on_reject(self, message: Message) -> None:
        agreement, proposal = self._proposal(message)
        if agreement is not None and proposal is not None:
            self._begin_again(message["key"], agreement, _number(message["n_h"]))

    def _proposal(self, message: Message) -> tuple[Agreement | None, Proposal | None]:
        """The proposal that a message answers, if it is still under way."""
        agreement = self.agreements.get(message["key"])
        proposal = agreement.proposal if agreement else None
        return agreement, proposal if proposal and proposal.my_n == _number(message["n"]) else None

    def _begin_again(self, key: str, agreement: Agreement, seen: Number) -> None:
        """Somebody else is trying: give way for a while, longer each time."""
        agreement.proposal = None
        agreement.seen = max(agreement.seen, seen)
        self.rejections += 1
        if not self.options.back_off:
            self._prepare(key)
            return
        delay = self.io.random.uniform(0.0, 0.2) * self.options.retry_seconds * 2**agreement.rejections
        agreement.rejections = min(agreement.rejections + 1, 5)
        self._begin_later(key, delay)

    def _begin_later(self, key: str, seconds: float) -> None:
        self.agreements[key].is_due = True
        self.io.set_timer(key, seconds)

    def _finish_later(self, key: str) -> None:
        """Whoever proposed what was accepted here may be dead: look again, not all at the same time."""
        agreement = self.agreements[key]
        if agreement.v_a is not None and agreement.proposal is None:
            self._begin_later(key, self.io.random.uniform(1.0, 3.0) * self.options.retry_seconds)

    # ---- acceptor

    def _promise(self, key: str, agreement: Agreement, n: Number) -> None:
        """Listen to no lower number, not even after a restart."""
        agreement.n_h = n
        self._append({"type": "promise", "key": key, "n": n})
        self.news.append(Grows(NEVER_BACK, n, "number", key))

    def _accept(self, key: str, agreement: Agreement, n: Number, value: Command) -> None:
        agreement.n_h = agreement.n_a = n
        agreement.v_a = value
        self._append({"type": "accepted", "key": key, "n": n, "v": value})
        self.news.append(Accepted(ONE_VALUE, key, _words(n), value))

    def _on_prepare(self, sender: str, message: Message) -> None:
        key, n = message["key"], _number(message["n"])
        agreement = self._agreement(key)
        if n < agreement.n_h:
            self.io.send(sender, {"type": "prepare-reject", "key": key, "n": n, "n_h": agreement.n_h})
            return
        if n > agreement.n_h:
            self._promise(key, agreement, n)
        answer = {"type": "prepare-ok", "key": key, "n": n, "n_a": agreement.n_a, "v_a": agreement.v_a}
        self.io.send(sender, answer)

    def _on_accept(self, sender: str, message: Message) -> None:
        key, n = message["key"], _number(message["n"])
        agreement = self._agreement(key)
        if not self._may_accept(agreement, n):
            self.io.send(sender, {"type": "accept-reject", "key": key, "n": n, "n_h": agreement.n_h})
            return
        if n != agreement.n_a:
            self._accept(key, agreement, n, message["v"])
        self.io.send(sender, {"type": "accept-ok", "key": key, "n": n})
        self._finish_later(key)

    def _may_accept(self, agreement: Agreement, n: Number) -> bool:
        return n >= agreement.n_h

    # ---- learner

    def _learn(self, key: str, value: Command | None) -> None:
        """The value is chosen. Carry it out, and answer whoever waits for this key."""
        if key in self.decided or value is None:
            return
        agreement = self.agreements.get(key)
        self._append({"type": "decided", "key": key, "v": value})
        self._carry_out(key, value)
        self.io.cancel_timer(key)
        for waiting in agreement.waiting if agreement else []:
            self._answer(waiting.request)

    def _carry_out(self, key: str, value: Command) -> None:
        client, sequence, operation = value
        result = self.machine.apply(operation)
        self.decided[key] = [value, result]
        self.agreements.pop(key, None)
        self.news.append(Decided(ONE_VALUE, key, value, self.io.majority))
        self.news.append(CarriedOut(ONCE, key, client, sequence, result))

    def _compact_if_due(self) -> None:
        """At the end of what a request, a message or a timer did: the journal grows by promises too, not only by decisions."""
        if self.records > self.options.snapshot_every:
            self._compact()

    def _compact(self) -> None:
        """Cut the journal to what is decided, and to what is promised and accepted for the other keys."""
        machine, decided = self.machine.snapshot(), dict(self.decided)
        records: list[Record] = [{"type": "snapshot", "machine": machine, "decided": decided}]
        for key, agreement in self.agreements.items():
            if agreement.v_a is not None:
                records.append({"type": "accepted", "key": key, "n": agreement.n_a, "v": agreement.v_a})
            records.append({"type": "promise", "key": key, "n": agreement.n_h})
        self.io.compact(records)
        self.records = 0

    # ---- messages

    def _send_all(self, message: Message) -> None:
        for peer in self.io.peers:
            self.io.send(peer, message)

    def on_message(self, sender: str, message: Message) -> None:
        kind, key = message["type"], message["key"]
        if kind in ("prepare", "accept") and key in self.decided:
            self.io.send(sender, {"type": "decide", "key": key, "v": self.decided[key][0]})
            return
        match kind:
            case "prepare":
                self._on_prepare(sender, message)
            case "prepare-ok":
                self._on_prepare_ok(sender, message)
            case "accept":
                self._on_accept(sender, message)
            case "accept-ok":
                self._on_accept_ok(sender, message)
            case "prepare-reject" | "accept-reject":
                self._on_reject(message)
            case "decide":
                self._learn(key, message["v"])
        self._compact_if_due()


def _number(value: Any) -> Number:
    count, owner = value
    return count, owner


def _words(number: Number) -> str:
    return f"number {number[0]}.{number[1]}"
