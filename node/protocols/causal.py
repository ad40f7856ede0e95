"""Causal replication: every replica answers alone, at once, and an effect is nowhere to be seen without its cause.

The idea
    A client writes to the replica next to it and is answered without anybody else being asked; the others learn of it
    later. That works in any partition, and costs no more than a local disk. What one has to give up is one order for
    all. What one can keep is the order that means something: if whoever wrote B had seen A, or had written it before,
    then nobody sees B who doesn't see A as well. (An answer never stands there without its question.) What was written
    at different places without one writer knowing of the other may be seen in either order.

How dependencies are tracked
    Each replica numbers its own updates, and has a vector: of each replica, how many updates it has taken over. An
    update carries the vector that its writer had, which covers all that its clients can have seen there. A replica takes
    an update over when it is the next one of its writer, and its vector covers all others that the update depends on;
    until then the update waits, unseen.

How all come to the same
    Two writes of one key that don't know of each other would leave replicas different for ever. So each write has a
    version, (counter, number of the replica), where the counter is above all that the replica has seen; a key holds the
    write of the highest version. As a write's version is above those of all its causes, this keeps the order of causes,
    and is the same everywhere: replicas that have the same updates are equal.

Messages
    heartbeat  vector                  so much I have
    updates    updates                 each with its writer, number, vector, key, version and effect
    state      vector, counter, copies all of that at once, for one that lacks more than is kept

    Every `spread_seconds` a replica sends its new updates to all. Whoever says twice that it lacks the same update is sent
    it by everybody who has it: its writer may be dead, or cut off.

Clients
    The order of causes runs through clients, too: what one has seen, its next write depends on. That is kept for as long
    as a client stays with its replica (in a campaign `clients: {mode: pinned}`); one that moves begins anew, and may
    find that the new place is behind the old one. Each replica remembers on disk the last request of each of its clients.

What it survives, and what it is not
    Whatever happens to replicas and links, whoever is up answers reads and writes, and causality holds. It isn't
    linearizable: reads are stale, and of two concurrent writes one is lost although both were acknowledged. Only reads
    and blind writes are offered; a compare-and-set would need agreement. It doesn't survive replicas that lose their
    disks: a writer would number its updates anew.

Sources: the lectures on causal consistency; Lamport, "Time, clocks, and the ordering of events", 1978; Ahamad, Neiger,
Burns, Kohli and Hutto, "Causal memory: definitions, implementation, and programming", 1995; Lloyd et al., "Don't settle
for eventual", 2011, for causality that converges.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from node.invariants import Agreed, Claim, Grows, News, Relied, Stored, is_compared
from node.machine import Machine
from node.protocol import Io, Message, Outcome, ProtocolOptions, Record, Request, Status, replica_number
from node.protocols.counted import CountsRecords

ONE_UPDATE = "an update's number names one update"
ALL_CAUSES = "an update depends on all that its writer had"
NEVER_LESS = "what a replica has of another's updates never becomes less"
CAUSES_FIRST = "an update is taken over after all that it depends on"
SAME_STATE = "replicas that have the same updates are equal"

BLIND = "write"
"""The function whose effect doesn't depend on the state: the only change that is offered."""
UPDATES_PER_MESSAGE = 100
UPDATES_KEPT = 2_000
"""How many updates of each writer a replica keeps for others that lag; one that lags more is sent the whole state."""
WAITING_MOST = 5_000
"""More updates than these that can't be taken over yet are forgotten: they are sent again. Who lags so much that those of
all writers might not find room, the one that the others wait for among them, is sent the whole state."""


class CausalOptions(ProtocolOptions):
    heartbeat_seconds: float = Field(default=0.15, gt=0, description="how often a replica tells all others what it has")
    spread_seconds: float = Field(
        default=0.1, gt=0, description="how often a replica sends its new updates to all others"
    )
    compact_every: int = Field(default=2_000, ge=1, description="records after which the journal becomes one snapshot")


class Update(NamedTuple):
    """One write, as replicas send it and keep it."""

    writer: str
    number: int
    vector: dict[str, int]
    """What it depends on: how many updates of each replica its writer had."""
    key: str
    version: tuple[int, int]
    effect: Any

    @classmethod
    def from_json(cls, value: list[Any]) -> Update:
        writer, number, vector, key, version, effect = value
        return cls(writer, number, vector, key, (version[0], version[1]), effect)


class Causal(CountsRecords):
    name = "causal"
    promises = (
        "causally consistent for clients that stay with their replica (mode: pinned), and convergent, under any failure "
        "but the loss of a disk; every replica answers alone; not linearizable"
    )
    consistency = "causal"
    tolerates = "f of f + 1 replicas"
    machines = {"kv": frozenset({"read", BLIND})}
    machines_why = "whatever depends on what is there already would need agreement"
    Options = CausalOptions
    background = frozenset({"heartbeat"})
    phrases = {"state": "the state after {vector}"}

    options: CausalOptions

    def __init__(self, io: Io, machine: Machine, options: CausalOptions) -> None:
        super().__init__(io, machine, options)
        # Durable.
        self.vector: dict[str, int] = dict.fromkeys(io.replicas, 0)
        """Of each replica, how many of its updates are here."""
        self.counter = 0
        """The highest counter of a version that was seen."""
        self.versions: dict[str, tuple[tuple[int, int], Any]] = {}
        """By key: the version that it holds, and its effect."""
        self.clients: dict[str, int] = {}
        """The last write of each client that wrote here."""
        # In memory only.
        self.kept: dict[str, dict[int, Update]] = {replica: {} for replica in io.replicas}
        self.waiting: dict[tuple[str, int], Update] = {}
        self.sent: dict[str, int] = dict.fromkeys(io.peers, 0)
        """How far this replica's own updates were sent to each peer."""
        self.told: dict[str, dict[str, int]] = {}
        """The vector that each peer told last."""
        self.news = News()
        self.relied: dict[str, int] = {}
        """Of each replica, how many updates are causes of what was taken over since a witness last asked."""

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            if record["type"] == "state":
                self._merge(record)
                self.clients.update(record["clients"])
            else:
                self._install(Update.from_json(record["update"]))
                if record["request"] is not None:
                    client, sequence = record["request"]
                    self.clients[client] = sequence
        self.records = len(records)
        self.news.clear()
        self.relied.clear()
        for replica in self.io.replicas:
            self._claim_progress(replica)
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        self.io.set_timer("spread", self.options.spread_seconds)

    def on_timer(self, name: str) -> None:
        if name == "spread":
            self.io.set_timer("spread", self.options.spread_seconds)
            for peer in self.io.peers:
                self._send_own(peer)
            return
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        for peer in self.io.peers:
            self.io.send(peer, {"type": "heartbeat", "vector": self.vector})
        self._forget_what_all_have()
        if self.records > self.options.compact_every:
            self._compact()

    def status(self) -> Status:
        return {
            "role": "replica",
            "leader": None,
            "term": None,
            "log_index": sum(self.vector.values()) + len(self.waiting),
            "commit_index": sum(self.vector.values()),
            "digest": self.machine.digest(),
            "details": {
                "vector": dict(self.vector),
                "waiting": len(self.waiting),
                "kept": sum(map(len, self.kept.values())),
                "clients": len(self.clients),
            },
        }

    def invariants(self) -> Iterable[Claim]:
        news = self.news.new()
        relied, self.relied = self.relied, {}
        for writer, number in relied.items():
            news.append(Stored(CAUSES_FIRST, f"the updates of {writer}", self.vector[writer]))
            news.append(Relied(CAUSES_FIRST, f"the updates of {writer}", number, (self.io.id,)))
        return news

    @classmethod
    def words(cls, message: Mapping[str, Any]) -> str:
        match message.get("type"):
            case "updates":
                return f"updates: {', '.join(_told(Update.from_json(one)) for one in message['updates'])}"
            case "update":
                return f"update {_told(Update.from_json(message['update']))}"
            case _:
                return super().words(message)

    # ---- clients

    def on_request(self, request: Request) -> None:
        operation = request.operation
        if operation["f"] in self.machine.queries:
            self.io.reply(request, Outcome.ok(self.machine.execute(operation).result))
        elif operation["f"] != BLIND:
            self.io.reply(request, Outcome.fail("causal offers reads and writes: anything else would need agreement"))
        elif (last := self.clients.get(request.client, -1)) > request.sequence:
            self.io.reply(request, Outcome.info("an earlier request than the last one of this client: forgotten"))
        else:
            executed = self.machine.execute(operation)
            if last < request.sequence:
                self._write(request, executed.effect)
            self.io.reply(request, Outcome.ok(executed.result))

    def _write(self, request: Request, effect: Any) -> None:
        me, key = self.io.id, request.operation["key"]
        update = Update(me, self.vector[me] + 1, self._dependencies(), key, self._new_version(key), effect)
        self._append({"type": "update", "update": update, "request": [request.client, request.sequence]})
        self.clients[request.client] = request.sequence
        self.news.append(Agreed(ALL_CAUSES, f"update {update.number} of {me}", dict(self.vector), "counts"))
        self._install(update)

    def _dependencies(self) -> dict[str, int]:
        """All that is here: a client that writes may have seen any of it."""
        return dict(self.vector)

    def _new_version(self, key: str) -> tuple[int, int]:
        return self.counter + 1, replica_number(self.io.id)

    # ---- updates

    def _install(self, update: Update) -> None:
        """Take it over: it is the next one of its writer, and what it depends on is here."""
        self.vector[update.writer] = update.number
        self.kept[update.writer][update.number] = update
        self.kept[update.writer].pop(update.number - UPDATES_KEPT, None)
        self._keep(update.key, update.version, update.effect)
        for replica, number in update.vector.items():
            self.relied[replica] = max(self.relied.get(replica, 0), number)
        name = f"update {update.number} of {update.writer}"
        self.news.append(Agreed(ALL_CAUSES, name, update.vector, "counts"))
        self.news.append(Agreed(ONE_UPDATE, name, [update.key, update.version, update.effect], "versioned"))
        self._claim_progress(update.writer)

    def _keep(self, key: str, version: tuple[int, int], effect: Any) -> None:
        """Of two writes of one key the one with the higher version stays."""
        self.counter = max(self.counter, version[0])
        if key not in self.versions or self._wins(version, self.versions[key][0]):
            self.versions[key] = (version, effect)
            self.machine.install(effect)

    def _wins(self, version: tuple[int, int], held: tuple[int, int]) -> bool:
        return version > held

    def _claim_progress(self, writer: str) -> None:
        self.news.append(Grows(NEVER_LESS, self.vector[writer], place=f"updates of {writer}"))
        if is_compared(sum(self.vector.values())):
            place = f"with the updates {', '.join(f'{self.vector[name]} of {name}' for name in self.io.replicas)}"
            self.news.append(Agreed(SAME_STATE, place, self.machine.digest(), "state"))

    def _on_updates(self, updates: Iterable[Update]) -> None:
        for update in updates:
            if update.number > self.vector[update.writer] and len(self.waiting) < WAITING_MOST:
                self.waiting[update.writer, update.number] = update
        self._take_over_what_is_ready()

    def _take_over_what_is_ready(self) -> None:
        """One update may be what others have waited for."""
        ready = True
        while ready:
            ready = False
            for key, update in list(self.waiting.items()):
                if update.number <= self.vector[update.writer]:
                    del self.waiting[key]
                elif self._is_ready(update):
                    del self.waiting[key]
                    self._append({"type": "update", "update": update, "request": None})
                    self._install(update)
                    ready = True

    def _is_ready(self, update: Update) -> bool:
        return self._is_next(update) and self._causes_are_here(update)

    def _is_next(self, update: Update) -> bool:
        return update.number == self.vector[update.writer] + 1

    def _causes_are_here(self, update: Update) -> bool:
        return all(self.vector[other] >= number for other, number in update.vector.items() if other != update.writer)

    # ---- spreading

    def _send_own(self, peer: str) -> None:
        own = self.vector[self.io.id]
        if self.sent[peer] < own:
            self._send(peer, self.io.id, self.sent[peer] + 1)
            self.sent[peer] = own

    def _send(self, peer: str, writer: str, first: int) -> None:
        """The updates of one writer from this one on, or everything if they aren't all kept, or are too many to wait."""
        kept, last = self.kept[writer], self.vector[writer]
        too_many = last - first >= WAITING_MOST // len(self.io.replicas)
        if too_many or any(number not in kept for number in range(first, last + 1)):
            self.io.send(peer, self._state())
            return
        for start in range(first, last + 1, UPDATES_PER_MESSAGE):
            end = min(last, start + UPDATES_PER_MESSAGE - 1)
            self.io.send(peer, {"type": "updates", "updates": [kept[number] for number in range(start, end + 1)]})

    def _on_heartbeat(self, sender: str, vector: dict[str, int]) -> None:
        """Who lacks something and has moved no further since the last heartbeat has missed it."""
        before, self.told[sender] = self.told.get(sender), vector
        if vector[self.io.id] > self.vector[self.io.id]:
            return  # it knows more of this replica than the replica itself: that has lost its disk
        if before is None:
            return
        for writer in self.io.replicas:
            if writer != sender and before[writer] == vector[writer] < self._was_sent(sender, writer):
                self._send(sender, writer, vector[writer] + 1)

    def _was_sent(self, peer: str, writer: str) -> int:
        """How much the peer should have of this writer by now. Of others' updates that is what has come here."""
        return self.sent[peer] if writer == self.io.id else self.vector[writer]

    def _forget_what_all_have(self) -> None:
        if len(self.told) < len(self.io.peers):
            return
        for writer, kept in self.kept.items():
            everybody = min((vector[writer] for vector in self.told.values()), default=self.vector[writer])
            for number in [number for number in kept if number < everybody]:
                del kept[number]

    # ---- the state as a whole

    def _state(self) -> dict[str, Any]:
        return {"type": "state", "vector": dict(self.vector), "counter": self.counter, "copies": dict(self.versions)}

    def _merge(self, state: Message) -> None:
        """Both sides hold nothing without its causes, and so do both together."""
        for key, (version, effect) in state["copies"].items():
            self._keep(key, (version[0], version[1]), effect)
        self.counter = max(self.counter, state["counter"])
        for replica, number in state["vector"].items():
            self.vector[replica] = max(self.vector[replica], number)

    def _on_state(self, sender: str, message: Message) -> None:
        if all(self.vector[replica] >= number for replica, number in message["vector"].items()):
            return
        self.io.log(f"takes over the state of {sender}")
        self._merge(message)
        self._compact()
        for replica in self.io.replicas:
            self._claim_progress(replica)
        self._take_over_what_is_ready()

    def _compact(self) -> None:
        self.io.compact([{**self._state(), "clients": dict(self.clients)}])
        self.records = 1

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        match message["type"]:
            case "heartbeat":
                self._on_heartbeat(sender, message["vector"])
            case "updates":
                self._on_updates(map(Update.from_json, message["updates"]))
            case "state":
                self._on_state(sender, message)


def _told(update: Update) -> str:
    """`3 of n1 (x is 17), after 2 of n2`"""
    causes = [
        f"{number} of {replica}" for replica, number in update.vector.items() if number and replica != update.writer
    ]
    after = f", after {' and '.join(causes)}" if causes else ""
    return f"{update.number} of {update.writer} ({update.key} is {json.dumps(update.effect[1])}){after}"
