"""Queues and stacks in which equal values were put in: who took out which of them.

If it is known who took out what which operation had put in, equal values can be told apart, and the fast algorithms
(`queues`, `stacks`) decide. A history can be explained exactly if it can be with some such pairing. So this guesses one and
lets the fast algorithm look at it. What that finds contradictory is a few values: a conflict of a few pairs, which no other
pairing may have together. Looking at these values alone verifies it. From conflict to conflict the pairs are changed, going
back to the last one that is to blame; each option that is ruled out remembers which earlier pairs rule it out, and is
allowed again when one of those changes (Prosser, "Hybrid algorithms for the constraint satisfaction problem", 1993;
Ginsberg, "Dynamic backtracking", 1993). If the last option is ruled out by nothing but itself, no pairing explains the
history, nor does one explain the values that all these conflicts were about.

What operations of unknown outcome took is left to the fast algorithms. If they can't tell, it is guessed like the rest: each
took something, which is as if it had returned at the very end, or nothing.

Fewer pairings have to be looked at where operations may change places in any order that explains the history:

- Of a queue: two that put in, or took out, the same value, of which the one was called and returned before the other,
  though they overlap. So it comes first in that order too, and the first to come takes what was put in first.
- What took out something at an unknown moment: the one called first can do whatever another one can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace

from harness.checkers.linearizable import queues, stacks
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.operations import Operation
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.values import canonical


@dataclass(frozen=True)
class Effort:
    """How much is tried before it is left to the search."""

    guesses: int
    """That the fast algorithm looks at."""
    operations: int
    """Of all these guesses together, so that long histories don't take all the time."""
    comparisons: int
    """Of pairs with each other."""


LITTLE = Effort(30, 200_000, 200_000)
MUCH = Effort(1000, 2_000_000, 2_000_000)
_MOST_EQUAL = 200
"""Where a value was taken out more often, choices are too many."""
_MOST_OPTIONS = 20_000
"""Of all operations of unknown outcome together, which may have taken anything."""
_TOO_MANY = "there are too many ways to pair equal values"
_NOTHING = -1
"""What an operation of unknown outcome may have taken."""


@dataclass(frozen=True)
class _Reason:
    """Why something is ruled out."""

    blamed: dict[int, frozenset[int] | None]
    """Who is to blame, by their numbers: for what they have taken (None), or for taking none of these places."""
    values: frozenset[Hashable]
    """Which values it is about."""


def told_apart(operations: Sequence[Operation], model: Model, budget: Budget, effort: Effort = MUCH) -> list[Operation]:
    """The operations of a queue or a stack, empty at first, each value that was put in by another name, such that the fast
    algorithm explains them. They keep their indexes.

    Raises `Contradiction`, with the operations of a few values that no order explains, if there is no such naming,
    `Undecided` if that can't be told with so much effort or it is neither a queue nor a stack, and `Stopped`.
    """
    if type(model) not in _DECIDE:
        raise Undecided("this is neither a queue nor a stack")
    if len({one.index for one in operations}) < len(operations):
        raise Undecided("two operations have the same index")
    named = _Pairing(operations, model, budget, effort, whole=False).found()
    if named is None:
        named = _Pairing(operations, model, budget, effort, whole=True).found()
    assert named is not None  # without operations of unknown outcome the fast algorithms always can tell
    return named


_DECIDE: dict[type[Model], Callable[[Sequence[Operation], Budget], Decision]] = {
    Queue: queues.decide,
    Stack: stacks.decide,
}


@dataclass(slots=True, eq=False)
class _Taker:
    """What took a value out, and which of those that put it in it may have been."""

    operation: Operation
    options: list[int]
    """The places of those who put it in, the likeliest first."""
    equals: list[int]
    """The numbers of the takers of an equal value that come before it."""
    chosen: int | None = None
    ruled_out: dict[int, _Reason] = field(default_factory=dict)


class _Pairing:
    def __init__(
        self, operations: Sequence[Operation], model: Model, budget: Budget, effort: Effort, whole: bool
    ) -> None:
        """`whole`: whether to guess what operations of unknown outcome took, too."""
        self.operations = operations
        self.budget = budget
        self.effort = effort
        self.comparisons = 0
        self.whole = whole
        self.decide = _DECIDE[type(model)]
        self.is_queue = type(model) is Queue
        self.put = "enqueue" if self.is_queue else "push"
        self.end = 1 + max((max(one.began, one.ended or 0) for one in operations), default=0)
        self.takers: list[_Taker] = []
        """In the order in which they returned; a pair is ruled out by pairs of earlier ones only."""
        self.number_of: dict[int, int] = {}
        """The takers, by their places."""
        self.takers_of: dict[Hashable, list[int]] = {}
        self.unknown: list[int] = []
        """The numbers of the takers of unknown outcome, in the order of their calls."""
        self.taker_of: dict[int, int] = {}
        """By the place of what put it in, the first number that chose it."""
        self.values: frozenset[Hashable] = frozenset()
        """All of them."""
        self._collect()

    def found(self) -> list[Operation] | None:
        """See `told_apart`; None if it depends on what operations of unknown outcome took."""
        self._count()
        self._settle(0)
        for _ in range(max(1, min(self.effort.guesses, self.effort.operations // max(1, len(self.operations))))):
            self.budget.look()
            named = self._named()
            decision = self.decide(named, self.budget)
            if decision.linearizable:
                return named
            if decision.linearizable is None:
                return None
            self._learn(named, decision.proof)
        raise Undecided(_TOO_MANY)

    def _collect(self) -> None:
        puts: dict[Hashable, list[int]] = {}
        takes: list[int] = []
        for place, one in enumerate(self.operations):
            if one.f == self.put:
                puts.setdefault(canonical(one.value), []).append(place)
            elif one.type == "info" or one.result is not None:
                takes.append(place)
        for place in sorted(takes, key=lambda place: end_of(self.operations[place])):
            if self.operations[place].type == "ok":
                self._collect_taker(place, puts)
        self.values = frozenset(puts).union(self.takers_of)
        unknown = [place for place in takes if self.operations[place].type == "info"] if self.whole else []
        all_puts = sorted((option for those in puts.values() for option in those), reverse=not self.is_queue)
        if len(unknown) * len(all_puts) > _MOST_OPTIONS:
            raise Undecided("too much may have been taken by operations of unknown outcome")
        for place in unknown:
            self.unknown.append(len(self.takers))
            self.number_of[place] = len(self.takers)
            options = [_NOTHING, *all_puts]
            self.takers.append(_Taker(self.operations[place], options, []))

    def _collect_taker(self, place: int, puts: dict[Hashable, list[int]]) -> None:
        one = self.operations[place]
        value = canonical(one.result)
        equals = self.takers_of.setdefault(value, [])
        if len(equals) >= _MOST_EQUAL:
            raise Undecided("too many equal values were taken out")
        self.number_of[place] = len(self.takers)
        self.takers.append(_Taker(one, self._options(one, puts.get(value, [])), list(equals)))
        equals.append(self.number_of[place])

    def _count(self) -> None:
        """Raises `Contradiction` if a value was taken out more often than it had been put in by then."""
        for value, numbers in self.takers_of.items():
            if any(len(self.takers[number].options) < count for count, number in enumerate(numbers, start=1)):
                raise self._contradiction([value])

    def _options(self, taker: Operation, puts: Sequence[int]) -> list[int]:
        possible = [place for place in puts if not before(taker, self.operations[place])]
        if self.is_queue:
            return possible
        surely = [place for place in possible if before(self.operations[place], taker)]
        surely.sort(key=lambda place: -end_of(self.operations[place]))
        return surely + [place for place in possible if not before(self.operations[place], taker)]

    def _settle(self, number: int) -> None:
        """Give each taker from that number on an option that isn't ruled out. Raises `Contradiction`."""
        while number < len(self.takers):
            self.budget.look()
            taker = self.takers[number]
            options = taker.options if taker.chosen is None else [taker.chosen, *taker.options]
            for option in options:
                if option not in taker.ruled_out:
                    other = self._clash(number, option)
                    if other is None:
                        break
                    taker.ruled_out[option] = _Reason({other: None}, self._values(taker))
            else:
                number = self._back(self._exhausted(taker))
                continue
            if option != taker.chosen:
                self._free(number)
                taker.chosen = option
                self._forget(number, option)
            if option != _NOTHING:
                self.taker_of[option] = number
            number += 1

    def _clash(self, number: int, option: int) -> int | None:
        """The number of an earlier taker whose pair and this one can't both be, or needn't."""
        taker = self.takers[number]
        self.comparisons += 1 + len(taker.equals)
        if self.comparisons > self.effort.comparisons:
            raise Undecided(_TOO_MANY)
        others_before = self.unknown and number > self.unknown[0]
        if others_before and option != _NOTHING and self.takers[number - 1].chosen == _NOTHING:
            return number - 1
        other = self.taker_of.get(option, number)
        if other < number:
            return other
        if self.is_queue:
            for equal in taker.equals:
                if self._crosses(taker.operation, option, self.takers[equal]):
                    return equal
        return None

    def _crosses(self, operation: Operation, option: int, other: _Taker) -> bool:
        """Whether of these two the one that is earlier took what was put in later. Of nested operations none is earlier."""
        assert other.chosen is not None
        put, others = self.operations[option], self.operations[other.chosen]
        if _earlier(operation, other.operation):
            return _earlier(others, put)
        return _earlier(other.operation, operation) and _earlier(put, others)

    def _values(self, taker: _Taker) -> frozenset[Hashable]:
        return frozenset() if taker.operation.type == "info" else frozenset([canonical(taker.operation.result)])

    def _exhausted(self, taker: _Taker) -> _Reason:
        """Why the taker has no option left."""
        blamed: dict[int, frozenset[int] | None] = {}
        for reason in taker.ruled_out.values():
            for number, wanted in reason.blamed.items():
                known = blamed.setdefault(number, wanted)
                blamed[number] = None if known is None or wanted is None else known | wanted
        return _Reason(blamed, self._values(taker).union(*(reason.values for reason in taker.ruled_out.values())))

    def _back(self, reason: _Reason) -> int:
        """Rule out what the last one to blame can't take, and give its number. Raises `Contradiction`."""
        if not reason.blamed:
            raise self._contradiction(reason.values)
        last = max(reason.blamed)
        taker = self.takers[last]
        assert taker.chosen is not None
        wanted = reason.blamed[last]
        others = {number: names for number, names in reason.blamed.items() if number != last}
        for option in [taker.chosen] if wanted is None else taker.options:
            if wanted is None or option not in wanted:
                taker.ruled_out.setdefault(option, _Reason(others, reason.values))
        self._free(last)
        taker.chosen = None
        return last

    def _free(self, number: int) -> None:
        chosen = self.takers[number].chosen
        if chosen is not None and self.taker_of.get(chosen) == number:
            del self.taker_of[chosen]

    def _forget(self, changed: int, option: int) -> None:
        """What isn't ruled out any more now that this one took that."""
        for taker in self.takers[changed + 1 :]:
            for other in [other for other, reason in taker.ruled_out.items() if changed in reason.blamed]:
                wanted = taker.ruled_out[other].blamed[changed]
                if wanted is None or option in wanted:
                    del taker.ruled_out[other]

    def _named(self) -> list[Operation]:
        """Each value by the place of what put it in."""
        named = []
        for place, one in enumerate(self.operations):
            if one.f == self.put:
                named.append(replace(one, value=place))
            elif place not in self.number_of:
                named.append(one)
            elif one.type == "ok":
                named.append(replace(one, result=self.takers[self.number_of[place]].chosen))
            elif (chosen := self.takers[self.number_of[place]].chosen) != _NOTHING:
                end = self.end + place
                named.append(replace(one, type="ok", result=chosen, return_ns=one.call_ns, ended=end))
        return named

    def _learn(self, named: Sequence[Operation], proof: Sequence[Operation]) -> None:
        """These pairs can't be together, if what the proof is about fails alone; else all of them can't."""
        names = {name for one in proof if (name := self._name(one)) is not None}
        few = [one for one in named if (name := self._name(one)) is None or name in names]
        if self.decide(few, self.budget).linearizable is False:
            reason = self._reason(names)
        else:
            reason = _Reason(dict.fromkeys(range(len(self.takers))), self.values)
        self._settle(self._back(reason))

    def _reason(self, names: Collection[int]) -> _Reason:
        """Those on whom it depends who took what was put in at these places."""
        takers = {self.taker_of[name]: None for name in names if name in self.taker_of}
        left: dict[int, frozenset[int]] = {}
        for name in names:
            if name not in self.taker_of:
                equals = self.takers_of.get(canonical(self.operations[name].value), [])
                for number in equals + self.unknown:
                    if name in self.takers[number].options:
                        left[number] = left.get(number, frozenset()) | {name}
        values = frozenset(canonical(self.operations[name].value) for name in names)
        return _Reason({**left, **takers}, values)

    def _name(self, one: Operation) -> int | None:
        name = one.value if one.f == self.put else one.result if one.type == "ok" else None
        assert name is None or isinstance(name, int)
        return name

    def _contradiction(self, values: Collection[Hashable]) -> Contradiction:
        """No pairing of these values is explained: nothing that it stands on is about others."""
        kept = []
        for one in self.operations:
            value = one.value if one.f == self.put else one.result if one.type == "ok" else None
            if value is None or canonical(value) in values:
                kept.append(one)
        return Contradiction("no way to pair equal values is explained", kept)


def _earlier(one: Operation, other: Operation) -> bool:
    """Whether it was called earlier, and returned earlier too, if it did."""
    return one.began < other.began and (end_of(one) < end_of(other) or one.ended is other.ended is None)
