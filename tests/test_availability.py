"""The checker `availability`, and how injections are put together from their events."""

from __future__ import annotations

from typing import Any

from harness.checkers.availability import Availability
from harness.checkers.checker import Limits
from harness.history import Event
from harness.spec import Named, ProtocolSpec, RunSpec

SPEC = RunSpec(
    campaign="c", cell="c", seed=1, protocol=ProtocolSpec(name="p"), machine="kv", workload=Named(name="register")
)


def history(*events: tuple[float, str, Any]) -> list[Event]:
    """Events by (seconds, type, process) for clients, (seconds, type, (f, number)) for the nemesis."""
    made: list[Event] = []
    for at, kind, who in sorted(events, key=lambda event: event[0]):
        event: Event = {"index": len(made), "time": round(at * 1e9), "type": kind}
        if isinstance(who, tuple):
            event |= {"process": "nemesis", "f": who[0], "number": who[1], "fault": "kill"}
        else:
            event |= {"process": who, "f": "read", "key": "x", "value": None, "replica": "n1"}
        made.append(event)
    return made


def busy(begin: float, end: float, process: int = 0, kind: str = "ok") -> list[tuple[float, str, Any]]:
    """One operation after the other, a tenth of a second each."""
    steps = round((end - begin) * 10)
    return [
        moment
        for step in range(steps)
        for moment in ((begin + step / 10, "invoke", process), (begin + step / 10 + 0.09, kind, process))
    ]


def statistics(*events: tuple[float, str, Any]) -> dict[str, Any]:
    result = Availability().check(SPEC, history(*events), Limits())
    assert result.verdict == "valid"
    return result.statistics


def test_it_counts_what_succeeded() -> None:
    found = statistics(*busy(0, 1), *busy(1, 2, kind="fail"), (2.0, "invoke", 0))
    assert found["operations"] == 21
    assert found["succeeded"] == 10
    assert found["success_fraction"] == round(10 / 21, 4)


def test_nothing_to_measure_is_unknown() -> None:
    result = Availability().check(SPEC, history((0.0, "invoke", ("inject", 1))), Limits())
    assert result.verdict == "unknown"
    assert "nothing to measure" in result.sentence


def test_the_longest_window_reaches_from_one_success_to_the_next() -> None:
    found = statistics(*busy(0, 1), *busy(1, 3, kind="info"), *busy(3, 4))
    assert found["longest_unavailable_window"] == [0.99, 3.09]
    assert found["longest_unavailable_seconds"] == 2.1


def test_a_window_may_last_from_the_first_request_or_to_the_end() -> None:
    assert statistics(*busy(1, 3, kind="fail"), *busy(3, 4))["longest_unavailable_window"] == [1.0, 3.09]
    assert statistics(*busy(0, 1), *busy(1, 3, kind="fail"))["longest_unavailable_window"] == [0.99, 2.99]
    nothing = statistics(*busy(1, 3, kind="fail"))
    assert nothing["success_fraction"] == 0
    assert nothing["longest_unavailable_window"] == [1.0, 2.99]


def test_silence_is_not_unavailability() -> None:
    found = statistics(*busy(0, 1), *busy(10, 11))
    assert found["longest_unavailable_seconds"] < 0.2
    one_waits = statistics(*busy(0, 1), (0.5, "invoke", 7), (10.0, "info", 7), *busy(10, 11))
    assert one_waits["longest_unavailable_window"] == [0.99, 10.09]


def test_recovery_is_measured_from_the_healing_to_the_next_success() -> None:
    found = statistics(
        *busy(0, 1),
        *busy(1, 3, kind="fail"),
        *busy(3, 4),
        (1.0, "invoke", ("inject", 1)),
        (1.05, "ok", ("inject", 1)),
        (2.0, "invoke", ("heal", 1)),
        (2.5, "ok", ("heal", 1)),
        (3.95, "invoke", ("heal", 2)),  # of an injection that nobody began: not counted
    )
    (recovery,) = found["recoveries"]
    assert recovery == {"number": 1, "fault": "kill", "healed_at": 2.5, "seconds": 0.59}
    (progress,) = found["progress"]
    assert progress["from"] == 1.05
    assert progress["to"] == 2.0
    assert progress["succeeded"] == 0


def test_a_service_that_never_recovers_is_told() -> None:
    events = history(
        *busy(0, 1),
        *busy(1, 3, kind="fail"),
        (1.0, "invoke", ("inject", 1)),
        (1.05, "ok", ("inject", 1)),
        (2.0, "invoke", ("heal", 1)),
        (2.5, "ok", ("heal", 1)),
    )
    result = Availability().check(SPEC, events, Limits())
    assert result.statistics["recoveries"][0]["seconds"] is None
    assert "after 1 of 1 healings none did" in result.sentence


def test_progress_during_a_fault_counts_successes_until_healing_begins() -> None:
    found = statistics(
        *busy(0, 4),
        (1.0, "invoke", ("inject", 1)),
        (1.0, "ok", ("inject", 1)),
        (3.0, "invoke", ("heal", 1)),
        (3.0, "ok", ("heal", 1)),
    )
    (progress,) = found["progress"]
    assert progress["succeeded"] == 20
    assert progress["per_second"] == 10.0
