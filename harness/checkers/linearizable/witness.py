"""Witnesses: an order of the operations that explains a history, and an independent look at whether it does.

    order = witness(operations, model, budget)      # of one partition, as `decide` takes them
    if order is not None:
        assert replay(order, operations, model) is None

`witness` finds the order, with the algorithm that decided the history; `replay` knows none of the algorithms. It looks at
the order as a stranger would: every operation that happened is in it once, one of unknown outcome at most once, none
comes behind one that was called after it returned, and the model accepts every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.checkers.linearizable import counters, locks, logs, near_linear, queues, search, sets, stacks, write_once
from harness.checkers.linearizable.appends import as_register
from harness.checkers.linearizable.budget import Budget, collector_paused
from harness.checkers.linearizable.decision import Contradiction, Undecided
from harness.checkers.linearizable.foresight import foresight
from harness.checkers.linearizable.merging import merged
from harness.checkers.linearizable.pairing import LITTLE, MUCH, Effort, told_apart
from harness.checkers.operations import Operation
from harness.models.counter import Counter
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.model import Model, State
from harness.models.queue import Queue, Stack
from harness.models.register import Register, WriteOnce
from harness.models.sets import Set

_OPERATIONS_PER_LOOK = 256


def witness(operations: Sequence[Operation], model: Model, budget: Budget) -> list[Operation] | None:
    """An order that explains the operations of one partition, or None if there is none.

    `operations` are as `decide` takes them: of one partition (`model.partition`), in order of their invocation, none of
    them failed, none with a `problem`. What nobody can have noticed may be missing in the order: operations of unknown outcome.
    Takes memory in proportion to the history. Raises `Stopped`, which tells the limit, when the budget is spent; nothing
    else keeps it from an answer.
    """
    with collector_paused():
        try:
            return _quick_order(operations, model, budget)
        except Contradiction:
            return None
        except Undecided:
            pass
        if type(model) in (Queue, Stack):
            return _order_of_line(operations, model, budget)
        return _searched(operations, model, budget)


def _quick_order(operations: Sequence[Operation], model: Model, budget: Budget) -> list[Operation]:
    kind = type(model)
    if kind is Register:
        return near_linear.order(operations, model.initial(), budget)
    if kind is KeyValue:
        register = as_register(operations, model.initial(), budget)
        return [register.original[one.index] for one in near_linear.order(register.operations, model.initial(), budget)]
    algorithm = _ORDERS.get(kind)
    if algorithm is None:
        raise Undecided("only a search decides this model")
    return algorithm(operations, budget)


_ORDERS: dict[type[Model], Callable[[Sequence[Operation], Budget], list[Operation]]] = {
    Counter: counters.order,
    Lock: locks.order,
    Log: logs.order,
    Queue: queues.order,
    Set: sets.order_growing,
    Stack: stacks.order,
    WriteOnce: write_once.order,
}


def _order_of_line(operations: Sequence[Operation], model: Model, budget: Budget) -> list[Operation] | None:
    """As `decide` goes about a queue or a stack in which equal values were put in."""
    try:
        try:
            return _paired(operations, model, budget, LITTLE)
        except Undecided:
            outcome = search.glance(operations, model, budget, search.Progress(), traced=True)
        return outcome.order if outcome is not None else _paired(operations, model, budget, MUCH)
    except Contradiction:
        return None
    except Undecided:
        return _searched(operations, model, budget)


def _paired(operations: Sequence[Operation], model: Model, budget: Budget, effort: Effort) -> list[Operation]:
    original = {one.index: one for one in operations}
    named = told_apart(operations, model, budget, effort)
    return [original[one.index] for one in _quick_order(named, model, budget)]


def _searched(operations: Sequence[Operation], model: Model, budget: Budget) -> list[Operation] | None:
    elements = sets.by_element(operations) if type(model) is Set else None
    orders = []
    for part in [operations] if elements is None else elements:
        order = search.decide(part, foresight(model, part), budget, search.Progress(), traced=True).order
        if order is None:
            return None
        orders.append(order)
    return merged(orders)


def replay(
    order: Sequence[Operation], operations: Sequence[Operation], model: Model, budget: Budget | None = None
) -> str | None:
    """None if the order explains the operations of one partition; else a sentence that says why it doesn't.

    Without a budget it runs to its end, which is soon: one step of the model for each operation. Where the model leaves a
    choice, all the states that may be are followed.
    """
    problem = _problem_of_membership(order, operations) or _problem_of_time(order)
    if problem is not None:
        return problem
    states: set[State] = {model.initial()}
    for number, operation in enumerate(order):
        if budget is not None and number % _OPERATIONS_PER_LOOK == 0:
            budget.look()
        refusal = ""
        following: set[State] = set()
        for state in states:
            answer = model.step(state, operation)
            if isinstance(answer, str):
                refusal = answer
            else:
                following.update(answer)
        if not following:
            return f"place {number} of the order, the {operation.f} of event {operation.index}: {refusal}"
        states = following
    return None


def _problem_of_membership(order: Sequence[Operation], operations: Sequence[Operation]) -> str | None:
    known, ordered = set(operations), set(order)
    if len(ordered) < len(order):
        return "an operation is in the order twice"
    for operation in order:
        if operation not in known:
            return f"the {operation.f} of event {operation.index} is in the order, but not in the history"
    for operation in operations:
        if operation.type == "ok" and operation not in ordered:
            return f"the {operation.f} of event {operation.index} happened, but is not in the order"
    return None


def _problem_of_time(order: Sequence[Operation]) -> str | None:
    """Going backwards: none may have been called after one that comes behind it had returned."""
    earliest: Operation | None = None
    for operation in reversed(order):
        if earliest is not None and earliest.ended is not None and earliest.ended < operation.began:
            return (
                f"the {operation.f} of event {operation.index} comes before the {earliest.f} of event {earliest.index}, "
                f"which had returned before it was called"
            )
        if operation.ended is not None and (earliest is None or operation.ended < (earliest.ended or 0)):
            earliest = operation
    return None
