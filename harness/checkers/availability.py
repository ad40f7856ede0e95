"""The checker `availability`: how much of what the clients asked for did they get, and how long did they have to wait?

It measures and never accuses: `valid` if there was something to measure, else `unknown`. Its statistics::

    {"operations": 1200, "succeeded": 1130, "success_fraction": 0.942,
     "longest_unavailable_seconds": 2.31, "longest_unavailable_window": [12.02, 14.33],
     "recoveries": [{"number": 3, "fault": "kill", "healed_at": 14.1, "seconds": 0.23}],
     "progress": [{"number": 3, "fault": "kill", "from": 11.1, "to": 14.1, "succeeded": 12, "per_second": 4.0}]}

Times are seconds since the run began. An unavailable window reaches from one success to the next while clients were
asking: it begins when they have something open, and a second or more in which nobody asks for anything ends it, for
silence is not unavailability. `recoveries` tell how long after each healing the first operation succeeded, null if none
did any more; `progress` how many operations succeeded while a fault was in effect.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.checkers.checker import Checker, Limits
from harness.checkers.injections import Injected, injections
from harness.checkers.result import CheckResult
from harness.history import HARNESS, NEMESIS, Event
from harness.spec import RunSpec

_SILENCE_NS = 1_000_000_000
"""Nobody has anything open for so long: nobody is asking."""


class Availability(Checker):
    name = "availability"
    question = "How many operations succeeded, how long did none, and how soon after each healing did one?"

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        asked = [event for event in events if event.get("process") not in (NEMESIS, HARNESS)]
        if not asked:
            return CheckResult(self.name, "unknown", "there is nothing to measure: no client asked for anything")
        statistics = measure(asked, injections(events))
        return CheckResult(self.name, "valid", _sentence(statistics), statistics=statistics)


def measure(events: Sequence[Event], injected: Sequence[Injected]) -> dict[str, Any]:
    """The statistics of the module's docstring, from the events of the clients alone; at least one."""
    asked = sum(event["type"] == "invoke" for event in events)
    successes = [int(event["time"]) for event in events if event["type"] == "ok"]
    last = int(events[-1]["time"])
    longest = max(_unavailable(events, successes), key=lambda window: window.length, default=None)
    return {
        "operations": asked,
        "succeeded": len(successes),
        "success_fraction": round(len(successes) / asked, 4) if asked else None,
        "longest_unavailable_seconds": None if longest is None else _seconds(longest.length),
        "longest_unavailable_window": None if longest is None else [_seconds(longest.begin), _seconds(longest.end)],
        "recoveries": [_recovery(one, successes) for one in injected if one.healed_at is not None],
        "progress": [_progress(one, successes, last) for one in injected if one.applied_at is not None],
    }


@dataclass(frozen=True)
class _Window:
    begin: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.begin


def _unavailable(events: Sequence[Event], successes: Sequence[int]) -> list[_Window]:
    """Every stretch of time, in nanoseconds, in which clients asked and nobody succeeded."""
    windows = []
    for asking in _asking(events):
        inside = successes[bisect_left(successes, asking.begin) : bisect_right(successes, asking.end)]
        moments = [asking.begin, *inside, asking.end]
        windows += [_Window(one, other) for one, other in pairwise(moments)]
    return windows


def _asking(events: Sequence[Event]) -> list[_Window]:
    """The stretches of time in which somebody waits for an answer, those less than a second apart taken together."""
    stretches: list[_Window] = []
    waiting, begin = set[Any](), 0
    for event in events:
        time, process = int(event["time"]), event["process"]
        if event["type"] == "invoke":
            if not waiting:
                begin = time
            waiting.add(process)
            continue
        waiting.discard(process)
        if not waiting:
            _extend(stretches, begin, time)
    if waiting:
        _extend(stretches, begin, int(events[-1]["time"]))
    return stretches


def _extend(stretches: list[_Window], begin: int, end: int) -> None:
    if stretches and begin - stretches[-1].end < _SILENCE_NS:
        stretches[-1] = _Window(stretches[-1].begin, end)
    else:
        stretches.append(_Window(begin, end))


def _recovery(injected: Injected, successes: Sequence[int]) -> dict[str, Any]:
    assert injected.healed_at is not None
    place = bisect_left(successes, injected.healed_at)
    waited = None if place == len(successes) else _seconds(successes[place] - injected.healed_at)
    return {
        "number": injected.number,
        "fault": injected.fault,
        "healed_at": _seconds(injected.healed_at),
        "seconds": waited,
    }


def _progress(injected: Injected, successes: Sequence[int], last: int) -> dict[str, Any]:
    assert injected.applied_at is not None
    end = max(injected.applied_at, last if injected.healing_at is None else injected.healing_at)
    succeeded = bisect_left(successes, end) - bisect_left(successes, injected.applied_at)
    length = end - injected.applied_at
    return {
        "number": injected.number,
        "fault": injected.fault,
        "from": _seconds(injected.applied_at),
        "to": _seconds(end),
        "succeeded": succeeded,
        "per_second": round(succeeded / (length / 1e9), 1) if length else None,
    }


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 3)


def _sentence(statistics: dict[str, Any]) -> str:
    sentence = f"{statistics['succeeded']} of {statistics['operations']} operations succeeded"
    window = statistics["longest_unavailable_window"]
    if window is not None:
        sentence += f"; the longest time without any was {statistics['longest_unavailable_seconds']:.3f} s"
        sentence += f" (from {window[0]:.3f} s to {window[1]:.3f} s)"
    waits = [entry["seconds"] for entry in statistics["recoveries"]]
    never = sum(wait is None for wait in waits)
    known = [wait for wait in waits if wait is not None]
    if known:
        sentence += f"; after a healing the next one succeeded within {max(known):.3f} s"
    if never:
        sentence += f"; after {never} of {len(waits)} healings none did"
    return sentence
