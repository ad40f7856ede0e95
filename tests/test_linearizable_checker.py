"""The checker as the run engine calls it: events in, verdict out, within its limits."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from harness.checkers.checker import Limits, judge
from harness.checkers.linearizable import Linearizable
from harness.checkers.operations import Operation, Record
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.models.model import Model, State
from harness.models.register import Register
from harness.spec import Named, ProtocolSpec, RunSpec
from tests.support.brute import operation, random_register_history, simulated_register_history

SPEC = RunSpec(
    campaign="c", cell="c", seed=1, protocol=ProtocolSpec(name="p"), machine="kv", workload=Named(name="register")
)


def as_events(history: Sequence[Operation]) -> list[Event]:
    moments: list[tuple[int, Event]] = []
    for one in history:
        common: Event = {"process": one.process, "f": one.f, "key": one.key, "value": one.value}
        moments.append((one.began, {"type": "invoke", **common}))
        if one.ended is not None:
            moments.append((one.ended, {"type": "ok", **common, "result": one.result}))
    moments.sort(key=lambda moment: moment[0])
    return [{"index": index, "time": index * 1000, **event} for index, (_, event) in enumerate(moments)]


def hard_history(operations: int = 60) -> list[Operation]:
    """Nothing but open writes and compare-and-sets of few values: every subset is a configuration."""
    history = []
    for number in range(operations):
        f, value = ("write", number) if number % 2 else ("cas", [number - 1, number])
        history.append(operation(number, f, value, None if f == "write" else True, number, 10_000 + number))
    history.append(operation(-1, "write", 1, None, 0, 10_000))  # a value written twice: the fast algorithm is out
    for number, one in enumerate(history):
        one.began, one.ended, one.index = number, 10_000 + number, number
    return history


def check(history: Sequence[Operation], limits: Limits | None = None, model: Model | None = None) -> CheckResult:
    return Linearizable().check_record(Record(list(history)), model or Register(), limits or Limits())


def test_events_are_judged_by_the_model_of_the_workload() -> None:
    history = simulated_register_history(random.Random(1), 200, 4, 0.02)
    result = judge(Linearizable(), SPEC, as_events(history), Limits())
    assert result.verdict == "valid"
    assert result.statistics["algorithms"] == {"near-linear": 1}
    assert result.statistics["operations"] == 200
    assert result.sentence.startswith("one order explains all 200 operations on 1 key")


def test_positions_decide_where_times_are_equal() -> None:
    history = [operation(1, "write", 5), operation(2, "read", None, None, 0, 0)]
    history[0].type, history[0].began, history[0].ended = "ok", 0, 1
    history[1].began, history[1].ended = 2, 3
    events = [event | {"time": 7} for event in as_events(history)]
    assert judge(Linearizable(), SPEC, events, Limits()).verdict == "violation"
    reordered = [events[place] | {"index": index} for index, place in enumerate([0, 2, 1, 3])]
    assert judge(Linearizable(), SPEC, reordered, Limits()).verdict == "valid"


def test_keys_are_judged_apart() -> None:
    good = [operation(1, "write", 5, None, 0, 1, "a"), operation(1, "read", None, 5, 2, 3, "a")]
    bad = [operation(2, "write", 5, None, 0, 1, "b"), operation(2, "read", None, None, 2, 3, "b")]
    for number, one in enumerate([*good, *bad]):
        one.index, one.began, one.ended = number, one.call_ns * 10 + number, one.return_ns * 10 + number  # type: ignore[operator]
    result = check([*good, *bad])
    assert result.verdict == "violation"
    assert result.statistics["violating_keys"] == ["b"]
    assert [finding.key for finding in result.findings] == ["b"]


def test_an_empty_history_is_valid_and_says_so() -> None:
    result = judge(Linearizable(), SPEC, [], Limits())
    assert result.verdict == "valid"
    assert "nothing to judge" in result.sentence


def test_a_history_that_cannot_be_is_unknown() -> None:
    events = [{"index": 0, "time": 0, "type": "ok", "process": 1, "f": "read", "key": "x", "value": None}]
    result = judge(Linearizable(), SPEC, events, Limits())
    assert result.verdict == "unknown"
    assert "did not invoke" in result.sentence


def test_operations_that_the_model_does_not_know_are_unknown() -> None:
    result = check([operation(1, "append", 5, None, 0, 1)])
    assert result.verdict == "unknown"
    assert "no function 'append'" in result.sentence


def test_a_workload_that_nobody_knows_is_unknown() -> None:
    spec = SPEC.model_copy(update={"workload": Named(name="regsiter")})
    result = judge(Linearizable(), spec, [], Limits())
    assert result.verdict == "unknown"
    assert "did you mean 'register'" in result.sentence


def test_the_time_limit_ends_a_search_and_says_where() -> None:
    result = check(hard_history(), Limits(time_seconds=0.3))
    assert result.verdict == "unknown"
    assert "key x is undecided: the time limit of 0.3 s was reached" in result.sentence
    assert "61 operations were open at once" in result.sentence
    assert "raise the time limit" in result.sentence
    assert result.statistics["undecided_keys"] == ["x"]
    assert result.statistics["configurations"] > 0


def test_the_memory_limit_ends_a_search() -> None:
    result = check(hard_history(), Limits(time_seconds=60, memory_mb=16))
    assert result.verdict == "unknown"
    assert "the memory limit of 16 MB was reached" in result.sentence


def test_a_check_can_be_called_off() -> None:
    looks = 0

    def cancelled() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    result = check(hard_history(), Limits(cancelled=cancelled))
    assert result.verdict == "unknown"
    assert "called off" in result.sentence
    assert looks == 4


def test_a_violation_counts_although_another_key_is_undecided() -> None:
    bad = operation(99, "read", None, "nowhere", 0, 1, "bad")
    bad.index, bad.began, bad.ended = 1_000_000, 1_000_000, 1_000_001
    result = check([*hard_history(), bad], Limits(time_seconds=0.2))
    assert result.verdict == "violation"
    assert "key bad; key x is undecided" in result.sentence
    assert [finding.anomaly for finding in result.findings] == ["value from nowhere"]


def test_a_model_that_crashes_is_unknown() -> None:
    class Broken(Register):
        def step(self, state: State, operation: Operation) -> Sequence[State] | str:
            raise RuntimeError("oh no")

    history = as_events(simulated_register_history(random.Random(3), 5, 2))
    result = judge(Linearizable(Broken()), SPEC, history, Limits())
    assert result.verdict == "unknown"
    assert "oh no" in result.sentence


class Counter(Model):
    """The example of the contract."""

    name = "counter"
    functions = {"add": "adds its value", "read": "the result is the sum"}

    def initial(self) -> State:
        return 0

    def step(self, state: Any, operation: Operation) -> Sequence[State] | str:
        if operation.f == "add":
            return [state + operation.value]
        if operation.type == "info" or operation.result == state:
            return [state]
        return f"read {operation.result}, but the sum was {state}"

    def pure(self, operation: Operation) -> bool:
        return operation.f == "read"


def test_a_model_of_ones_own() -> None:
    adds = [operation(1, "add", 2, None, 0, 1), operation(2, "add", 3, None, 0)]
    for number, one in enumerate(adds):
        one.index = one.began = number
    adds[0].ended = 2
    for seen, verdict in ((2, "valid"), (5, "valid"), (3, "violation"), (0, "violation")):
        read = operation(3, "read", None, seen, 3, 4)
        read.index, read.began, read.ended = 3, 3, 4
        result = check([*adds, read], model=Counter())
        assert result.verdict == verdict, seen
        if verdict == "violation":
            assert f"p3 read {seen}" in result.findings[0].sentence


def test_results_are_json() -> None:
    chance = random.Random(4)
    for _ in range(20):
        json.dumps(check(random_register_history(chance, 8, "few")).as_json())
