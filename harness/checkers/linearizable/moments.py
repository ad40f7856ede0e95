"""When operations ended, and which came first, by their positions in the history."""

from __future__ import annotations

import math

from harness.checkers.operations import Operation

NEVER = math.inf


def end_of(operation: Operation | None) -> float:
    """The position of its return; never, if it crashed, or if there is none."""
    return NEVER if operation is None or operation.ended is None else operation.ended


def before(one: Operation, other: Operation) -> bool:
    """Whether the one had returned when the other was called."""
    return one.ended is not None and one.ended < other.began
