"""Checkers for tests of whoever runs checkers: named as `tests.support.made_up_checkers:Content`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from harness.checkers.checker import Checker, Limits
from harness.checkers.result import CheckResult, Finding
from harness.history import Event
from harness.spec import RunSpec


class Content(Checker):
    name = "content"
    question = "Nothing."

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        return CheckResult(self.name, "valid", f"all {len(events)} events are fine")


class Indignant(Checker):
    name = "indignant"
    question = "Whether somebody wrote."

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        finding = Finding(self.name, "a write", "process 0 wrote something, of all things")
        return CheckResult(self.name, "violation", "somebody wrote", [finding, finding])


class Crashing(Checker):
    name = "crashing"
    question = "What becomes of a checker that crashes."

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        raise KeyError("oops")


class Endless(Checker):
    name = "endless"
    question = "Whether anybody stops it."
    begun: ClassVar[bool] = False

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        Endless.begun = True
        until = time.monotonic() + limits.time_seconds
        while time.monotonic() < until:
            if limits.cancelled():
                return CheckResult(self.name, "unknown", "cancelled")
            time.sleep(0.005)
        return CheckResult(self.name, "unknown", "out of time")
