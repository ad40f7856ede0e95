"""The picture of a finding for a terminal: its operations as bars, one below the other.

The axis keeps the ORDER of the moments, not their distances: a stale read a minute after the write that it missed would
else be two dots. Every moment has its column, so whatever overlaps in the picture overlapped in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.formats.jepsen import ASKING
from harness.models.values import show

_WIDEST_AXIS = 48
_WIDEST_STEP = 6
_WIDEST_LABEL = 36


def bars(operations: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each operation of a finding (see `harness.checkers.result.Finding`), without its replica.

    `|---|` was open from its call to its return; `|----` never came back.
    """
    times = {operation["call"] for operation in operations} | {operation["return"] for operation in operations}
    moments = sorted(times - {None})
    step = max(1, min(_WIDEST_STEP, _WIDEST_AXIS // max(1, len(moments))))
    # An operation that returns at the moment of its call still has two ends.
    column = {moment: number * step for number, moment in enumerate(moments)}
    end = len(moments) * step + 1
    labels = [_label(operation) for operation in operations]
    width = max(map(len, labels), default=0)
    return [
        f"{label:<{width}}  {_bar(operation, column, end):<{end + 1}}  {span(operation)}"
        for label, operation in zip(labels, operations, strict=True)
    ]


def _bar(operation: Mapping[str, Any], column: Mapping[int, int], end: int) -> str:
    begin = column[operation["call"]]
    if operation["return"] is None:
        return f"{' ' * begin}|{'-' * (end - begin)}"
    return f"{' ' * begin}|{'-' * (column[operation['return']] - begin - 1)}|"


def _label(operation: Mapping[str, Any]) -> str:
    process = operation["process"]
    text = f"{f'p{process}' if isinstance(process, int) else process} {asked_and_answered(operation)}"
    return text if len(text) <= _WIDEST_LABEL else f"{text[: _WIDEST_LABEL - 3]}..."


def asked_and_answered(operation: Mapping[str, Any]) -> str:
    """`cas x [1, 2] -> true`."""
    words = [operation["f"], operation.get("key") or ""]
    words += [show(operation["value"])] if operation.get("value") is not None else []
    if operation["type"] == "ok" and (operation.get("result") is not None or operation["f"] in ASKING):
        words += ["->", show(operation.get("result"))]
    return " ".join(filter(None, words))


def span(operation: Mapping[str, Any]) -> str:
    """`12.410 - 12.431 s`, or `12.410 - never`."""
    end = operation["return"]
    return f"{operation['call'] / 1e9:.3f} - {'never' if end is None else f'{end / 1e9:.3f} s'}"
