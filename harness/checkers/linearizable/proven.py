"""For a verdict `valid`, on request: the order of each key, verified before it is given away."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.checkers.linearizable.answers import is_apart
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.crew import Crew, Foreign, Job
from harness.checkers.linearizable.parts import Part
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.witness import replay, witness
from harness.checkers.operations import Operation
from harness.models.guarded import Guarded, guarded, watched
from harness.models.model import Model


def orders_of(parts: Sequence[Part], model: Model, budget: Budget) -> dict[str, list[Operation]]:
    """By key. Raises `Stopped` when the budget is spent."""
    budget.allow(budget.seconds_left)
    if is_apart(model):
        try:
            return _from_another_process(parts, model, budget)
        except Foreign:
            pass
    own = watched(model, budget)
    return {part.key: [part.operations[place] for place in _order(budget, part.operations, own)] for part in parts}


def _from_another_process(parts: Sequence[Part], model: Model, budget: Budget) -> dict[str, list[Operation]]:
    assert isinstance(model, Guarded)
    deadline = time.monotonic() + budget.seconds_left
    part_of = {Job(_order_apart, (part.operations, model.model)): part for part in parts}
    found: dict[str, list[Operation]] = {}
    with Crew(1) as crew:
        for job in crew.run(list(part_of), budget.limits, deadline, budget.look):
            if job.stopped is not None:
                raise job.stopped
            part = part_of[job]
            found[part.key] = [part.operations[place] for place in job.value]
    return {part.key: found[part.key] for part in parts}


def _order_apart(budget: Budget, progress: Progress, operations: list[Operation], model: Model) -> list[int]:
    return _order(budget, operations, watched(guarded(model), budget))


def _order(budget: Budget, operations: Sequence[Operation], model: Model) -> list[int]:
    """The places of the operations, in an order that explains them."""
    order = witness(operations, model, budget)
    wrong = "there is none" if order is None else replay(order, operations, model, budget)
    if order is None or wrong is not None:
        raise AssertionError(f"a key was found valid, but the order that explains it doesn't: {wrong}")
    places = {operation: place for place, operation in enumerate(operations)}
    return [places[operation] for operation in order]
