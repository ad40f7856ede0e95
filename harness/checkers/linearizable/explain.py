"""How operations are told in a sentence: who, what, on which replica, and when.

Times in sentences are chosen so that they carry the argument: an operation that came too late is given the time at which it
BEGAN, one that had been there before the time BY which it had returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.checkers.anomalies import Anomaly
from harness.checkers.operations import Operation
from harness.models.values import show


@dataclass(frozen=True)
class Story:
    anomaly: Anomaly
    sentence: str


def who(operation: Operation) -> str:
    """`p7`; a process that has a name is called by it."""
    return f"p{operation.process}" if isinstance(operation.process, int) else operation.process


def asked(operation: Operation) -> str:
    """` (n3)`: the replica that answered, or was asked last."""
    return f" ({operation.replica})" if operation.replica else ""


def what(operation: Operation) -> str:
    """`p2's write of 18 (n1)`: the operation as a thing."""
    return f"{who(operation)}'s {_name(operation)}{asked(operation)}"


def _name(operation: Operation) -> str:
    if operation.f == "cas":
        return f"cas {change(operation)}"
    if operation.value is None:
        return operation.f
    return f"{operation.f} of {show(operation.value)}"


def change(operation: Operation) -> str:
    return f"{show(operation.value[0])} -> {show(operation.value[1])}"


def did(operation: Operation) -> str:
    """`p2 wrote 18 (n1)`, `p7 read 17 (n3)`: what happened, as its client was told."""
    return f"{who(operation)} {_deed(operation)}{asked(operation)}"


_PAST = {
    "write": "wrote",
    "put": "put",
    "append": "appended",
    "enqueue": "enqueued",
    "push": "pushed",
    "add": "added",
    "remove": "removed",
}
_TAKEN = {"read": "read", "get": "read", "dequeue": "dequeued", "pop": "popped"}


def _deed(operation: Operation) -> str:
    f, value, result = operation.f, operation.value, operation.result
    if f == "cas":
        if result is False:
            return f"was refused its cas {change(operation)}"
        return f"replaced {change(operation)} by cas"
    if f in ("dequeue", "pop") and result is None and operation.type == "ok":
        return "found nothing to " + f
    if f in _TAKEN and value is None and operation.type == "ok":
        return f"{_TAKEN[f]} {seen(result)}"
    if f == "delete":
        return "deleted it" if result is not False else "found nothing to delete"
    if f == "acquire":
        if operation.type != "ok":
            return "asked for the lock"
        if result is False:
            return "was refused the lock"
        return "was given the lock" + ("" if result in (None, True) else f" with the token {show(result)}")
    if f == "release":
        return "was refused its release" if result is False else "released the lock"
    if f == "contains" and operation.type == "ok":
        return f"{'found' if result else 'did not find'} {show(value)}"
    if f in _PAST and value is not None:
        extra = "" if result is None or operation.type != "ok" else f", which returned {show(result)}"
        return f"{_PAST[f]} {show(value)}{extra}"
    asked_for = f if value is None else f"{f} of {show(value)}"
    if operation.type != "ok":
        return f"asked for {asked_for}"
    return f"was answered {show(result)} to {asked_for}"


def seen(value: Any) -> str:
    """What was read; of what is long, the end is kept: there it differs."""
    text = show(value, 10**9)
    return text if len(text) <= _LONGEST else f"{text[:12]}...{text[-(_LONGEST - 15) :]}"


_LONGEST = 60


def seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3f} s"


def called(operation: Operation) -> str:
    return seconds(operation.call_ns)


def returned(operation: Operation) -> str:
    return "an unknown time" if operation.return_ns is None else seconds(operation.return_ns)


def span(operation: Operation) -> str:
    """`1.000 s to 2.000 s`, or `from 1.000 s, outcome unknown`."""
    return (
        f"from {called(operation)}, outcome unknown"
        if operation.return_ns is None
        else (f"{called(operation)} to {returned(operation)}")
    )
