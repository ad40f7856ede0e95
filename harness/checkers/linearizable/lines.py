"""Queues that can be explained: the order of their operations, in O(n log n).

It is known what took which value out, and that none of the patterns of `queues` is there. Value v must come before value u if
its enqueue returned before that of u was called, or its dequeue before that of u was called, or its dequeue before the
enqueue of u was called. These never go round in a circle, so that there is always a value that must come behind no other
one: it is the next. Enqueues and dequeues then follow each other in that order, each right after the last call that it has
to wait for.

Dequeues that found nothing come first: each takes the first moment at which no value was surely inside. What can have come
and gone before that moment does, all others come after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.operations import Operation

_VALUES_PER_LOOK = 1024


@dataclass(slots=True, eq=False)
class Value:
    """One value: who put it in, who took it out."""

    enqueue: Operation
    dequeue: Operation | None = None
    """None if it stayed, or if a crashed dequeue took it."""
    taken: float = NEVER
    """The call of what took it out, if anything did."""
    taker: Operation | None = None
    """What took it out, if anything did: its dequeue, or a crashed one."""

    def take(self, taker: Operation) -> None:
        self.taker, self.taken = taker, taker.began

    @property
    def put(self) -> float:
        """When it is surely inside, if it was not taken out before."""
        return NEVER if self.enqueue.ended is None else self.enqueue.ended


def in_line(values: Sequence[Value], empty: Sequence[Operation], budget: Budget) -> list[Operation]:
    """All operations, in an order that explains them. Values that were never taken stay. Raises `Stopped`."""
    sinces = _moments_when_empty(values, empty)
    borders = sorted(set(sinces))
    groups: list[list[Value]] = [[] for _ in range(len(borders) + 1)]
    for value in budget.each(values):
        groups[bisect_left(borders, max(value.enqueue.began, value.taken))].append(value)
    entries: list[tuple[float, int, int, int, Operation]] = []
    """When, in which group (a dequeue that found nothing is at its end), enqueues first, the place in the line."""
    for since, one in zip(sinces, empty, strict=True):
        entries.append((since, bisect_left(borders, since), 2, one.began, one))
    enqueued = dequeued = -1.0
    place = 0
    for number, group in enumerate(groups):
        enqueued = max(enqueued, borders[number - 1] if number else -1)
        for value in budget.each(_line(group, budget)):
            place += 1
            enqueued = max(enqueued, value.enqueue.began)
            entries.append((enqueued, number, 0, place, value.enqueue))
            if value.taker is not None:
                dequeued = max(dequeued, value.taken, enqueued)
                entries.append((dequeued, number, 1, place, value.taker))
    budget.look()
    entries.sort()  # no two have the first four in common, so that operations are never compared
    return [entry[4] for entry in entries]


def _moments_when_empty(values: Sequence[Value], empty: Sequence[Operation]) -> list[float]:
    """For each of those that found nothing the event right after which no value was surely inside."""
    if not empty:
        return []
    merged: list[tuple[float, float]] = []
    for begin, end in sorted((value.put, value.taken) for value in values if value.put < value.taken):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    begins = [begin for begin, _ in merged]
    sinces = []
    for one in empty:
        place = bisect_left(begins, one.began) - 1
        sinces.append(max(one.began, merged[place][1]) if place >= 0 else one.began)
    return sinces


def _line(values: Sequence[Value], budget: Budget) -> list[Value]:
    """The values in an order in which they can be put in and taken out."""
    leaving = [value for value in values if value.taken < NEVER]
    by_put = sorted(leaving, key=lambda value: value.put, reverse=True)
    by_out = sorted(leaving, key=_out, reverse=True)
    by_call = sorted(leaving, key=lambda value: value.enqueue.began, reverse=True)
    by_taken = sorted(leaving, key=lambda value: value.taken, reverse=True)
    budget.look()
    called: set[Value] = set()
    """Values of which one of the two, enqueue or dequeue, need not wait for any other value."""
    ready: list[Value] = []
    line: list[Value] = []
    gone: set[Value] = set()

    def one_of_two(value: Value) -> None:
        if value in called:
            ready.append(value)
        else:
            called.add(value)

    while len(line) < len(leaving):
        if len(line) % _VALUES_PER_LOOK == 0:
            budget.look()
        while by_put[-1] in gone:
            by_put.pop()
        while by_out[-1] in gone:
            by_out.pop()
        first_out = _out(by_out[-1])
        first = min(by_put[-1].put, first_out)
        while by_call and by_call[-1].enqueue.began < first:
            one_of_two(by_call.pop())
        while by_taken and by_taken[-1].taken < first_out:
            one_of_two(by_taken.pop())
        value = ready.pop()
        gone.add(value)
        line.append(value)
    staying = sorted((value for value in values if value.taken == NEVER), key=lambda value: value.enqueue.began)
    return line + staying


def _out(value: Value) -> float:
    return NEVER if value.taker is None or value.taker.ended is None else value.taker.ended
