"""Read-only replicas: one origin that is written to, many copies that are read, and a load balancer in front of them.

The idea
    Content that is only read is easy to replicate: make copies. They share the load, one of them is near, and when one
    dies there are others. Whoever changes the content does so at one place, the origin; only there are operations put
    into an order, and only its disk counts. What the copies show is what the origin held some time ago.

How the copies learn of changes
    `spread: push`. Every `push_seconds` the origin sends each copy what is new, in order; a copy that missed something
    is sent it again, or the whole state if it missed a lot. Copies keep it on disk, and can be read while the origin is
    away. How old an answer is depends on the link: a copy that is cut off doesn't know that it is.

    `spread: pull`. A copy knows nothing of its own. What it is asked for it fetches from the origin, and keeps the answer
    for `ttl_seconds` (its time to live, counted from when it asked). So nothing that is read had been overwritten for longer
    than that, whatever happens to links and replicas; but while the origin is away there are no new answers. With
    `serve_stale: true` a copy that can't reach the origin goes on with what it has, however old.

The load balancer
    Here every replica has one, for those clients that come to it. It sends changes to the origin and each read to a
    copy, and goes by a failure detector (heartbeats) for which of them are alive.

    `balancer: hardware` sends each read to the next copy in turn; if that doesn't answer within `retry_seconds`, to
    another. A dead copy costs its clients one delay. But two reads of one client meet two copies, of which the second
    may be further behind: the client sees time go back.

    `balancer: dns` tells a client the address of one copy, for `dns_seconds`. Until that runs out the client stays
    there, also when the copy is dead: names fail over slowly, because answers are cached. Reads of a client go back in
    time only when it moves.

    `balancer: none`: whoever is asked answers from its own copy.

Messages
    heartbeat  number                           I am alive, and have so many updates
    effects    first, effects                   the origin's updates, the first of which has this number
    state      number, machine                  all of them
    change     id, client, sequence, operation  a client of mine wants this; to the origin
    read       id, operation                    a client of mine asks this; to a copy
    fetch      id, operation                    my copy of this is too old; to the origin
    answer     id, outcome

What it promises, and where it fails
    Changes are linearizable: one origin carries them out, in one order, each once however often it is sent. Reads are
    not: they are stale, and go back in time from one copy to another. That is the price of answering without asking. The
    checker `staleness` tells by how many milliseconds. When the origin is down nothing can be changed until it is back;
    nobody takes its place.

Sources: the lectures on replication ("read-only content": replicated web sites, load balancing by DNS and by hardware,
push and pull); Mockapetris, RFC 1034, for names with a time to live; Terry et al., "Session guarantees for weakly
consistent replicated data", 1994, for what a client that moves may see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import Field

from node.invariants import Agreed, Answers, CarriedOut, Claim, Grows, News, is_compared
from node.machine import Machine, Operation
from node.protocol import Io, Message, Outcome, Record, Request, Status
from node.protocols.client_table import ClientTable
from node.protocols.counted import CountsRecords
from node.protocols.detector import Detector, DetectorOptions

ONE_UPDATE = "an update's number names one update"
SAME_STATE = "replicas that have as many updates are equal"
NEVER_BACK = "a copy never goes back"
ONCE = "a request is carried out once"
DONE = "what is acknowledged was carried out"

EFFECTS_PER_MESSAGE = 200
EFFECTS_KEPT = 2_000
"""How many updates the origin keeps for copies that lag; one that lags more is sent the whole state."""
CACHED_MOST = 10_000
OPEN_LIMIT = 10_000


class ReadOnlyReplicasOptions(DetectorOptions):
    spread: Literal["push", "pull"] = Field(
        default="push", description="the origin sends copies what is new, or copies fetch what they are asked for"
    )
    push_seconds: float = Field(default=0.1, gt=0, description="push: how often the origin sends what is new")
    ttl_seconds: float = Field(default=0.5, gt=0, description="pull: how long a copy answers by what it has fetched")
    serve_stale: bool = Field(
        default=False, description="pull: while the origin is silent, answer by what was fetched, however old"
    )
    balancer: Literal["hardware", "dns", "none"] = Field(
        default="hardware", description="who answers a read: the next copy, the client's copy, or whoever is asked"
    )
    dns_seconds: float = Field(default=2.0, gt=0, description="dns: how long a client stays with a copy, dead or alive")
    retry_seconds: float = Field(default=0.25, gt=0, description="after this long an unanswered message is sent again")
    answer_seconds: float = Field(default=5.0, gt=0, description="a client that waits for so long is given up")
    compact_every: int = Field(default=2_000, ge=1, description="records after which the journal becomes one snapshot")


class Asker(NamedTuple):
    """A balancer that waits for an answer: another replica's."""

    peer: str
    id: int


@dataclass
class Task:
    """A client's request that somebody else has to answer."""

    request: Request
    target: str
    since: float
    sent_at: float


@dataclass
class Fetch:
    """An answer of the origin that is on its way to a copy."""

    operation: Operation
    since: float
    sent_at: float
    askers: list[tuple[Request | Asker, float]] = field(default_factory=list)
    """Who waits for it, and since when."""


class Cached(NamedTuple):
    """What the origin answered, and when it was asked."""

    result: Any
    asked_at: float


class Address(NamedTuple):
    """Where a client goes to, and until when it won't ask again."""

    replica: str
    until: float


class ReadOnlyReplicas(CountsRecords):
    name = "read-only-replicas"
    promises = (
        "changes are linearizable, under any failure, and possible while the origin is up; reads of the copies are stale "
        "and go back in time (with spread: pull by no more than ttl_seconds)"
    )
    consistency = "stale reads"
    tolerates = "all copies but one; of the origin, nothing is lost and no change goes on"
    roles = ("primary", "copy")
    chief = "primary"
    """The origin."""
    progresses_with = "all"
    Options = ReadOnlyReplicasOptions
    background = frozenset({"heartbeat"})
    phrases = {
        "effects": "updates {first} and on: {effects}",
        "effect": "update: {effect}",
        "state": "the state after update {number}",
        "change": "change {id}: {operation}",
        "read": "read {id}: {operation}",
        "fetch": "fetch {id}: {operation}",
        "answer": "answer to {id}: {outcome}, {result}",
    }

    options: ReadOnlyReplicasOptions

    def __init__(self, io: Io, machine: Machine, options: ReadOnlyReplicasOptions) -> None:
        super().__init__(io, machine, options)
        self.origin = io.replicas[0]
        # Durable.
        self.number = 0
        """The last update that is here."""
        self.clients = ClientTable()
        """The origin's: the last change of each client, `[sequence, result]`."""
        # In memory only.
        self.detector = Detector(io, options)
        self.kept: dict[int, Any] = {}
        """The origin's latest updates, by number."""
        self.sent: dict[str, int] = {}
        """How far the origin has sent updates to each copy."""
        self.told: dict[str, int] = {}
        """How far each copy said that it is."""
        self.cache: dict[str, Cached] = {}
        self.fetches: dict[str, Fetch] = {}
        self.fetching: dict[int, str] = {}
        self.tasks: dict[int, Task] = {}
        self.addresses: dict[str, Address] = {}
        self.turn = 0
        self.next_id = 0
        self.news = News([Answers(DONE)])

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            if record["type"] == "state":
                self._restore(record)
            else:
                self._install(record)
        self.records = len(records)
        # What was durable when a life ended may be news still: perhaps nobody had asked.
        carried_out = [claim for claim in self.news if isinstance(claim, CarriedOut)]
        self.news = News([Answers(DONE), *carried_out, Grows(NEVER_BACK, self.number, "updates")])
        for peer in self.io.peers:
            self.detector.hear(peer)  # at the beginning everybody gets the benefit of the doubt
        # Answers to questions of an earlier life must not be taken for answers to those of this one.
        self.next_id = self.io.random.getrandbits(40)
        self.turn = self.io.random.getrandbits(16)
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        if self.is_origin and self.options.spread == "push":
            self.io.set_timer("push", self.options.push_seconds)

    def on_timer(self, name: str) -> None:
        if name == "push":
            self.io.set_timer("push", self.options.push_seconds)
            self._push()
            return
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.detector.tick()
        for peer in self.io.peers:
            self.io.send(peer, {"type": "heartbeat", "number": self.number})
        self._look_after_tasks()
        self._look_after_fetches()
        now = self.io.now()
        self.addresses = {client: address for client, address in self.addresses.items() if address.until > now}
        if self.records > self.options.compact_every:
            self._compact()

    @property
    def is_origin(self) -> bool:
        return self.io.id == self.origin

    def status(self) -> Status:
        return {
            "role": "primary" if self.is_origin else "copy",
            "leader": self.origin,
            "term": None,
            "log_index": self.number,
            "commit_index": self.number,
            "digest": self.machine.digest(),
            "details": {
                "alive": self.detector.alive(),
                "tasks": len(self.tasks),
                "cached": len(self.cache),
                "fetches": len(self.fetches),
                "addresses": len(self.addresses),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.news.new()

    # ---- the balancer

    def on_request(self, request: Request) -> None:
        query = request.operation["f"] in self.machine.queries
        target = self._copy_for(request.client) if query else self.origin
        if len(self.tasks) + len(self.fetches) >= OPEN_LIMIT:
            self.io.reply(request, Outcome.fail("too many requests are open"))
        elif target != self.io.id:
            self.next_id += 1
            self.tasks[self.next_id] = Task(request, target, self.io.now(), self.io.now())
            self._send_task(self.next_id)
        elif query:
            self._read(request.operation, request)
        else:
            self.io.reply(request, self._change(request.client, request.sequence, request.operation))

    def _copy_for(self, client: str, but: str | None = None) -> str:
        """Where a read goes to; not to `but`, if there is anybody else."""
        if self.options.balancer == "none":
            return self.io.id
        if self.options.balancer == "hardware":
            return self._next_copy(but)
        known = self.addresses.get(client)
        if known is None or known.until <= self.io.now():
            known = self.addresses[client] = Address(self._next_copy(but), self.io.now() + self.options.dns_seconds)
        return known.replica

    def _next_copy(self, but: str | None) -> str:
        """The next one in turn of those believed alive; the origin if there is none."""
        alive = {self.io.id, *self.detector.alive()} - {self.origin}
        copies = [replica for replica in self.io.replicas if replica in alive]
        copies = [replica for replica in copies if replica != but] or copies
        self.turn += 1
        return copies[self.turn % len(copies)] if copies else self.origin

    def _send_task(self, id: int) -> None:
        task = self.tasks[id]
        request, task.sent_at = task.request, self.io.now()
        if request.operation["f"] in self.machine.queries:
            self.io.send(task.target, {"type": "read", "id": id, "operation": request.operation})
            return
        message = {"type": "change", "id": id, "client": request.client, "sequence": request.sequence}
        self.io.send(task.target, {**message, "operation": request.operation})

    def _look_after_tasks(self) -> None:
        now = self.io.now()
        for id, task in list(self.tasks.items()):
            query = task.request.operation["f"] in self.machine.queries
            if task.since < now - self.options.answer_seconds:
                del self.tasks[id]
                silent = f"{task.target} has not answered"
                self.io.reply(task.request, Outcome.fail(silent) if query else Outcome.info(silent))
            elif task.sent_at <= now - self.options.retry_seconds:
                if query:
                    task.target = self._copy_for(task.request.client, but=task.target)
                if task.target == self.io.id:
                    del self.tasks[id]
                    self._read(task.request.operation, task.request)
                else:
                    self._send_task(id)

    def _on_answer(self, message: Message) -> None:
        key = self.fetching.pop(message["id"], None)
        if key is not None:
            self._on_fetched(key, message)
            return
        task = self.tasks.pop(message["id"], None)
        if task is not None:
            self.io.reply(task.request, Outcome(message["outcome"], message["result"], message["error"]))

    def _answer(self, asker: Request | Asker, outcome: Outcome) -> None:
        if isinstance(asker, Request):
            self.io.reply(asker, outcome)
            return
        message = {"type": "answer", "id": asker.id, "outcome": outcome.type, "result": outcome.result}
        self.io.send(asker.peer, {**message, "error": outcome.error})

    # ---- the origin

    def _change(self, client: str, sequence: int, operation: Operation) -> Outcome:
        """Carry it out, unless it was already."""
        remembered = self._remembered(client, sequence)
        if remembered is not None:
            return remembered
        executed = self.machine.execute(operation)
        record = {"type": "effect", "effect": executed.effect, "request": [client, sequence, executed.result]}
        self._append(record)
        self._install(record)
        self.kept[self.number] = executed.effect
        self.kept.pop(self.number - EFFECTS_KEPT, None)
        return Outcome.ok(executed.result)

    def _remembered(self, client: str, sequence: int) -> Outcome | None:
        return self.clients.outcome(client, sequence)

    def _push(self) -> None:
        for peer in self.io.peers:
            if self.sent.get(peer, -1) < self.number:
                self._push_to(peer)

    def _push_to(self, peer: str) -> None:
        first = self.sent.get(peer, self.told.get(peer, 0)) + 1
        self.sent[peer] = self.number
        if first > self.number:
            return
        if first not in self.kept:
            self.io.send(peer, {**self._state(), "clients": {}})
            return
        for start in range(first, self.number + 1, EFFECTS_PER_MESSAGE):
            end = min(self.number, start + EFFECTS_PER_MESSAGE - 1)
            effects = [self.kept[number] for number in range(start, end + 1)]
            self.io.send(peer, {"type": "effects", "first": start, "effects": effects})

    def _on_heartbeat(self, sender: str, number: int) -> None:
        """A copy that is behind and doesn't move has missed something."""
        if self.is_origin and number < self.sent.get(sender, 0) and self.told.get(sender) == number:
            self.sent[sender] = number
        self.told[sender] = number

    # ---- a copy

    def _on_effects(self, message: Message) -> None:
        for number, effect in enumerate(message["effects"], message["first"]):
            if self._follows(number):
                record = {"type": "effect", "effect": effect, "request": None}
                self._append(record)
                self._install(record)

    def _follows(self, number: int) -> bool:
        """Whether this update is the next one here."""
        return number == self.number + 1

    def _on_state(self, message: Message) -> None:
        if message["number"] > self.number:
            self._restore(message)
            self._compact()
            self.news.append(Grows(NEVER_BACK, self.number, "updates"))

    def _read(self, operation: Operation, asker: Request | Asker) -> None:
        """Answer from what is here, if it may be used; else ask the origin first."""
        if self.is_origin or self.options.spread == "push":
            self._answer(asker, Outcome.ok(self.machine.execute(operation).result))
            return
        key = json.dumps([operation["f"], operation["key"], operation["value"]], sort_keys=True)
        cached = self.cache.get(key)
        if cached is not None and self._is_fresh(cached):
            self._answer(asker, Outcome.ok(cached.result))
        elif key in self.fetches:
            self.fetches[key].askers.append((asker, self.io.now()))
        else:
            self._fetch(key, operation, [(asker, self.io.now())])

    def _is_fresh(self, cached: Cached, at: float | None = None) -> bool:
        """Whether it may be shown to who asks now, or asked then."""
        return (self.io.now() if at is None else at) < cached.asked_at + self.options.ttl_seconds

    def _fetch(self, key: str, operation: Operation, askers: list[tuple[Request | Asker, float]]) -> None:
        self.fetches[key] = Fetch(operation, self.io.now(), self.io.now(), askers)
        self._send_fetch(key)

    def _send_fetch(self, key: str) -> None:
        """Each with an id of its own: an answer counts from when its own question was asked."""
        fetch = self.fetches[key]
        fetch.sent_at = self.io.now()
        self.next_id += 1
        self.fetching = {id: other for id, other in self.fetching.items() if other != key}
        self.fetching[self.next_id] = key
        self.io.send(self.origin, {"type": "fetch", "id": self.next_id, "operation": fetch.operation})

    def _on_fetched(self, key: str, message: Message) -> None:
        fetch = self.fetches.pop(key)
        self.cache.pop(key, None)
        self.cache[key] = cached = Cached(message["result"], fetch.sent_at)
        if len(self.cache) > CACHED_MOST:
            del self.cache[next(iter(self.cache))]
        for asker, since in fetch.askers:
            if self._is_fresh(cached, since):
                self._answer(asker, Outcome.ok(cached.result))
        # Who has only just asked, when the answer was on its way for long, or this replica slept, needs a newer one.
        late = [(asker, since) for asker, since in fetch.askers if not self._is_fresh(cached, since)]
        if late:
            self._fetch(key, fetch.operation, late)

    def _look_after_fetches(self) -> None:
        now = self.io.now()
        for key, fetch in list(self.fetches.items()):
            if fetch.sent_at > now - self.options.retry_seconds:
                continue
            if self.options.serve_stale and key in self.cache:
                self._give_up_fetch(key, Outcome.ok(self.cache[key].result))
            elif fetch.since < now - self.options.answer_seconds:
                self._give_up_fetch(key, Outcome.fail(f"the origin, {self.origin}, has not answered"))
            else:
                self._send_fetch(key)

    def _give_up_fetch(self, key: str, outcome: Outcome) -> None:
        self.fetching = {id: other for id, other in self.fetching.items() if other != key}
        for asker, _ in self.fetches.pop(key).askers:
            self._answer(asker, outcome)

    # ---- the state

    def _install(self, record: Record) -> None:
        self.machine.install(record["effect"])
        self.number += 1
        self.news.append(Grows(NEVER_BACK, self.number, "updates"))
        self.news.append(Agreed(ONE_UPDATE, f"update {self.number}", record["effect"], "change"))
        if is_compared(self.number):
            self.news.append(Agreed(SAME_STATE, f"after update {self.number}", self.machine.digest(), "state"))
        if record["request"] is not None:
            client, sequence, result = record["request"]
            self.clients.note(client, sequence, result)
            self.news.append(CarriedOut(ONCE, f"update {self.number}", client, sequence, result))

    def _state(self) -> dict[str, Any]:
        return {
            "type": "state",
            "number": self.number,
            "machine": self.machine.snapshot(),
            "clients": dict(self.clients),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.number = state["number"]
        self.machine.restore(state["machine"])
        self.clients = ClientTable(state["clients"])

    def _compact(self) -> None:
        self.io.compact([self._state()])
        self.records = 1

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        self.detector.hear(sender)
        match message["type"]:
            case "heartbeat":
                self._on_heartbeat(sender, message["number"])
            case "effects":
                self._on_effects(message)
            case "state":
                self._on_state(message)
            case "change":
                outcome = self._change(message["client"], message["sequence"], message["operation"])
                self._answer(Asker(sender, message["id"]), outcome)
            case "read" | "fetch":
                self._read(message["operation"], Asker(sender, message["id"]))
            case "answer":
                self._on_answer(message)
