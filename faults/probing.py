"""Proving by measuring: pings over links and looks at replicas, with everything left out that proves nothing.

Faults overlap. What a ping shows may be the work of another fault, and then it says nothing about the one in question:

- the ends of its link must be up, and no fault may hold them;
- for proving a fault: it must be in force on the link, and what the other faults do to the link must look different. So
  a black hole can be proved on a link that is late as well, and a delay can't be proved on a link into a black hole;
- for proving that a link works: what the other faults do to the link must let it pass for working;
- none of that may change between the moment before the ping and the moment after.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faults.board import Stamp
from faults.cluster import CLIENT, Condition, Link, Mode, Ping
from faults.fault import Evidence, Ground
from faults.parallel import in_parallel

MOST_PINGS = 8
"""Of more links than that a sample is pinged, so that a proof stays short and does not become a load."""

PATIENCE_SECONDS = 1.0
"""How long a ping may take on a link that should work. A machine under load needs up to some 100 ms."""

BLOCKED_SECONDS = 0.5
"""How long a ping waits on a link that should let nothing through."""

PING_BYTES = 120
"""What a ping's request and answer measure together, at the very least."""

BUSY_SECONDS = 0.1
"""How much later than its condition says a ping may be."""

MOST_PING_BYTES = 500
"""And at the very most."""


@dataclass
class Tally:
    """What came of measuring some links or replicas for one question."""

    judged: int = 0
    as_expected: int = 0
    measurements: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Why links or replicas were not judged."""

    def add(self, measurement: dict[str, Any], as_expected: bool) -> None:
        """Count a measurement that was judged."""
        self.judged += 1
        self.as_expected += as_expected
        self.measurements.append({**measurement, "as_expected": as_expected})

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
    undecided: Callable[[Ping], bool] = lambda ping: False
    """Whether a ping that doesn't meet the expectation may still come from a link that does, and so is left out."""


Expecting = Callable[[Link], Expectation]


def passes(attempts: int = 3) -> Expectation:
    """A ping gets through."""
    return Expectation("ok", lambda ping: ping.outcome == "ok", PATIENCE_SECONDS, attempts)


def fails_with(outcome: str, timeout_seconds: float | None = None) -> Expectation:
    """A ping comes to nothing, in just this way.

    A refusal or a tear is waited for with patience, since a busy machine takes its time for them too; for silence a
    shorter wait is enough.
    """
    patience = timeout_seconds or (BLOCKED_SECONDS if outcome == "timeout" else PATIENCE_SECONDS)
    return Expectation(outcome, lambda ping: ping.outcome == outcome, patience)


def predicted(link: Link, condition: Condition, timeout_seconds: float, busy: bool) -> Ping:
    """What a ping over a link in this condition comes to: at the earliest, or at the latest on a `busy` machine.

    That a busy machine delays pings on clear links too is not for here: it is met by trying more than once.
    """
    outcomes: dict[Mode, Literal["timeout", "refused", "closed"]] = {
        Mode.RESET: "closed",
        Mode.DROP: "timeout",
        Mode.REFUSE: "refused",
    }
    if condition.mode in outcomes:
        return Ping(link, outcomes[condition.mode], 0.0)
    seconds = condition.latency_ms / 1000 * (2 if condition.streams == "both" else 1)
    if condition.mode is Mode.SLOW:
        seconds = (MOST_PING_BYTES if busy else PING_BYTES) / condition.rate_bytes_per_second
    if busy and seconds:
        seconds += BUSY_SECONDS
    return Ping(link, "ok" if seconds < timeout_seconds else "timeout", seconds)


def ping_all(ground: Ground, links: Iterable[Link], number: int, own: bool, expect: Expecting) -> Tally:
    """Ping links (a sample, if they are many), each against what is expected of it.

    `own` tells whether the expectation is the work of injection `number`, which claims these links, or whether the links
    are expected to work. The sample follows from `number`.
    """
    expected = {link: expect(link) for link in sorted(links)}
    judge = _Judge(ground, number, own, expected)
    tally = Tally()
    clean = []
    for link, reason in judge.spoiled(list(expected)).items():
        if reason is None:
            clean.append(link)
        else:
            tally.left_out.append(reason)
    sample = sorted(random.Random(number).sample(clean, min(MOST_PINGS, len(clean))))
    stamps = {link: _stamps(ground, link) for link in sample}
    pings = in_parallel(lambda link: _ping(ground, link, expected[link]), sample)
    reasons = judge.spoiled(sample)
    for ping in pings:
        reason = reasons[ping.link]
        if reason is None and _stamps(ground, ping.link) != stamps[ping.link]:
            reason = f"another fault touched {ping.link} meanwhile"
        if reason is None and ping.outcome == "unprobed":
            reason = f"{ping.link} could not be pinged: {ping.detail}"
        if reason is None and expected[ping.link].undecided(ping) and not expected[ping.link].meets(ping):
            reason = f"a ping over {ping.link} took {ping.seconds * 1000:.0f} ms, as on a busy machine"
        if reason is None:
            tally.add(_measurement(ping, expected[ping.link]), expected[ping.link].meets(ping))
        else:
            tally.left_out.append(reason)
    return tally


class _Judge:
    """Says which links can be judged, as described at the top of the module."""

    def __init__(self, ground: Ground, number: int, own: bool, expected: Mapping[Link, Expectation]) -> None:
        self._ground = ground
        self._number = number
        self._own = own
        self._expected = expected

    def spoiled(self, links: Sequence[Link]) -> dict[Link, str | None]:
        """For each link why a ping over it would prove nothing now, or None."""
        replicas = sorted({end for link in links for end in _ends(link)})
        states = dict(zip(replicas, in_parallel(self._ground.cluster.state, replicas), strict=True))
        return {link: self._by_ends(link, states) or self._by_claims(link) for link in links}

    def _by_ends(self, link: Link, states: Mapping[str, str]) -> str | None:
        for end in _ends(link):
            stamp = self._ground.processes.stamp(end)
            if stamp.claimants or stamp.busy:
                return f"another fault holds {end}"
            if states[end] != "up":
                return f"{end} is {states[end]}"
        return None

    def _by_claims(self, link: Link) -> str | None:
        board = self._ground.links
        if self._own and self._number not in board.stamp(link).claimants:
            return f"{link} is not held any more"
        if self._own:
            in_force = self._would_meet(link, board.effective(link), busy=False)
            telling = in_force and not self._would_meet(link, board.effective(link, without=self._number), busy=True)
        else:
            telling = self._would_meet(link, board.effective(link), busy=True)
        return None if telling else f"another fault holds {link} too"

    def _would_meet(self, link: Link, condition: Condition, busy: bool) -> bool:
        expected = self._expected[link]
        return expected.meets(predicted(link, condition, expected.timeout_seconds, busy))


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
        tally.add({"replica": replica, **measurement}, meets)
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


def _stamps(ground: Ground, link: Link) -> tuple[Stamp, ...]:
    return (ground.links.stamp(link), *(ground.processes.stamp(end) for end in _ends(link)))


def _measurement(ping: Ping, expected: Expectation) -> dict[str, Any]:
    return {
        "link": str(ping.link),
        "outcome": ping.outcome,
        "milliseconds": round(ping.seconds * 1000, 1),
        "expected": expected.words,
    }
