"""What only grows, step by step: counters that are increased, logs that are appended to. Decided in O(n log n).

There is a first step, a second, and so on, each the work of one operation. Some operations saw how many steps had been done;
some know which one they were; the others may be any.

- Step k was done before the return of whoever saw k steps or more, and after the call of whoever saw fewer than k. So every
  step has a window, and the windows of later steps begin and end no earlier. An operation that knows its place narrows the
  windows in the same way. A window that ends before it begins is a contradiction of two operations.
- The other operations are given the places that are left: an operation can be a step if it was open during some of its
  window. Those are places side by side, so this is a matching of intervals, and the earliest deadline first is right:
  go through the places, and take of all operations that had been called by the end of the window the one that returned first.
- Then the steps can be given moments in their order: of two operations on the wrong places the one that returned before
  the other was called would have been taken first.

Crashed operations never return: they are taken last, and only for places that must be filled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction
from harness.checkers.linearizable.moments import end_of
from harness.checkers.operations import Operation

_STEPS_PER_LOOK = 4096


@dataclass
class TwoOnOnePlace(Exception):
    """Both operations know that they were the same step."""

    one: Operation
    other: Operation


@dataclass
class Backwards(Exception):
    """`early` shows that the step was done by its return; `late`, called after that, that it wasn't done before its call."""

    early: Operation
    late: Operation


@dataclass
class TooFew(Exception):
    """`witness` shows that so many steps were done by its return; all operations that had been called by then are fewer."""

    witness: Operation
    called: list[Operation]
    count: int


@dataclass
class TooMany(Exception):
    """All of these were done between what `early` saw (None: the beginning) and what `late` saw, which is one step less."""

    early: Operation | None
    done: list[Operation]
    late: Operation


class Steps:
    """Say what is known with `saw` and `placed`, name all others with `free`; then `settle`."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.done_by: dict[int, Operation] = {}
        """Of those who saw that a step was done, who returned first; by step, 1 for the first one."""
        self.not_before: dict[int, Operation] = {}
        """Of those who saw that a step was not done yet, who was called last."""
        self.fixed: dict[int, Operation] = {}
        """Who was which step: that shows both, that it was done and that it wasn't before."""
        self.free: list[Operation] = []
        self.observers: list[tuple[int, Operation]] = []
        self.order_of_steps: list[Operation] = []
        self.moments: list[int] = []

    def saw(self, steps: int, operation: Operation) -> None:
        """The operation, which changed nothing, saw just so many steps."""
        self.observers.append((steps, operation))
        if steps:
            self._by(steps, operation)
        self._after(steps + 1, operation)

    def placed(self, step: int, operation: Operation) -> None:
        """The operation was that step. Raises `TwoOnOnePlace`."""
        other = self.fixed.setdefault(step, operation)
        if other is not operation:
            raise TwoOnOnePlace(other, operation)

    def _by(self, step: int, operation: Operation) -> None:
        known = self.done_by.get(step)
        if known is None or end_of(operation) < end_of(known):
            self.done_by[step] = operation

    def _after(self, step: int, operation: Operation) -> None:
        known = self.not_before.get(step)
        if known is None or operation.began > known.began:
            self.not_before[step] = operation

    def settle(self) -> None:
        """Raises one of the exceptions above if the steps can't be told apart like that, `Stopped`, or returns."""
        fixed = self.fixed
        last = max(max(fixed, default=0), max(self.done_by, default=0))
        by: list[Operation | None] = [None] * (last + 2)
        for step in range(last, 0, -1):
            by[step] = _first_to_return(_first_to_return(by[step + 1], self.done_by.get(step)), fixed.get(step))
        since: Operation | None = None
        waiting = sorted(self.free, key=lambda operation: operation.began, reverse=True)
        called: list[tuple[float, int, Operation]] = []
        moment = -1
        for step in range(1, last + 1):
            if step % _STEPS_PER_LOOK == 0:
                self.budget.look()
            since = _last_called(_last_called(since, self.not_before.get(step)), fixed.get(step))
            until = by[step]
            if until is not None and since is not None and end_of(until) < since.began:
                raise Backwards(until, since)
            while waiting and waiting[-1].began < end_of(until):
                operation = waiting.pop()
                heappush(called, (end_of(operation), operation.began, operation))
            chosen = self.fixed.get(step)
            if chosen is None:
                if not called:
                    assert until is not None
                    raise TooFew(until, list(self.order_of_steps), step)
                chosen = heappop(called)[2]
            self._check(chosen, since, step, by)
            self.order_of_steps.append(chosen)
            moment = max(moment, chosen.began, -1 if since is None else since.began)
            self.moments.append(moment)
        # Places behind the last one that is known: whoever happened has room there, after all who saw fewer steps.
        for step, late in self.not_before.items():
            if step > last:
                since = _last_called(since, late)
        rest = [entry[2] for entry in called] + waiting
        for operation in sorted((one for one in rest if one.ended is not None), key=end_of):
            self._check(operation, since, last + 1, by)
            self.order_of_steps.append(operation)
            moment = max(moment, operation.began, -1 if since is None else since.began)
            self.moments.append(moment)

    def _check(self, chosen: Operation, since: Operation | None, step: int, by: Sequence[Operation | None]) -> None:
        """Whether the operation can still be that step, or any later one: did it return too early?"""
        if since is None or end_of(chosen) > since.began:
            return
        done = [chosen]
        place = step - 1
        # Back to the last choice that fell on an operation that could have waited: those behind it weren't called yet then.
        while place and (place in self.fixed or end_of(self.order_of_steps[place - 1]) < since.began):
            done.append(self.order_of_steps[place - 1])
            place -= 1
        raise TooMany(by[place] if place else None, done, since)

    def order(self, anywhere: Sequence[Operation] = ()) -> list[Operation]:
        """After `settle`: the order in which all happened; `anywhere` are put at the moments of their calls."""
        each = self.budget.each
        entries = [(step, 0, step, operation) for step, operation in enumerate(each(self.order_of_steps), start=1)]
        entries += [(steps, 1, operation.began, operation) for steps, operation in each(self.observers)]
        entries += [(bisect_right(self.moments, one.began), 1, one.began, one) for one in each(anywhere)]
        entries.sort(key=lambda entry: entry[:3])
        return [operation for _, _, _, operation in entries]


def _first_to_return(one: Operation | None, other: Operation | None) -> Operation | None:
    if one is None or other is None:
        return one or other
    return one if end_of(one) < end_of(other) else other


def _last_called(one: Operation | None, other: Operation | None) -> Operation | None:
    if one is None or other is None:
        return one or other
    return one if one.began > other.began else other


class Explained(ABC):
    """What is decided by its steps, and has sentences of its own for what can't be."""

    steps: Steps

    def settle(self) -> None:
        """Raises `Contradiction` where the steps can't be told apart, or `Stopped`."""
        try:
            self.steps.settle()
        except Backwards as backwards:
            raise self._backwards(backwards) from None
        except TooFew as few:
            raise self._too_few(few) from None
        except TooMany as many:
            raise self._too_many(many) from None

    @abstractmethod
    def _backwards(self, backwards: Backwards) -> Contradiction: ...

    @abstractmethod
    def _too_few(self, few: TooFew) -> Contradiction: ...

    @abstractmethod
    def _too_many(self, many: TooMany) -> Contradiction: ...
