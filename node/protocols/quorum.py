"""Quorum: every replica holds a copy, and whoever reads or writes talks to enough of them to meet all others who do.

The idea
    Nobody leads, nothing is ordered, no failure detector is waited for. Each key has on each replica a copy with a
    version. A write goes to all replicas and is done when `write_quorum` (W) of them have it on disk; a read asks all
    and goes by the newest of the first `read_quorum` (R) answers. If R + W > N, every read meets every finished write.
    For reads and blind writes of single registers that is enough; a compare-and-set would need agreement, and is
    refused. Any replica serves any client.

Versions
    A version is (counter, number of the replica). A writer first asks R replicas for theirs and takes a higher counter;
    two who take the same counter differ in their number. Clocks have no say. A writer's own copy is on its disk before
    anybody else is told, so a version is never used for two values.

Reads write back
    A read that finds a value on some replicas only has met a write that isn't finished, and may never be. If it just
    returned the value, a later read that misses those replicas would return an older one (new-old inversion). So before
    it answers, it stores the newest copy on W replicas itself, unless W of them have told that they hold it.

Clients that ask again
    A write that is done twice, with another's write in between, would bring back what was overwritten. Which version a
    repeated write has must be decided by one: each request has a replica that numbers it, drawn from its id, to which
    all others forward it, and which remembers on disk the version it gave. Two replicas could not agree on it by reading
    and writing registers alone (Herlihy). The price: a write waits while the replica that numbers it is away.

Messages
    ask      task, key          what is your copy?
    copy     task, key, copy    this; null if there is none
    store    task, key, copy    keep this, if it is newer than yours
    stored   task               I have it or a newer one on disk
    forward  client, sequence, operation    this write is yours to number
    done     client, sequence, result       it is done
    A copy is [version, effect].

What it survives, and where it fails
    With R + W > N: any crashes, restarts, pauses, partitions, lost, repeated and late messages, and wrong clocks; it
    stays linearizable. A read is answered while R replicas (and W, to write back) are up and connected; a write while
    its numbering replica is and W are. With R + W <= N reads miss finished writes: quick, and not linearizable. It does
    not survive replicas that lose their disks.

Sources: Gifford, "Weighted voting for replicated data", 1979; Attiya, Bar-Noy and Dolev, "Sharing memory robustly in
message-passing systems", 1995, for reads that write back; Lynch and Shvartsman, 1997, for several writers; Herlihy,
"Wait-free synchronization", 1991; the lectures on quorums (2f + 1 replicas for f failures).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from node.invariants import Agreed, Claim, Grows, News
from node.machine import Machine, Operation
from node.protocol import Io, Message, Outcome, ProtocolOptions, Record, Request, Status, replica_number
from node.protocols.counted import CountsRecords

Version = tuple[int, int]
"""A counter, then the number of the replica that wrote."""
RequestId = tuple[str, int]

NO_VERSION: Version = (0, 0)
BLIND = "write"
"""The function whose effect doesn't depend on the state: the only change that is offered."""
OPEN_LIMIT = 10_000

NEVER_OLDER = "a copy never becomes older"
ONE_VALUE = "a version of a key has one value"


class QuorumOptions(ProtocolOptions):
    read_quorum: int = Field(default=0, ge=0, description="how many copies a read looks at (R); 0: a majority")
    write_quorum: int = Field(
        default=0, ge=0, description="how many replicas have a write when it is done (W); 0: a majority"
    )
    retry_seconds: float = Field(default=0.25, gt=0, description="after this long an unanswered message is sent again")
    answer_seconds: float = Field(
        default=10.0, gt=0, description="a client that waits for a quorum for so long is told that it isn't known"
    )
    snapshot_every: int = Field(default=5_000, ge=1, description="records after which the journal becomes a snapshot")


@dataclass(frozen=True)
class Copy:
    version: Version
    effect: Any

    def as_json(self) -> list[Any]:
        return [self.version, self.effect]


NOTHING = Copy(NO_VERSION, None)


@dataclass
class Task:
    """A read or write under way here: first asking, then storing."""

    number: int
    operation: Operation
    since: float
    sent_at: float
    id: RequestId | None = None
    """Of a write."""
    requests: list[Request] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    """Peers that forwarded it."""
    copies: dict[str, Copy] = field(default_factory=dict)
    """What was answered while it asks."""
    storing: Copy | None = None
    stored_by: set[str] = field(default_factory=set)
    result: Any = None


@dataclass
class Forwarded:
    """A write that another replica numbers."""

    since: float
    sent_at: float
    operation: Operation
    requests: list[Request]


class Quorum(CountsRecords):
    name = "quorum"
    promises = (
        "linearizable reads and writes (R + W > N) under crashes, restarts, pauses, partitions and any delay or loss of "
        "messages; reads available while a quorum is up and connected, a write while the replica that numbers it is, too"
    )
    Options = QuorumOptions
    machines = {"kv": frozenset({"read", BLIND})}
    machines_why = "whatever depends on what is there already would need agreement"
    phrases = {
        "ask": "ask: what is {key}, and in which version?",
        "copy": ("copy of {key}: {copy:copy}", "copy: {copy:copy}"),
        "store": "store {key}: {copy:copy}",
        "numbered": "numbered: {client}'s write of {write[1]} is version {write[2]:pair}",
        "stored": "stored",
        "forward": "forward: {client}'s {operation}",
        "done": "done: {client}'s request {sequence}, result {result}",
    }

    options: QuorumOptions

    def __init__(self, io: Io, machine: Machine, options: QuorumOptions) -> None:
        super().__init__(io, machine, options)
        self.read_quorum = min(options.read_quorum or io.majority, len(io.replicas))
        self.write_quorum = min(options.write_quorum or io.majority, len(io.replicas))
        # Durable. The machine is what the effects of the copies make it.
        self.copies: dict[str, Copy] = {}
        self.numbered: dict[str, list[Any]] = {}
        """By client: the last write that this replica numbered, `[sequence, key, version, effect, result]`."""
        # In memory only.
        self.tasks: dict[int, Task] = {}
        self.next_task = 0
        self.writing: dict[RequestId, Task] = {}
        self.forwarded: dict[RequestId, Forwarded] = {}
        self.news = News()
        """What became true since a witness last asked, as far as it is kept."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            if record["type"] == "numbered":
                _, key, version, effect, _ = self.numbered[record["client"]] = record["write"]
                self._install(key, Copy(_version(version), effect))
            else:
                self._install(record["key"], _copy(record["copy"]))
        self.records = len(records)
        self.news.clear()  # what was long ago
        for key, copy in self.copies.items():
            self.news.append(Grows(NEVER_OLDER, copy.version, "version", key))
        # Answers to tasks of an earlier life must not be taken for answers to those of this one.
        self.next_task = self.io.random.getrandbits(40)
        self.io.set_timer("tick", self.options.retry_seconds / 2)

    def on_timer(self, name: str) -> None:
        self.io.set_timer("tick", self.options.retry_seconds / 2)
        self._answer_overdue()
        self._compact_if_due()
        long_ago = self.io.now() - self.options.retry_seconds
        for task in self.tasks.values():
            if task.sent_at <= long_ago:
                self._send_task(task)
        for key, forwarded in self.forwarded.items():
            if forwarded.sent_at <= long_ago:
                self._forward(key, forwarded)

    def status(self) -> Status:
        newest = max((copy.version for copy in self.copies.values()), default=NO_VERSION)
        return {
            "role": "replica",
            "leader": None,
            "term": None,
            "log_index": newest[0],
            "commit_index": newest[0],
            "digest": self.machine.digest(),
            "details": {
                "read_quorum": self.read_quorum,
                "write_quorum": self.write_quorum,
                "keys": len(self.copies),
                "tasks": len(self.tasks),
                "forwarded": len(self.forwarded),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        return self.news.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        id = (request.client, request.sequence)
        if len(self.tasks) + len(self.forwarded) >= OPEN_LIMIT:
            self.io.reply(request, Outcome.fail("too many requests are open"))
        elif request.operation["f"] in self.machine.queries:
            self._begin(Task(0, request.operation, self.io.now(), self.io.now(), requests=[request]))
        elif request.operation["f"] != BLIND:
            self.io.reply(request, Outcome.fail("quorum offers reads and writes: anything else would need agreement"))
        elif self._numbers(id) == self.io.id:
            task = self._write(id, request.operation)
            if task is None:
                self._answer_numbered(request)
            else:
                task.requests.append(request)
                self._advance(task)
        elif id in self.forwarded:
            self.forwarded[id].requests.append(request)
        else:
            self.forwarded[id] = Forwarded(self.io.now(), self.io.now(), request.operation, [request])
            self._forward(id, self.forwarded[id])

    def _numbers(self, id: RequestId) -> str:
        """The replica that gives this write its version, whoever receives it and however often."""
        replicas = self.io.replicas
        return replicas[zlib.crc32(f"{id[0]}/{id[1]}".encode("utf-8", "surrogatepass")) % len(replicas)]

    def _forward(self, id: RequestId, forwarded: Forwarded) -> None:
        forwarded.sent_at = self.io.now()
        message = {"type": "forward", "client": id[0], "sequence": id[1], "operation": forwarded.operation}
        self.io.send(self._numbers(id), message)

    def _on_forward(self, sender: str, message: Message) -> None:
        id = (message["client"], message["sequence"])
        task = self._write(id, message["operation"])
        if task is not None:
            if sender not in task.origins:
                task.origins.append(sender)
            self._advance(task)
        # One that is older than the client's last isn't answered: the client has given it up.

    def _on_done(self, message: Message) -> None:
        forwarded = self.forwarded.pop((message["client"], message["sequence"]), None)
        for request in forwarded.requests if forwarded else []:
            self.io.reply(request, Outcome.ok(message["result"]))

    def _answer_numbered(self, request: Request) -> None:
        error = "an earlier request than the last one of this client: forgotten"
        self.io.reply(request, Outcome.info(error))

    def _answer_overdue(self) -> None:
        limit = self.io.now() - self.options.answer_seconds
        for task in [task for task in self.tasks.values() if task.since < limit]:
            self._end(task)
            for request in task.requests:
                self.io.reply(request, Outcome.info("no quorum has answered"))
        for id in [id for id, forwarded in self.forwarded.items() if forwarded.since < limit]:
            for request in self.forwarded.pop(id).requests:
                self.io.reply(request, Outcome.info(f"{self._numbers(id)}, which numbers this write, has not answered"))

    # ---- reading and writing

    def _begin(self, task: Task) -> Task:
        """Ask all replicas for their copies."""
        self.next_task += 1
        task.number = self.next_task
        self.tasks[task.number] = task
        self._send_task(task)
        if task.id is None:
            self._advance(task)
        return task

    def _write(self, id: RequestId, operation: Operation) -> Task | None:
        """The task for a write that is numbered here, old or new; None if the client has gone on since."""
        if id in self.writing:
            return self.writing[id]
        client, sequence = id
        last = self.numbered.get(client)
        if last is not None and sequence < last[0]:
            return None
        task = Task(0, operation, self.io.now(), self.io.now(), id)
        if last is not None and sequence == last[0]:
            _, _, version, effect, task.result = last
            task.storing = Copy(_version(version), effect)
            task.stored_by = {self.io.id}
        self.writing[id] = task
        return self._begin(task)

    def _send_task(self, task: Task) -> None:
        task.sent_at = self.io.now()
        key = task.operation["key"]
        for peer in self.io.peers:
            if task.storing is None and peer not in task.copies:
                self.io.send(peer, {"type": "ask", "task": task.number, "key": key})
            elif task.storing is not None and peer not in task.stored_by:
                copy = task.storing.as_json()
                self.io.send(peer, {"type": "store", "task": task.number, "key": key, "copy": copy})

    def _advance(self, task: Task) -> None:
        """Go on as soon as a quorum allows it."""
        if task.storing is None:
            task.copies[self.io.id] = self._copy(task.operation["key"])
            if len(task.copies) < self.read_quorum:
                return
            if task.id is None:
                self._store_newest(task)
            else:
                self._store_new(task, task.id)
            if task.id is not None or len(task.stored_by) < self.write_quorum:
                self._send_task(task)
        if len(task.stored_by) >= self.write_quorum:
            self._finish(task)

    def _store_newest(self, task: Task) -> None:
        """A read: the newest copy is what it returns, once a write quorum has it."""
        key = task.operation["key"]
        newest = max(task.copies.values(), key=lambda copy: copy.version)
        self._keep(key, newest)
        task.result = self.machine.execute(task.operation).result
        task.storing = newest
        task.stored_by = {replica for replica, copy in task.copies.items() if copy.version == newest.version}
        task.stored_by.add(self.io.id)

    def _store_new(self, task: Task, id: RequestId) -> None:
        """A write: give it a version above all that R replicas know, for good."""
        key = task.operation["key"]
        executed = self.machine.execute(task.operation)
        version = self._new_version(max(copy.version for copy in task.copies.values()))
        task.result = executed.result
        task.storing = Copy(version, executed.effect)
        write = [id[1], key, version, executed.effect, executed.result]
        self.numbered[id[0]] = write
        # One record for both: whoever has the copy on disk also knows whose it is.
        self._append({"type": "numbered", "client": id[0], "write": write})
        self._install(key, task.storing)
        task.stored_by = {self.io.id}

    def _new_version(self, highest: Version) -> Version:
        return highest[0] + 1, replica_number(self.io.id)

    def _finish(self, task: Task) -> None:
        self._end(task)
        for request in task.requests:
            self.io.reply(request, Outcome.ok(task.result))
        if task.id is not None:
            client, sequence = task.id
            for origin in task.origins:
                self.io.send(origin, {"type": "done", "client": client, "sequence": sequence, "result": task.result})

    def _end(self, task: Task) -> None:
        self.tasks.pop(task.number, None)
        if task.id is not None:
            self.writing.pop(task.id, None)

    # ---- copies

    def _copy(self, key: str) -> Copy:
        return self.copies.get(key, NOTHING)

    def _keep(self, key: str, copy: Copy) -> None:
        """Keep the copy, on disk, if it is newer than the one here."""
        if copy.version > self._copy(key).version:
            self._append({"type": "copy", "key": key, "copy": copy.as_json()})
            self._install(key, copy)

    def _install(self, key: str, copy: Copy) -> None:
        if copy.version <= self._copy(key).version:
            return
        self.copies[key] = copy
        self.machine.install(copy.effect)
        self.news.append(Grows(NEVER_OLDER, copy.version, "version", key))
        self.news.append(
            Agreed(ONE_VALUE, f"{key}, version {copy.version[0]}.{copy.version[1]}", copy.effect, "change")
        )

    def _compact_if_due(self) -> None:
        if self.records <= self.options.snapshot_every:
            return
        records: list[Record] = [
            {"type": "numbered", "client": client, "write": write} for client, write in self.numbered.items()
        ]
        records += [{"type": "copy", "key": key, "copy": copy.as_json()} for key, copy in self.copies.items()]
        self.io.compact(records)
        # Copies and clients are kept for ever; only what was replaced is worth cutting.
        self.records = 0

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        match message["type"]:
            case "ask":
                copy = self._copy(message["key"]).as_json()
                self.io.send(sender, {"type": "copy", "task": message["task"], "copy": copy})
            case "copy":
                task = self.tasks.get(message["task"])
                if task is not None and task.storing is None:
                    task.copies[sender] = _copy(message["copy"])
                    self._advance(task)
            case "store":
                self._keep(message["key"], _copy(message["copy"]))
                self.io.send(sender, {"type": "stored", "task": message["task"]})
            case "stored":
                task = self.tasks.get(message["task"])
                if task is not None and task.storing is not None:
                    task.stored_by.add(sender)
                    self._advance(task)
            case "forward":
                self._on_forward(sender, message)
            case "done":
                self._on_done(message)


def _copy(value: Any) -> Copy:
    version, effect = value
    return Copy(_version(version), effect)


def _version(value: Any) -> Version:
    counter, writer = value
    return counter, writer
