"""The near-linear decision for a register whose values are written once: see `blocks` and `refusals`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.checkers.linearizable.blocks import Blocks
from harness.checkers.linearizable.budget import Budget, collector_paused
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided
from harness.checkers.linearizable.refusals import order_of, settle
from harness.checkers.operations import Operation


def decide(operations: Sequence[Operation], initial: Hashable, budget: Budget) -> Decision:
    """Decide in O(n log n), or say that a search has to: a value was written twice, or refused compare-and-sets are knotty.

    `operations` are reads, writes and compare-and-sets of one register that holds `initial` at first, without those
    that have a `problem`. Raises `Stopped` when the budget is spent.
    """
    with collector_paused():
        blocks = Blocks(operations, initial, budget)
        try:
            blocks.build()
            settle(blocks)
        except Contradiction as contradiction:
            return Decision(False, str(contradiction), blocks.with_reasons(contradiction.operations))
        except Undecided as undecided:
            return Decision(None, str(undecided))
        finally:
            blocks.dissolve()
    return Decision(True)


def order(operations: Sequence[Operation], initial: Hashable, budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    blocks = Blocks(operations, initial, budget)
    try:
        blocks.build()
        settle(blocks)
        return order_of(blocks)
    finally:
        blocks.dissolve()
