"""Clocks that go wrong: off by some seconds, or running too fast or too slow (`clock`).

Every replica goes by a clock of its own, and so do its timers: a clock that jumps ahead makes all of them due at once, one
that jumps back makes them wait, one that runs twice as fast halves every timeout. It never goes back: set into the past
it stands still, and so does everything that waits for it.
"""

from __future__ import annotations

import random
from typing import Any

from pydantic import Field, model_validator

from faults.clock_board import Skew
from faults.fault import Evidence, Fault, FaultOptions, Ground, Injection, Setting
from faults.probing import Tally, look_at
from faults.targets import TARGET_DESCRIPTION, choose, target_problem

TOLERANCE_SECONDS = 0.02
"""A clock that is so close to what it should show is right, beside what reading and setting it may have taken."""


class ClockOptions(FaultOptions):
    target: str = Field(default="one", description=TARGET_DESCRIPTION)
    offset_seconds: float = Field(
        default=5.0, ge=-3_600, le=3_600, description="how far it jumps ahead, or back if it is less than 0"
    )
    rate: float = Field(default=1.0, ge=0.05, le=20, description="how many seconds it shows for every true one")

    @model_validator(mode="after")
    def _not_true(self) -> ClockOptions:
        if (self.offset_seconds, self.rate) == (0, 1):
            raise ValueError("offset_seconds 0 and rate 1 together are true time: change one of them")
        return self


class Clock(Fault):
    """The proof is a look at the clock, when it must show something that it would not have shown otherwise.

    A rate takes its time to be seen, and a clock that was set back is right again only when true time has caught up with
    it; until then it must stand still.
    """

    name = "clock"
    summary = "a replica's clock jumps, or runs too fast or too slow, and its timers with it"
    Options = ClockOptions
    options: ClockOptions

    def applies_to(self, setting: Setting) -> str | None:
        return target_problem(self.options.target, setting)

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        skew = Skew(self.options.offset_seconds, self.options.rate)
        ground.clocks.claim(number, dict.fromkeys(found.replicas, skew))
        description = f"{self._words()} on {' '.join(found.replicas)}" + (f" ({found.note})" if found.note else "")
        return Injection(self.name, number, found.replicas, description, roles=found.roles)

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection).evidence("{} clocks show what they were set to")

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.clocks.release(injection.number)

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection).evidence("{} clocks are true again, or stand still until they are")

    def _words(self) -> str:
        words = []
        if self.options.offset_seconds:
            words.append(f"{self.options.offset_seconds:+g} s")
        if self.options.rate != 1:
            words.append(f"{self.options.rate:g} times as fast")
        return ", ".join(words)

    def _look(self, ground: Ground, injection: Injection) -> Tally:
        """Whether the targets' clocks show what they should, as far as that tells whether they were set."""
        seen = {replica: _Look(ground, replica) for replica in injection.targets}

        def spoiled(replica: str) -> str | None:
            stamp = ground.processes.stamp(replica)
            if stamp.claimants or stamp.busy:
                return f"another fault holds {replica}"
            if ground.clocks.stamp(replica).claimants - {injection.number}:
                return f"another fault skews {replica} too"
            return seen[replica].unclear

        return look_at(ground, injection.targets, spoiled, lambda replica: seen[replica].judged())


class _Look:
    """One look at a replica's clock, and what it tells."""

    def __init__(self, ground: Ground, replica: str) -> None:
        self.unclear: str | None = None
        """Why it tells nothing."""
        self._shown = self._expected = 0.0
        reading = ground.cluster.clock(replica)
        course = ground.clocks.course(replica)
        if reading is None:
            self.unclear = f"{replica} doesn't tell what its clock shows"
            return
        if course is None:
            self.unclear = f"{replica} could not be told, or not asked what its clock showed before"
            return
        self._tolerance = TOLERANCE_SECONDS + reading.within_seconds + course.within_seconds
        true = course.zero_seconds + reading.true_seconds
        self._shown = reading.shown_seconds - true
        self._expected = course.shows(reading.true_seconds) - true
        otherwise = course.would_have_shown(reading.true_seconds) - true
        if abs(self._expected - otherwise) <= 2 * self._tolerance:
            self.unclear = f"it is too early to see whether the clock of {replica} was set"

    def judged(self) -> tuple[dict[str, Any], bool]:
        measurement = {"ahead_seconds": round(self._shown, 3), "expected_seconds": round(self._expected, 3)}
        return measurement, abs(self._shown - self._expected) <= self._tolerance
