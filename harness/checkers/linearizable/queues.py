"""FIFO queues whose values are enqueued once: decided in O(n log n), crashed operations and empty dequeues included.

A queue of values enqueued once can be explained exactly if none of four patterns is there (Henzinger, Sezgin and Vafeiadis,
"Aspect-oriented linearizability proofs", 2013; Emmi and Enea 2018):

- a value dequeued that nobody enqueued, or that was dequeued before its enqueue began;
- a value dequeued twice;
- v enqueued before u, and u dequeued before v (v may have stayed inside for ever);
- a dequeue that found nothing, while at every moment of its interval some value was surely inside. Value v surely is
  inside from the return of its enqueue to the call of its dequeue, and such stretches must overlap.

They speak of complete histories. Crashed operations complete them: a crashed enqueue happened exactly if its value was
dequeued. A crashed dequeue took one of the values that stayed, or none. A value that stayed has a DEADLINE if a value that
was surely enqueued later was dequeued, or if the queue was found empty later: some crashed dequeue called before that must
have taken it. The earliest deadline takes the earliest crashed dequeue; if that fails, nothing else works. Those that are
left over take other values, which can only help; if an empty dequeue contradicts just this choice, a search has to tell.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from typing import TypeVar

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, did, returned, what, who
from harness.checkers.linearizable.lines import Value, in_line
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.taking import Words, wrongly_taken
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_WORDS = Words("enqueue", "enqueued", "dequeued", "dequeued twice")

_T = TypeVar("_T")


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one queue, empty at first; undecided if a value was enqueued twice. Raises `Stopped`."""
    return decided(lambda: _Queue(operations, budget).check())


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    queue = _Queue(operations, budget)
    queue.check()
    return in_line(list(queue.values.values()), queue.empty, budget)


class _Queue:
    def __init__(self, operations: Sequence[Operation], budget: Budget) -> None:
        self.operations = operations
        self.budget = budget
        self.values: dict[Hashable, Value] = {}
        self.empty: list[Operation] = []
        """Dequeues that found nothing, by their calls."""
        self.crashed: list[Operation] = []
        """Dequeues of unknown outcome, by their calls."""
        self.taken: list[Value] = []
        self.stayed: list[Value] = []

    def check(self) -> None:
        self._pair()
        self.budget.look()
        self._compare_orders()
        self.budget.look()
        fixed = [(value.put, value.taken, value) for value in self.budget.each(self.taken)]
        self._find_empty_when_full(fixed, certain=True)
        free = self._meet_deadlines()
        for value, crashed in zip(self.stayed, free, strict=False):
            value.take(crashed)
        stayed = [(value.put, value.taken, value) for value in self.values.values() if value.dequeue is None]
        self._find_empty_when_full(fixed + stayed, certain=not self.crashed)

    def _pair(self) -> None:
        for operation in self.budget.each(self.operations):
            if operation.f == "enqueue":
                value = canonical(operation.value)
                if value in self.values:
                    raise Undecided(f"the value {show(operation.value)} was not enqueued only once")
                self.values[value] = Value(operation)
            elif operation.type == "info":
                self.crashed.append(operation)
            elif operation.result is None:
                self.empty.append(operation)
        for operation in self.operations:
            if operation.f == "dequeue" and operation.type == "ok" and operation.result is not None:
                self._take(operation)
        for name, entry in list(self.values.items()):
            if entry.dequeue is not None:
                self.taken.append(entry)
            elif entry.enqueue.type == "info":
                del self.values[name]

    def _take(self, dequeue: Operation) -> None:
        value = self.values.get(canonical(dequeue.result))
        if value is not None and value.dequeue is None and not before(dequeue, value.enqueue):
            value.dequeue = dequeue
            value.take(dequeue)
            return
        put, other = (None, None) if value is None else (value.enqueue, value.dequeue)
        raise wrongly_taken(dequeue, put, other, _WORDS)

    def _compare_orders(self) -> None:
        """Nobody who was put in before another is taken out after it."""
        by_call = sorted(self.taken, key=lambda value: value.enqueue.began)
        by_put = sorted(self.taken, key=lambda value: value.put)
        place, latest = 0, None
        for later in by_call:
            while place < len(by_put) and by_put[place].put < later.enqueue.began:
                if latest is None or by_put[place].taken > latest.taken:
                    latest = by_put[place]
                place += 1
            if latest is not None and later.dequeue is not None and latest.taken > (later.dequeue.ended or 0):
                raise self._reversed(latest, later)

    def _reversed(self, first: Value, later: Value) -> Contradiction:
        assert first.dequeue is not None
        assert later.dequeue is not None
        one, other = show(first.enqueue.value), show(later.enqueue.value)
        return Contradiction(
            f"{who(later.dequeue)} had dequeued {other}{asked(later.dequeue)} by {returned(later.dequeue)}, before "
            f"{who(first.dequeue)} asked at {called(first.dequeue)} and got {one}{asked(first.dequeue)}, but {one} was in by "
            f"{returned(first.enqueue)}, and {other} was enqueued after {called(later.enqueue)}",
            [first.enqueue, later.enqueue, later.dequeue, first.dequeue],
            "out of order",
        )

    def _meet_deadlines(self) -> list[Operation]:
        """Give crashed dequeues to the values that must have been taken; returns those that are left over.

        `stayed` are then the values that nothing forces out.
        """
        by_call = sorted(self.taken, key=lambda value: value.enqueue.began)
        calls = [value.enqueue.began for value in by_call]
        overtaken = _suffix_minima([(end_of(value.dequeue), value) for value in by_call])
        found_empty = _suffix_minima([(end_of(empty), empty) for empty in self.empty])
        empty_calls = [empty.began for empty in self.empty]
        due: list[tuple[float, int, Value, Value | Operation]] = []
        for value in self.values.values():
            if value.dequeue is not None:
                continue
            witnesses: list[tuple[float, Value | Operation]] = []
            if (place := bisect_right(calls, value.put)) < len(overtaken):
                witnesses.append(overtaken[place])
            if (place := bisect_right(empty_calls, value.put)) < len(found_empty):
                witnesses.append(found_empty[place])
            if witnesses:
                deadline, witness = min(witnesses, key=lambda entry: entry[0])
                due.append((deadline, value.enqueue.began, value, witness))
            else:
                self.stayed.append(value)
        due.sort(key=lambda entry: entry[:2])
        for number, (deadline, _, value, _) in enumerate(due):
            if number >= len(self.crashed) or self.crashed[number].began > deadline:
                raise self._lost(due[: number + 1])
            value.take(self.crashed[number])
        return self.crashed[len(due) :]

    def _lost(self, due: Sequence[tuple[float, int, Value, Value | Operation]]) -> Contradiction:
        deadline, _, value, witness = due[-1]
        proof = {crashed for crashed in self.crashed if crashed.began < deadline}
        for _, _, lost, other in due:
            proof |= {lost.enqueue}
            proof |= {other} if isinstance(other, Operation) else _operations(other)
        name, enqueue = show(value.enqueue.value), value.enqueue
        taken = "is known to have dequeued" if self.crashed else "dequeued"
        sentence = f"{what(enqueue)} was acknowledged at {returned(enqueue)}, and nobody {taken} {name}, "
        if isinstance(witness, Operation):
            when = f"from {called(witness)} to {returned(witness)}"
            sentence += f"but {who(witness)} found the queue empty{asked(witness)}, {when}"
        else:
            assert witness.dequeue is not None
            sentence += f"but {did(witness.dequeue)}, which was enqueued after it, by {returned(witness.dequeue)}"
        if len(due) > 1:
            sentence += f"; the dequeues of unknown outcome can't have taken all of {len(due)} such values"
        return Contradiction(sentence, sorted(proof, key=lambda one: one.began), "lost element")

    def _find_empty_when_full(self, stretches: list[tuple[float, float, Value]], certain: bool) -> None:
        """`certain`: whether the stretches hold whatever crashed dequeues took."""
        if not self.empty:
            return
        stretches = sorted((entry for entry in stretches if entry[0] < entry[1]), key=lambda entry: entry[0])
        merged: list[tuple[float, float]] = []
        for begin, end, _ in stretches:
            if merged and begin < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((begin, end))
        begins = [begin for begin, _ in merged]
        for empty in self.empty:
            place = bisect_left(begins, empty.began) - 1
            if place >= 0 and end_of(empty) < merged[place][1]:
                if not certain:
                    raise Undecided("which values crashed dequeues took decides whether the queue was empty")
                raise self._never_empty(empty, stretches)

    def _never_empty(self, empty: Operation, stretches: list[tuple[float, float, Value]]) -> Contradiction:
        """With the fewest values that cover the interval: each time the one that stays longest."""
        cover: list[Value] = []
        reached: float = empty.began
        while reached < end_of(empty):
            _, reached, value = max(
                (entry for entry in stretches if entry[0] < reached), key=lambda entry: (entry[1], -entry[0])
            )
            cover.append(value)
        proof = {empty}.union(*map(_operations, cover))
        names = ", then ".join(show(value.enqueue.value) for value in cover)
        return Contradiction(
            f"{who(empty)} found the queue empty{asked(empty)}, from {called(empty)} to {returned(empty)}, "
            f"but all that time {names} was inside",
            sorted(proof, key=lambda one: one.began),
            "empty although it was not",
        )


def _operations(value: Value) -> set[Operation]:
    return {value.enqueue} if value.dequeue is None else {value.enqueue, value.dequeue}


def _suffix_minima(entries: list[tuple[float, _T]]) -> list[tuple[float, _T]]:
    """For each place, the least entry from there on."""
    least: list[tuple[float, _T]] = []
    for entry in reversed(entries):
        least.append(entry if not least or entry[0] < least[-1][0] else least[-1])
    least.reverse()
    return least
