"""Judging a history that is already there: the one of an earlier run, or somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Limits, judge
from harness.checkers.linearizable import Linearizable
from harness.checkers.result import CheckResult
from harness.checking import AUTO, check
from harness.errors import BadInput
from harness.history import BadHistory, read_history
from harness.replay import replay_spec
from harness.spec import RunSpec
from harness.workloads import WORKLOADS
from node.registry import UnknownName


def check_again(
    history: Path,
    limits: Limits,
    model: str = AUTO,
    format: str = AUTO,
    initial: Any = None,
    witness: bool = False,
) -> list[CheckResult]:
    """Judge a history: that of a run by the checkers of the run, unless a model is named; any other for linearizability.

    Raises `BadInput` if the file can't be read, or isn't a history that can be judged.
    """
    of_a_run = history.name == "history.jsonl" and (history.parent / "run.yaml").is_file()
    if of_a_run and model == AUTO and format == AUTO and initial is None:
        return _check_run(history, limits, witness)
    return [check(history, model, format=format, initial=initial, limits=limits, witness=witness)]


def _check_run(history: Path, limits: Limits, witness: bool) -> list[CheckResult]:
    try:
        events = list(read_history(history))
    except BadHistory as error:
        raise BadInput(str(error)) from error
    broken = audit(events)
    if broken:
        raise BadInput(f"{history}: not a history that can be judged: {broken[0]}")
    spec = replay_spec(history.parent)
    try:
        kinds = [CHECKERS[name] for name in _checkers(spec)]
    except UnknownName as error:
        raise BadInput(f"{history.parent / 'run.yaml'}: {error}") from error
    checkers = [kind(witness=True) if witness and kind is Linearizable else kind() for kind in kinds]
    return [judge(checker, spec, events, limits) for checker in checkers]


def _checkers(spec: RunSpec) -> list[str]:
    return spec.checks.checkers or list(WORKLOADS[spec.workload.name].checkers)
