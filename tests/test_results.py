"""What results.json counts and how its verdict comes about, from made-up events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.checkers.result import CheckResult, Finding
from harness.errors import RunFailed
from harness.history import Event
from harness.results import Account, count_faults, count_operations, write_results
from tests.support.specs import spec_of


def operation(kind: str, f: str = "read", process: int = 1) -> Event:
    return {"type": kind, "process": process, "f": f}


def injection(kind: str, number: int, effective: bool | None = None, f: str = "inject") -> Event:
    evidence = {} if kind in ("invoke", "fail") else {"evidence": {"effective": effective, "detail": ""}}
    return {"type": kind, "process": "nemesis", "f": f, "number": number, **evidence}


def account(**fields: Any) -> Account:
    events = [operation(kind) for _ in range(20) for kind in ("invoke", "ok")]
    fields = {"spec": spec_of(), "events": events, **fields}
    return Account(folder=Path("results/a b"), started=datetime(2024, 5, 6, tzinfo=UTC), **fields)


def test_operations_are_counted_by_outcome_and_function() -> None:
    events = [
        *(operation(kind) for kind in ("invoke", "ok", "invoke", "fail", "invoke", "info")),
        *(operation(kind, "write") for kind in ("invoke", "ok", "invoke")),
        injection("invoke", 1),
        {"type": "info", "process": "harness", "f": "note", "value": "hello"},
    ]
    assert count_operations(events) == {
        "ok": 2,
        "fail": 1,
        "info": 2,
        "by_function": {"read": {"ok": 1, "fail": 1, "info": 1}, "write": {"ok": 1, "fail": 0, "info": 1}},
    }


def test_faults_are_counted_by_what_was_measured() -> None:
    events = [injection("invoke", number) for number in range(1, 6)]
    events += [injection("ok", 1, True), injection("info", 2, False), injection("info", 3, None), injection("fail", 4)]
    events += [injection("invoke", 1, f="heal"), injection("ok", 1, True, f="heal")]
    assert count_faults(events) == {"injected": 5, "proved": 1, "ineffective": 1, "unproved": 3}


VALID = CheckResult("a", "valid", "all is well")
UNKNOWN = CheckResult("b", "unknown", "too large")
VIOLATION = CheckResult("c", "violation", "something is wrong", [Finding("c", "lost write", "x was lost")])


@pytest.mark.parametrize(
    ("fields", "verdict", "reason"),
    [
        ({"checks": [VALID, VALID]}, "valid", "all is well"),
        ({"checks": [VALID, UNKNOWN]}, "unknown", "too large"),
        ({"checks": [UNKNOWN, VIOLATION, VALID]}, "violation", "x was lost"),
        ({"checks": []}, "unknown", "no checker judged this run"),
        ({"checks": [VALID], "events": []}, "unknown", "only 0 operations succeeded: fewer than 10 prove nothing"),
        ({"checks": [VIOLATION], "events": []}, "violation", "x was lost"),
        ({"checks": [VIOLATION], "tainted": "a restart"}, "unknown", "can't be trusted: a restart"),
        ({"checks": [VIOLATION], "audit": ["a gap"]}, "unknown", "breaks the rules of histories: a gap"),
        ({"checks": [VIOLATION], "error": "no disk"}, "unknown", "the run failed: no disk"),
        ({"checks": [VALID], "events": [], "interrupted": True}, "unknown", "the run was ended early"),
    ],
)
def test_what_makes_the_record_doubtful_comes_before_what_is_read_in_it(
    fields: dict[str, Any], verdict: str, reason: str
) -> None:
    results = account(**fields).results()
    assert results["verdict"] == verdict
    assert reason in results["reason"]
    assert results["as_expected"] == (verdict == "valid")


def test_a_run_that_failed_is_never_as_expected() -> None:
    assert not account(spec=spec_of(expect="unknown"), error="no disk").results()["as_expected"]
    assert account(spec=spec_of(expect="unknown"), checks=[UNKNOWN]).results()["as_expected"]


def test_results_are_json_and_name_the_command_that_repeats_the_run(tmp_path: Path) -> None:
    results = account(checks=[VIOLATION]).results()
    write_results(tmp_path, results)
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == results
    assert results["replay"] == "rashomon replay 'results/a b'"
    assert results["started"] == "2024-05-06T00:00:00.000+00:00"
    assert results["findings_total"] == 1
    assert {"rashomon", "python", "requests"} <= set(results["versions"])


def test_results_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"cannot write .*results\.json"):
        write_results(tmp_path / "nowhere", account().results())
