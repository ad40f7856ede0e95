"""Sets: taken apart by element, or, where all elements are read at once, put in order by what was read.

- Without reads of the whole set every element is a bit of its own, and has few operations: the search decides it, in time
  linear in their number as long as few are open at once.
- With them, and if elements are added once and never removed, what was read only grows. So the reads are in an order, by
  size, and each must include the one before. Read k has its moment after the calls of itself, of what it saw, and of the
  reads before it, and before the returns of itself, of what it did not see, and of the reads after it. If that leaves it
  a moment, put every element right before the first read that saw it: O(n log n), n the size of all that was read. A
  crashed add happened exactly if it was seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, returned, span, what, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def by_element(operations: Sequence[Operation]) -> list[list[Operation]] | None:
    """The operations of each element; None if some read all of them."""
    elements: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        if operation.f == "read":
            return None
        elements.setdefault(canonical(operation.value), []).append(operation)
    return list(elements.values())


def decide_growing(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide a set that is read as a whole; undecided if elements are removed, asked for, or added more than once."""
    return decided(lambda: _Growing(operations, budget).check())


def order_growing(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    growing = _Growing(operations, budget)
    growing.check()
    return growing.order()


class _Growing:
    def __init__(self, operations: Sequence[Operation], budget: Budget) -> None:
        self.budget = budget
        self.adds: dict[Hashable, Operation] = {}
        self.reads: list[tuple[frozenset[Hashable], Operation]] = []
        for operation in budget.each(operations):
            self._take(operation)
        self.reads.sort(key=lambda entry: (len(entry[0]), entry[1].began))

    def _take(self, operation: Operation) -> None:
        if operation.f == "read":
            if operation.type == "ok":
                self.budget.look()
                self.reads.append((frozenset(map(canonical, operation.result)), operation))
            return
        if operation.f != "add" or operation.result is False:
            raise Undecided("elements of a set that is read as a whole were removed or asked for, or found there")
        element = canonical(operation.value)
        if element in self.adds:
            raise Undecided(f"the element {show(operation.value)} was not added only once")
        self.adds[element] = operation

    def check(self) -> None:
        earliest: float = -1
        latest_call: Operation | None = None
        """Whose call the reads from here on come after."""
        missing = set(self.adds)
        left = sorted((add for add in self.adds.values() if add.ended is not None), key=end_of, reverse=True)
        seen: frozenset[Hashable] = frozenset()
        previous: Operation | None = None
        for elements, read in self.reads:
            self.budget.look()
            if previous is not None and not seen <= elements:
                raise self._forked(previous, seen, read, elements)
            for element in elements - seen:
                add = self.adds.get(element)
                if add is None:
                    raise self._nowhere(read)
                missing.discard(element)
                if add.began > earliest:
                    earliest, latest_call = add.began, add
            while left and canonical(left[-1].value) not in missing:
                left.pop()
            if read.began > earliest:
                earliest, latest_call = read.began, read
            for late in (read, *left[-1:]):
                if end_of(late) < earliest and latest_call is not None:
                    raise self._reversed(late, latest_call, read, elements)
            seen, previous = elements, read

    def order(self) -> list[Operation]:
        """After `check`: each read, by size, right behind the adds of what it was the first to see."""
        order: list[Operation] = []
        seen: frozenset[Hashable] = frozenset()
        for elements, read in self.reads:
            order += sorted((self.adds[element] for element in elements - seen), key=lambda add: add.began)
            order.append(read)
            seen = elements
        rest = (add for element, add in self.adds.items() if element not in seen and add.ended is not None)
        return [*order, *sorted(rest, key=lambda add: add.began)]

    def _nowhere(self, read: Operation) -> Contradiction:
        value = next(value for value in read.result if canonical(value) not in self.adds)
        said = f"{who(read)} read {show(value)} in the set{asked(read)} at {returned(read)}, but nobody ever added it"
        return Contradiction(said, self._closed([read]), "value from nowhere")

    def _forked(
        self, one: Operation, seen: frozenset[Hashable], other: Operation, elements: frozenset[Hashable]
    ) -> Contradiction:
        if not elements <= self.adds.keys():
            return self._nowhere(other)
        names = [
            show(next(value for value in read.result if canonical(value) not in there))
            for read, there in ((one, elements), (other, seen))
        ]
        said = (
            f"{who(one)} read {names[0]} in the set but not {names[1]}{asked(one)} ({span(one)}), and {who(other)} read "
            f"{names[1]} but not {names[0]}{asked(other)} ({span(other)})"
        )
        return Contradiction(said, self._closed([one, other]), "order reversed")

    def _reversed(
        self, late: Operation, early: Operation, read: Operation, elements: frozenset[Hashable]
    ) -> Contradiction:
        if late.f == "add":
            return self._missed(late, early, early if early.f == "read" else read)
        proof = self._closed([read, late, *([early] if early.f == "read" else [])])
        said = f"{who(late)} had read the set{asked(late)} by {returned(late)}, and found"
        if early.f == "add":
            began = f"which {who(early)} began to add only at {called(early)}{asked(early)}"
            return Contradiction(f"{said} {show(early.value)}, {began}", proof, "value from the future")
        there = set(map(canonical, early.result))
        missed = next(value for value in late.result if canonical(value) not in there)
        told = f"but {who(early)}, who began to read at {called(early)}{asked(early)}, did not find it"
        return Contradiction(f"{said} {show(missed)}, {told}", proof, "stale read")

    def _missed(self, late: Operation, early: Operation, read: Operation) -> Contradiction:
        """The read didn't find what was added before it began, or before something else began that it did find."""
        proof = sorted({*self._closed([read]), late}, key=lambda one: one.began)
        found = "" if before(late, read) else f", though it found {show(early.value)}, added only after {called(early)}"
        said = f"{what(late)} was acknowledged at {returned(late)}, but {who(read)} did not find it{asked(read)} ({span(read)})"
        element = canonical(late.value)
        seen = any(element in elements and end_of(one) > read.began for elements, one in self.reads)
        return Contradiction(said + found, proof, "stale read" if seen else "lost element")

    def _closed(self, reads: list[Operation]) -> list[Operation]:
        """The reads, with who added what they saw."""
        kept = set(reads)
        for read in reads:
            kept |= {add for value in read.result if (add := self.adds.get(canonical(value))) is not None}
        return sorted(kept, key=lambda one: one.began)
