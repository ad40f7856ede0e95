"""Simulated runs as an exploration draws them, for tests of one protocol: which seeds find something, and what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.trial import Seen, Task, attempt
from harness.spec import RunSpec
from tests.support.specs import spec_of

CALM: dict[str, Any] = {"liveness_seconds": 0}
ROUGH: dict[str, Any] = {
    "delay_ms": 1.0,
    "jitter_ms": 10.0,
    "overtaking": 0.3,
    "lost": 0.03,
    "duplicated": 0.05,
    "late": 0.03,
    "clock_drift": 0.1,
    "liveness_seconds": 0,
}
"""Protocols that need more than a majority are not asked for progress with one."""

ANYTHING = ("partition", "latency", "slow", "reset", "kill", "pause", "clock", "message-loss", "duplicate", "reorder")
"""Faults that a protocol may promise to survive; those that spoil a disk come on top."""
DISKS = ("disk-slow", "disk-full", "sync-fails")


def cell(
    protocol: str,
    flaws: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    faults: Sequence[str] = (*ANYTHING, *DISKS),
    simulation: Mapping[str, Any] = CALM,
    **changes: Any,
) -> RunSpec:
    """What runs are drawn from: subsets of the faults, some clients, three to five replicas, a few virtual seconds."""
    streams = [{"choices": [{"fault": fault}], "every_seconds": 2.0} for fault in faults]
    plain: dict[str, Any] = {
        "cluster": "simulated",
        "cell": f"{protocol} {', '.join(flaws)}",
        "replicas": 5,
        "protocol": {"name": protocol, "options": dict(options or {}), "flaws": list(flaws)},
        "workload": {"name": "register"},
        "clients": {"processes": 6, "rate_per_second": 60},
        "nemesis": {"name": "drawn", "streams": streams},
        "simulation": dict(simulation),
        "duration_seconds": 8.0,
    }
    return spec_of(**{**plain, **changes})


def findings(cell: RunSpec, seed: int) -> tuple[Seen, ...]:
    """What the run of this seed finds. A run that nobody could judge, other than for want of operations, is a failure."""
    trial = attempt([cell], Task(0, seed))
    undecided = [sentence for sentence in trial.undecided if "nothing to judge" not in sentence]
    assert trial.findings or not undecided, f"seed {seed}: {undecided[0]}"
    return trial.findings


def first_found(cells: Sequence[RunSpec], limit: int) -> tuple[int, Seen] | None:
    """The first of the seeds 0, 1, ... that finds something, cell by cell in turn, and what; None if `limit` don't."""
    for seed in range(limit):
        found = findings(cells[seed % len(cells)], seed)
        if found:
            return seed, found[0]
    return None
