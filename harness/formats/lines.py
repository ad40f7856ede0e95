"""Lines of text files that may be anything: too long, not text, cut short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness.history import BadHistory

LONGEST_LINE = 16 * 2**20
"""Characters. A file without line breaks must not end up in memory as one line."""


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
