"""Histories that a program holds as plain lists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from harness.checkers.operations import Operation, Record, operations
from harness.errors import BadInput
from harness.formats.lines import BadLine
from harness.formats.source import Clock, record_of
from harness.formats.table import interval
from harness.history import BadHistory, Event
from harness.models.values import canonical, show

_OF_AN_OPERATION = ("process", "f", "key", "value", "result", "type", "call", "return", "replica")
_NANOSECONDS = 1_000_000_000


def record_from(items: Iterable[Mapping[str, Any] | Operation]) -> Record:
    """The record of operations, or of events in the order in which they happened.

    An operation is a mapping with `f`, `call` and `return` (seconds, as `time.monotonic()` gives them; `return` is None or
    left out if nothing came back), and, where they matter, `value`, `result`, `key`, `process` (left out: a process
    of its own), `type` (`ok`, `info` or `fail`) and `replica`. An event is as `harness.history` describes it.
    Raises `BadInput` if they are neither.
    """
    rest = iter(items)
    first = next(rest, None)
    if first is None:
        return Record()
    given = chain([first], rest)
    try:
        if isinstance(first, Operation) or _is_operation(_mapping(first, 0)):
            return record_of([_operation(item, number) for number, item in enumerate(given)], lambda number: number)
        return operations(_events(given))
    except BadLine as problem:
        raise BadInput(f"operation {problem.line} of the history: {problem}") from problem
    except BadHistory as problem:
        raise BadInput(f"not a history that can be judged: {problem}") from problem


def _mapping(item: object, number: int) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise BadLine(
            number, f"{item!r:.80} is not a mapping such as {{'f': 'read', 'call': 1, 'return': 2, 'result': 7}}"
        )
    return item


def _is_operation(item: Mapping[str, Any]) -> bool:
    """Or else it is an event, which has a type; who forgot the `call` of an operation is told so."""
    return "call" in item or "return" in item or "type" not in item


def _operation(item: Mapping[str, Any] | Operation, number: int) -> Operation:
    if isinstance(item, Operation):
        return item
    item = _mapping(item, number)
    for name in item:
        if name not in _OF_AN_OPERATION:
            raise BadLine(number, f"it has {name!r}, which is none of {', '.join(_OF_AN_OPERATION)}")
    if "call" not in item:
        raise BadLine(
            number, "it has no `call`, the time at which it was sent (an event would have a `type`, and no `return`)"
        )
    returned = item.get("return")
    kind = item.get("type", "info" if returned is None else "ok")
    if kind not in ("ok", "info", "fail") or (kind == "ok" and returned is None):
        raise BadLine(number, f"its type is {kind!r}: it must be ok (with a return), info or fail")
    return interval(
        line=number,
        process=item.get("process", f"operation {number}"),
        f=item.get("f"),
        key=_key(item.get("key", "")),
        value=_json(item.get("value"), number),
        result=_json(item.get("result"), number),
        type=kind,
        call=_time(item.get("call"), "call", number),
        returned=None if returned is None else _time(returned, "return", number),
        replica=item.get("replica"),
    )


def _events(items: Iterable[Mapping[str, Any] | Operation]) -> Iterator[Event]:
    clock = Clock(strict=True)
    for number, item in enumerate(items):
        event = dict(_mapping(item, number))
        _json(event.get("value"), number)
        _json(event.get("result"), number)
        yield clock.stamp(event, number)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else show(key, limit=1 << 20)


def _json(value: Any, number: int) -> Any:
    try:
        canonical(value)
    except TypeError as error:
        raise BadLine(number, f"{error}: use None, bool, int, float, str, list and dict") from error
    except RecursionError as error:
        raise BadLine(number, "its value or result is nested too deeply") from error
    return value


def _time(time: Any, name: str, number: int) -> int:
    if not isinstance(time, int | float) or isinstance(time, bool) or not math.isfinite(time * _NANOSECONDS):
        raise BadLine(number, f"its {name} is {time!r}, not a number of seconds such as time.monotonic() gives")
    return round(time * _NANOSECONDS)
