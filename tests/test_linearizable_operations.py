"""From events to operations."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers.operations import from_intervals, operations
from harness.history import BadHistory, Event
from tests.support.brute import operation


def events(*rows: tuple[str, Any, dict[str, Any]]) -> list[Event]:
    made = []
    for index, (kind, process, more) in enumerate(rows):
        made.append({"index": index, "time": index * 10, "type": kind, "process": process, **more})
    return made


WRITE = {"f": "write", "key": "x", "value": 1}
READ = {"f": "read", "key": "x", "value": None}


def test_invocations_and_completions_are_paired() -> None:
    record = operations(
        events(
            ("invoke", 1, WRITE | {"replica": "n1"}),
            ("invoke", 2, READ),
            ("ok", 2, READ | {"result": 1, "replica": "n3"}),
            ("ok", 1, WRITE | {"result": None, "replica": "n2"}),
        )
    )
    write, read = record.operations
    assert (write.began, write.ended, write.call_ns, write.return_ns) == (0, 3, 0, 30)
    assert write.replica == "n2"
    assert (read.began, read.ended, read.result, read.replica) == (1, 2, 1, "n3")
    assert record.failed == []


def test_unknown_outcomes_stay_open_and_failures_are_kept_apart() -> None:
    record = operations(
        events(
            ("invoke", 1, WRITE),
            ("info", 1, WRITE | {"error": "timeout"}),
            ("invoke", 2, WRITE),
            ("fail", 2, WRITE | {"error": "no"}),
            ("invoke", 3, WRITE),
        )
    )
    assert [(one.process, one.type, one.ended) for one in record.operations] == [(1, "info", None), (3, "info", None)]
    assert [one.process for one in record.failed] == [2]


def test_events_of_nemesis_and_harness_are_passed_over() -> None:
    record = operations(
        events(
            ("invoke", "nemesis", {"f": "inject", "number": 1}),
            ("info", "harness", {"f": "note", "value": "hello"}),
            ("invoke", 1, WRITE),
            ("ok", 1, WRITE),
        )
    )
    assert [(one.began, one.ended) for one in record.operations] == [(2, 3)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("invoke", 1, WRITE), ("invoke", 1, WRITE)], "event 1: process 1 invokes while its operation of event 0"),
        ([("ok", 1, WRITE)], "event 0: process 1 completes 'write', which it did not invoke"),
        ([("invoke", 1, WRITE), ("ok", 1, READ)], "completes 'read', which it did not invoke"),
        ([("invoke", 1, WRITE | {"time": -5})], "time -5"),
        ([("invoke", 1, WRITE | {"time": 9}), ("ok", 1, WRITE | {"time": 8})], "time must not run back"),
        ([("done", 1, WRITE)], "type 'done'"),
        ([("invoke", None, WRITE)], "process None"),
        ([("invoke", 1, {"f": 7})], "f 7"),
    ],
)
def test_histories_that_cannot_be(rows, said: str) -> None:
    with pytest.raises(BadHistory) as caught:
        operations(events(*rows))
    assert said in str(caught.value)


def test_intervals_that_touch_are_concurrent() -> None:
    one, other, later = from_intervals(
        [
            operation(1, "write", 1, None, 0, 10),
            operation(2, "read", None, None, 10, 20),
            operation(3, "read", None, 1, 21),
        ]
    )
    assert one.ended > other.began
    assert other.ended < later.began
    assert later.ended is None


def test_an_interval_ends_after_it_begins() -> None:
    with pytest.raises(BadHistory, match="before its invocation"):
        from_intervals([operation(1, "write", 1, None, 10, 9)])
