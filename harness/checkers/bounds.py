"""The checker `bounds`: what a counter shows lies between the least and the most that can have been added.

At the moment of a read, every positive amount whose `add` had returned before the read was called is inside, and none that
was called after it returned; with negative amounts it is the other way round. An `add` of unknown outcome may be inside or
not. What an `add` itself returns is bounded in the same way, with its own amount inside. Below is a **counter too low** (an
add was lost, or seen too late), above a **counter too high** (an add was done twice, or never asked for).

Statistics: `reads` (sums looked at, those of adds included), `too_low`, `too_high`, `loosest` (how far apart the bounds were
at most: the less, the more this checker can see).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import asked, called, returned, who
from harness.checkers.operations import Operation


class Bounds(Direct):
    name = "bounds"
    question = "Does a counter show no less and no more than what can have been added to it?"

    def __init__(self) -> None:
        super().__init__()
        self.figures = {"reads": 0, "too_low": 0, "too_high": 0, "loosest": 0}

    def summary(self) -> str:
        figures = self.figures
        if self.found:
            return f"of {figures['reads']} sums {figures['too_low']} were too low and {figures['too_high']} too high"
        return f"all {figures['reads']} sums lie between what must and what can have been added"

    def judge(self, key: Key) -> None:
        adds = key.tried("add")
        surely = _Sum([one for one in adds if one.type == "ok"], lambda one: one.ended or 0)
        perhaps = _Sum(adds, lambda one: one.began)
        for one in key.operations:
            if one.type == "ok" and one.result is not None and one.f in ("read", "add"):
                self._look_at(key, one, surely, perhaps)

    def _look_at(self, key: Key, one: Operation, surely: _Sum, perhaps: _Sum) -> None:
        own = one.value if one.f == "add" else 0
        until = one.ended or 0
        # Its own amount is among those that were called, and not among those that had returned: put it into both.
        least = surely.positive(one.began) + perhaps.negative(until) + max(own, 0)
        most = perhaps.positive(until) + surely.negative(one.began) + min(own, 0)
        self.count("reads")
        self.figures["loosest"] = max(self.figures["loosest"], most - least)
        if least <= one.result <= most:
            return
        low = one.result < least
        self.count("too_low" if low else "too_high")
        verb = "read" if one.f == "read" else f"added {own} and was told"
        sentence = (
            f"{who(one)} {verb} {one.result}{asked(one)} between {called(one)} and {returned(one)}, but by then no "
            f"{'less' if low else 'more'} than {least if low else most} can have been there"
        )
        self.accuse("counter too low" if low else "counter too high", sentence, key, [one])


class _Sum:
    """How much was added by adds that come before a moment, positive and negative amounts apart."""

    def __init__(self, adds: Sequence[Operation], moment: Callable[[Operation], int]) -> None:
        ordered = sorted(adds, key=moment)
        self._moments = [moment(one) for one in ordered]
        self._positive: list[int] = [0, *accumulate(max(one.value, 0) for one in ordered)]
        self._negative: list[int] = [0, *accumulate(min(one.value, 0) for one in ordered)]

    def positive(self, until: int) -> int:
        return self._positive[bisect_left(self._moments, until)]

    def negative(self, until: int) -> int:
        return self._negative[bisect_left(self._moments, until)]
