"""A small deterministic host for the replicas of one protocol, on a virtual clock and a virtual network.

It keeps the host's side of `node.protocol` honestly: what a handler appends is staged, then synced (which takes a while,
in which the replica is busy), and only then does the output of that handler leave. A kill before the sync loses the
records AND the output. Everything that crosses a border goes through JSON text. One seed decides everything::

    net = FakeNetwork(MultiPaxos, replicas=3, seed=7)
    net.run(2.0)
    answer = net.ask("n1", "c1", 1, "write", "x", 5)
    net.run_until(lambda: answer.outcome is not None, limit=5.0)
    net.kill("n1")
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.simulation.laws import Witness
from node.machine import Machine
from node.machines.kv import KeyValue
from node.protocol import Io, Message, Outcome, Protocol, Record, Request

Instant = Literal["before sync", "after sync"]
"""The worst instants to die in: the records of a handler lost with its output; or kept, but its output lost in part."""

BACKLOG_LIMIT = 20_000


@dataclass(frozen=True)
class Weather:
    """What the links between replicas do to messages; delays differ, so messages overtake each other."""

    shortest_seconds: float = 0.001
    longest_seconds: float = 0.005
    loss: float = 0.0
    duplication: float = 0.0
    straggling: float = 0.0
    """The share of messages that arrive up to half a second late."""


CALM = Weather()


@dataclass
class Answer:
    """One delivery of a request, and what came of it."""

    replica: str
    outcome: Outcome | None = None
    on_outcome: Callable[[Outcome], None] | None = None

    def settle(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            if self.on_outcome is not None:
                self.on_outcome(outcome)


class Host(Io):
    """One replica: its protocol, its disk, its timers."""

    def __init__(self, net: FakeNetwork, replica: str, peers: tuple[str, ...]) -> None:
        self.net = net
        self.id = replica
        self.peers = peers
        self.durable: list[str] = []
        self.staged: list[Callable[[], None]] = []
        self.output: list[Callable[[], None]] = []
        self.backlog: deque[Callable[[], None]] = deque()
        self.timers: dict[str, int] = {}
        self.protocol: Protocol | None = None
        self.incarnation = 0
        self.busy = False
        self.paused = False
        self.sync_is_due = False
        self.doom: Instant | None = None
        self.rate = 1.0
        self.lines: list[str] = []

    # What the protocol may do.

    def now(self) -> float:
        return self.net.now * self.rate

    def send(self, peer: str, message: Message) -> None:
        assert peer in self.peers, f"{self.id} sends to {peer}"
        text = json.dumps(message)
        self.output.append(lambda: self.net.transmit(self.id, peer, text))

    def append(self, record: Record) -> None:
        text = json.dumps(record)
        self.staged.append(lambda: self.durable.append(text))

    def compact(self, records: Sequence[Record]) -> None:
        texts = [json.dumps(record) for record in records]

        def replace() -> None:
            self.durable[:] = texts

        self.staged.append(replace)

    def reply(self, request: Request, outcome: Outcome) -> None:
        copy = Outcome(outcome.type, json.loads(json.dumps(outcome.result)), outcome.error, outcome.leader)
        self.output.append(lambda: self.net.deliver_reply(self.id, request, copy))

    def set_timer(self, name: str, seconds: float) -> None:
        token = self.timers[name] = self.net.unique()
        incarnation = self.incarnation

        def due() -> None:
            if self.incarnation == incarnation and self.timers.get(name) == token:
                self.handle(lambda: self._fire(name, token))

        self.net.after(max(seconds, 0.0) / self.rate, due)

    def _fire(self, name: str, token: int) -> None:
        if self.protocol is not None and self.timers.get(name) == token:
            del self.timers[name]
            self.protocol.on_timer(name)

    def cancel_timer(self, name: str) -> None:
        self.timers.pop(name, None)

    def log(self, text: str) -> None:
        self.lines.append(f"{self.net.now:.3f} {self.id} {text}")

    # What the world does to it.

    @property
    def up(self) -> bool:
        return self.protocol is not None

    def start(self) -> None:
        self.random = random.Random(f"{self.net.seed}/{self.id}/{self.incarnation}")
        self.protocol = self.net.make_protocol(self)
        records = [json.loads(text) for text in self.durable]
        self.handle(lambda: self.protocol.recover(records) if self.protocol else None)

    def kill(self) -> None:
        if self.protocol is not None:
            self.net.witness.killed(self.id)
        self.protocol = None
        self.incarnation += 1
        self.busy = self.paused = self.sync_is_due = False
        self.doom = None
        for waiting in (self.staged, self.output, self.backlog, self.timers):
            waiting.clear()

    def handle(self, handler: Callable[[], None]) -> None:
        """Run a handler now, or later if the replica is stopped or waits for its disk."""
        if self.busy or self.paused:
            if len(self.backlog) < BACKLOG_LIMIT:
                self.backlog.append(handler)
            return
        handler()
        if self.protocol is not None:
            self.net.watch(self.protocol)
        self._settle()

    def _settle(self) -> None:
        if not self.staged:
            self._tell_witness()
            self._release(len(self.output))
            return
        if self.doom == "before sync":
            self.net.kill(self.id)
            return
        self.busy = True
        incarnation = self.incarnation
        delay = self.net.random.uniform(0.0002, 0.002)
        self.net.after(delay, lambda: self._synced() if self.incarnation == incarnation else None)

    def _synced(self) -> None:
        if self.paused:
            self.sync_is_due = True
            return
        for write in self.staged:
            write()
        self.staged.clear()
        self.busy = False
        self._tell_witness()
        if self.doom == "after sync":
            self._release(self.net.random.randrange(len(self.output) + 1))
            self.net.kill(self.id)
            return
        incarnation = self.incarnation
        self._release(len(self.output))
        if self.incarnation == incarnation:  # nobody killed it while its output left
            self._catch_up()

    def _tell_witness(self) -> None:
        if self.protocol is not None:
            self.net.witness.told(self.net.now_ns, self.id, self.protocol.invariants())

    def _catch_up(self) -> None:
        """Everything that waited is handled, and synced as one: a group commit."""
        waiting, self.backlog = self.backlog, deque()
        for handler in waiting:
            if self.busy or self.paused:
                self.backlog.append(handler)
            else:
                handler()
                if self.protocol is not None:
                    self.net.watch(self.protocol)
        if not self.busy and not self.paused:
            self._settle()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            if self.sync_is_due:
                self.sync_is_due = False
                self._synced()
            elif not self.busy:
                self._catch_up()

    def _release(self, count: int) -> None:
        leaving, self.output = self.output[:count], []
        incarnation = self.incarnation
        for leave in leaving:
            if self.incarnation == incarnation:
                leave()


class FakeNetwork:
    def __init__(
        self,
        protocol: type[Protocol],
        replicas: int,
        seed: int,
        options: Mapping[str, Any] | None = None,
        machine: type[Machine] = KeyValue,
        weather: Weather = CALM,
    ) -> None:
        self.protocol = protocol
        self.machine = machine
        self.options = protocol.Options(**(options or {}))
        self.seed = seed
        self.random = random.Random(f"network/{seed}")
        self.weather = weather
        self.now = 0.0
        self.sent: Counter[str] = Counter()
        self.witness = Witness(machine.queries, machine.lazy)
        self.watchers: list[Callable[[Protocol], None]] = []
        self.spies: list[Callable[[str, str, Message], None]] = []
        """Told of every message that leaves a replica, after its records are durable."""
        self.cuts: set[tuple[str, str]] = set()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._unique = itertools.count()
        self._answers: dict[int, Answer] = {}
        names = tuple(f"n{number}" for number in range(1, replicas + 1))
        self.hosts = {name: Host(self, name, tuple(peer for peer in names if peer != name)) for name in names}
        for host in self.hosts.values():
            host.start()

    # ---- time

    @property
    def now_ns(self) -> int:
        return round(self.now * 1e9)

    def unique(self) -> int:
        return next(self._unique)

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (self.now + seconds, self.unique(), event))

    def run(self, seconds: float) -> None:
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], limit: float) -> bool:
        """Let virtual time pass until the condition holds, or for `limit` seconds; tells whether it holds."""
        end = self.now + limit
        while not condition():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return condition()
            self.now, _, event = heapq.heappop(self._events)
            event()
        return True

    def log(self) -> str:
        """What all replicas wrote to their logs, in order of time."""
        lines = [line for host in self.hosts.values() for line in host.lines]
        return "\n".join(sorted(lines, key=lambda line: float(line.split()[0])))

    # ---- replicas

    def make_protocol(self, host: Host) -> Protocol:
        return self.protocol(host, self.machine(), self.options)

    def watch(self, protocol: Protocol) -> None:
        for watcher in self.watchers:
            watcher(protocol)

    @property
    def replicas(self) -> tuple[str, ...]:
        return tuple(self.hosts)

    def __getitem__(self, replica: str) -> Any:
        """The protocol object of a replica that is up."""
        protocol = self.hosts[replica].protocol
        assert protocol is not None, f"{replica} is down"
        return protocol

    def chiefs(self) -> list[str]:
        """Whoever is up and says that it is in charge."""
        up = [name for name, host in self.hosts.items() if host.up]
        return [name for name in up if self[name].status()["role"] == self.protocol.chief]

    def kill(self, *replicas: str) -> None:
        for replica in replicas:
            self.hosts[replica].kill()

    def doom(self, replica: str, instant: Instant) -> None:
        """Kill the replica at the worst instant of the next handler that writes."""
        self.hosts[replica].doom = instant

    def restart(self, *replicas: str) -> None:
        for replica in replicas:
            if not self.hosts[replica].up:
                self.hosts[replica].start()

    def pause(self, replica: str) -> None:
        if self.hosts[replica].up:
            self.hosts[replica].paused = True

    def resume(self, *replicas: str) -> None:
        for replica in replicas:
            self.hosts[replica].resume()

    # ---- links

    def cut(self, source: str, target: str) -> None:
        self.cuts.add((source, target))

    def partition(self, *groups: Iterable[str]) -> None:
        """Cut every link between replicas of different groups."""
        sides = [set(group) for group in groups]
        for one, other in itertools.permutations(sides, 2):
            self.cuts.update(itertools.product(one, other))

    def heal(self) -> None:
        self.cuts.clear()

    def heal_everything(self) -> None:
        self.heal()
        self.weather = CALM
        for host in self.hosts.values():
            host.doom = None
            host.resume()
            if not host.up:
                host.start()

    def transmit(self, source: str, target: str, text: str) -> None:
        message = json.loads(text)
        self.sent[message["type"]] += 1
        for spy in self.spies:
            spy(source, target, message)
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            if (source, target) in self.cuts or self.random.random() < self.weather.loss:
                continue
            delay = self.random.uniform(self.weather.shortest_seconds, self.weather.longest_seconds)
            if self.random.random() < self.weather.straggling:
                delay += self.random.uniform(0.0, 0.5)
            self.after(delay, lambda: self._deliver(source, target, text))

    def _deliver(self, source: str, target: str, text: str) -> None:
        host = self.hosts[target]
        if not host.up or (source, target) in self.cuts:
            return
        incarnation = host.incarnation

        def handler() -> None:
            if host.protocol is not None and host.incarnation == incarnation:
                host.protocol.on_message(source, json.loads(text))

        host.handle(handler)

    # ---- clients

    def ask(
        self,
        replica: str,
        client: str,
        sequence: int,
        f: str,
        key: str = "x",
        value: Any = None,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> Answer:
        """Send a request once. A replica that is down refuses it; a reply that is lost leaves the outcome None."""
        answer = Answer(replica, on_outcome=on_outcome)
        token = self.unique()
        self._answers[token] = answer
        request = Request(client, sequence, {"f": f, "key": key, "value": json.loads(json.dumps(value))}, token)
        self.after(self._client_delay(), lambda: self._deliver_request(request, replica))
        return answer

    def _client_delay(self) -> float:
        return self.random.uniform(self.weather.shortest_seconds, self.weather.longest_seconds)

    def _deliver_request(self, request: Request, replica: str) -> None:
        host = self.hosts[replica]
        if not host.up:
            self._answers.pop(request.token).settle(Outcome.fail("connection refused"))
            return
        incarnation = host.incarnation

        def handler() -> None:
            if host.protocol is not None and host.incarnation == incarnation:
                host.protocol.on_request(request)

        host.handle(handler)

    def deliver_reply(self, replica: str, request: Request, outcome: Outcome) -> None:
        if outcome.type == "ok":
            self.witness.acknowledged(self.now_ns, replica, request, outcome.result)
        answer = self._answers.pop(request.token, None)
        if answer is not None:
            self.after(self._client_delay(), lambda: answer.settle(outcome))

    def call(self, replica: str, client: str, sequence: int, f: str, key: str = "x", value: Any = None) -> Outcome:
        """Send a request once and wait for its outcome, which must come within five seconds."""
        answer = self.ask(replica, client, sequence, f, key, value)
        assert self.run_until(lambda: answer.outcome is not None, 5.0), f"no answer of {replica} to {f} {key} {value}"
        assert answer.outcome is not None
        return answer.outcome
