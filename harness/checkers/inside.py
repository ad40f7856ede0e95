"""The checkers of what is seen from within a simulated run: `invariants` and `liveness`.

The witness of a simulated run (`harness.simulation.laws`) hears what every replica says of itself after every step, and
finds a broken law long before a client can see its harm. After the faults a majority is left alone, healed, and has to
answer. Both write into the history what they found, as notes of the harness::

    {"type": "info", "process": "harness", "f": "broken", "value": "slot 7: n1 holds ... and n3 holds ...",
     "law": "a slot holds one decree", "replicas": ["n1", "n3"]}
    {"type": "info", "process": "harness", "f": "stalled", "value": "no progress for 60 s with n1, n2, n3 connected",
     "replicas": ["n1", "n2", "n3"]}
    {"type": "info", "process": "harness", "f": "witness", "value": "no law of multi-paxos was broken"}

Real replicas don't tell so much of themselves: there these checkers have nothing to judge, and say `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.checker import Checker, Limits
from harness.checkers.result import CheckResult, Finding
from harness.history import HARNESS, Event
from harness.spec import RunSpec

BROKEN = "broken"
STALLED = "stalled"
WITNESS = "witness"
PROGRESS = "progress"
NO_PROGRESS = "no progress"
INSIDE = ("invariants", "liveness")
"""Who judges every simulated run, beside the checkers of its workload."""

_ONLY_SIMULATED = "only a simulated run tells: leave this checker out, or use --cluster simulated"


class Invariants(Checker):
    name = "invariants"
    question = "Did every replica keep the laws of its protocol at every step, as seen from within (simulated runs)?"

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        findings = [
            Finding(self.name, str(event["law"]), f"{_when(event)}: {event['value']}.", prefix_end=int(event["time"]))
            for event in _told(events, BROKEN)
        ]  # fmt: skip
        if findings:
            laws = "one law was broken" if len(findings) == 1 else f"{len(findings)} laws were broken"
            return CheckResult(self.name, "violation", f"{laws}: {findings[0].anomaly}", findings)
        return _conclusion(self.name, spec, _told(events, WITNESS))


class Liveness(Checker):
    name = "liveness"
    question = "Does a majority that is left alone, up and connected, answer in time (simulated runs)?"

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        findings = [
            Finding(self.name, NO_PROGRESS, f"{str(event['value']).capitalize()}.", prefix_end=int(event["time"]))
            for event in _told(events, STALLED)
        ]
        if findings:
            return CheckResult(self.name, "violation", findings[0].sentence, findings)
        if not spec.simulation.liveness_seconds and spec.cluster == "simulated":
            return CheckResult(self.name, "valid", "not asked for")
        return _conclusion(self.name, spec, _told(events, PROGRESS))


def _when(event: Event) -> str:
    """What is broken while the cluster is being set up has no time in the history."""
    return "Before the run began" if event.get("early") else f"At {event['time'] / 1e9:.3f} s"


def _told(events: Sequence[Event], what: str) -> list[Event]:
    return [event for event in events if event.get("process") == HARNESS and event.get("f") == what]


def _conclusion(checker: str, spec: RunSpec, told: Sequence[Event]) -> CheckResult:
    """What the run itself says of it at its end."""
    if told:
        return CheckResult(checker, "valid", str(told[-1]["value"]))
    if spec.cluster == "simulated":
        return CheckResult(checker, "unknown", "the run ended before it could tell: let it come to its end")
    return CheckResult(checker, "unknown", _ONLY_SIMULATED)
