"""CSV with named columns; comma, semicolon or tab between them.

One operation a row: `call` and `return` are its times, `return` is empty if it never came back; `f`, `value`, `result`,
and, where they are needed, `key`, `process`, `type` (ok, fail or info) and `replica`. Rows may stand in any order.

One event a row: `process`, `type` (invoke, ok, fail or info), `f`, `value`, `result`, and perhaps `key`, `time`, `error` and
`replica`, in the order in which things happened. Without a column `result`, what came back is the completion's `value`.

Cells are JSON; what isn't is a string, and an empty one is null. Keys are strings. Times are seconds, with as many
decimals as you like, unless the column says otherwise: `call_ns`, `return_ms`, `time_us`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from harness.checkers.operations import Operation
from harness.formats.jepsen import Results
from harness.formats.lines import LATEST_NS, BadLine, in_seconds, numbered_lines, parse_json
from harness.history import NEMESIS, Event

_UNITS = {"": 10**9, "_seconds": 10**9, "_s": 10**9, "_ms": 10**6, "_us": 10**3, "_ns": 1}
_TIMES = ("call", "return", "time")
_COLUMNS = ("process", "type", "f", "key", "value", "result", "replica", "error", "index", "attempts")
_Row = dict[str, str]


def read_csv(path: Path) -> Iterator[tuple[int, Event | Operation]]:
    """The events, or the operations, of a table."""
    rows = csv.reader(_texts(path), delimiter=_delimiter(path), strict=True)
    units: dict[str, int] = {}
    columns: list[str] = []
    results = Results()
    try:
        for cells in rows:
            if not any(cells):
                continue
            if not columns:
                columns = _columns(cells, units)
                continue
            if len(cells) != len(columns):
                raise BadLine(rows.line_num, f"{len(cells)} cells, but the table has {len(columns)} columns")
            row = dict(zip(columns, cells, strict=True))
            if "call" in row:
                yield rows.line_num, _operation(row, units, rows.line_num)
            else:
                event = _event(row, units, rows.line_num)
                settled = "result" in row or event["process"] == NEMESIS
                yield rows.line_num, event if settled else results.settle(event)
    except csv.Error as error:
        raise BadLine(rows.line_num, f"not CSV ({error})") from error


def _texts(path: Path) -> Iterator[str]:
    for _, line in numbered_lines(path):
        yield line


def _delimiter(path: Path) -> str:
    header = next((line for line in _texts(path) if line.strip()), "")
    return max(",;\t", key=header.count)


def _columns(cells: Sequence[str], units: dict[str, int]) -> list[str]:
    """The names of the columns, times without their units."""
    names = []
    for cell in cells:
        name = cell.strip().lower()
        for time in _TIMES:
            unit = name.removeprefix(time)
            if name.startswith(time) and unit in _UNITS:
                name, units[time] = time, _UNITS[unit]
        names.append(name)
    wanted = ("f", "call", "return") if "call" in names or "return" in names else ("process", "type", "f")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise BadLine(1, f"no column {' and no column '.join(missing)}: the columns are {', '.join(names)[:200]}")
    unknown = [name for name in names if name not in _COLUMNS + _TIMES]
    if unknown:
        raise BadLine(1, f"the column {unknown[0][:40]!r} is none of {', '.join((*_COLUMNS, *_TIMES))}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadLine(1, f"two columns are called {twice[0]}")
    return names


def _event(row: _Row, units: dict[str, int], line: int) -> Event:
    event: Event = {
        "process": cell_value(row["process"]),
        "type": row["type"].strip(),
        "f": row["f"].strip(),
        "value": cell_value(row.get("value", "")),
    }
    if row.get("time", "").strip():
        event["time"] = _nanoseconds(row["time"], units["time"], line, "time")
    if row.get("result"):
        event["result"] = cell_value(row["result"])
    for name in ("key", "replica", "error"):
        if row.get(name):
            event[name] = row[name]
    return event


def _operation(row: _Row, units: dict[str, int], line: int) -> Operation:
    """One row. Who doesn't name processes has one for each row."""
    returned = row["return"].strip()
    kind = row.get("type", "").strip() or ("ok" if returned else "info")
    if kind not in ("ok", "info", "fail"):
        raise BadLine(line, f"type {kind!r} is none of ok, fail, info")
    if kind == "ok" and not returned:
        raise BadLine(line, "an operation that is ok returned, but the time of its return is missing")
    process = cell_value(row["process"]) if row.get("process") else f"row {line}"
    return interval(
        line=line,
        process=process,
        f=row["f"].strip(),
        key=row.get("key", ""),
        value=cell_value(row.get("value", "")),
        result=cell_value(row.get("result", "")),
        type=kind,
        call=_nanoseconds(row["call"], units["call"], line, "call"),
        returned=_nanoseconds(returned, units["return"], line, "return") if returned else None,
        replica=row.get("replica") or None,
    )


def interval(
    *,
    line: int,
    process: Any,
    f: Any,
    key: str,
    value: Any,
    result: Any,
    type: Any,
    call: int,
    returned: int | None,
    replica: str | None,
) -> Operation:
    """An operation by its times, in nanoseconds; raises `BadLine` if it can't be one."""
    if not isinstance(process, int | str) or isinstance(process, bool):
        raise BadLine(line, f"process {process!r} is neither a number nor a name")
    if not isinstance(f, str) or not f:
        raise BadLine(line, f"f {f!r} is not the name of a function")
    if call < 0:
        raise BadLine(line, f"the time of the call, {in_seconds(call)}, is negative")
    if returned is not None and returned < call:
        raise BadLine(line, f"the operation returns at {in_seconds(returned)}, before its call at {in_seconds(call)}")
    if max(call, returned or 0) > LATEST_NS:
        raise BadLine(line, f"the time {in_seconds(max(call, returned or 0))} is too late to be one")
    if type != "ok":
        result = None
    return Operation(
        process, f, key, value, result, type, call, returned if type != "info" else None, replica, 0, 0, None
    )


def cell_value(text: str) -> Any:
    """The JSON value of a cell; a string if it is none, null if it is empty."""
    if not text:
        return None
    try:
        return parse_json(text)
    except ValueError:
        return text


def _nanoseconds(text: str, unit: int, line: int, column: str) -> int:
    try:
        return round(Decimal(text.strip()) * unit)
    except (InvalidOperation, OverflowError, ValueError):
        raise BadLine(line, f"{column} {text[:40]!r} is not a time") from None


def cell_text(value: Any) -> str:
    """The cell that `cell_value` reads as this value."""
    if value is None:
        return ""
    if isinstance(value, str) and value and cell_value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def write_rows(events: Iterable[Event], file: Any) -> None:
    """One event a row."""
    names = ("time", "process", "type", "f", "key", "value", "result", "replica", "error")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("time_ns", *names[1:]))
    for event in events:
        row = [event.get(name) for name in names]
        table.writerow(
            [cell if name in ("key", "replica") else cell_text(cell) for name, cell in zip(names, row, strict=True)]
        )
