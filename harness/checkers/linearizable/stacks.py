"""Stacks whose values are pushed once: decided in O(n log n), crashed operations and empty pops included.

What was pushed and popped must nest, which `harness.checkers.linearizable.nesting` decides, exactly. Around it:

- A pop that found nothing needs a moment at which no value was surely inside. Any such moment will do, and does no harm to
  the others: what lies before it and what lies after it are explained apart.
- A crashed push happened exactly if its value was popped.
- A crashed pop took one of the values that stayed, or none. If none of them is needed, well and good. Else a value v that
  stayed has a DEADLINE if a pop found nothing later, or if a value u that was surely below it was popped: some crashed
  pop called before that must have taken it. The earliest deadline takes the earliest crashed pop; if that fails, nothing
  else works. Nothing works either if the history can't be explained even where each value that stayed has a crashed pop
  for itself, the earliest of all. If that can be explained, but not with the crashed pops as they were given away, a
  search has to tell.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, did, returned, what, who
from harness.checkers.linearizable.moments import end_of
from harness.checkers.linearizable.nesting import EMPTY, Moment, Span, nest
from harness.checkers.linearizable.taking import Words, wrongly_taken
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_WORDS = Words("push", "pushed", "popped", "popped twice")

_MOST_SHRUNK = 300
"""Values that contradict each other are tried to be left out one by one where there are no more than so many."""


@dataclass(slots=True, eq=False)
class _Value:
    """One value: who pushed it, who popped it."""

    push: Operation
    pop: Operation | None = None
    """None if it stayed, as far as is known; a crashed pop, if one was given to it."""

    def is_known(self) -> bool:
        return self.push.ended is not None or self.pop is not None


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one stack, empty at first; undecided if a value was pushed twice. Raises `Stopped`."""
    return decided(lambda: order(operations, budget))


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    stack = _Stack(operations, budget)
    try:
        return stack.ordered(stack.values)
    except Contradiction:
        if not stack.crashed or not stack.stayed:
            raise
    forced = stack.given_by_deadline()
    stack.ordered([value if value.pop else _Value(value.push, stack.crashed[0]) for value in stack.values])
    try:
        return stack.ordered(forced)
    except Contradiction as contradiction:
        raise Undecided(f"which values crashed pops took decides: {contradiction}") from None


class _Stack:
    def __init__(self, operations: Sequence[Operation], budget: Budget) -> None:
        self.budget = budget
        self.empty: list[Operation] = []
        """Pops that found nothing, by their calls."""
        self.crashed: list[Operation] = []
        """Pops of unknown outcome, by their calls."""
        self.end = 1 + max((max(one.began, one.ended or 0) for one in operations), default=0)
        by_name: dict[Hashable, _Value] = {}
        for operation in budget.each(operations):
            if operation.f == "push":
                name = canonical(operation.value)
                if name in by_name:
                    raise Undecided(f"the value {show(operation.value)} was not pushed only once")
                by_name[name] = _Value(operation)
            elif operation.type == "info":
                self.crashed.append(operation)
            elif operation.result is None:
                self.empty.append(operation)
        for operation in operations:
            if operation.f == "pop" and operation.type == "ok" and operation.result is not None:
                _take(by_name.get(canonical(operation.result)), operation)
        self.values = [value for value in by_name.values() if value.is_known()]
        self.stayed = [value for value in self.values if value.pop is None]

    def ordered(self, values: Sequence[_Value]) -> list[Operation]:
        """The order in which all happened, if those that have no pop stayed. Raises `Contradiction`."""
        spans = [self._span(value) for value in self.budget.each(values)]
        moments = self._empty_moments(values, spans)
        stuck = nest(spans, self.budget)
        if stuck:
            raise self._crossed(values, spans, stuck)
        for value, span in zip(self.budget.each(values), spans, strict=True):
            moments.append((span.push, value.push))
            if value.pop is not None:
                moments.append((span.pop, value.pop))
        moments.sort(key=lambda entry: entry[0])
        return [operation for _, operation in moments]

    def _span(self, value: _Value) -> Span:
        pop_call = self.end if value.pop is None else value.pop.began
        return Span(value.push.began, end_of(value.push), pop_call, end_of(value.pop))

    def _empty_moments(self, values: Sequence[_Value], spans: Sequence[Span]) -> list[tuple[Moment, Operation]]:
        """For each pop that found nothing, the first moment at which no value was surely inside."""
        if not self.empty:
            return []
        cores = sorted((span.push_return, span.pop_call) for span in spans if span.push_return < span.pop_call)
        merged: list[tuple[float, float]] = []
        for begin, end in cores:
            if merged and begin < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((begin, end))
        begins = [begin for begin, _ in merged]
        moments: list[tuple[Moment, Operation]] = []
        for number, empty in enumerate(self.empty):
            place = bisect_left(begins, empty.began) - 1
            since = max(empty.began, merged[place][1] if place >= 0 else -1)
            if since > end_of(empty):
                raise self._never_empty(empty, values, spans)
            moments.append(((int(since) + 1, EMPTY, number), empty))
        return moments

    def given_by_deadline(self) -> list[_Value]:
        """The values, where crashed pops were given to those that must have been taken. Raises `Contradiction`."""
        popped = [value for value in self.values if value.pop is not None]
        found_empty = _suffix_minima(self.empty)
        empty_calls = [empty.began for empty in self.empty]
        due: list[tuple[float, _Value, _Value | Operation]] = []
        below = _popped_from_below(popped, self.stayed)
        for value in self.stayed:
            witnesses: list[tuple[float, _Value | Operation]] = []
            if value in below:
                witnesses.append((end_of(below[value].pop), below[value]))
            place = bisect_right(empty_calls, value.push.ended or 0)
            if place < len(found_empty):
                witnesses.append((end_of(found_empty[place]), found_empty[place]))
            if witnesses:
                due.append((*min(((end, value, why) for end, why in witnesses), key=lambda entry: entry[0]),))
        due.sort(key=lambda entry: (entry[0], entry[1].push.began))
        given: dict[_Value, _Value] = {}
        for number, (deadline, value, _) in enumerate(due):
            if number >= len(self.crashed) or self.crashed[number].began > deadline:
                raise self._lost(due[: number + 1])
            given[value] = _Value(value.push, self.crashed[number])
        return [given.get(value, value) for value in self.values]

    # What follows is needed only once, to explain a contradiction.

    def _lost(self, due: Sequence[tuple[float, _Value, _Value | Operation]]) -> Contradiction:
        deadline, value, witness = due[-1]
        proof = {crashed for crashed in self.crashed if crashed.began < deadline}
        for _, lost, other in due:
            proof |= {lost.push}
            proof |= {other} if isinstance(other, Operation) else _operations(other)
        sentence = _lost_sentence(value, witness, self.crashed)
        if len(due) > 1:
            sentence += f"; the pops of unknown outcome can't have taken all of {len(due)} such values"
        return Contradiction(sentence, proof, "lost element")

    def _never_empty(self, empty: Operation, values: Sequence[_Value], spans: Sequence[Span]) -> Contradiction:
        """With the fewest values that cover the interval: each time the one that stays longest."""
        entries = [(span, value) for span, value in zip(spans, values, strict=True) if span.push_return < span.pop_call]
        cover: list[_Value] = []
        reached: float = empty.began
        while reached < end_of(empty):
            span, value = max(
                (entry for entry in entries if entry[0].push_return < reached), key=lambda entry: entry[0].pop_call
            )
            reached = span.pop_call
            cover.append(value)
        if len(cover) == 1 and cover[0].pop is None:
            return Contradiction(_lost_sentence(cover[0], empty, self.crashed), [cover[0].push, empty], "lost element")
        names = ", then ".join(show(value.push.value) for value in cover)
        return Contradiction(
            f"{who(empty)} found the stack empty{asked(empty)}, from {called(empty)} to {returned(empty)}, "
            f"but all that time {names} was inside",
            {empty}.union(*map(_operations, cover)) | self._takers(cover),
            "empty although it was not",
        )

    def _takers(self, values: Sequence[_Value]) -> set[Operation]:
        """The crashed pops, if one of the values may have been taken by them."""
        crashed = set(self.crashed)
        return crashed if any(value.pop is None or value.pop in crashed for value in values) else set()

    def _crossed(self, values: Sequence[_Value], spans: Sequence[Span], stuck: Sequence[Span]) -> Contradiction:
        value_of = dict(zip(spans, values, strict=True))
        crossing = [value_of[span] for span in stuck]
        popped = [value for value in crossing if value.pop is not None and value.pop.ended is not None]
        below = _popped_from_below(popped, [value for value in crossing if value.pop not in self.crashed])
        for value, lower in below.items():
            if value.pop is None:
                return Contradiction(
                    _lost_sentence(value, lower, self.crashed),
                    {value.push} | _operations(lower) | self._takers([value]),
                    "lost element",
                )
            if end_of(lower.pop) < value.pop.began:
                return Contradiction(
                    _reversed_sentence(value, lower), _operations(value) | _operations(lower), "out of order"
                )
        if len(stuck) <= _MOST_SHRUNK:
            crossing = [value_of[span] for span in self._shrunk(stuck)]
        names = ", ".join(show(value.push.value) for value in crossing[:5])
        more = f" and {len(crossing) - 5} more" if len(crossing) > 5 else ""
        return Contradiction(
            f"{names}{more}: whichever of these values lay lowest in the stack, another one was pushed before it or popped "
            f"after it",
            set().union(*map(_operations, crossing)) | self._takers(crossing),
            "out of order",
        )

    def _shrunk(self, stuck: Sequence[Span]) -> list[Span]:
        """So few of them that all the others nest without any one of them."""
        kept = list(stuck)
        for span in stuck:
            trial = [other for other in kept if other is not span]
            if nest([_fresh(other) for other in trial], self.budget):
                kept = trial
        return kept


def _take(value: _Value | None, pop: Operation) -> None:
    if value is not None and value.pop is None and end_of(pop) > value.push.began:
        value.pop = pop
        return
    put, other = (None, None) if value is None else (value.push, value.pop)
    raise wrongly_taken(pop, put, other, _WORDS)


def _popped_from_below(popped: Sequence[_Value], values: Sequence[_Value]) -> dict[_Value, _Value]:
    """For each value that was surely pushed onto another one: of those below it the one whose pop returned first."""
    by_push = sorted((value for value in popped if value.push.ended is not None), key=lambda value: end_of(value.push))
    calls = sorted(value.pop.began for value in by_push if value.pop is not None)
    least: list[_Value | None] = [None] * (len(calls) + 1)
    """A Fenwick tree: of values that are popped late, the one whose pop returned first."""
    below: dict[_Value, _Value] = {}
    done = 0
    for value in sorted(values, key=lambda value: value.push.began):
        while done < len(by_push) and end_of(by_push[done].push) < value.push.began:
            lower = by_push[done]
            assert lower.pop is not None
            place = len(calls) - bisect_left(calls, lower.pop.began)
            while place <= len(calls):
                other = least[place]
                if other is None or end_of(lower.pop) < end_of(other.pop):
                    least[place] = lower
                place += place & -place
            done += 1
        place = len(calls) - bisect_right(calls, end_of(value.push))
        while place > 0:
            lowest = least[place]
            if lowest is not None and (value not in below or end_of(lowest.pop) < end_of(below[value].pop)):
                below[value] = lowest
            place -= place & -place
    return below


def _lost_sentence(value: _Value, witness: _Value | Operation, crashed: Sequence[Operation]) -> str:
    name, push = show(value.push.value), value.push
    popped = "is known to have popped" if crashed else "popped"
    sentence = f"{what(push)} was acknowledged at {returned(push)}, and nobody {popped} {name}, "
    if isinstance(witness, Operation):
        found = f"but {who(witness)} found the stack empty{asked(witness)}"
        return f"{sentence}{found}, from {called(witness)} to {returned(witness)}"
    assert witness.pop is not None
    return sentence + f"but {did(witness.pop)}, which lay below it, by {returned(witness.pop)}"


def _reversed_sentence(upper: _Value, lower: _Value) -> str:
    assert upper.pop is not None
    assert lower.pop is not None
    one, other = show(upper.push.value), show(lower.push.value)
    return (
        f"{did(upper.push)} by {returned(upper.push)}, when {other} had been in since {returned(lower.push)}, but "
        f"{who(lower.pop)} had popped {other}{asked(lower.pop)} by {returned(lower.pop)}, before {who(upper.pop)} asked at "
        f"{called(upper.pop)} and got {one}{asked(upper.pop)}, which lay above it"
    )


def _fresh(span: Span) -> Span:
    return Span(span.push_call, span.push_return, span.pop_call, span.pop_return)


def _operations(value: _Value) -> set[Operation]:
    return {value.push} if value.pop is None else {value.push, value.pop}


def _suffix_minima(operations: Sequence[Operation]) -> list[Operation]:
    """For each place, who returned first from there on."""
    first: list[Operation] = []
    for operation in reversed(operations):
        first.append(operation if not first or end_of(operation) < end_of(first[-1]) else first[-1])
    first.reverse()
    return first
