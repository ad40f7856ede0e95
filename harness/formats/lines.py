"""Lines of text files that may be anything: too long, not text, cut short."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from harness.history import BadHistory

LONGEST_LINE = 16 * 2**20
"""Characters. A file without line breaks must not end up in memory as one line."""

DEEPEST = 100
"""Brackets in brackets. Values that are nested deeper would end in the middle of a check, where Python's stack ends."""

LATEST_NS = 10**30
"""No time is later: it is more than nanoseconds since 1970 come to that are taken for seconds by mistake."""


class BadLine(BadHistory):
    """What is wrong with a file, and in which line (counted from 1)."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def open_text(path: Path) -> TextIO:
    """UTF-8, with or without a mark at its beginning; bytes that aren't text don't stop the reading."""
    return path.open(encoding="utf-8-sig", errors="replace")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number, line break included. Raises `BadLine` for one that is too long."""
    with open_text(path) as file:
        number = 1
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise BadLine(number, f"the line is longer than {LONGEST_LINE // 2**20} MB: this is no history")
            yield number, line
            number += 1


def parse_json(text: str) -> Any:
    """A JSON value. Raises `ValueError` if it is none, or nested too deeply; NaN and Infinity are none."""
    try:
        if text[:1] in _BLANKS:
            text = text.strip(_BLANKS)
        value, end = _DECODER.raw_decode(text)  # `decode` takes a third as long again, for blanks
        if text[end:].strip(_BLANKS):
            value = _DECODER.decode(text)  # which says what is wrong
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def in_seconds(nanoseconds: int) -> str:
    """`1.5 s`, also of numbers that no float can hold."""
    return f"{Decimal(nanoseconds) / 10**9:.12g} s"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_BLANKS = " \t\n\r"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [part for parts in inside for part in parts]
    return bool(level)
