"""Orders of operations, put together."""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.operations import Operation


def merged(orders: Sequence[Sequence[Operation]]) -> list[Operation]:
    """One order that keeps each of those given, and time.

    Each must keep time by itself: then every operation can have its moment right after the last call in its order up to
    then, and moments tell how the orders go together (Herlihy and Wing: what holds of the parts holds of the whole).
    """
    if len(orders) == 1:
        return list(orders[0])
    moments: list[tuple[int, int, Operation]] = []
    for number, order in enumerate(orders):
        moment = -1
        for operation in order:
            moment = max(moment, operation.began)
            moments.append((moment, number, operation))
    moments.sort(key=lambda entry: entry[:2])  # which leaves those of one order, at one moment, as they were
    return [operation for _, _, operation in moments]
