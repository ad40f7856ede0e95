"""One partition of a history: the fast algorithm where one applies, the search for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.checkers.linearizable import near_linear, queues, search, sets
from harness.checkers.linearizable.appends import as_register
from harness.checkers.linearizable.blocks import Contradiction, Decision, Undecided
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.search import Progress
from harness.checkers.operations import Operation
from harness.models.kv import KeyValue
from harness.models.model import Model
from harness.models.queue import Queue
from harness.models.register import Register
from harness.models.sets import Set

Algorithm = Literal["near-linear", "search"]


@dataclass
class Answer:
    linearizable: bool
    algorithm: Algorithm
    proof: list[Operation] = field(default_factory=list)
    """If it isn't: operations that may well be enough to see it; perhaps none."""
    failed_at: Operation | None = None
    """If it isn't and the search found out: the operation that fits nowhere by the time it returns."""
    anomaly: str = ""
    """If it isn't and the algorithm knows what people call it: then the proof is one, and `sentence` says it."""
    sentence: str = ""


def quick(operations: Sequence[Operation], model: Model, budget: Budget) -> Answer | None:
    """The answer if an algorithm that never explodes can give it, else None."""
    decision = _quick_decision(operations, model, budget)
    if decision is None or decision.linearizable is None:
        return None
    sentence = decision.why if decision.anomaly else ""
    return Answer(decision.linearizable, "near-linear", decision.proof, None, decision.anomaly, sentence)


def _quick_decision(operations: Sequence[Operation], model: Model, budget: Budget) -> Decision | None:
    kind = type(model)
    if kind is Register:
        return near_linear.decide(operations, model.initial(), budget)
    if kind is KeyValue:
        return _decide_key(operations, model, budget)
    if kind is Queue:
        return queues.decide(operations, budget)
    if kind is Set:
        return sets.decide_growing(operations, budget)
    return None


def _decide_key(operations: Sequence[Operation], model: Model, budget: Budget) -> Decision:
    try:
        register = as_register(operations, model.initial(), budget)
    except Contradiction as contradiction:
        return contradiction.decision()
    except Undecided as undecided:
        return Decision(None, str(undecided))
    decision = near_linear.decide(register.operations, model.initial(), budget)
    return Decision(decision.linearizable, decision.why, register.told_by(decision.proof))


def decide(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress | None = None) -> Answer:
    """Whether some order explains the operations of one partition. Raises `Stopped` when the budget is spent."""
    answer = quick(operations, model, budget)
    if answer is not None:
        return answer
    progress = progress or Progress()
    elements = sets.by_element(operations) if type(model) is Set else None
    if elements is None:
        outcome = search.decide(operations, model, budget, progress)
        return Answer(outcome.linearizable, "search", failed_at=outcome.failed_at)
    return _decide_elements(elements, model, budget, progress)


def _decide_elements(elements: list[list[Operation]], model: Model, budget: Budget, progress: Progress) -> Answer:
    """Of all elements that can't be explained, tell the one that fails first."""
    answer = Answer(True, "search")
    for element in elements:
        budget.look()
        failed_at = search.search(element, model, budget, progress)
        if failed_at is not None and (answer.failed_at is None or _ended(failed_at) < _ended(answer.failed_at)):
            answer = Answer(False, "search", element, failed_at)
    return answer


def _ended(operation: Operation) -> float:
    return float("inf") if operation.ended is None else operation.ended
