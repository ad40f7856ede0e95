"""Judging a history that is already there: the one of an earlier run, or somebody else's."""

from __future__ import annotations

from pathlib import Path

from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Limits, judge
from harness.checkers.result import CheckResult
from harness.errors import BadInput
from harness.history import BadHistory, read_history
from harness.replay import replay_spec
from harness.spec import ChecksSpec, Named, RunSpec
from harness.workloads import WORKLOADS


def check_again(history: Path, time_limit_seconds: float, memory_limit_mb: int) -> list[CheckResult]:
    """Judge a `history.jsonl`; by the checkers of its run if there is a `run.yaml` beside it, else for linearizability.

    Raises `BadInput` if the file can't be read, or isn't a history that can be judged.
    """
    try:
        events = list(read_history(history))
    except BadHistory as error:
        raise BadInput(str(error)) from error
    broken = audit(events)
    if broken:
        raise BadInput(f"{history}: not a history that can be judged: {broken[0]}")
    spec = _spec(history)
    limits = Limits(time_limit_seconds, memory_limit_mb)
    return [judge(CHECKERS[name](), spec, events, limits) for name in spec.checks.checkers]


def _spec(history: Path) -> RunSpec:
    if (history.parent / "run.yaml").is_file():
        spec = replay_spec(history.parent)
        names = spec.checks.checkers or list(WORKLOADS[spec.workload.name].checkers)
    else:
        nobody = Named(name="unknown")
        spec = RunSpec(
            campaign="-", cell=history.name, seed=0, protocol=nobody, machine="kv", workload=Named(name="register")
        )
        names = ["linearizable"]
    return spec.model_copy(update={"checks": ChecksSpec(checkers=names)})
