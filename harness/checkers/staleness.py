"""The checker `staleness`: how old is what was read? In milliseconds, and no more of them than is certain.

A read is stale if what it returned had been overwritten before it was called. By how much, a history tells only within
bounds, since an operation takes effect at some moment between its call and its return. For each key:

- A value is there BY the return of its write, or of the first read that returned it, whichever is earlier. That is also
  all that is known of a write of unknown outcome; one whose value nobody ever saw may never have happened.
- It is overwritten BY the moment by which another value is there whose write was called after it was there. (Also by the
  return of a compare-and-set that replaced it.) A read that was called later than that is stale, and at least for the time
  between: this many milliseconds are certain.
- It is overwritten not BEFORE any other write was called that can have come after it. So no read is staler than from then
  to its own return.

It is **back in time** if the same process had read another value before whose write was called when this one was there
already; and **misses its own write** if that was a value which the process itself had written.

Stale reads are what a cache or an asynchronous copy is allowed, so they are measured and not accused; but one that is
certainly staler than the campaign's `checks.staleness_limit_ms` is a violation. And so are values that no copy may show:
those that nobody wrote, whose write failed for certain, or was called only after the read had returned.

Keys are skipped, and counted, where a value is written twice or operations are none of read, write and compare-and-set:
whoever reads such a value can't tell where it comes from.

Statistics: `reads`, `stale`, `back_in_time`, `missed_own`; `median_ms`, `p95_ms` and `most_ms` of the stale ones, each
certain; `at_most_ms`, which no read exceeds; `skipped` keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from harness.checkers.checker import Limits
from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import called, returned, who
from harness.checkers.operations import Operation
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.models.values import canonical, show
from harness.spec import RunSpec

READS = ("read", "get")
WRITES = ("write", "put")


class Moment(NamedTuple):
    """A place in the history, which is what order is judged by, and its time."""

    position: float
    ns: float


NEVER = Moment(float("inf"), float("inf"))
ALWAYS = Moment(-1, 0)


@dataclass
class Written:
    """A value, and what is certain of it."""

    operation: Operation
    there: Moment = NEVER
    """By when it had been written for certain."""
    replaced: Moment = NEVER
    """By when a compare-and-set had replaced it for certain."""


@dataclass
class Values:
    """The values of one key, each written once, and when they were overwritten."""

    by_value: dict[Hashable, Written]
    called: list[int] = field(init=False)
    """Positions of the calls of all writes, ascending."""
    soonest: list[Moment] = field(init=False)
    """For each of them: the first moment by which it or one called later was there."""
    calls: list[Moment] = field(init=False)
    latest: list[float] = field(init=False)
    """For each of them: by when it and all that were called before were there, at the latest."""

    def __post_init__(self) -> None:
        ordered = sorted(self.by_value.values(), key=lambda one: one.operation.began)
        self.called = [one.operation.began for one in ordered]
        self.calls = [Moment(one.operation.began, one.operation.call_ns) for one in ordered]
        self.soonest = list(accumulate((one.there for one in reversed(ordered)), min))[::-1]
        self.latest = list(accumulate((one.there.position for one in ordered), max))

    def overwritten_by(self, value: Hashable) -> Moment:
        """By when it had been overwritten for certain."""
        if value is None:
            return self.soonest[0] if self.soonest else NEVER
        written = self.by_value[value]
        place = bisect_right(self.called, written.there.position)
        return min(self.soonest[place] if place < len(self.soonest) else NEVER, written.replaced)

    def overwritten_from(self, value: Hashable) -> Moment:
        """Until when it had not been overwritten for certain."""
        if value is None:
            return self.calls[0] if self.calls else NEVER
        own = self.by_value[value].operation
        place = bisect_left(self.called, own.began)
        if place and self.latest[place - 1] > own.began:  # another one was open when this one was called
            return self.calls[place]
        return self.calls[place + 1] if place + 1 < len(self.calls) else NEVER

    def is_older(self, one: Hashable, other: Hashable) -> bool:
        """Whether the one had certainly been there before the other was."""
        if one is None or other is None:
            return one is None and other is not None
        return self.by_value[one].there.position < self.by_value[other].operation.began


class Staleness(Direct):
    name = "staleness"
    question = "How old was what was read, in milliseconds, and did it stay within the limit, if there is one?"

    def __init__(self) -> None:
        super().__init__()
        self.figures = {"reads": 0, "stale": 0, "back_in_time": 0, "missed_own": 0, "skipped": 0}
        self.limit_ms: float | None = None
        self.stale_ms: list[float] = []
        self.at_most_ms = 0.0

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        self.limit_ms = spec.checks.staleness_limit_ms
        result = super().check(spec, events, limits)
        if result.verdict == "valid" and not self.figures["reads"]:
            sentence = "there is nothing to measure: no read of a key whose values are each written once"
            return CheckResult(self.name, "unknown", sentence, statistics=result.statistics)
        ordered = sorted(self.stale_ms)
        for name, share in (("median_ms", 0.5), ("p95_ms", 0.95), ("most_ms", 1.0)):
            result.statistics[name] = (
                _round(ordered[min(int(share * len(ordered)), len(ordered) - 1)]) if ordered else 0
            )
        result.statistics["at_most_ms"] = _round(self.at_most_ms)
        return result

    def summary(self) -> str:
        figures, most = self.figures, max(self.stale_ms, default=0.0)
        told = [f"{figures['stale']} of {figures['reads']} reads were stale"]
        if self.stale_ms:
            told.append(f"by {_round(most)} ms at least in the worst case")
        if figures["back_in_time"]:
            told.append(f"{figures['back_in_time']} went back in time")
        if figures["missed_own"]:
            told.append(f"{figures['missed_own']} missed the reader's own write")
        return ", ".join(told)

    # ---- one key

    def judge(self, key: Key) -> None:
        values = self._values(key)
        if values is None:
            self.count("skipped")
            return
        reads = [one for one in key.operations if one.f in READS and one.type == "ok"]
        seen: dict[Any, list[tuple[Hashable, bool]]] = {}
        for one in key.operations:
            if one.type != "ok":
                continue
            if one.f not in READS:
                written = _written(one)
                if written is not None:
                    seen.setdefault(one.process, []).append((canonical(written), True))
            elif self._is_explained(key, values, one):
                self._measure(key, values, one, seen.setdefault(one.process, []))
        self.count("reads", len(reads))

    def _values(self, key: Key) -> Values | None:
        """None if it can't be told where values come from."""
        by_value: dict[Hashable, Written] = {}
        for one in key.operations:
            if one.f in READS:
                continue
            if one.f not in (*WRITES, "cas") or (one.f == "cas" and not _is_pair(one.value)):
                return None
            if one.type == "ok" and one.result is False:
                continue
            value = canonical(_new_value(one))
            if value is None or value in by_value:
                return None
            by_value[value] = Written(one, _returned(one))
        for one in key.operations:
            if one.type != "ok":
                continue
            if one.f in READS and (written := by_value.get(canonical(one.result))) is not None:
                written.there = min(written.there, _returned(one))
            elif one.f == "cas" and one.result is True:
                old = by_value.get(canonical(one.value[0]))
                if old is not None:
                    old.there = min(old.there, _returned(one))
                    old.replaced = min(old.replaced, _returned(one))
        return Values(by_value)

    def _is_explained(self, key: Key, values: Values, read: Operation) -> bool:
        value = canonical(read.result)
        if value is None:
            return True
        written = values.by_value.get(value)
        if written is None:
            failed = [one for one in key.failed if one.f not in READS and canonical(_new_value(one)) == value]
            if failed:
                sentence = f"{who(read)} read {show(read.result)} at {returned(read)}, but its write by {who(failed[0])} failed"
                self.accuse("failed write seen", sentence, key, [failed[0], read])
            else:
                sentence = f"{who(read)} read {show(read.result)} at {returned(read)}, which nobody ever wrote"
                self.accuse("value from nowhere", sentence, key, [read])
            return False
        if read.ended is not None and written.operation.began > read.ended:
            sentence = (
                f"{who(read)} read {show(read.result)} by {returned(read)}, but {who(written.operation)} wrote it only "
                f"from {called(written.operation)} on"
            )
            self.accuse("value from the future", sentence, key, [read, written.operation])
            return False
        return True

    def _measure(self, key: Key, values: Values, read: Operation, seen: list[tuple[Hashable, bool]]) -> None:
        value = canonical(read.result)
        by, since = values.overwritten_by(value), values.overwritten_from(value)
        self.at_most_ms = max(self.at_most_ms, ((read.return_ns or 0) - since.ns) / 1e6)
        if by.position < read.began:
            stale_ms = (read.call_ns - by.ns) / 1e6
            self.count("stale")
            self.stale_ms.append(stale_ms)
            if self.limit_ms is not None and stale_ms > self.limit_ms:
                self._too_stale(key, values, read, by, stale_ms)
        older = [own for other, own in seen if values.is_older(value, other)]
        self.count("back_in_time", not all(older))
        self.count("missed_own", any(older))
        # Of what is older than what was seen now, nothing can be learned that isn't learned from this.
        seen[:] = [(other, own) for other, own in seen if not values.is_older(other, value)]
        if (value, False) not in seen:
            seen.append((value, False))

    def _too_stale(self, key: Key, values: Values, read: Operation, by: Moment, stale_ms: float) -> None:
        value = canonical(read.result)
        proof = [] if value is None else [values.by_value[value].operation]
        newer = next((one for one in key.operations if one.ended == by.position), None)
        told = "" if newer is None else f", when {who(newer)} had {_did(newer)}"
        sentence = (
            f"{who(read)} read {show(read.result)} from {called(read)} on, which had been overwritten by "
            f"{by.ns / 1e9:.3f} s{told}: that is {_round(stale_ms)} ms, and the limit is {self.limit_ms:g} ms"
        )
        self.accuse("stale read", sentence, key, [*proof, *([] if newer is None else [newer]), read])


def _did(operation: Operation) -> str:
    return f"read {show(operation.result)}" if operation.f in READS else f"written {show(_new_value(operation))}"


def _new_value(operation: Operation) -> Any:
    if operation.f == "cas" and _is_pair(operation.value):
        return operation.value[1]
    return operation.value


def _written(operation: Operation) -> Any:
    """What it wrote, or may have written; None if nothing."""
    return None if operation.type == "ok" and operation.result is False else _new_value(operation)


def _returned(operation: Operation) -> Moment:
    if operation.ended is None or operation.return_ns is None:
        return NEVER
    return Moment(operation.ended, operation.return_ns)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _round(ms: float) -> float:
    return round(ms, 1)
