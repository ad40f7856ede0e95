"""Checkers that look for one kind of trouble directly, key by key, in one pass over the operations.

They know less than `linearizable`, and say more: how many elements are gone and for how long others were late. Each is
sound by itself: what it calls a violation contradicts the service whatever the order of the operations was.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.checkers.anomalies import Anomaly
from harness.checkers.checker import Checker, Limits
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.operations import Operation, operations
from harness.checkers.result import CheckResult, Finding
from harness.history import BadHistory, Event
from harness.spec import RunSpec, Verdict

MOST_FINDINGS = 20


@dataclass
class Key:
    """What clients did to one key."""

    name: str
    operations: list[Operation] = field(default_factory=list)
    """Those that happened, or may have, in order of invocation."""
    failed: list[Operation] = field(default_factory=list)
    """Those that certainly did not."""

    def done(self, f: str) -> list[Operation]:
        """The operations with this function that happened."""
        return [one for one in self.operations if one.f == f and one.type == "ok"]

    def tried(self, f: str) -> list[Operation]:
        """The operations with this function that happened or may have."""
        return [one for one in self.operations if one.f == f]


class Direct(Checker):
    """See the module. Objects are used for one check."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.found = 0
        """How many findings there are, also of those that are too many to be kept."""
        self.figures: dict[str, Any] = {}

    @abstractmethod
    def judge(self, key: Key) -> None:
        """Look at one key: calls `accuse`, and adds to `figures`."""

    @abstractmethod
    def summary(self) -> str:
        """One sentence with the figures."""

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        try:
            keys = _by_key(events)
        except BadHistory as error:
            return CheckResult(self.name, "unknown", f"this is no history that can be judged: {error}")
        budget = Budget(limits)
        try:
            for key in keys:
                budget.look()
                self.judge(key)
        except Stopped as stopped:
            if not self.findings:
                return CheckResult(self.name, "unknown", f"{stopped.sentence}: {stopped.remedy}")
        verdict: Verdict = "violation" if self.findings else "valid"
        if not any(key.operations for key in keys):
            return CheckResult(self.name, "unknown", "there is nothing to judge: no client completed an operation")
        return CheckResult(self.name, verdict, self.summary(), self.findings, {"keys": len(keys), **self.figures})

    def accuse(self, anomaly: Anomaly, sentence: str, key: Key, proof: Sequence[Operation]) -> None:
        """A violation, with the operations that prove it."""
        self.found += 1
        if len(self.findings) >= MOST_FINDINGS:
            return
        shown = sorted(proof, key=lambda one: one.began)
        end = max((one.return_ns for one in shown if one.return_ns is not None), default=None)
        told = [one.as_json() for one in shown]
        self.findings.append(Finding(self.name, anomaly, sentence, key.name, told, prefix_end=end))

    def count(self, figure: str, more: int = 1) -> None:
        self.figures[figure] = self.figures.get(figure, 0) + more


def _by_key(events: Sequence[Event]) -> list[Key]:
    record = operations(events)
    keys: dict[str, Key] = {}
    for one in record.operations:
        keys.setdefault(one.key, Key(one.key)).operations.append(one)
    for one in record.failed:
        keys.setdefault(one.key, Key(one.key)).failed.append(one)
    return list(keys.values())
