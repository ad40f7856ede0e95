"""One partition of a history: the fast algorithm where one applies, the search for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable import counters, locks, logs, near_linear, queues, search, sets, stacks, write_once
from harness.checkers.linearizable.appends import AsRegister, as_register
from harness.checkers.linearizable.budget import Budget, collector_paused
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided
from harness.checkers.linearizable.foresight import foresight
from harness.checkers.linearizable.pairing import LITTLE, MUCH, Effort, told_apart
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.windows import From, windows
from harness.checkers.operations import Operation
from harness.models.counter import Counter
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.model import Model, State
from harness.models.queue import Queue, Stack
from harness.models.register import Register, WriteOnce
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
    anomaly: Anomaly | None = None
    """If it isn't and the algorithm knows what people call it: then the proof is one, and `sentence` says it."""
    sentence: str = ""
    register: AsRegister | None = None
    """If it isn't, and it is a key of a store that was judged as a register: that one."""


def quick(operations: Sequence[Operation], model: Model, budget: Budget) -> Answer | None:
    """The answer if an algorithm that never explodes can give it, else None."""
    kind = type(model)
    if kind is KeyValue:
        return _decide_key(operations, model, budget)
    if kind is Register:
        return _answer(near_linear.decide(operations, model.initial(), budget))
    algorithm = _ALGORITHMS.get(kind)
    return None if algorithm is None else _answer(algorithm(operations, budget))


def _answer(decision: Decision) -> Answer | None:
    if decision.linearizable is None:
        return None
    sentence = decision.why if decision.anomaly else ""
    return Answer(decision.linearizable, "near-linear", decision.proof, None, decision.anomaly, sentence)


_ALGORITHMS: dict[type[Model], Callable[[Sequence[Operation], Budget], Decision]] = {
    Counter: counters.decide,
    Lock: locks.decide,
    Log: logs.decide,
    Queue: queues.decide,
    Set: sets.decide_growing,
    Stack: stacks.decide,
    WriteOnce: write_once.decide,
}
"""Of the models that start from nothing. Models derived from them are others: they go to the search."""


def _decide_key(operations: Sequence[Operation], model: Model, budget: Budget) -> Answer | None:
    with collector_paused():
        try:
            register = as_register(operations, model.initial(), budget)
        except Contradiction as contradiction:
            return _answer(contradiction.decision())
        except Undecided:
            return None
        answer = _answer(near_linear.decide(register.operations, model.initial(), budget))
    if answer is not None and not answer.linearizable:
        answer.proof = register.told_by(answer.proof)
        answer.register = register
    return answer


def decide(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress | None = None) -> Answer:
    """Whether some order explains the operations of one partition. Raises `Stopped` when the budget is spent."""
    answer = quick(operations, model, budget)
    if answer is not None:
        return answer
    progress = progress or Progress()
    elements = sets.by_element(operations) if type(model) is Set else None
    if elements is not None:
        return _decide_elements(elements, model, budget, progress)
    register = _register(operations, model, budget)
    if register is not None:
        return _decide_windows(register, Register(), model.initial(), budget, progress)
    if type(model) in (Queue, Stack):
        return _decide_line(operations, model, budget, progress)
    return _search(operations, foresight(model, operations), budget, progress)


def _register(operations: Sequence[Operation], model: Model, budget: Budget) -> AsRegister | None:
    """The register that these operations are all about, if there is one; its values may be ambiguous."""
    if type(model) is Register:
        return AsRegister(list(operations), {operation.index: operation for operation in operations})
    if type(model) is not KeyValue:
        return None
    try:
        return as_register(operations, model.initial(), budget)
    except (Contradiction, Undecided):
        return None


def _decide_windows(register: AsRegister, model: Model, initial: State, budget: Budget, progress: Progress) -> Answer:
    """Window by window: the fast algorithm where values are unambiguous, the search in the others. The first one that
    can't be explained is told, which ends the shortest prefix that fails, or contains its end."""
    for window in windows(register.operations, initial):
        budget.look()
        if near_linear.decide(window.operations, window.initial, budget).linearizable:
            continue
        answer = _search(window.operations, From(model, window.initial), budget, progress)
        if not answer.linearizable:
            if answer.failed_at is not None:
                answer.failed_at = register.original[answer.failed_at.index]
            return answer
    return Answer(True, "search")


def _decide_line(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress) -> Answer:
    """A queue or a stack in which equal values were put in: first what may be quick, then what takes long."""
    answer = _paired(operations, model, budget, LITTLE)
    if answer is None:
        outcome = search.glance(operations, model, budget, progress)
        if outcome is not None:
            return Answer(outcome.linearizable, "search", failed_at=outcome.failed_at)
        answer = _paired(operations, model, budget, MUCH)
    if answer is None:
        failed_at = search.search(operations, model, budget, progress)
        answer = Answer(failed_at is None, "search", failed_at=failed_at)
    return answer


def _paired(operations: Sequence[Operation], model: Model, budget: Budget, effort: Effort) -> Answer | None:
    try:
        told_apart(operations, model, budget, effort)
    except Contradiction as contradiction:
        return Answer(False, "search", contradiction.operations)
    except Undecided:
        return None
    return Answer(True, "search")


def _search(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress) -> Answer:
    outcome = search.decide(operations, model, budget, progress)
    return Answer(outcome.linearizable, "search", failed_at=outcome.failed_at)


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
