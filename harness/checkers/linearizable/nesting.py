"""Can spans be nested? The heart of the decision for stacks, in O(n log n).

A value of a stack is a SPAN: its push happens at one moment between `push_call` and `push_return`, its pop at one between
`pop_call` and `pop_return`. A stack explains them exactly if moments can be chosen such that of any two values one lies
inside the other, or they are apart: last in, first out.

The CORE of a span is the time between `push_return` and `pop_call`: there the value is surely inside.

- A span without a core can be pushed and popped at one and the same moment. It is in nobody's way.
- Where no core is, the stack may be empty: of the values that might be inside then, those that can be pushed later are, those
  that can be popped earlier are, and nothing else changes. So what lies before and what lies after can be judged apart.
- Between two such moments the stack is never empty, so one value lies lowest all the time: it was pushed before all others
  had to be, and popped after all others could be. If several might be that one, any of them will do: make it the lowest
  one, and push the others later and pop them earlier by just that much, in the same order. If there is none, nothing
  explains these values.
- Take it away, and go on with what is left. A value whose push returned right before its pop was called, with no end of
  another core in between, can be taken away first: it is the highest one, whatever the others are.

Sorted ends, a tree to find who may be lowest, and another one to find where no core is any more: every value is found
once, every place is cut once. The idea of taking values away one at a time, so that what is left can be explained exactly
if the whole can, is that of Lee and Mathur, "Efficient decrease-and-conquer linearizability monitoring" (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.checkers.linearizable.budget import Budget

_SPANS_PER_LOOK = 512

Moment = tuple[int, int, int]
"""To order pushes and pops by: the gap right before the event at that position, and the order in the gap."""

_POPS, EMPTY, _PUSHES, _AT_ONCE = range(4)
"""In one gap first come pops, then the stack is empty if it is at all, then pushes, then who comes and goes at once."""


class Span:
    """One value. The positions are those of events; `place` tells the moments that were chosen."""

    __slots__ = (
        "first",
        "last",
        "may_end",
        "may_start",
        "pop",
        "pop_call",
        "pop_return",
        "push",
        "push_call",
        "push_return",
    )

    def __init__(self, push_call: int, push_return: float, pop_call: float, pop_return: float) -> None:
        self.push_call = push_call
        self.push_return = push_return
        self.pop_call = pop_call
        self.pop_return = pop_return
        self.push: Moment = (0, 0, 0)
        self.pop: Moment = (0, 0, 0)
        self.first = self.last = 0
        """The places of the ends of the core among those of all cores."""
        self.may_start = self.may_end = False
        """Whether it may be pushed before, and popped after, all others of its component."""

    def place(self, first: float, last: float, depth: int) -> None:
        """Push right before the event at `first`, pop right after that at `last`; the deeper one lies inside."""
        self.push = (int(first), _PUSHES, depth)
        self.pop = (int(last) + 1, _POPS, -depth)

    def place_at_once(self, number: int) -> None:
        gap = int(max(self.push_call, self.pop_call)) + 1
        self.push, self.pop = (gap, _AT_ONCE, 2 * number), (gap, _AT_ONCE, 2 * number + 1)


def nest(spans: Sequence[Span], budget: Budget) -> list[Span]:
    """Place all spans; or return some that can't be nested, whatever the others do. Raises `Stopped`.

    What is never popped has a `pop_call` after all events, and never returns.
    """
    cores = []
    for number, span in enumerate(budget.each(spans)):
        if span.push_return < span.pop_call:
            cores.append(span)
        else:
            span.place_at_once(number)
    ends = [(span.push_return, span) for span in budget.each(cores)]
    ends += [(span.pop_call, span) for span in budget.each(cores)]
    ends.sort(key=lambda end: end[0])
    return _Nesting(_without_highest(ends, len(cores), budget), budget).run()


def _without_highest(ends: Sequence[tuple[float, Span]], depth: int, budget: Budget) -> list[tuple[float, Span]]:
    """The ends that are left when spans whose two ends stand side by side are placed, and taken away, again and again."""
    left: list[tuple[float, Span]] = []
    for end in budget.each(ends):
        if left and left[-1][1] is end[1]:
            left.pop()
            depth -= 1
            # Deeper than all that are still to be placed, and less deep than what was taken away from inside it.
            end[1].place(end[1].push_return, end[1].pop_call, depth + len(ends))
        else:
            left.append(end)
    return left


class _Nesting:
    def __init__(self, ends: list[tuple[float, Span]], budget: Budget) -> None:
        self.budget = budget
        self.position = [position for position, _ in ends]
        self.span_at = [span for _, span in ends]
        size = len(ends)
        self.following = list(range(1, size + 1))
        self.previous = list(range(-1, size - 1))
        self.is_left = [True] * size
        budget.look()
        starts, stops, inside = [math.inf] * size, [math.inf] * size, [0] * size
        seen: set[Span] = set()
        for place, span in enumerate(budget.each(self.span_at)):
            if span in seen:
                span.last = place
                stops[place] = -span.pop_return
            else:
                seen.add(span)
                span.first = place
                starts[place] = span.push_call
            inside[place] = (inside[place - 1] if place else 0) + (1 if span.first == place else -1)
        budget.look()
        self.starts = _Least(starts)
        self.stops = _Least(stops)
        budget.look()
        self.inside = _Cover(inside)
        self.depth = 0

    def run(self) -> list[Span]:
        """Take away lowest spans until none is left; or return those of a component that has no lowest one."""
        components = self._components(0, len(self.position)) if self.position else []
        steps = 0
        while components:
            if steps % _SPANS_PER_LOOK == 0:
                self.budget.look()
            steps += 1
            begin, end = components.pop()
            lowest = self._lowest(begin, end)
            if not lowest:
                return self._spans(begin, end)
            first, last = self.position[begin], self.position[end - 1]
            for span in lowest:
                self.depth += 1
                span.place(first, last, self.depth)
                self._take_away(span)
            while begin < end and not self.is_left[begin]:
                begin = self.following[begin]
            while end > begin and not self.is_left[end - 1]:
                end = self.previous[end - 1] + 1
            if begin < end:
                components += self._components(begin, end)
        return []

    def _components(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Cut the places from `begin` to `end` (without it), which are of ends still there, wherever nothing is inside."""
        components = []
        while (cut := self.inside.first_zero(begin, end - 1)) is not None:
            components.append((begin, cut + 1))
            begin = self.following[cut]
        components.append((begin, end))
        return components

    def _lowest(self, begin: int, end: int) -> list[Span]:
        lowest = []
        for place in self.starts.take_below(begin, end, self.position[begin]):
            span = self.span_at[place]
            span.may_start = True
            if span.may_end:
                lowest.append(span)
        for place in self.stops.take_below(begin, end, -self.position[end - 1]):
            span = self.span_at[place]
            span.may_end = True
            if span.may_start:
                lowest.append(span)
        return lowest

    def _take_away(self, span: Span) -> None:
        for place in (span.first, span.last):
            self.is_left[place] = False
            following, previous = self.following[place], self.previous[place]
            if previous >= 0:
                self.following[previous] = following
            if following < len(self.previous):
                self.previous[following] = previous
        self.inside.lower(span.first, span.last)

    def _spans(self, begin: int, end: int) -> list[Span]:
        return [
            span for place in range(begin, end) if self.is_left[place] and (span := self.span_at[place]).first == place
        ]


class _Least:
    """A tree of least values, to find one below a bound between two places."""

    def __init__(self, values: Sequence[float]) -> None:
        self.size = 1 << max(0, len(values) - 1).bit_length()
        tree = [math.inf] * self.size + list(values) + [math.inf] * (self.size - len(values))
        for node in range(self.size - 1, 0, -1):
            left, right = tree[2 * node], tree[2 * node + 1]
            tree[node] = left if left < right else right
        self.tree = tree

    def take_below(self, begin: int, end: int, bound: float) -> list[int]:
        """The places from `begin` to `end` (without it) whose value is below the bound; they are taken out."""
        tree, size = self.tree, self.size
        left, right = begin + size, end + size
        nodes = []
        while left < right:
            if left & 1:
                if tree[left] < bound:
                    nodes.append(left)
                left += 1
            if right & 1:
                right -= 1
                if tree[right] < bound:
                    nodes.append(right)
            left >>= 1
            right >>= 1
        found = []
        while nodes:
            node = nodes.pop()
            if node < size:
                node *= 2
                if tree[node] < bound:
                    nodes.append(node)
                if tree[node + 1] < bound:
                    nodes.append(node + 1)
                continue
            found.append(node - size)
        for place in found:
            self._take_out(place)
        return found

    def _take_out(self, place: int) -> None:
        tree, node = self.tree, place + self.size
        tree[node] = math.inf
        while node > 1:
            least = min(tree[node], tree[node ^ 1])
            node >>= 1
            if tree[node] == least:
                break
            tree[node] = least


class _Cover:
    """How many cores lie over each place (from its end to the next), to find where none does any more."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.size = 1 << max(0, len(counts) - 1).bit_length()
        tree = [0] * self.size + list(counts) + [1] * (self.size - len(counts))
        for node in range(self.size - 1, 0, -1):
            tree[node] = min(tree[2 * node], tree[2 * node + 1])
        self.tree = tree
        """The least count below a node, less what was taken off at nodes above it."""
        self.off = [0] * (2 * self.size)
        """What is taken off everything below a node."""

    def lower(self, begin: int, end: int) -> None:
        """One core less, from place `begin` to `end` (without it)."""
        tree, off = self.tree, self.off
        left, right = begin + self.size, end + self.size
        first, last = left, right - 1
        while left < right:
            if left & 1:
                tree[left] -= 1
                off[left] += 1
                left += 1
            if right & 1:
                right -= 1
                tree[right] -= 1
                off[right] += 1
            left >>= 1
            right >>= 1
        for node in (first, last):
            while node > 1:
                node >>= 1
                one, other = tree[2 * node], tree[2 * node + 1]
                tree[node] = (one if one < other else other) - off[node]

    def first_zero(self, begin: int, end: int) -> int | None:
        """The first place from `begin` to `end` (without it) over which no core lies."""
        tree, off, size = self.tree, self.off, self.size
        nodes = [(1, 0, size, 0)]
        while nodes:
            node, low, high, above = nodes.pop()
            if high <= begin or low >= end or tree[node] > above:
                continue
            if node >= size:
                return low
            middle = (low + high) // 2
            above += off[node]
            nodes.append((2 * node + 1, middle, high, above))
            nodes.append((2 * node, low, middle, above))
        return None
