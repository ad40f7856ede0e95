"""The history: what every client saw and what the nemesis did, one event a line, in the order they happened.

The file `history.jsonl` is appended to as events happen, so that a crash of the harness loses nothing. An event of a client::

    {"index": 0, "time": 123456789, "type": "invoke", "process": 3, "f": "write", "key": "k0.0", "value": 17, "replica": "n2"}
    {"index": 1, "time": 125456789, "type": "ok", "process": 3, "f": "write", "key": "k0.0", "value": 17, "replica": "n2"}

`time` is monotonic nanoseconds since the run began. `type` is `invoke`, then `ok` (it happened), `fail` (it certainly did
not) or `info` (unknown: it may take effect at any later time). `f`, `key` and `value` are the workload's, and the same in
both events; an `ok` carries the `result` where the function has one: what a read saw, whether a cas (its value is
`[from, to]`) was carried out; `fail` and `info` carry an `error`. `replica` is whom the process asked (last); a completion
carries `attempts`, how often the operation was sent, where that is more than once.

An event of the nemesis has the process `nemesis`; `f` is `inject` or `heal`, and one `number` ties both and their
completions together::

    {"index": 7, "time": 1, "type": "invoke", "process": "nemesis", "f": "inject", "fault": "partition", "number": 2}
    {"index": 8, "time": 2, "type": "ok", "process": "nemesis", "f": "inject", "fault": "partition", "number": 2,
     "targets": ["n1", "n4"], "roles": {"n1": "leader"}, "description": "halves: n1 n4 | n2 n3 n5, drop",
     "links": ["n1->n2"], "evidence": {"effective": true, "detail": "...", "measurements": []}}

Between `invoke` and completion the fault comes into effect; `applied` in the completion is the time at which it was
complete, before its evidence was measured. The completion is `ok` if the evidence proves the effect, `info` if nothing
could be measured or it was ineffective, `fail` if injecting or healing itself failed, with an `error`.

Other events (`"process": "harness"`) are notes of the harness: `f` is `note`, `value` the text and `replica` whom it
concerns, if any: a replica that died on its own, the end of the clients' work, the beginning of the final reads.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Event = dict[str, Any]

NEMESIS = "nemesis"
HARNESS = "harness"
WORK_OVER = "the clients' work is over"
FINAL_READS = "the final reads begin"
"""The note after which nothing follows from the plan of the workload any more."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class History:
    """The record of one run, written as it grows. Safe to use from many threads; index order is time order.

    `begin()` starts the clock. Every event is in the file (not merely in a buffer of this process) when `append` returns.
    The file must not exist yet: a history is never written over, or mixed with another one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: str | None = None
        """Why events can't be recorded any more (the disk is full), as one sentence; None while all is well."""
        self._lock = threading.Lock()
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0
        self._count = 0
        self._began = time.monotonic_ns()

    def begin(self) -> None:
        self._began = time.monotonic_ns()

    def now(self) -> int:
        """Nanoseconds since the run began."""
        return time.monotonic_ns() - self._began

    def append(self, event: Event) -> Event:
        """Stamp the event with index and time and write it; returns the stamped event.

        An event after `close`, or one that can't be written (see `error`), is not recorded and comes back without
        stamps. Whoever is about to act on an invocation must not, then: a history that leaves out what was done is worse
        than one that ends early.
        """
        body = _encode(event)[1:]  # outside the lock: other threads needn't wait for it
        with self._lock:
            if self._file is None:
                return event
            index, now = self._count, self.now()
            try:
                self._write(self._file, f'{{"index":{index},"time":{now},{body}\n'.encode())
            except OSError as error:
                self._give_up(self._file, error)
                return event
            self._count += 1
        return {"index": index, "time": now, **event}

    def note(self, text: str, replica: str | None = None) -> Event:
        """Append a note of the harness."""
        event: Event = {"type": "info", "process": HARNESS, "f": "note", "value": text}
        if replica is not None:
            event["replica"] = replica
        return self.append(event)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Nothing is recorded from now on. Idempotent."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _write(self, file: int, line: bytes) -> None:
        written = 0
        while written < len(line):  # a disk that is nearly full takes a part of a line
            written += os.write(file, line[written:])
        self._size += len(line)

    def _give_up(self, file: int, error: OSError) -> None:
        """Leave whole lines only, and say why no more will come."""
        self.error = f"cannot write {self.path} ({error.strerror}): free some space, then run again"
        with suppress(OSError):
            os.ftruncate(file, self._size)
        os.close(file)
        self._file = None


class BadHistory(ValueError):
    """A history file that can't be read; the message is one sentence with file and line."""


def read_history(path: Path) -> Iterator[Event]:
    """The events of a `history.jsonl`, in order. A torn last line (the harness was killed) is left out.

    Raises `BadHistory` for any other line that is not a JSON object.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except ValueError as error:
                if not line.endswith("\n"):
                    return
                raise BadHistory(f"{path}:{number}: not JSON ({error}): mend or remove the line") from error
            except RecursionError as error:
                raise BadHistory(f"{path}:{number}: nested too deeply: mend or remove the line") from error
            if not isinstance(event, dict):
                raise BadHistory(f"{path}:{number}: not a JSON object: every line is one event")
            yield event
