"""The operations of a history as a report shows them: all of them, failed and unfinished ones too.

The checkers have their own, stricter reading; this one never refuses a history, since the picture of a history that breaks
the rules is what shows how it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.history import HARNESS, NEMESIS, Event
from harness.report.text import number, plain_text, value_text, whole

OUTCOMES = ("ok", "fail", "info")


@dataclass(frozen=True)
class Operation:
    """One operation of one process. Times are nanoseconds since the run began, values are already text."""

    process: str
    f: str
    key: str | None
    outcome: str
    """`ok`, `fail` or `info`; an operation that never completed is `info`."""
    call: int
    returned: int | None
    """When its completion was recorded; None if it never was."""
    value: str | None
    result: str | None
    """None if there is no result; the text `null` if the result is null."""
    error: str | None
    replica: str | None
    index: int | None
    """That of its invocation in the history."""

    @property
    def label(self) -> str:
        """`write 17`, `read → 17`."""
        text = self.f if self.value is None else f"{self.f} {self.value}"
        return text if self.result is None else f"{text} → {self.result}"


def read_operations(events: Iterable[Event]) -> list[Operation]:
    """The clients' operations in order of their calls; events that can't be placed are left out."""
    opened: dict[str, Event] = {}
    operations: list[Operation] = []
    for event in events:
        process = event.get("process")
        if process in (NEMESIS, HARNESS) or not isinstance(process, int | str) or whole(event.get("time")) is None:
            continue
        name = plain_text(process, 40)
        before = opened.pop(name, None)
        if event.get("type") == "invoke":
            if before is not None:
                operations.append(_operation(name, before, None))
            opened[name] = event
        elif before is not None and event.get("type") in OUTCOMES:
            operations.append(_operation(name, before, event))
    operations.extend(_operation(name, event, None) for name, event in opened.items())
    return sorted(operations, key=lambda operation: operation.call)


def from_finding(described: dict[str, Any]) -> Operation:
    """An operation as a finding describes it."""
    outcome = described.get("type")
    result = described.get("result")
    return Operation(
        process=plain_text(described.get("process"), 40),
        f=plain_text(described.get("f"), 60),
        key=_optional(described.get("key"), 200),
        outcome=outcome if outcome in OUTCOMES else "info",
        call=whole(described.get("call")) or 0,
        returned=whole(described.get("return")),
        value=_value(described.get("value")),
        result=value_text(result) if result is not None or _reads(described) else None,
        error=_optional(described.get("error"), 300),
        replica=_optional(described.get("replica"), 40),
        index=whole(described.get("index")),
    )


def _reads(described: dict[str, Any]) -> bool:
    # A finding always names `result`: null is a result only of an operation that took no value and surely happened.
    return described.get("type") == "ok" and described.get("value") is None


def _operation(process: str, invoked: Event, completed: Event | None) -> Operation:
    last = completed or {}
    return Operation(
        process=process,
        f=plain_text(invoked.get("f"), 60),
        key=_optional(invoked.get("key"), 200),
        outcome=last.get("type", "info"),
        call=whole(invoked.get("time")) or 0,
        returned=whole(last.get("time")),
        value=_value(invoked.get("value")),
        result=value_text(last["result"]) if "result" in last else None,
        error=_optional(last.get("error"), 300),
        replica=_optional(last.get("replica", invoked.get("replica")), 40),
        index=whole(invoked.get("index")),
    )


def _value(value: Any) -> str | None:
    return None if value is None else value_text(value)


def _optional(value: Any, limit: int) -> str | None:
    return None if value is None else plain_text(value, limit)


def last_time(events: Iterable[Event]) -> int:
    """The latest time in the history, in nanoseconds; 0 if it is empty."""
    return int(max((found for event in events if (found := number(event.get("time"))) is not None), default=0))
