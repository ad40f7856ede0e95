"""Registers whose values are ambiguous only here and there: cut in time, so that only the windows that need it are searched.

A history can be cut at a moment where no completed operation is open and where it is certain what the register holds: the
operation called last tells, if every other that overlapped with it only saw the same. What comes before the cut and what comes
after it are then explained apart: the second part is that of a register which holds that value at first.

Crashed operations are open for ever, across every cut. One is no obstacle where it need not be on both sides:

- if nobody saw its value after the cut, it need not have taken effect there: without it nobody sees anything else;
- if nobody who returned after its call saw its value before the cut, it need not have taken effect before: it can as well do so
  right after the cut.

That holds for any operation that may have written that value. A refused compare-and-set sees that a value is not there, so
that it may need a write that nobody else saw: where there are any, no cut is made across a crashed write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from harness.checkers.linearizable.blocks import observed, written
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.linearizable.support import is_refusal, is_writer
from harness.checkers.operations import Operation
from harness.models.model import Model, State


@dataclass
class Window:
    """Operations that can be explained apart, on a register that holds `initial` at first; in order of invocation."""

    initial: Hashable
    operations: list[Operation]


class From(Model):
    """A model that begins in another state."""

    name = "from"
    functions = {}

    def __init__(self, model: Model, state: State) -> None:
        self.model = model
        self.state = state

    def initial(self) -> State:
        return self.state

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        return self.model.step(state, operation)

    def pure(self, operation: Operation) -> bool:
        return self.model.pure(operation)


def windows(operations: Sequence[Operation], initial: Hashable) -> list[Window]:
    """The windows, in time. The history can be explained exactly if each of them can."""
    crashed = [one for one in operations if one.type == "info" and is_writer(one)]
    seen = _Sightings(operations)
    has_refusals = any(is_refusal(one) for one in operations)
    obstacles = sorted((one.began, NEVER) if has_refusals else seen.span(written(one), one.began) for one in crashed)
    cuts = _cuts(operations, obstacles)
    if not cuts:
        return [Window(initial, list(operations))]
    found = [Window(initial, [])] + [Window(value, []) for _, value in cuts]
    positions = [position for position, _ in cuts]
    for operation in operations:
        moment: float = operation.began
        if operation.type == "info" and is_writer(operation) and not has_refusals:
            first, last = seen.span(written(operation), operation.began)
            moment = first if first < last else moment
        found[bisect_right(positions, moment)].operations.append(operation)
    for window in found:
        window.operations.sort(key=lambda operation: operation.began)
    return [window for window in found if window.operations]


def _cuts(operations: Sequence[Operation], obstacles: Sequence[tuple[float, float]]) -> list[tuple[int, Hashable]]:
    """Positions of events right after which the history can be cut, and what the register holds then."""
    cuts: list[tuple[int, Hashable]] = []
    held: Hashable = None
    """What the one called last tells, of those that do."""
    called = last_end = other_end = -1
    """When that one was called; when the last of all returned; and the last that told something else, or wrote."""
    told_end = -1
    """When the last of those returned that only saw what is held."""
    last_writer_end = -1
    """When the one called last returned, if it wrote."""
    blocked, next_obstacle = -1.0, 0
    for operation in operations:
        if operation.ended is None:
            continue
        if -1 < last_end < operation.began and other_end < called:
            while next_obstacle < len(obstacles) and obstacles[next_obstacle][0] <= last_end:
                blocked = max(blocked, obstacles[next_obstacle][1])
                next_obstacle += 1
            if blocked <= last_end:
                cuts.append((last_end, held))
        last_end = max(last_end, operation.ended)
        if is_refusal(operation):
            continue
        writes = is_writer(operation)
        value = written(operation) if writes else observed(operation)[0]
        if writes or value != held or called < 0:
            # Whatever came before told something else. So does the writer itself, to all that are called after it.
            other_end, told_end = max(other_end, told_end), -1
        if last_writer_end > other_end:
            other_end = last_writer_end
        last_writer_end = operation.ended if writes else -1
        if not writes:
            told_end = max(told_end, operation.ended)
        held, called = value, operation.began
    return cuts


class _Sightings:
    """When each value was seen: read, or named by a compare-and-set as the one to be replaced."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.ends: dict[Hashable, list[float]] = {}
        self.first_began: dict[Hashable, list[int]] = {}
        """For each end the earliest call of those that returned then or later."""
        ended: dict[Hashable, list[tuple[float, int]]] = {}
        for operation in operations:
            for value in observed(operation):
                end = NEVER if operation.ended is None else operation.ended
                ended.setdefault(value, []).append((end, operation.began))
        for value, entries in ended.items():
            entries.sort()
            self.ends[value] = [end for end, _ in entries]
            least: list[int] = []
            for _, began in reversed(entries):
                least.append(began if not least else min(began, least[-1]))
            self.first_began[value] = least[::-1]

    def span(self, value: Hashable, since: int) -> tuple[float, float]:
        """From the first call of those who saw it and returned after `since` (or from then on) to the last return."""
        ends = self.ends.get(value, [])
        place = bisect_right(ends, since)
        if place == len(ends):
            return since, -1.0
        return max(since, self.first_began[value][place]), ends[-1]
