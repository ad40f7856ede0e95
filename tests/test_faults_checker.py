"""The checker `faults`."""

from __future__ import annotations

from typing import Any

from harness.checkers.checker import Limits
from harness.checkers.faults import Faults
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.spec import Choice, Named, NemesisSpec, ProtocolSpec, RunSpec, Stream


def check(*events: Event, asked: bool = True) -> CheckResult:
    streams = [Stream(choices=[Choice(fault="kill")])] if asked else []
    spec = RunSpec(
        campaign="c",
        cell="c",
        seed=1,
        protocol=ProtocolSpec(name="p"),
        machine="kv",
        workload=Named(name="register"),
        nemesis=NemesisSpec(streams=streams),
    )
    return Faults().check(spec, list(events), Limits())


def injected(
    number: int, effective: bool | None = True, fault: str = "kill", role: str = "follower", healed: bool | None = True
) -> list[Event]:
    def event(kind: str, f: str, **more: Any) -> Event:
        return {"time": number, "type": kind, "process": "nemesis", "f": f, "fault": fault, "number": number, **more}

    return [
        event("invoke", "inject"),
        event(
            "ok" if effective else "info",
            "inject",
            targets=["n1"],
            roles={"n1": role},
            evidence={"effective": effective, "detail": f"detail {number}", "measurements": []},
        ),
        event("invoke", "heal"),
        event("ok", "heal", evidence={"effective": healed, "detail": "still down", "measurements": []}),
    ]


def test_no_fault_asked_for_is_valid() -> None:
    assert check(asked=False).verdict == "valid"


def test_faults_asked_for_and_none_injected_is_unknown() -> None:
    result = check()
    assert result.verdict == "unknown"
    assert result.sentence.startswith("no fault bit")


def test_one_proved_is_enough() -> None:
    result = check(*injected(1, effective=False), *injected(2), *injected(3, effective=None))
    assert result.verdict == "valid"
    assert result.sentence == "1 of 3 faults are proved (1 ineffective, 1 unproved)"
    assert [result.statistics[proof] for proof in ("proved", "ineffective", "unproved")] == [1, 1, 1]


def test_none_proved_is_unknown_and_says_why() -> None:
    result = check(*injected(1, effective=False), *injected(2, effective=None))
    assert result.verdict == "unknown"
    assert result.sentence == "no fault bit: none of the 2 injected is proved (kill 1: detail 1)"


def test_roles_and_kinds_are_counted() -> None:
    result = check(*injected(1, role="leader"), *injected(2), *injected(3, fault="pause"), *injected(4, False))
    assert result.statistics["roles_hit"] == {"leader": 1, "follower": 2}
    assert result.statistics["by_fault"] == {
        "kill": {"injected": 3, "proved": 2},
        "pause": {"injected": 1, "proved": 1},
    }
    assert [entry["proof"] for entry in result.statistics["injections"]] == [
        "proved",
        "proved",
        "proved",
        "ineffective",
    ]


def test_an_injection_that_failed_proves_nothing() -> None:
    events = injected(1)[:1]
    events.append(events[0] | {"type": "fail", "error": "the engine is gone"})
    result = check(*events)
    assert result.verdict == "unknown"
    assert "the engine is gone" in result.sentence
    assert result.statistics["failed"] == 1


def test_an_injection_that_never_came_back_is_unfinished() -> None:
    result = check(*injected(1)[:1])
    assert result.verdict == "unknown"
    assert result.statistics["unfinished"] == 1


def test_a_healing_that_failed_is_named() -> None:
    result = check(*injected(1), *injected(2, healed=False))
    assert result.verdict == "valid"
    assert result.sentence == "all 2 faults are proved; healing kill 2 failed: still down"
    assert result.statistics["healing_failed"] == 1
