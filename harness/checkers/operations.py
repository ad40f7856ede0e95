"""From events to operations: one interval for each thing that a client wanted.

An operation is open from its invocation to its completion. How two operations stand to each other in time is told by the
POSITIONS of their events in the history, not by their time stamps: the history is written under one lock, so that the
order of its lines is the order in which things happened, also where two stamps are equal. Time stamps are for people.
Where only intervals are known (`from_intervals`), equal stamps count as concurrent: whatever can be is allowed.

- `ok`: it happened, at one moment of its interval.
- `info`, or no completion at all: unknown. It may have happened at any moment since its invocation, or may yet, or never.
- `fail`: it certainly did not happen. Such operations are kept apart; only explanations look at them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.history import HARNESS, NEMESIS, BadHistory, Event

Outcome = Literal["ok", "info", "fail"]


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of one process. Treat it as read-only; two operations are equal only if they are the same one."""

    process: int | str
    f: str
    key: str
    value: Any
    result: Any
    type: Outcome
    call_ns: int
    """When it was invoked, nanoseconds since the run began."""
    return_ns: int | None
    """When it was completed; None for `info`."""
    replica: str | None
    index: int
    """Of its invocation, as the history numbers it."""
    began: int
    """The position of its invocation among all events: what order is judged by."""
    ended: int | None
    """The position of its completion; None for `info`: it is open for ever."""

    def as_json(self) -> dict[str, Any]:
        """As `harness.checkers.result.Finding` wants it."""
        return {
            "process": self.process,
            "f": self.f,
            "key": self.key,
            "value": self.value,
            "result": self.result,
            "type": self.type,
            "replica": self.replica,
            "call": self.call_ns,
            "return": self.return_ns,
            "index": self.index,
        }


@dataclass
class Record:
    """What the clients of a history did, in the order in which they began it."""

    operations: list[Operation] = field(default_factory=list)
    """Those that happened (`ok`) or may have (`info`)."""
    failed: list[Operation] = field(default_factory=list)
    """Those that certainly did not."""


def operations(events: Iterable[Event]) -> Record:
    """Pair invocations and completions. Events of the nemesis and of the harness are passed over.

    Raises `BadHistory`, with the position of the event, if a process completes what it never invoked or invokes while it
    has an operation open, if an event lacks something, or if time runs back.
    """
    record = Record()
    open_of: dict[Any, Operation] = {}
    failed: set[Operation] = set()
    began: list[Operation] = []
    last_time = 0
    for position, event in enumerate(events):
        process = event.get("process")
        if process in (NEMESIS, HARNESS):
            continue
        time = event.get("time", position)
        if not isinstance(time, int) or time < last_time:
            raise BadHistory(f"{_place(event, position)}: time {time!r} after {last_time}: time must not run back")
        last_time = time
        kind = event.get("type")
        if kind == "invoke":
            if process in open_of:
                raise BadHistory(
                    f"{_place(event, position)}: process {process} invokes while its operation of event "
                    f"{open_of[process].index} is open: a process has one operation open at a time"
                )
            operation = _invoked(event, position, time)
            open_of[process] = operation
            began.append(operation)
        elif kind in ("ok", "fail", "info"):
            found = open_of.pop(process, None)
            if found is None or found.f != event.get("f", found.f):
                raise BadHistory(
                    f"{_place(event, position)}: process {process} completes {event.get('f')!r}, which it did not invoke"
                )
            if kind == "fail":
                found.type = "fail"
                failed.add(found)
            _complete(found, event, position, time)
        else:
            raise BadHistory(f"{_place(event, position)}: type {kind!r} is none of invoke, ok, fail, info")
    for operation in began:
        (record.failed if operation in failed else record.operations).append(operation)
    return record


def _place(event: Event, position: int) -> str:
    return f"event {event.get('index', position)}"


def _invoked(event: Event, position: int, time: int) -> Operation:
    process, f = event.get("process"), event.get("f")
    if not isinstance(process, int | str) or isinstance(process, bool):
        raise BadHistory(f"{_place(event, position)}: process {process!r} is neither a number nor a name")
    if not isinstance(f, str):
        raise BadHistory(f"{_place(event, position)}: f {f!r} is not the name of a function")
    key = event.get("key", "")
    if type(key) is not str:
        key = json.dumps(key, sort_keys=True)
    value, replica, index = event.get("value"), event.get("replica"), event.get("index", position)
    if type(index) is int and index == position:
        position = index  # one object for both: of a million operations that is 30 MB
    # By position: for a million of them, names would cost half a second.
    return Operation(process, f, key, value, None, "info", time, None, replica, index, position, None)


def _complete(operation: Operation, event: Event, position: int, time: int) -> None:
    operation.replica = event.get("replica", operation.replica)
    if event["type"] == "info":
        return
    operation.return_ns = time
    operation.ended = position
    if event["type"] == "ok":
        operation.type = "ok"
        operation.result = event.get("result")


def from_intervals(intervals: Sequence[Operation]) -> list[Operation]:
    """The operations, with positions given by their times: equal times are concurrent (invocations come first).

    Sets `began`, `ended` and `index` of the operations that it is given, and returns them in order of invocation.
    Raises `BadHistory` for one that ends before it begins.
    """
    moments: list[tuple[int, int, int]] = []
    for number, operation in enumerate(intervals):
        moments.append((operation.call_ns, 0, number))
        if operation.return_ns is not None:
            if operation.return_ns < operation.call_ns:
                raise BadHistory(
                    f"operation {number} of process {operation.process} returns at {operation.return_ns}, before its "
                    f"invocation at {operation.call_ns}"
                )
            moments.append((operation.return_ns, 1, number))
    moments.sort()
    for position, (_, is_return, number) in enumerate(moments):
        operation = intervals[number]
        if is_return:
            operation.ended = position
        else:
            operation.began = operation.index = position
            operation.ended = None
    return sorted(intervals, key=lambda operation: operation.began)
