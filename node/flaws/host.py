"""Mistakes of the host: they break what a host owes to every protocol, and so they fit every one.

They are made between the protocol and its real host, so that they are the same in a container, in a local process and in
the simulator: a record that is held back here was never appended there, and is lost by a kill like any that waits for
its sync.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Sequence

from node.flaws import Flaw
from node.machine import Machine
from node.protocol import Io, Message, Outcome, ProtocolOptions, Record, Request

WRITE_AFTER_SECONDS = 0.05
RETRY_AFTER_SECONDS = 0.3
RETRIES_KEPT = 1_000
_WRITE = "flaw: write"
_RETRY = "flaw: retry"


class ForgetfulIo(Io):
    """A host whose journal keeps nothing, or not at once."""

    def __init__(self, real: Io, write_after_seconds: float | None) -> None:
        self.id = real.id
        self.peers = real.peers
        self.random: random.Random = real.random
        self._real = real
        self._write_after_seconds = write_after_seconds
        self._held_back: list[Callable[[], None]] = []

    def append(self, record: Record) -> None:
        record = copy.deepcopy(record)
        self._hold_back(lambda: self._real.append(record))

    def compact(self, records: Sequence[Record]) -> None:
        records = copy.deepcopy(list(records))
        self._hold_back(lambda: self._real.compact(records))

    def _hold_back(self, write: Callable[[], None]) -> None:
        if self._write_after_seconds is None:
            return
        if not self._held_back:
            self._real.set_timer(_WRITE, self._write_after_seconds)
        self._held_back.append(write)

    def write(self) -> None:
        """Write what was held back."""
        writes, self._held_back = self._held_back, []
        for write in writes:
            write()

    def now(self) -> float:
        return self._real.now()

    def send(self, peer: str, message: Message) -> None:
        self._real.send(peer, message)

    def reply(self, request: Request, outcome: Outcome) -> None:
        self._real.reply(request, outcome)

    def set_timer(self, name: str, seconds: float) -> None:
        self._real.set_timer(name, seconds)

    def cancel_timer(self, name: str) -> None:
        self._real.cancel_timer(name)

    def log(self, text: str) -> None:
        self._real.log(text)


class RepliesBeforeSync(Flaw):
    mistake = f"Messages and answers leave at once; the journal is written {WRITE_AFTER_SECONDS} s later."
    rule = "What a handler appended is durable before anything that it sent or answered leaves."
    shows_under = ("kill",)

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        self._journal = ForgetfulIo(io, WRITE_AFTER_SECONDS)
        super().__init__(self._journal, machine, options)

    def on_timer(self, name: str) -> None:
        if name == _WRITE:
            self._journal.write()
        else:
            super().on_timer(name)  # type: ignore[safe-super]


class SyncSkipped(Flaw):
    mistake = "The journal is never synced: a replica that was killed comes back with nothing."
    rule = "What was appended and synced is still there after a kill."
    shows_under = ("kill",)

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        super().__init__(ForgetfulIo(io, None), machine, options)


class HandledTwice(Flaw):
    mistake = "Every message of a peer is handled twice."
    rule = "A message is handled as often as it arrives."
    harmless = "links may repeat messages, so a protocol that is right survives it; one that isn't fails sooner"

    def on_message(self, sender: str, message: Message) -> None:
        twin = copy.deepcopy(message)
        super().on_message(sender, message)  # type: ignore[safe-super]
        super().on_message(sender, twin)  # type: ignore[safe-super]


class RetriedUnderNewName(Flaw):
    mistake = (
        f"The host hands over every request that may change something once more, {RETRY_AFTER_SECONDS} s later, "
        "as if another client had sent it."
    )
    rule = "A request that is sent again keeps the id that its client gave it."

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        super().__init__(io, machine, options)
        self._retries: deque[tuple[float, Request]] = deque(maxlen=RETRIES_KEPT)
        """When each is due, and what it is."""

    def on_request(self, request: Request) -> None:
        super().on_request(request)  # type: ignore[safe-super]
        if request.operation["f"] not in self.machine.queries:
            if not self._retries:
                self.io.set_timer(_RETRY, RETRY_AFTER_SECONDS)
            again = Request(f"{request.client}'", request.sequence, request.operation, request.token)
            self._retries.append((self.io.now() + RETRY_AFTER_SECONDS, again))

    def on_timer(self, name: str) -> None:
        if name != _RETRY:
            super().on_timer(name)  # type: ignore[safe-super]
            return
        super().on_request(self._retries.popleft()[1])  # type: ignore[safe-super]
        if self._retries:
            self.io.set_timer(_RETRY, max(0.0, self._retries[0][0] - self.io.now()))
