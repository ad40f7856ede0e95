"""How many random histories a test compares with brute force: few, unless `RASHOMON_SOUNDNESS` asks for more.

`make test-soundness` sets it, and shows what each test went through.
"""

from __future__ import annotations

import os

ASKED = os.environ.get("RASHOMON_SOUNDNESS")


def histories(otherwise: int, at_most: int | None = None) -> int:
    """`otherwise` without the variable, and no more than `at_most` with it: some comparisons take long for each."""
    if ASKED is None:
        return otherwise
    return int(ASKED) if at_most is None else min(int(ASKED), at_most)


def report(name: str, compared: int, explained: int) -> None:
    """A line for the captured output of a test that went through."""
    print(f"soundness: {name}: {compared:,} histories, {explained:,} of them explained, 0 wrong")
