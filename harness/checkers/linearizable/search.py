"""The search: decides any history of any model, in time exponential in how many operations are open at once.

After Wing and Gong (1993), with the just-in-time order of Lowe (2016): walk through the events in their order and keep
the SET of configurations that explain everything so far. A configuration is a state of the model and which of the open
operations have taken effect. An operation is given its moment as late as possible: only when one returns that has not
taken effect yet are the open ones tried, one after the other, until it has. No configuration left: no order explains
the history, and the event at hand ends its shortest prefix that fails. What keeps the set small:

- A pure operation (one that never changes the state) takes effect as soon as the state allows it: waiting gains nothing.
- A crashed operation is never forced. Of two configurations that differ only in the crashed operations spent, or in the
  pure ones satisfied, the one that spent no more and satisfied no less makes the other superfluous.
- Of open operations that are alike (same function, value and result) the one that returns first goes first.

Where there are many configurations all the same, two quicker looks come before the whole search. A BEAM keeps only the
most promising ones, those that spent the fewest crashed operations; if one is left at the end, it explains the history. A
RELAXED search lets crashed operations take effect as often as they like, so that it need not remember which ones did; if
even that leaves nothing, nothing explains the history.

Memory holds the live configurations and nothing of the past; bits are numbered by the operations that are open, and used
again when one returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, nsmallest

from harness.checkers.linearizable.budget import Budget
from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical

_STEPS_PER_LOOK = 256

Configuration = tuple[State, int]
"""The state, and the bits of the open operations that have taken effect."""


@dataclass
class Progress:
    """How far a search came: what `unknown` is explained by, also after it was stopped."""

    explored: int = 0
    """Configurations looked at."""
    largest: int = 1
    """The most configurations alive at once."""
    open_at_most: int = 0
    crashed_at_most: int = 0
    reached: Operation | None = None
    """The operation whose return was being explained."""
    open_then: int = 0
    crashed_then: int = 0


@dataclass
class Outcome:
    linearizable: bool
    failed_at: Operation | None = None
    """If it isn't: the operation that fits nowhere by the time it returns, if that is known."""


_FEW = 64
"""Configurations alive at once up to which nothing but the whole search is tried."""
_BEAMS = (12, 200)
_MOST_RELAXED = 1000
"""A relaxed search gives up there: a counter that may be increased again and again has no end of states."""


class _TooMany(Exception):
    """More configurations are alive than a first look may keep."""


def decide(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress) -> Outcome:
    """Search, with quicker looks first where there are many configurations. Arguments and errors as of `search`."""
    try:
        failed_at = _walk(operations, _Window(model, budget, progress, at_most=_FEW))
        return Outcome(failed_at is None, failed_at)
    except _TooMany:
        pass
    for beam in _BEAMS:
        if _walk(operations, _Window(model, budget, progress, beam=beam)) is None:
            return Outcome(True)
        if beam == _BEAMS[0] and _fails_relaxed(operations, model, budget, progress):
            return Outcome(False)
    failed_at = search(operations, model, budget, progress)
    return Outcome(failed_at is None, failed_at)


def _fails_relaxed(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress) -> bool:
    try:
        return _walk(operations, _Window(model, budget, progress, at_most=_MOST_RELAXED, relaxed=True)) is not None
    except _TooMany:
        return False


def search(operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress) -> Operation | None:
    """None if some order explains the history; else the operation that fits nowhere by the time it returns.

    The operations are of one partition, those with a `problem` left out, in order of their invocation.
    Raises `Stopped` when the budget is spent.
    """
    return _walk(operations, _Window(model, budget, progress))


def _walk(operations: Sequence[Operation], window: _Window) -> Operation | None:
    model, budget = window.model, window.budget
    for number, (operation, returns) in enumerate(_events(o for o in operations if _matters(o, model))):
        if number % _STEPS_PER_LOOK == 0:
            budget.look()
        if not returns:
            window.call(operation)
        elif not window.returns(operation):
            return operation
    return None


def _matters(operation: Operation, model: Model) -> bool:
    return operation.type == "ok" or not model.pure(operation)


def _events(operations: Iterable[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Invocations and returns in order; a crashed operation never returns."""
    moments = []
    for operation in operations:
        moments.append((operation.began, operation, False))
        if operation.ended is not None:
            moments.append((operation.ended, operation, True))
    moments.sort(key=lambda moment: moment[0])
    for _, operation, returns in moments:
        yield operation, returns


@dataclass(slots=True, eq=False)
class _Kind:
    """Open operations that are alike: interchangeable, so that only the one that returns first is ever tried."""

    identity: tuple[object, ...]
    sample: Operation
    pure: bool
    bits: list[tuple[float, int]]
    """When each returns, and its bit; sorted."""
    next_states: dict[State, tuple[State, ...]]
    """What the model said, by state."""


class _Window:
    """The operations that are open, and the configurations that explain everything up to now."""

    def __init__(
        self,
        model: Model,
        budget: Budget,
        progress: Progress,
        at_most: int | None = None,
        beam: int | None = None,
        relaxed: bool = False,
    ) -> None:
        """`at_most`: give up where more configurations are alive. `beam`: keep no more than so many. `relaxed`: crashed
        operations may take effect again and again."""
        self.at_most = at_most
        self.beam = beam
        self.relaxed = relaxed
        self.model = model
        self.budget = budget
        self.progress = progress
        self.configurations: set[Configuration] = {(model.initial(), 0)}
        self.bit_of: dict[Operation, int] = {}
        self.kind_of: dict[Operation, _Kind] = {}
        self.kinds: dict[tuple[object, ...], _Kind] = {}
        self.active: list[_Kind] = []
        self.pure: list[_Kind] = []
        self.free_bits: list[int] = []
        self.crashed_bits = 0
        self.pure_bits = 0

    def call(self, operation: Operation) -> None:
        bit = self.free_bits.pop() if self.free_bits else 1 << len(self.bit_of)
        self.bit_of[operation] = bit
        crashed = operation.ended is None
        identity = (operation.f, canonical(operation.value), crashed, canonical(operation.result))
        kind = self.kinds.get(identity)
        if kind is None:
            kind = _Kind(identity, operation, self.model.pure(operation), [], {})
            self.kinds[identity] = kind
            (self.pure if kind.pure else self.active).append(kind)
        kind.bits.append((float("inf") if operation.ended is None else operation.ended, bit))
        kind.bits.sort()
        self.kind_of[operation] = kind
        if crashed:
            self.crashed_bits |= bit
        elif kind.pure:
            self.pure_bits |= bit
        progress = self.progress
        progress.open_then = len(self.bit_of)
        progress.crashed_then = self.crashed_bits.bit_count()
        progress.open_at_most = max(progress.open_at_most, progress.open_then)
        progress.crashed_at_most = max(progress.crashed_at_most, progress.crashed_then)

    def returns(self, operation: Operation) -> bool:
        """Explain that the operation has taken effect by now; False if no configuration can."""
        self.progress.reached = operation
        bit = self.bit_of[operation]
        explained = {(state, mask & ~bit) for state, mask in self.configurations if mask & bit}
        waiting = [configuration for configuration in self.configurations if not configuration[1] & bit]
        if waiting:
            explained |= self._explain(waiting, bit)
        self._close(operation, bit)
        self.configurations = self._promising(self._undominated(explained)) if waiting else explained
        self.progress.largest = max(self.progress.largest, len(self.configurations))
        return bool(explained)

    def _promising(self, configurations: set[Configuration]) -> set[Configuration]:
        if self.at_most is not None and len(configurations) > self.at_most:
            raise _TooMany
        if self.beam is None or len(configurations) <= self.beam:
            return configurations
        crashed = self.crashed_bits
        return set(nsmallest(self.beam, configurations, lambda c: 2 * (c[1] & crashed).bit_count() - c[1].bit_count()))

    def _close(self, operation: Operation, bit: int) -> None:
        del self.bit_of[operation]
        kind = self.kind_of.pop(operation)
        kind.bits = [entry for entry in kind.bits if entry[1] != bit]
        if not kind.bits:
            del self.kinds[kind.identity]
            (self.pure if kind.pure else self.active).remove(kind)
        self.pure_bits &= ~bit
        self.free_bits.append(bit)

    def _explain(self, waiting: list[Configuration], bit: int) -> set[Configuration]:
        """All configurations, reached from those given, in which the bit is spent and nothing was done after it."""
        explained: set[Configuration] = set()
        # Those that spent fewer crashed operations come first, so that the ones they dominate are never expanded.
        queue: list[tuple[int, int, Configuration]] = []
        seen: dict[tuple[State, int], list[int]] = {}
        pushed = 0
        for state, mask in waiting:
            heappush(queue, ((mask & self.crashed_bits).bit_count(), pushed, (state, mask)))
            pushed += 1
        while queue:
            state, mask = heappop(queue)[2]
            self.progress.explored += 1
            if self.progress.explored % _STEPS_PER_LOOK == 0:
                self.budget.look()
            if self.at_most is not None and len(seen) > self.at_most:
                raise _TooMany
            if self.beam is not None and len(explained) > self.beam:
                break
            mask |= self._satisfied(state)
            if mask & bit:
                explained.add((state, mask & ~bit))
                continue
            if self._is_dominated(state, mask, seen):
                continue
            for next_state, spent in self._moves(state, mask):
                if spent & bit:
                    explained.add((next_state, (mask | spent) & ~bit))
                else:
                    following = mask | spent
                    heappush(queue, ((following & self.crashed_bits).bit_count(), pushed, (next_state, following)))
                    pushed += 1
        return explained

    def _satisfied(self, state: State) -> int:
        """The bits of all open pure operations that may take effect in this state."""
        bits = 0
        for kind in self.pure:
            if self._step(kind, state):
                for _, bit in kind.bits:
                    bits |= bit
        return bits

    def _moves(self, state: State, mask: int) -> Iterator[tuple[State, int]]:
        reusable = self.crashed_bits if self.relaxed else 0
        for kind in self.active:
            for _, bit in kind.bits:
                if not mask & bit:
                    for next_state in self._step(kind, state):
                        # A crashed operation that changes nothing here is better kept.
                        if next_state != state or not bit & self.crashed_bits:
                            yield next_state, bit & ~reusable
                    break

    def _step(self, kind: _Kind, state: State) -> tuple[State, ...]:
        known = kind.next_states.get(state)
        if known is None:
            answer = self.model.step(state, kind.sample)
            known = () if isinstance(answer, str) else tuple(answer)
            kind.next_states[state] = known
        return known

    def _is_dominated(self, state: State, mask: int, seen: dict[tuple[State, int], list[int]]) -> bool:
        """Whether a configuration at least as good was seen; otherwise remember this one."""
        crashed, pure = self.crashed_bits, self.pure_bits
        masks = seen.setdefault((state, mask & ~crashed & ~pure), [])
        for other in masks:
            if not other & crashed & ~mask and not mask & pure & ~other:
                return True
        masks.append(mask)
        return False

    def _undominated(self, configurations: set[Configuration]) -> set[Configuration]:
        if len(configurations) < 2 or not (self.crashed_bits or self.pure_bits):
            return configurations
        crashed, pure = self.crashed_bits, self.pure_bits
        seen: dict[tuple[State, int], list[int]] = {}
        kept = set()
        for state, mask in sorted(
            configurations, key=lambda c: (c[1] & crashed).bit_count() * 2 - (c[1] & pure).bit_count()
        ):
            if not self._is_dominated(state, mask, seen):
                kept.add((state, mask))
        return kept
