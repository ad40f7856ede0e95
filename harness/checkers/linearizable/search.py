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
most promising ones, those that spent the fewest crashed operations, as soon as there are too many; if one is left at the
end, it explains the history; if none is, and none had to be left out, nothing does. A RELAXED search lets crashed
operations take effect as often as they like, so that it need not remember which ones did; if even that leaves nothing,
nothing explains the history.

Memory holds the live configurations and nothing of the past; bits are numbered by the operations that are open, and used
again when one returns. Only where a witness is asked for does every configuration remember how it came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.foresight import Foresight
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical

_STEPS_PER_LOOK = 256

Configuration = tuple[State, int]
"""The state, and the bits of the open operations that have taken effect."""

Trail = tuple[Any, Operation] | None
"""How a configuration came about: the trail that it goes on, which others share, and what took effect last."""


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
    order: list[Operation] | None = None
    """If it is, and a witness was asked for: an order that explains the history."""


_BEAMS = ((64, 12), (400, 200))
"""Once more configurations than the first number are alive, only as many as the second one are kept, from then on."""
_MOST_RELAXED = 1000
"""A relaxed search gives up there: a counter that may be increased again and again has no end of states."""


class _TooMany(Exception):
    """More configurations are alive than a first look may keep."""


def decide(
    operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress, traced: bool = False
) -> Outcome:
    """Search, with quicker looks first where there are many configurations. Arguments and errors as of `search`.

    `traced`: tell the order too, which takes memory in proportion to the history.
    """
    outcome = glance(operations, model, budget, progress, traced)
    if outcome is None:
        window = _Window(model, budget, progress, traced=traced)
        outcome = window.outcome(_walk(operations, window))
    return outcome


def glance(
    operations: Sequence[Operation], model: Model, budget: Budget, progress: Progress, traced: bool = False
) -> Outcome | None:
    """Only the quicker looks, which take time in proportion to the history: None if they can't tell."""
    for beam in _BEAMS:
        window = _Window(model, budget, progress, beam=beam, traced=traced)
        failed_at = _walk(operations, window)
        if failed_at is None or window.is_whole:
            return window.outcome(failed_at)
        if beam is _BEAMS[0] and _fails_relaxed(operations, model, budget, progress):
            return Outcome(False)
    return None


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
    for number, (position, operation, returns) in enumerate(_events(o for o in operations if _matters(o, model))):
        if number % _STEPS_PER_LOOK == 0:
            budget.look()
        if position >= window.view_ends:
            window.look_ahead(position)
        if not returns:
            window.call(operation)
        elif not window.returns(operation):
            return operation
    return None


def _matters(operation: Operation, model: Model) -> bool:
    return operation.type == "ok" or not model.pure(operation)


def _events(operations: Iterable[Operation]) -> list[tuple[int, Operation, bool]]:
    """Invocations (False) and returns in order, with their positions; a crashed operation never returns."""
    moments = []
    for operation in operations:
        moments.append((operation.began, operation, False))
        if operation.ended is not None:
            moments.append((operation.ended, operation, True))
    moments.sort(key=lambda moment: moment[0])
    return moments


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
        beam: tuple[int, int] | None = None,
        relaxed: bool = False,
        traced: bool = False,
    ) -> None:
        """`at_most`: give up where more configurations are alive. `beam`: as in `_BEAMS`. `relaxed`: crashed
        operations may take effect again and again. `traced`: remember how the configurations came about."""
        self.at_most = at_most
        self.beam = beam
        self.is_whole = True
        """Whether the beam left nothing out, so that a failure is one."""
        self.relaxed = relaxed
        self.model = model
        self.budget = budget
        self.progress = progress
        self.configurations: set[Configuration] = {(model.initial(), 0)}
        self.trails: dict[Configuration, Trail] | None = {(model.initial(), 0): None} if traced else None
        """When traced: how each configuration came about."""
        self.trails_after: dict[Configuration, Trail] = {}
        """The same of those in which the operation that returns has taken effect, while they are looked for."""
        self.operation_of: dict[int, Operation] = {}
        self.bit_of: dict[Operation, int] = {}
        self.kind_of: dict[Operation, _Kind] = {}
        self.kinds: dict[tuple[object, ...], _Kind] = {}
        self.active: list[_Kind] = []
        self.pure: list[_Kind] = []
        self.free_bits: list[int] = []
        self.crashed_bits = 0
        self.pure_bits = 0
        self.views = model.views() if isinstance(model, Foresight) else iter(())
        self.next_view = next(self.views, None)
        self.view_ends = NEVER if self.next_view is None else self.next_view[0]
        """From this position on the next view of a model with foresight is good."""

    def look_ahead(self, position: int) -> None:
        """Look at the model as it is to be seen from that position on."""
        view = None
        while self.next_view is not None and self.next_view[0] <= position:
            view = self.next_view[1]
            self.next_view = next(self.views, None)
        self.view_ends = NEVER if self.next_view is None else self.next_view[0]
        if view is None:
            return
        self.model = view
        for kind in self.kinds.values():
            kind.next_states.clear()
        self.configurations = {(view.seen(state), mask) for state, mask in self.configurations}
        if self.trails is not None:
            self.trails = {(view.seen(state), mask): trail for (state, mask), trail in self.trails.items()}

    def call(self, operation: Operation) -> None:
        bit = self.free_bits.pop() if self.free_bits else 1 << len(self.bit_of)
        self.bit_of[operation] = bit
        self.operation_of[bit] = operation
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
        trails = self.trails
        if trails is not None:
            done = [configuration for configuration in self.configurations if configuration[1] & bit]
            self.trails_after = {(state, mask & ~bit): trails[state, mask] for state, mask in done}
        if waiting:
            explained |= self._explain(waiting, bit)
        self._close(operation, bit)
        self.configurations = self._promising(self._undominated(explained)) if waiting else explained
        if trails is not None:
            self.trails = {configuration: self.trails_after[configuration] for configuration in self.configurations}
        self.progress.largest = max(self.progress.largest, len(self.configurations))
        return bool(explained)

    def outcome(self, failed_at: Operation | None) -> Outcome:
        """Of a walk with this window, which failed there, or didn't."""
        if failed_at is not None or self.trails is None:
            return Outcome(failed_at is None, failed_at)
        order = []
        trail = next(iter(self.trails.values()))
        while trail is not None:
            trail, operation = trail
            order.append(operation)
        order.reverse()
        return Outcome(True, order=order)

    def _extended(self, trail: Trail, bits: int) -> Trail:
        """The trail, gone on with the operations of these bits."""
        while bits:
            bit = bits & -bits
            bits ^= bit
            trail = (trail, self.operation_of[bit])
        return trail

    def _promising(self, configurations: set[Configuration]) -> set[Configuration]:
        if self.at_most is not None and len(configurations) > self.at_most:
            raise _TooMany
        if self.beam is None or len(configurations) <= self.beam[0]:
            return configurations
        self._narrow()
        crashed = self.crashed_bits
        return set(
            nsmallest(self.beam[1], configurations, lambda c: 2 * (c[1] & crashed).bit_count() - c[1].bit_count())
        )

    def _narrow(self) -> None:
        assert self.beam is not None
        self.beam = (self.beam[1], self.beam[1])
        self.is_whole = False

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
        # By the crashed operations spent: those that spent fewer come first, so that the ones they dominate are never expanded.
        levels: dict[int, list[Configuration]] = {}
        seen: dict[tuple[State, int], list[int]] = {}
        trails, after = self.trails, self.trails_after
        trail: Trail = None
        progress, crashed, pure = self.progress, self.crashed_bits, self.pure_bits
        active = ~(crashed | pure)
        enough = NEVER if self.beam is None else self.beam[0]
        at_most = NEVER if self.at_most is None else self.at_most
        known: dict[State, tuple[int, list[tuple[list[int], State, bool]]]] = {}
        for configuration in waiting:
            levels.setdefault((configuration[1] & crashed).bit_count(), []).append(configuration)
        while levels:
            spent_crashed = min(levels)
            level, deeper = levels[spent_crashed], levels.setdefault(spent_crashed + 1, [])
            for state, mask in level:  # which grows while it is gone through
                progress.explored += 1
                if progress.explored % _STEPS_PER_LOOK == 0:
                    self.budget.look()
                if len(explained) > enough:
                    self._narrow()
                    return explained
                if len(seen) > at_most:
                    raise _TooMany
                if state not in known:
                    known[state] = self._satisfied(state), list(self._moves(state))
                satisfied, moves = known[state]
                if trails is not None:
                    trail = self._extended(trails[state, mask], satisfied & ~mask)
                mask |= satisfied
                if mask & bit:
                    explained.add((state, mask & ~bit))
                    if trails is not None:
                        after.setdefault((state, mask & ~bit), trail)
                    continue
                masks = seen.setdefault((state, mask & active), [])
                for other in masks:  # dominated, as in `_is_dominated`: this is where time goes
                    if not other & crashed & ~mask and not mask & pure & ~other:
                        break
                else:
                    masks.append(mask)
                    for bits, next_state, crashes in moves:
                        for spent in bits:
                            if not mask & spent:
                                break
                        else:
                            continue  # all of them have taken effect
                        if crashes and self.relaxed:
                            spent = 0
                        following = mask | spent
                        if spent & bit:
                            explained.add((next_state, following & ~bit))
                            if trails is not None:
                                after.setdefault((next_state, following & ~bit), self._extended(trail, spent))
                            continue
                        if trails is not None:
                            trails.setdefault((next_state, following), self._extended(trail, spent))
                        (deeper if spent & crashed else level).append((next_state, following))
            del levels[spent_crashed]
            if not deeper:
                del levels[spent_crashed + 1]
        return explained

    def _satisfied(self, state: State) -> int:
        """The bits of all open pure operations that may take effect in this state."""
        bits = 0
        for kind in self.pure:
            if self._step(kind, state):
                for _, bit in kind.bits:
                    bits |= bit
        return bits

    def _moves(self, state: State) -> Iterator[tuple[list[int], State, bool]]:
        """What may take effect in this state: the bits of operations that are alike, the state after one of them, and whether
        they crashed."""
        for kind in self.active:
            crashed = kind.sample.ended is None
            for next_state in self._step(kind, state):
                # A crashed operation that changes nothing here is better kept.
                if next_state != state or not crashed:
                    yield [bit for _, bit in kind.bits], next_state, crashed

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
        ranked = sorted(configurations, key=lambda c: (c[1] & crashed).bit_count() * 2 - (c[1] & pure).bit_count())
        for state, mask in self.budget.each(ranked):
            if not self._is_dominated(state, mask, seen):
                kept.add((state, mask))
        return kept
