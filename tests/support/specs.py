"""Specs of runs for tests: short, small, and changed by what a test names."""

from __future__ import annotations

from typing import Any

from harness.spec import RunSpec


def spec_of(**changes: Any) -> RunSpec:
    """A run of the workload register without faults; `clients={...}` and the like as in a saved spec."""
    plain: dict[str, Any] = {
        "campaign": "tests",
        "cell": "fake, register, none, seed 1",
        "seed": 1,
        "replicas": 3,
        "protocol": {"name": "multi-paxos"},
        "machine": "kv",
        "workload": {"name": "register"},
        "clients": {"processes": 6, "rate_per_second": 300},
        "duration_seconds": 0.3,
        "recovery_seconds": 5.0,
        "minimum_operations": 10,
    }
    return RunSpec.model_validate({**plain, **changes})
