"""One partition of a history: the fast algorithm where it applies, the search for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.checkers.linearizable import near_linear
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.search import Progress, search
from harness.checkers.operations import Operation
from harness.models.model import Model
from harness.models.register import Register

Algorithm = Literal["near-linear", "search"]


@dataclass
class Answer:
    linearizable: bool
    algorithm: Algorithm
    proof: list[Operation] = field(default_factory=list)
    """If it isn't: operations that may well be enough to see it; perhaps none."""
    failed_at: Operation | None = None
    """If it isn't and the search found out: the operation that fits nowhere by the time it returns."""


def quick(operations: Sequence[Operation], model: Model, budget: Budget) -> Answer | None:
    """The answer if an algorithm that never explodes can give it, else None."""
    if type(model) is not Register:
        return None
    decision = near_linear.decide(operations, model.initial(), budget)
    if decision.linearizable is None:
        return None
    return Answer(decision.linearizable, "near-linear", proof=decision.proof)


def decide(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress | None = None) -> Answer:
    """Whether some order explains the operations of one partition. Raises `Stopped` when the budget is spent."""
    answer = quick(operations, model, budget)
    if answer is not None:
        return answer
    failed_at = search(operations, model, budget, progress or Progress())
    return Answer(failed_at is None, "search", failed_at=failed_at)
