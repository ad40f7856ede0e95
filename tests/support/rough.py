"""Short, rough simulated runs, to see whether a flaw is noticed and whether a correct protocol is left in peace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.history import HARNESS, NEMESIS
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec
from tests.support import tiny_checker
from tests.support.specs import spec_of
from tests.support.tiny_checker import Told

HASTY: dict[str, dict[str, Any]] = {
    "multi-paxos": {
        "heartbeat_seconds": 0.05,
        "suspect_seconds": 0.2,
        "retry_seconds": 0.1,
        "answer_seconds": 2.0,
        "snapshot_every": 7,
        "window": 3,
    },
    "primary-backup": {"heartbeat_seconds": 0.05, "suspect_seconds": 0.3, "compact_every": 30},
    "log-shipping": {"heartbeat_seconds": 0.05, "suspect_seconds": 0.3, "compact_every": 30},
}
"""Options that make much happen in little virtual time."""


def _stream(fault: str, first: float, every: float, lasts: float, **options: Any) -> dict[str, Any]:
    choice = {"fault": fault, "options": options, "for_seconds": lasts}
    return {"choices": [choice], "first_seconds": first, "every_seconds": every}


CRASHES = [
    _stream("kill", 0.6, 1.2, 0.8, target="one"),
    _stream("kill", 2.2, 1.9, 0.02, target="majority"),
    _stream("kill", 1.2, 2.4, 0.4, target="all"),
]
SPLITS = [
    _stream("partition", 0.4, 0.7, 0.5, shape="one-way", target="leader"),
    _stream("partition", 0.6, 0.9, 0.6, shape="random-halves"),
]
"""Streams of a nemesis. Partitions are for protocols that promise to survive them."""

WEATHER = {"delay_ms": 1.0, "jitter_ms": 5.0, "duplicated": 0.05, "overtaking": 0.3}
ROUGH_WEATHER = {**WEATHER, "jitter_ms": 15.0, "lost": 0.03, "late": 0.03, "clock_drift": 0.1}


def rough_spec(
    protocol: str, seed: int, flaws: Sequence[str] = (), only_splits: bool = False, **options: Any
) -> RunSpec:
    """Four seconds of kills and, for a protocol that survives them, partitions and lost and late messages."""
    survives_splits = protocol not in ("primary-backup", "log-shipping")
    streams = ([] if only_splits else CRASHES) + (SPLITS if survives_splits else [])
    return spec_of(
        cluster="simulated",
        cell=f"{protocol} {', '.join(flaws)} seed {seed}",
        seed=seed,
        replicas=3 + 2 * (seed % 2),
        protocol={"name": protocol, "options": {**HASTY.get(protocol, {}), **options}, "flaws": list(flaws)},
        workload={"name": "register", "options": {"processes_per_key": 5}},
        clients={"processes": 5, "rate_per_second": 100, "timeout_seconds": 0.5, "attempts": 4},
        nemesis={"name": "rough", "streams": streams},
        simulation={**(ROUGH_WEATHER if survives_splits else WEATHER), "sync_ms": 2.0, "liveness_seconds": 10.0},
        duration_seconds=4.0,
    )


def problem(spec: RunSpec, **how: Any) -> str | None:
    """What is found in a run of this spec, in one sentence; None if all is well."""
    simulated = simulate(spec, statuses=False, **how)
    if simulated.broken:
        broken = simulated.broken[0]
        return f"the law that {broken.law}: {broken.sentence}"
    return unexplained(simulated) or (simulated.stalled.sentence if simulated.stalled else None)


def unexplained(simulated: Simulated) -> str | None:
    """The keys whose operations no order explains, or None."""
    told: list[Told] = []
    opened: dict[Any, Told] = {}
    for place, event in enumerate(simulated.events):
        process = event["process"]
        if process in (NEMESIS, HARNESS):
            continue
        if event["type"] == "invoke":
            opened[process] = Told(str(process), event["f"], event["key"], event["value"], place)
            told.append(opened[process])
            continue
        operation = opened.pop(process)
        operation.type = event["type"]
        if operation.type != "info":
            operation.end = place
        operation.result = event.get("result")
    keys = tiny_checker.unexplained(told)
    return f"no order explains the operations on {', '.join(keys)}" if keys else None
