"""The checkers that look for one kind of trouble directly: what they find, and that they never accuse wrongly."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.checkers.operations import Operation
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.models import MODELS
from harness.spec import Named, ProtocolSpec, RunSpec
from tests.support.references import REFERENCES, random_history
from tests.support.soundness import histories, report

JUDGES = {"queue": "totals", "counter": "bounds", "set": "elements", "lock": "holders", "mailbox": "marks"}

SPEC = RunSpec(
    campaign="test", cell="test", seed=1, protocol=ProtocolSpec(name="any"), machine="any", workload=Named(name="any")
)


def events_of(operations: list[Operation]) -> list[Event]:
    """The history that these operations come from, on one key."""
    moments: list[tuple[int, Event]] = []
    for one in operations:
        event: Event = {"process": one.process, "f": one.f, "key": "x", "value": one.value}
        moments.append((one.began, {**event, "type": "invoke"}))
        if one.ended is not None:
            moments.append((one.ended, {**event, "type": one.type, "result": one.result}))
    moments.sort(key=lambda moment: moment[0])
    return [{**event, "index": place, "time": place * 1_000_000} for place, (_, event) in enumerate(moments)]


def judged(name: str, events: list[Event]) -> CheckResult:
    return CHECKERS[name]().check(SPEC, events, Limits())


def told(name: str, *steps: tuple[Any, ...]) -> CheckResult:
    """Judge a history given as (process, type, f, value or result): an invocation's value, a completion's result."""
    events: list[Event] = []
    for place, (process, kind, f, value) in enumerate(steps):
        event: Event = {"index": place, "time": place * 10**6, "type": kind, "process": process, "f": f, "key": "x"}
        event["value" if kind == "invoke" else "result"] = value
        events.append(event)
    return judged(name, events)


def one_by_one(name: str, *done: tuple[int, str, Any, Any]) -> CheckResult:
    """Judge operations that came one after the other: (process, f, value, result)."""
    steps = [
        step
        for process, f, value, result in done
        for step in ((process, "invoke", f, value), (process, "ok", f, result))
    ]
    return told(name, *steps)


@pytest.mark.parametrize("model", JUDGES)
@pytest.mark.parametrize("length", [4, 8])
def test_what_can_be_explained_is_never_accused(model: str, length: int) -> None:
    chance, wanted = random.Random(f"{model} {length}"), histories(200)
    accused = explained = 0
    for number in range(wanted):
        history = random_history(chance, REFERENCES[model], length, chance.choice([0, 0.2]), spoiled=0.7)
        linearizable = decide(history, MODELS[model](), Budget(Limits())).linearizable
        verdict = judged(JUDGES[model], events_of(history)).verdict
        assert verdict == "valid" or not linearizable, f"history {number}: {[one.as_json() for one in history]}"
        accused += verdict == "violation"
        explained += linearizable
    assert explained > 20, "too few histories that can be explained: this tests nothing"
    assert accused > 5 or model == "mailbox", "too few accusations: this tests nothing"
    report(f"{JUDGES[model]}, {length} operations", wanted, explained)


@pytest.mark.parametrize(
    ("name", "done", "anomaly"),
    [
        ("totals", [(0, "enqueue", 1, None), (0, "dequeue", None, 1), (1, "dequeue", None, 1)], "dequeued twice"),
        ("totals", [(0, "enqueue", 1, None), (1, "dequeue", None, 2)], "value from nowhere"),
        ("totals", [(0, "enqueue", 1, None), (1, "dequeue", None, None)], "lost element"),
        (
            "totals",
            [(0, "enqueue", 1, None), (0, "enqueue", 2, None), (1, "dequeue", None, 2), (1, "dequeue", None, 1)],
            "out of order",
        ),
        ("bounds", [(0, "add", 2, 2), (1, "read", None, 1)], "counter too low"),
        ("bounds", [(0, "add", 2, 2), (1, "add", 1, 4)], "counter too high"),
        ("bounds", [(0, "add", -2, -2), (1, "read", None, 0)], "counter too high"),
        ("elements", [(0, "add", 1, True), (1, "read", None, [])], "lost element"),
        ("elements", [(0, "add", 1, True), (1, "contains", 1, True), (2, "contains", 1, False)], "lost element"),
        ("elements", [(0, "read", None, [7])], "value from nowhere"),
        ("elements", [(0, "add", 1, True), (0, "remove", 1, True), (1, "read", None, [1])], "resurrected element"),
        ("holders", [(0, "acquire", "a", 1), (1, "acquire", "b", 2)], "two holders"),
        ("holders", [(0, "acquire", "a", 1), (1, "release", "b", True), (1, "acquire", "b", 2)], "two holders"),
        (
            "holders",
            [(0, "acquire", "a", 2), (0, "release", "a", True), (1, "acquire", "b", 2)],
            "fencing token given twice",
        ),
        (
            "holders",
            [(0, "acquire", "a", 2), (0, "release", "a", True), (1, "acquire", "b", 1)],
            "fencing token went back",
        ),
        ("marks", [(0, "send", "m", None), (1, "list", None, [])], "lost mail"),
        ("marks", [(0, "send", "m", None), (1, "list", None, [["m", True]])], "mark from nowhere"),
    ],
)
def test_each_anomaly_is_found_and_named(name: str, done: list[Any], anomaly: str) -> None:
    result = one_by_one(name, *done)
    assert result.verdict == "violation"
    assert [finding.anomaly for finding in result.findings] == [anomaly]
    finding = result.findings[0]
    assert finding.sentence.startswith(("p", "1 was enqueued")) and finding.key == "x"
    assert finding.operations, "nothing proves it"


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("totals", [(0, "enqueue", 1, None), (1, "dequeue", None, 1), (1, "dequeue", None, None)]),
        ("bounds", [(0, "add", 2, 2), (1, "add", -1, 1), (1, "read", None, 1)]),
        ("elements", [(0, "add", 1, True), (1, "read", None, [1]), (0, "remove", 1, True), (1, "contains", 1, False)]),
        ("elements", [(0, "add", 1, True), (0, "remove", 1, False), (1, "read", None, [1])]),
        ("holders", [(0, "acquire", "a", 1), (0, "release", "a", True), (1, "acquire", "b", 2)]),
        ("marks", [(0, "send", "m", None), (0, "mark", "m", True), (1, "list", None, [["m", True]])]),
    ],
)
def test_what_is_in_order_is_valid(name: str, done: list[Any]) -> None:
    assert one_by_one(name, *done).verdict == "valid"


def test_a_dequeue_of_unknown_outcome_may_have_taken_one_value_and_not_two() -> None:
    begun = [(0, "invoke", "enqueue", 1), (0, "ok", "enqueue", None), (1, "invoke", "dequeue", None)]
    empty = [(2, "invoke", "dequeue", None), (2, "ok", "dequeue", None)]
    assert told("totals", *begun, *empty).verdict == "valid"
    result = told("totals", (3, "invoke", "enqueue", 2), (3, "ok", "enqueue", None), *begun, *empty)
    assert result.verdict == "violation" and result.statistics["lost"] == 1


def test_a_release_of_unknown_outcome_frees_the_lock_perhaps() -> None:
    held = [(0, "invoke", "acquire", "a"), (0, "ok", "acquire", 1), (0, "invoke", "release", "a")]
    assert told("holders", *held, (1, "invoke", "acquire", "b"), (1, "ok", "acquire", 2)).verdict == "valid"


def test_staleness_is_measured_and_not_accused() -> None:
    result = one_by_one("elements", (0, "add", 1, True), (1, "read", None, []), (1, "read", None, [1]))
    assert result.verdict == "valid"
    assert result.statistics["stale"] == 1 and result.statistics["stale_seconds"]["largest"] == 0.001
    assert "1 looks were stale" in result.sentence


def test_marks_may_lag_and_be_lost() -> None:
    sent = [(0, "send", "m", None), (0, "mark", "m", True), (1, "list", None, [["m", False]])]
    lost = one_by_one("marks", *sent)
    assert lost.verdict == "valid" and lost.statistics["marks_lost"] == 1
    late = one_by_one("marks", *sent, (1, "list", None, [["m", True]]))
    assert late.statistics["marks_lost"] == 0 and late.statistics["lag_seconds"]["largest"] > 0


def test_many_findings_are_counted_and_few_are_kept() -> None:
    result = one_by_one("totals", *[(0, "dequeue", None, number + 1) for number in range(50)])
    assert len(result.findings) == 20 and result.statistics["from_nowhere"] == 50


@pytest.mark.parametrize("name", JUDGES.values())
def test_nothing_to_judge_is_unknown(name: str) -> None:
    assert judged(name, []).verdict == "unknown"
