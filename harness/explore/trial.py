"""One run of an exploration: draw it, simulate it, judge it in memory, and keep only what is worth telling.

A finding is of a KIND: who made it, and what it is called. `(linearizable, stale read)`, or `(invariants, a slot holds one
decree)`, or `(liveness, no progress)`. Of thousands of runs that fall over the same bug one of each kind is enough.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Limits, judge
from harness.checkers.injections import injections
from harness.checkers.inside import INSIDE
from harness.checkers.result import CheckResult
from harness.errors import RunFailed
from harness.explore.coverage import Coverage
from harness.explore.swarm import draw
from harness.results import count_operations
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec, SimulationSpec
from harness.workloads import WORKLOADS

_MEASURING = ("availability", "faults")
"""Checkers that accuse nobody; what they measure is of no use in a single run of thousands."""

_WEATHER = ("lost", "duplicated", "late", "overtaking", "clock_offset_seconds", "clock_drift")


class Kind(NamedTuple):
    """What a finding is, whichever run it is of."""

    checker: str
    anomaly: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.anomaly}"


@dataclass(frozen=True)
class Seen:
    """A finding of one run."""

    kind: Kind
    sentence: str
    time_ns: int | None = None
    """When, on the clock of the history, all that it takes had happened; None if that isn't known."""


class Task(NamedTuple):
    """A run to be done: the number of its cell, and its seed."""

    cell: int
    seed: int


@dataclass(frozen=True)
class Trial:
    """What a run came to."""

    findings: tuple[Seen, ...] = ()
    """At most one of each kind."""
    undecided: tuple[str, ...] = ()
    """Why it could not be judged, one sentence for each checker; empty if it was."""
    coverage: Coverage = field(default_factory=Coverage)
    virtual_seconds: float = 0.0
    succeeded: int = 0
    """Operations that came back ok."""
    seconds: float = 0.0
    """What it took, of true time."""


def attempt(cells: Sequence[RunSpec], task: Task) -> Trial:
    """Do a run. Whatever it raises is a bug of ours or of the protocol's code, and no verdict."""
    began = time.monotonic()
    spec = draw(cells[task.cell], task.seed)
    try:
        simulated = simulate(spec)
    except RunFailed as error:
        return Trial(undecided=(str(error),), coverage=_of_spec(spec), seconds=time.monotonic() - began)
    coverage = _of_spec(spec)
    _cover(coverage, simulated)
    findings, undecided = judged(spec, simulated)
    succeeded = count_operations(simulated.events)["ok"]
    seconds = time.monotonic() - began
    return Trial(findings, undecided, coverage, simulated.virtual_seconds, succeeded, seconds)


def judged(spec: RunSpec, simulated: Simulated) -> tuple[tuple[Seen, ...], tuple[str, ...]]:
    """The findings of a run, one of each kind, and why what can't be judged can't be."""
    seen: dict[Kind, Seen] = {}
    undecided = [f"the history breaks the rules of histories: {sentence}" for sentence in audit(simulated.events)[:1]]
    for result in _checks(spec, simulated):
        for finding in result.findings:
            kind = Kind(finding.checker, finding.anomaly)
            seen.setdefault(kind, Seen(kind, finding.sentence, finding.prefix_end))
        if result.verdict == "unknown":
            undecided.append(f"{result.checker}: {result.sentence}")
    return tuple(seen.values()), tuple(undecided)


def _checks(spec: RunSpec, simulated: Simulated) -> list[CheckResult]:
    names = spec.checks.checkers or (*WORKLOADS[spec.workload.name].checkers, *INSIDE)
    limits = Limits(spec.checks.time_limit_seconds, spec.checks.memory_limit_mb, jobs=1)
    return [judge(CHECKERS[name](), spec, simulated.events, limits) for name in names if name not in _MEASURING]


def _of_spec(spec: RunSpec) -> Coverage:
    coverage = Coverage()
    coverage.count("sizes", f"{spec.replicas} replicas", "runs")
    calm = SimulationSpec()
    for name in _WEATHER:
        if getattr(spec.simulation, name) != getattr(calm, name):
            coverage.count("weather", name, "runs")
    return coverage


def _cover(coverage: Coverage, simulated: Simulated) -> None:
    for injected in injections(simulated.events):
        coverage.count("faults", injected.fault, "injected")
        coverage.count("faults", injected.fault, injected.proof)
        if injected.proof == "proved":
            for role in injected.roles.values():
                coverage.count("roles", role, injected.fault)
    for function, outcomes in count_operations(simulated.events)["by_function"].items():
        for outcome, number in outcomes.items():
            coverage.count("operations", function, outcome, number)
    for fate in ("sent", "lost", "late", "duplicated"):
        for message, number in simulated.coverage[fate].items():
            coverage.count("messages", message, fate, number)
    for what in ("replicas", "elections"):
        for name, number in simulated.coverage[what].items():
            coverage.count("events", f"{what} {name}", "count", number)
    terms = {sample["term"] for sample in simulated.statuses if sample["term"] is not None}
    coverage.count("events", "terms", "count", len(terms))
