"""The board of clocks: who skews which replica's clock. The rules of boards are in `faults.board`.

Claims add up: offsets are added, rates multiplied. A restart makes a replica's clock true again, and a replica that is
down or paused can't be told anything; so whoever brings one up or lets it go on calls `set_again`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from faults.board import Stamp
from faults.cluster import ClockReading, Cluster, ClusterError


@dataclass(frozen=True)
class Skew:
    offset_seconds: float = 0.0
    rate: float = 1.0


TRUE = Skew()


def combined(skews: Iterable[Skew]) -> Skew:
    """What several claims make together; TRUE without any."""
    given = list(skews)
    return Skew(sum(skew.offset_seconds for skew in given), math.prod(skew.rate for skew in given))


@dataclass(frozen=True)
class Course:
    """How a clock goes since it was set last, and how it would have gone on if it hadn't been set."""

    skew: Skew
    zero_seconds: float
    """What the clock, as long as it is true, shows more than the true clock: each has a zero of its own."""
    set_at: ClockReading
    """Just before it was set, and what it showed then."""
    within_seconds: float
    """How much later it may have been set."""
    rate_before: float

    def shows(self, true_seconds: float) -> float:
        """What it shows at that moment. It never goes back: it stands still until it has caught up with itself."""
        since = true_seconds - self.set_at.true_seconds
        skewed = self.zero_seconds + self.set_at.true_seconds + self.skew.offset_seconds + since * self.skew.rate
        return max(self.set_at.shown_seconds, skewed)

    def would_have_shown(self, true_seconds: float) -> float:
        return self.set_at.shown_seconds + (true_seconds - self.set_at.true_seconds) * self.rate_before


class ClockBoard:
    """Who claims which skew of which replica's clock. Safe to use from several threads; changes take turns."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._claims: dict[int, dict[str, Skew]] = {}
        self._versions = dict.fromkeys(cluster.replicas, 0)
        self._courses: dict[str, Course | None] = {}
        """Of every replica that was ever claimed; None if nobody knows, since it could not be read or told."""
        self._zeros: dict[str, float] = {}
        self._closed = False

    def claim(self, number: int, skews: Mapping[str, Skew]) -> None:
        """Claim skews for an injection. Of replicas that are up they are in force when this returns.

        Raises `ClusterError` if a clock can't be set; the claim stands all the same, until it is released. Raises it
        too after `close`, and then nothing is claimed.
        """
        with self._lock:
            if self._closed:
                raise ClusterError("the faults of this run are over: no clock is skewed any more")
            self._claims.setdefault(number, {}).update(skews)
            self._set(list(skews))

    def release(self, number: int) -> None:
        """Take back everything that an injection claimed. Raises `ClusterError`."""
        with self._lock:
            self._set(list(self._claims.pop(number, {})))

    def set_again(self, replica: str) -> None:
        """The replica is up again, or goes on: set its clock as it is claimed, if anybody ever claimed it."""
        with self._lock:
            if replica in self._courses:
                self._courses[replica] = None  # it may be another process by now, whose clock has been true
                self._set([replica])

    def course(self, replica: str) -> Course | None:
        """How the replica's clock should go now; None if nobody knows."""
        with self._lock:
            return self._courses.get(replica)

    def stamp(self, replica: str) -> Stamp:
        """Who skews the replica's clock. Waits for a change that is on its way."""
        with self._lock:
            claimants = frozenset(number for number, skews in self._claims.items() if replica in skews)
            return Stamp(self._versions[replica], claimants)

    def close(self) -> None:
        """The end: forget every claim, take no new one, and make every clock true that was ever skewed.

        Raises `ClusterError` if one can't be set, after trying them all; idempotent.
        """
        with self._lock:
            self._closed = True
            self._claims.clear()
            self._set(list(self._courses))

    def _set(self, replicas: list[str]) -> None:
        problems = []
        for replica in replicas:
            self._versions[replica] += 1
            try:
                self._set_one(replica)
            except ClusterError as error:
                problems.append(str(error))
        if problems:
            raise ClusterError("; ".join(problems))

    def _set_one(self, replica: str) -> None:
        before = self._courses.get(replica)
        self._courses[replica] = None
        if self._cluster.state(replica) != "up":
            return  # whoever brings it up calls `set_again`
        reading = self._cluster.clock(replica)
        if reading is not None:
            # Read before it was ever skewed; a restart doesn't move this zero, which is that of the machine.
            self._zeros.setdefault(replica, reading.shown_seconds - reading.true_seconds)
        wanted = combined(skews[replica] for skews in self._claims.values() if replica in skews)
        try:
            self._cluster.set_clock(replica, wanted.offset_seconds, wanted.rate)
        except ClusterError:
            if self._cluster.state(replica) != "up":
                return  # killed or paused meanwhile
            raise
        after = self._cluster.clock(replica)
        if reading is not None and after is not None:
            within_seconds = after.true_seconds - reading.true_seconds + reading.within_seconds + after.within_seconds
            rate_before = before.skew.rate if before is not None else 1.0
            self._courses[replica] = Course(wanted, self._zeros[replica], reading, within_seconds, rate_before)
