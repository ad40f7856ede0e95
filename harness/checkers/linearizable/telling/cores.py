"""The core of a violation: a few operations of which no order makes sense, whatever else happened.

A part of a history may contradict itself though the whole doesn't: two acquisitions of a lock, without the release between
them. So nothing is simply left out here. An operation outside of the core is made OPTIONAL: it may have happened, as it was
recorded and at some moment while it was open, or not at all. Any order that explains the whole history explains this weaker
one too. If none does, the core is a proof, of whatever model. It is minimal if no operation of it can be made optional.

It is a search of its own, which shares no code with the one that gives the verdict: so every proof is seen by two. It goes
through the events and keeps every configuration that is possible at each moment: a state, and which of the open operations
have taken effect. Of two configurations the one that spent fewer optional operations is enough. Time is looked for where
proofs usually are: in the last few operations before the one that fits nowhere. What was possible before those, if
everything there is optional, is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.checkers.linearizable.blocks import observed, written
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.support import is_writer
from harness.checkers.linearizable.telling.forgetful import ANY_OTHER, ForgetfulRegister
from harness.checkers.linearizable.telling.minimal import minimal
from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.register import Register
from harness.models.values import canonical

_MOST_CONFIGURATIONS = 2000
_MOST_STATES_BEFORE = 500
"""Of what is possible before a window; where it is more, the window has to be wider."""
_FIRST_WINDOW = 4
_STEPS_PER_LOOK = 256

Configuration = tuple[State, int]
"""A state, and the bits of the open operations that have taken effect."""


class _TooMany(Exception):
    """More configurations are possible than are looked at."""


@dataclass
class Core:
    """What was found out about a history that nothing explains."""

    operations: list[Operation]
    """In order of invocation."""
    minimal: bool
    """Whether none of them can be made optional; not known where a limit was reached."""
    states: list[State]
    """What is possible when the last of them returns, if it has not taken effect: it fits none of these."""


def core(operations: Sequence[Operation], model: Model, budget: Budget) -> Core | None:
    """A core of a history that nothing explains and whose prefix before the last return can be explained.

    None if it can't be proved within the limits of this search. Raises `Stopped` if the budget is spent before anything
    is proved.
    """
    found = None
    for window in _windows(operations, model, budget):
        if not window.fails(window.operations):
            continue
        kept, whole = minimal(_plainest_last(window.operations, model), list, window.fails)
        if found is not None and len(kept) > len(found.operations):
            break
        done = found is not None
        stuck_in = window.fails_in(kept)
        proved = stuck_in is not None
        found = Core(_in_order(kept), proved and whole and window.is_sure_around(kept), stuck_in or [])
        if done or len(kept) <= 1:
            break  # a window of twice the width had its chance to show something plainer
    return found


def _in_order(operations: Iterable[Operation]) -> list[Operation]:
    return sorted(operations, key=lambda one: one.began)


def _plainest_last(operations: Iterable[Operation], model: Model) -> list[Operation]:
    """What is left out first: refusals, then what only looked, then what is long ago. The last one stays anyway."""
    return sorted(operations, key=lambda one: (one.result is not False, not model.pure(one), one.began))


def proves(proof: Iterable[Operation], operations: Sequence[Operation], model: Model, budget: Budget) -> bool | None:
    """Whether these operations are a proof, the others of the history being optional; None if it can't be told."""
    window = _Window(_Timeline(operations, model, budget), list(proof), 0, [(model.initial(), 0)])
    fails = window.fails(window.operations)
    return None if window.unsure else fails


def _windows(operations: Sequence[Operation], model: Model, budget: Budget) -> Iterator[_Window]:
    """The last few operations, then twice as many each time, up to the whole history."""
    if type(model) is Register:
        yield from _windows_of_a_register(operations, model, budget)
        return
    timeline = _Timeline(operations, model, budget)
    starts = list(timeline.starts())
    befores = timeline.possible_before(starts)
    for start in starts:
        if start in befores:
            certain = [one for _, returns, one in timeline.events[start:] if not returns and one.type == "ok"]
            yield _Window(timeline, certain, start, befores[start])


def _windows_of_a_register(operations: Sequence[Operation], model: Model, budget: Budget) -> Iterator[_Window]:
    """What a register may hold before a window is known without a look at what was done there: any value that was written
    by then. All that the window doesn't speak of are the same to it."""
    calls = [one for one in operations if one.type == "ok"]
    width = _FIRST_WINDOW
    while True:
        since = calls[-width].began if width < len(calls) else -1
        recent = [one for one in operations if one.ended is None or one.ended > since]
        spoken_of = {value for one in recent for value in observed(one)}
        first = {model.initial()}
        if since >= 0:
            first |= {written(one) for one in operations if one.began < since and is_writer(one)}
        before: list[Configuration] = [(value, 0) for value in first & spoken_of]
        if len(before) < len(first):
            before.append((ANY_OTHER, 0))
        timeline = _Timeline(recent, ForgetfulRegister(spoken_of), budget)
        certain = [one for one in recent if one.began >= since and one.type == "ok"]
        start = next((place for place, event in enumerate(timeline.events) if event[0] >= since), 0)
        yield _Window(timeline, certain, start, before)
        if width >= len(calls):
            return
        width *= 2


@dataclass
class _Window:
    """The operations from some moment on: with all of them certain, nothing explains the history."""

    timeline: _Timeline
    operations: list[Operation]
    start: int
    before: list[Configuration]
    """What is possible when it begins."""
    unsure: set[frozenset[int]] = field(default_factory=set)
    """The indexes of operations of which it could not be told whether they fail, and it was taken that they don't."""

    def is_sure_around(self, kept: Sequence[Operation]) -> bool:
        """Whether it could be told of all that are left where one of these is left out."""
        indexes = {one.index for one in kept}
        return all(frozenset(indexes - {index}) not in self.unsure for index in indexes)

    def fails(self, certain: list[Operation]) -> bool:
        """First with optional operations that may take effect again and again, which is quick: what fails so fails."""
        indexes = {one.index for one in certain}
        relaxed = None if self.timeline.endless else self._try(indexes, relaxed=True)
        if relaxed:
            return True
        exactly = self._try(indexes, relaxed=False)
        if exactly is None and self.timeline.endless:
            relaxed = exactly = self._try(indexes, relaxed=True)
        self.timeline.endless |= relaxed is None
        if relaxed is None and exactly is None:
            self.unsure.add(frozenset(indexes))
        return bool(exactly)

    def fails_in(self, certain: list[Operation]) -> list[State] | None:
        """The states in which it fails, as exactly as can be told; None if it doesn't fail."""
        indexes = {one.index for one in certain}
        if self._try(indexes, relaxed=False) or self._try(indexes, relaxed=True):
            return self.timeline.stuck_in
        return None

    def _try(self, certain: set[int], relaxed: bool) -> bool | None:
        try:
            return self.timeline.fails(certain, self.start, self.before, relaxed)
        except _TooMany:
            return None


@dataclass
class _Open:
    """What is open at a moment, and the configurations that are possible."""

    certain: set[int]
    relaxed: bool
    writers: list[Operation] = field(default_factory=list)
    watchers: list[Operation] = field(default_factory=list)
    """Pure ones; only certain ones are looked at."""
    optional_bits: int = 0
    pure_bits: int = 0
    known: dict[tuple[State, int], list[Configuration]] = field(default_factory=dict)
    """By all that must be equal, those that are no worse than another one."""
    size: int = 0

    def add(self, state: State, mask: int) -> bool:
        """Whether it is better than all that are known in some way; then it is remembered."""
        optional, pure = self.optional_bits, self.pure_bits
        others = self.known.setdefault((state, mask & ~optional & ~pure), [])
        for _, other in others:
            if not other & optional & ~mask and not mask & pure & ~other:
                return False
        before = len(others)
        others[:] = [one for one in others if mask & optional & ~one[1] or one[1] & pure & ~mask]
        others.append((state, mask))
        self.size += len(others) - before
        if self.size > _MOST_CONFIGURATIONS:
            raise _TooMany
        return True

    def all(self) -> list[Configuration]:
        return [configuration for group in self.known.values() for configuration in group]

    def reset(self, configurations: Iterable[Configuration]) -> None:
        self.known, self.size = {}, 0
        for state, mask in configurations:
            self.add(state, mask)


class _Timeline:
    """The events of a history, with a bit for each operation while it is open."""

    def __init__(self, operations: Sequence[Operation], model: Model, budget: Budget) -> None:
        self.model = model
        self.budget = budget
        self.pure = {one.index for one in operations if model.pure(one)}
        self.operations = [one for one in operations if one.type == "ok" or one.index not in self.pure]
        moments = [(one.began, False, one) for one in self.operations]
        moments += [(one.ended, True, one) for one in self.operations if one.ended is not None]
        self.events = sorted(moments, key=lambda moment: moment[0])
        self.bit_of = self._bits()
        self._steps: dict[object, dict[State, tuple[State, ...]]] = {}
        self._kind_of = {
            one.index: self._steps.setdefault((one.f, canonical(one.value), one.type, canonical(one.result)), {})
            for one in self.operations
        }
        self._looked = 0
        self.endless = False
        """Whether optional operations that take effect again and again led to more states than are looked at, as in a
        queue: then it isn't worth the while to begin with that."""
        self.stuck_in: list[State] = []
        """The states that were possible when the last try to explain the history came to its end."""

    def _bits(self) -> dict[int, int]:
        bits: dict[int, int] = {}
        free: list[int] = []
        used = 0
        for _, returns, one in self.events:
            if returns:
                free.append(bits[one.index])
            elif free:
                bits[one.index] = free.pop()
            else:
                bits[one.index] = 1 << used
                used += 1
        return bits

    def starts(self) -> Iterator[int]:
        """The places of the invocations with which windows begin, the narrowest window first."""
        calls = [place for place, (_, returns, one) in enumerate(self.events) if not returns and one.type == "ok"]
        width = _FIRST_WINDOW
        while width < len(calls):
            yield calls[-width]
            width *= 2
        yield 0

    def possible_before(self, places: Sequence[int]) -> dict[int, list[Configuration]]:
        """The configurations at each of these places, if everything is optional, as often as it likes."""
        possible: dict[int, list[Configuration]] = {0: [(self.model.initial(), 0)]}
        now = _Open(set(), relaxed=True)
        now.add(self.model.initial(), 0)
        wanted = set(places)
        try:
            for place, (_, returns, one) in enumerate(self.events):
                if place in wanted:
                    possible[place] = now.all()
                if place >= max(places):
                    break
                self._happen(now, one, returns)
                if now.size > _MOST_STATES_BEFORE:
                    break
        except _TooMany:
            pass
        return possible

    def fails(self, certain: set[int], start: int, before: Sequence[Configuration], relaxed: bool) -> bool:
        """Whether nothing explains the events from `start` on, with only these operations certain."""
        now = _Open(certain, relaxed)
        now.writers = self._open_at(start)
        for one in now.writers:
            now.optional_bits |= self.bit_of[one.index]
        now.reset(before)
        return any(not self._happen(now, one, returns) for _, returns, one in self.events[start:])

    def _open_at(self, start: int) -> list[Operation]:
        if start == 0:
            return []
        position = self.events[start][0]
        return [
            one
            for one in self.operations
            if one.began < position and (one.ended is None or one.ended > position) and one.index not in self.pure
        ]

    def _happen(self, now: _Open, one: Operation, returns: bool) -> bool:
        """Go past one event; False if nothing is possible after it."""
        bit = self.bit_of[one.index]
        certain = one.index in now.certain
        if one.index in self.pure:
            if certain:
                return self._watched(now, one, bit) if returns else self._watch(now, one, bit)
            return True
        if not returns:
            now.writers.append(one)
            if not certain:
                now.optional_bits |= bit
            self._close(now, now.all())
            return True
        now.writers.remove(one)
        self._remember(now)
        left = [(state, mask) for state, mask in now.all() if mask & bit or not certain]
        now.optional_bits &= ~bit
        now.reset((state, mask & ~bit) for state, mask in left)
        return bool(left)

    def _watch(self, now: _Open, one: Operation, bit: int) -> bool:
        now.watchers.append(one)
        now.pure_bits |= bit
        configurations = [(state, mask | self._seen(now, state)) for state, mask in now.all()]
        now.reset(configurations)
        self._close(now, configurations)
        return True

    def _watched(self, now: _Open, one: Operation, bit: int) -> bool:
        now.watchers.remove(one)
        self._remember(now)
        left = [(state, mask & ~bit) for state, mask in now.all() if mask & bit]
        now.pure_bits &= ~bit
        now.reset(left)
        return bool(left)

    def _remember(self, now: _Open) -> None:
        self.stuck_in = list(dict.fromkeys(state for state, _ in now.all()))

    def _close(self, now: _Open, fresh: Iterable[Configuration]) -> None:
        """Add whatever the open operations can make of these configurations."""
        waiting = list(fresh)
        while waiting:
            state, mask = waiting.pop()
            self._looked += 1
            if self._looked % _STEPS_PER_LOOK == 0:
                self.budget.look()
            tried: set[int] = set()
            for one in now.writers:
                bit = self.bit_of[one.index]
                if mask & bit:
                    continue
                if one.ended is None:  # of those that are alike and never return one is enough
                    if id(self._kind_of[one.index]) in tried:
                        continue
                    tried.add(id(self._kind_of[one.index]))
                optional = bit & now.optional_bits
                for after in self._step(one, state):
                    if optional and after == state:
                        continue
                    spent = 0 if optional and now.relaxed else bit
                    following = mask | spent | self._seen(now, after)
                    if now.add(after, following):
                        waiting.append((after, following))

    def _seen(self, now: _Open, state: State) -> int:
        """The bits of those that only look and find what they saw in this state."""
        bits = 0
        for one in now.watchers:
            if self._step(one, state):
                bits |= self.bit_of[one.index]
        return bits

    def _step(self, one: Operation, state: State) -> tuple[State, ...]:
        known = self._kind_of[one.index]
        if state not in known:
            answer = self.model.step(state, one)
            known[state] = () if isinstance(answer, str) else tuple(answer)
        return known[state]
