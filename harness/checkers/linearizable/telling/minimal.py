"""Leaving out whatever can be left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.checkers.linearizable.budget import Stopped

_T = TypeVar("_T")


def minimal(
    things: list[_T], closed: Callable[[list[_T]], list[_T]], fails: Callable[[list[_T]], bool]
) -> tuple[list[_T], bool]:
    """Leave out what can be left out, first in large pieces, then one by one, while the closed rest still fails.

    What comes first is tried first. Returns what is left and whether it is minimal: it isn't if the budget ran out.
    """
    kept = things
    size = max(1, len(kept) // 2)
    try:
        while True:
            start, shrunk = 0, False
            while start < len(kept):
                trial = closed(kept[:start] + kept[start + size :])
                if fails(trial):
                    kept, shrunk = trial, True
                else:
                    start += size
            if size == 1 and not shrunk:
                return kept, True
            if not shrunk or size > len(kept):
                size = max(1, min(size, len(kept)) // 2)
    except Stopped:
        return kept, False
