"""Proving by measuring: pings over links and looks at replicas, with everything left out that proves nothing.

A ping over a link that another fault holds too, or whose ends are not both up, says nothing about the fault in question.
So each measurement is taken together with its circumstances: who claims the link and its two ends, before and after. It
counts only if they were right and did not change meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.board import Stamp
from faults.cluster import CLIENT, Link, Ping
from faults.fault import Evidence, Ground
from faults.parallel import in_parallel

MOST_PINGS = 8
"""Of more links than that a sample is pinged, so that a proof stays short and does not become a load."""

PATIENCE_SECONDS = 1.0
"""How long a ping may take on a link that should work. A machine under load needs up to some 100 ms."""

BLOCKED_SECONDS = 0.5
"""How long a ping waits on a link that should let nothing through."""


@dataclass
class Tally:
    """What came of measuring some links or replicas for one question."""

    judged: int = 0
    as_expected: int = 0
    measurements: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Why links or replicas were not judged."""

    @property
    def effective(self) -> bool | None:
        return None if self.judged == 0 else self.as_expected == self.judged

    def evidence(self, sentence: str) -> Evidence:
        """The evidence, with `{}` in the sentence replaced by the figures: `3 of 4`."""
        if self.judged == 0:
            reason = self.left_out[0] if self.left_out else "there is nothing to measure"
            return Evidence(None, f"not measured: {reason}", self.measurements)
        left_out = f" ({len(self.left_out)} left out: {self.left_out[0]})" if self.left_out else ""
        detail = sentence.format(f"{self.as_expected} of {self.judged}") + left_out
        return Evidence(self.effective, detail, self.measurements)


@dataclass(frozen=True)
class Expectation:
    """What a ping over a link has to show."""

    words: str
    """For measurements: `timeout`, `at least 120 ms`."""
    meets: Callable[[Ping], bool]
    timeout_seconds: float
    attempts: int = 1
    """How many pings at most."""
    every: bool = False
    """Whether every one of them has to meet the expectation, or one of them is enough."""


Expecting = Callable[[Link], Expectation]


def passes(attempts: int = 3) -> Expectation:
    """A ping gets through."""
    return Expectation("ok", lambda ping: ping.outcome == "ok", PATIENCE_SECONDS, attempts)


def fails_with(outcome: str, timeout_seconds: float = BLOCKED_SECONDS) -> Expectation:
    """A ping comes to nothing, in just this way."""
    return Expectation(outcome, lambda ping: ping.outcome == outcome, timeout_seconds)


def ping_all(ground: Ground, links: Iterable[Link], number: int, own: bool, expect: Expecting) -> Tally:
    """Ping links (a sample, if they are many), each against what is expected of it.

    `own` tells whether the links are claimed by injection `number`, and must be by nobody else, or must be by nobody.
    The sample follows from `number`.
    """
    allowed = frozenset({number}) if own else frozenset()
    candidates = sorted(links)
    states = _states(ground, candidates)
    reasons = {link: _spoiled(ground, link, allowed, states) for link in candidates}
    clean = [link for link in candidates if reasons[link] is None]
    sample = sorted(random.Random(number).sample(clean, min(MOST_PINGS, len(clean))))
    stamps = {link: _stamps(ground, link) for link in sample}
    pings = in_parallel(lambda link: _ping(ground, link, expect(link)), sample)
    states = _states(ground, sample)

    tally = Tally(left_out=[reason for reason in reasons.values() if reason])
    for link, ping in zip(sample, pings, strict=True):
        expected = expect(link)
        reason = _spoiled(ground, link, allowed, states)
        if reason is None and _stamps(ground, link) != stamps[link]:
            reason = f"another fault touched {link} meanwhile"
        if reason is None and ping.outcome == "unprobed":
            reason = f"{link} could not be pinged: {ping.detail}"
        if reason:
            tally.left_out.append(reason)
            continue
        meets = expected.meets(ping)
        tally.judged += 1
        tally.as_expected += meets
        tally.measurements.append(
            {
                "link": str(link),
                "outcome": ping.outcome,
                "milliseconds": round(ping.seconds * 1000, 1),
                "expected": expected.words,
                "as_expected": meets,
            }
        )
    return tally


def look_at(
    ground: Ground,
    replicas: Sequence[str],
    spoiled: Callable[[str], str | None],
    measure: Callable[[str], tuple[dict[str, Any], bool]],
) -> Tally:
    """Measure replicas. `spoiled` says why one can't be judged, asked before and after; `measure` gives the measurement
    and whether it is as expected."""
    tally = Tally()
    clean = []
    for replica in replicas:
        reason = spoiled(replica)
        if reason:
            tally.left_out.append(reason)
        else:
            clean.append((replica, ground.processes.stamp(replica)))
    results = in_parallel(lambda item: measure(item[0]), clean)
    for (replica, stamp), (measurement, meets) in zip(clean, results, strict=True):
        if spoiled(replica) or ground.processes.stamp(replica) != stamp:
            tally.left_out.append(f"another fault touched {replica} meanwhile")
            continue
        tally.judged += 1
        tally.as_expected += meets
        tally.measurements.append({"replica": replica, **measurement, "as_expected": meets})
    return tally


def _ping(ground: Ground, link: Link, expected: Expectation) -> Ping:
    """The ping that decides whether the expectation is met, after as few as possible."""
    ping = ground.cluster.ping(link, expected.timeout_seconds)
    for _ in range(expected.attempts - 1):
        if expected.meets(ping) is not expected.every:
            break
        ping = ground.cluster.ping(link, expected.timeout_seconds)
    return ping


def _ends(link: Link) -> tuple[str, ...]:
    return (link.target,) if link.source == CLIENT else (link.source, link.target)


def _states(ground: Ground, links: Iterable[Link]) -> dict[str, str]:
    replicas = sorted({end for link in links for end in _ends(link)})
    return dict(zip(replicas, in_parallel(ground.cluster.state, replicas), strict=True))


def _stamps(ground: Ground, link: Link) -> tuple[Stamp, ...]:
    return (ground.links.stamp(link), *(ground.processes.stamp(end) for end in _ends(link)))


def _spoiled(ground: Ground, link: Link, allowed: frozenset[int], states: dict[str, str]) -> str | None:
    """Why a ping over the link would prove nothing, or None."""
    claimants = ground.links.stamp(link).claimants
    if claimants != allowed:
        return f"another fault holds {link} too" if claimants - allowed else f"{link} is not held any more"
    for end in _ends(link):
        stamp = ground.processes.stamp(end)
        if stamp.claimants or stamp.busy:
            return f"another fault holds {end}"
        if states[end] != "up":
            return f"{end} is {states[end]}"
    return None
