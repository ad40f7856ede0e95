"""The history: what every client saw and what the nemesis did, one event a line, in the order they happened.

The file `history.jsonl` is appended to as events happen, so that a crash of the harness loses nothing. An event of a client::

    {"index": 0, "time": 123456789, "type": "invoke", "process": 3, "f": "write", "key": "k0.0", "value": 17, "replica": "n2"}
    {"index": 1, "time": 125456789, "type": "ok", "process": 3, "f": "write", "key": "k0.0", "value": 17, "replica": "n2"}

`time` is monotonic nanoseconds since the run began. `type` is `invoke`, then `ok` (it happened), `fail` (it certainly did
not) or `info` (unknown: it may take effect at any later time). `f`, `key` and `value` are the workload's, and the same in
both events; an `ok` carries the `result` where the function has one: what a read saw, whether a cas (its value is
`[from, to]`) was carried out; `fail` and `info` carry an `error`. `replica` is whom the process asked (last).

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
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

NEMESIS = "nemesis"
HARNESS = "harness"


class History:
    """The record of one run, written as it grows. Safe to use from many threads; index order is time order.

    `begin()` starts the clock. Every event is in the file (not merely in a buffer of this process) when `append` returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._count = 0
        self._began = time.monotonic_ns()
        self._closed = False

    def begin(self) -> None:
        self._began = time.monotonic_ns()

    def now(self) -> int:
        """Nanoseconds since the run began."""
        return time.monotonic_ns() - self._began

    def append(self, event: Event) -> Event:
        """Stamp the event with index and time and write it; returns the stamped event.

        An event after `close` is not recorded and comes back without stamps: the run is over, and nobody looks.
        """
        with self._lock:
            if self._closed:
                return event
            stamped = {"index": self._count, "time": self.now(), **event}
            self._file.write(json.dumps(stamped, separators=(",", ":"), ensure_ascii=False) + "\n")
            self._count += 1
            return stamped

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._file.close()


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
            if not isinstance(event, dict):
                raise BadHistory(f"{path}:{number}: not a JSON object: every line is one event")
            yield event
