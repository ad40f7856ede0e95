"""Leaving things out: delta debugging, after Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
2002."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def minimize(items: Sequence[Item], still: Callable[[list[Item]], bool]) -> list[Item]:
    """A part of the items, in their order, for which `still` holds, and of which no single one can be left out.

    `still` holds for all of them, which isn't asked again. Larger parts are tried first, the last items before the first:
    what comes late in a run explains less. `still` may say False because time is up; then it is a part that could perhaps
    be smaller.
    """
    kept = list(items)
    if kept and still([]):
        return []
    size = max(1, len(kept) // 2)
    while kept:
        removed = False
        end = len(kept)
        while end > 0:
            begin = max(0, end - size)
            fewer = kept[:begin] + kept[end:]
            if fewer and still(fewer):
                kept, removed = fewer, True
            end = begin
        if size == 1 and not removed:
            return kept
        size = size if removed and size == 1 else max(1, size // 2)
    return kept
