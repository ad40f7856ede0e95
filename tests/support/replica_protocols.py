"""Small protocols for tests of the host, named as `tests.support.replica_protocols:Keeper`, and what they run in."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.clock import SkewableClock
from node.journal import Journal
from node.links import LinkCounters
from node.machine import Operation
from node.machines.kv import KeyValue
from node.protocol import Message, Outcome, Protocol, Record, Request, Status
from node.runtime import Runtime


class Plain(Protocol):
    """Does nothing: a base for the others, and a replica that never answers."""

    name = "plain"
    promises = "nothing"

    def recover(self, records: Sequence[Record]) -> None:
        self.recovered = list(records)

    def on_request(self, request: Request) -> None: ...

    def on_message(self, sender: str, message: Message) -> None: ...

    def on_timer(self, name: str) -> None: ...

    def status(self) -> Status:
        return Status(
            role="replica",
            leader=None,
            term=None,
            log_index=len(self.recovered),
            commit_index=len(self.recovered),
            digest=self.machine.digest(),
            details={"recovered": self.recovered, "chance": self.io.random.random()},
        )


class Keeper(Plain):
    """A service of one replica: what it has answered survives a kill. A write to `broken` makes its handler raise."""

    def recover(self, records: Sequence[Record]) -> None:
        super().recover(records)
        for record in records:
            self.machine.install(record["effect"])

    def on_request(self, request: Request) -> None:
        if request.operation["key"] == "broken":
            raise RuntimeError("this handler is broken")
        executed = self.machine.execute(request.operation)
        if executed.effect is not None:
            self.io.append({"effect": executed.effect})
            self.machine.install(executed.effect)
        self.io.reply(request, Outcome.ok(executed.result))


class Hanging(Keeper):
    """Like `Keeper`, but the handler of a write to `hang` never ends, so that what it appended is never synced."""

    def on_request(self, request: Request) -> None:
        super().on_request(request)
        while request.operation["key"] == "hang":
            time.sleep(0.1)


class Gossip(Keeper):
    """Tells its peers of every write, and believes what they tell."""

    def on_request(self, request: Request) -> None:
        super().on_request(request)
        if request.operation["f"] == "write":
            for peer in self.io.peers:
                self.io.send(
                    peer, {"type": "heard", "key": request.operation["key"], "value": request.operation["value"]}
                )

    def on_message(self, sender: str, message: Message) -> None:
        self.machine.install([message["key"], message["value"]])


class Script(Plain):
    """What a test wants: the handlers call functions that the test sets, and note what they were called with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[Any] = []
        self.on_each = lambda event: None

    def on_request(self, request: Request) -> None:
        self._see(request)

    def on_message(self, sender: str, message: Message) -> None:
        self._see((sender, message))

    def on_timer(self, name: str) -> None:
        self._see(name)

    def _see(self, event: Any) -> None:
        self.seen.append(event)
        self.on_each(event)


class FakeLink:
    """Remembers what was sent instead of sending it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def start(self) -> None: ...

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def counters(self) -> LinkCounters:
        return LinkCounters(sent=len(self.sent), delivered=0, dropped=0, queued=len(self.sent))

    def close(self) -> None:
        self.closed = True


class FakeTime:
    """A source of true time that a test moves."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class GatedJournal(Journal):
    """A journal whose sync waits until the test opens the gate, and then fails if the test says so."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    def sync(self) -> None:
        self.entered.set()
        assert self.gate.wait(20), "the test never opened the gate"
        if self.failure:
            raise self.failure
        super().sync()


class Stage:
    """A runtime with everything around it that a test may want to look at or change."""

    def __init__(self, folder: Path, protocol: type[Protocol] = Script, **limits: int) -> None:
        self.journal = GatedJournal.create(folder / "journal")
        self.links = {"n2": FakeLink(), "n3": FakeLink()}
        self.clock = SkewableClock()
        self.crashes: list[tuple[int, str]] = []
        self.runtime = Runtime(
            "n1",
            protocol,
            protocol.Options(),
            KeyValue(),
            journal=self.journal,
            links=self.links,
            clock=self.clock,
            seeded=random.Random(1),
            crash=lambda code, sentence: self.crashes.append((code, sentence)),
            **limits,
        )
        self.protocol: Any = self.runtime._protocol

    def __enter__(self) -> Stage:
        self.runtime.start([])
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.gate.set()
        self.runtime.stop()


def write(key: str, value: Any) -> Operation:
    return Operation(f="write", key=key, value=value)


def read(key: str) -> Operation:
    return Operation(f="read", key=key, value=None)
