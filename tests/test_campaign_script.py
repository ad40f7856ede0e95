"""Scripts in campaigns: what they may say, what they turn into, and whether a run came out as its script says."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import Overrides, load_campaign
from harness.checkers.checker import Limits, judge
from harness.checkers.result import CheckResult
from harness.checkers.script import Script
from harness.errors import BadInput
from harness.history import Event
from harness.spec import RunSpec
from tests.support.specs import spec_of

PLAYED = """
    protocols: multi-paxos
    cluster: simulated
    replicas: 3
    duration_seconds: 5
    minimum_operations: 30
    cells:
      - faults: kill
      - script:
          name: a scene
          operations:
            - {at_seconds: 2, process: 2, replica: n2, f: read, key: x, outcome: ok, results: [1]}
            - {at_seconds: 1, process: 1, replica: n1, f: write, key: x, value: 1, outcome: ok}
          faults:
            - {fault: kill, options: {target: n3}, at_seconds: 1.5, until_seconds: 4}
"""


def load(tmp_path: Path, text: str, overrides: Overrides | None = None) -> list[RunSpec]:
    file = tmp_path / "trial.yaml"
    file.write_text(textwrap.dedent(text))
    return load_campaign(file, overrides)


def test_a_script_is_a_cell_with_its_own_name_faults_and_checkers(tmp_path: Path) -> None:
    drawn, spec = load(tmp_path, PLAYED)
    assert drawn.script is None and drawn.nemesis.streams and drawn.minimum_operations == 30
    assert spec.script is not None and spec.cell == "multi-paxos, register, a scene, seed 1"
    assert spec.nemesis.streams == [] and spec.minimum_operations == 0 and spec.simulation.liveness_seconds == 0
    assert spec.checks.checkers == ["linearizable", "availability", "faults", "invariants", "liveness", "script"]
    assert [one.f for one in spec.script.in_order()] == ["write", "read"]
    spec.save(tmp_path / "run.yaml")
    assert RunSpec.load(tmp_path / "run.yaml") == spec


def test_its_times_and_replicas_are_its_own_whatever_the_command_line_says(tmp_path: Path) -> None:
    drawn, spec = load(tmp_path, PLAYED, Overrides(duration_seconds=1.0, replicas=5, seed=7))
    assert (drawn.duration_seconds, drawn.replicas, drawn.seed) == (1.0, 5, 7)
    assert (spec.duration_seconds, spec.replicas, spec.seed) == (5.0, 3, 7)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("fault: kill", "fault: kil", "unknown fault 'kil': did you mean 'kill'?"),
        ("{target: n3}", "{targets: n3}", "unknown option of fault 'kill': 'targets': did you mean 'target'?"),
        ("{target: n3}", "{target: n7}", "unknown target 'n7'"),
        ("until_seconds: 4", "until_seconds: 1", "it has to end after it began, and no later than the run at 5 s"),
        ("until_seconds: 4", "until_seconds: 6", "it has to end after it began, and no later than the run at 5 s"),
        ("replica: n2", "replica: n9", "unknown replica 'n9'"),
        ("f: read", "f: raed", "unknown function of machine 'kv': 'raed': did you mean 'read'?"),
        ("at_seconds: 2", "at_seconds: 7", "an operation at 7 s: the run ends at 5 s"),
        ("outcome: ok, results", "outcome: fail, results", "only an operation with `outcome: ok` has `results`"),
        ("outcome: ok, results", "outcome: yes, results", "outcome True"),
        ("process: 2,", "process: 2, proces: 3,", "unknown key 'proces': did you mean 'process'?"),
        ("- script:", "- faults: kill\n        script:", "a script has its faults in itself: remove `faults`"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_with_its_line(
    tmp_path: Path, before: str, after: str, sentence: str
) -> None:
    assert before in PLAYED
    with pytest.raises(BadInput) as caught:
        load(tmp_path, PLAYED.replace(before, after))
    assert sentence in str(caught.value) and str(caught.value).startswith(f"{tmp_path / 'trial.yaml'}:")


def told(results: list[tuple[Any, ...]]) -> CheckResult:
    """What the checker says if processes 1 and 2 were told this."""
    operations = [
        {"at_seconds": 1, "process": 1, "replica": "n1", "f": "write", "key": "x", "value": "a", "outcome": "ok"},
        {"at_seconds": 2, "process": 2, "replica": "n1", "f": "read", "key": "x", "outcome": "ok", "results": ["a", 1]},
        {"at_seconds": 3, "process": 2, "replica": "n1", "f": "read", "key": "x"},
    ]
    events: list[Event] = []
    for process, f, type, result in results:
        common = {"process": process, "f": f, "key": "x", "value": "a" if f == "write" else None, "replica": "n1"}
        events.append({**common, "index": len(events), "time": len(events), "type": "invoke"})
        done = {"result": result} if type == "ok" else {"error": "it is not known"}
        events.append({**common, "index": len(events), "time": len(events), "type": type, **done})
    return judge(Script(), spec_of(script={"operations": operations}), events, Limits())


def test_a_run_that_came_out_as_its_script_says_is_valid() -> None:
    result = told([(1, "write", "ok", None), (2, "read", "ok", "a"), (2, "read", "info", None)])
    assert (result.verdict, result.sentence) == ("valid", "all 2 outcomes are those that the script tells")


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([(1, "write", "info", None), (2, "read", "ok", "a")], 'operation 1 of the script, write x "a" by p1, was info'),
        ([(1, "write", "ok", None), (2, "read", "ok", None)], "operation 2 of the script, read x by p2, returned null"),
        ([(1, "write", "ok", None), (2, "read", "ok", True)], "returned true and not \"a\" or 1"),
        ([(1, "write", "ok", None)], "operation 2 of the script, read x by p2, was not begun"),
    ],
)  # fmt: skip
def test_one_that_went_another_way_is_unknown_and_no_violation(results: list[tuple[Any, ...]], sentence: str) -> None:
    result = told(results)
    assert result.verdict == "unknown" and sentence in result.sentence


def test_without_a_script_there_is_nothing_to_judge() -> None:
    assert judge(Script(), spec_of(), [], Limits()).verdict == "unknown"
