"""Whole simulated runs: exactly repeatable, with the faults and outcomes of real ones."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.errors import BadInput, RunFailed
from harness.history import FINAL_READS, HARNESS, NEMESIS, WORK_OVER, Event
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec
from node.protocol import Message, Protocol, Record, Request
from tests.support.simulations import STORM, Alone, simulate_twice, simulated_spec

LIMITS = Limits(20.0, 512)


def operations(events: Sequence[Event], kind: str = "ok") -> list[Event]:
    return [event for event in events if isinstance(event["process"], int) and event["type"] == kind]


def verdict(spec: RunSpec, simulated: Simulated, checker: str) -> str:
    assert audit(simulated.events) == []
    result: str = CHECKERS[checker]().check(spec, simulated.events, LIMITS).verdict
    return result


# A run is a run


def test_a_calm_run_comes_up_works_recovers_and_is_read() -> None:
    spec = simulated_spec()
    simulated = simulate_twice(spec)
    assert len(operations(simulated.events)) > 100
    assert not operations(simulated.events, "fail") + operations(simulated.events, "info")
    notes = [event["value"] for event in simulated.events if event["process"] == HARNESS]
    assert [notes.index(WORK_OVER), notes.index(FINAL_READS)] == sorted(
        [notes.index(WORK_OVER), notes.index(FINAL_READS)]
    )
    assert simulated.broken == [] and simulated.stalled is None
    for checker in ("linearizable", "availability", "faults", "invariants", "liveness"):
        assert verdict(spec, simulated, checker) == "valid"
    assert {sample["role"] for sample in simulated.statuses} >= {"leader", "follower"}
    assert simulated.coverage["sent"]["accept"] > 100
    assert any("leads with ballot" in line for lines in simulated.logs.values() for line in lines)


@pytest.mark.parametrize("seed", range(2))
def test_a_stormy_run_is_linearizable_and_its_faults_are_proved(seed: int) -> None:
    spec = simulated_spec(nemesis=STORM, seed=seed, duration_seconds=2.5)
    simulated = simulate_twice(spec)
    completions = [event for event in simulated.events if event["process"] == NEMESIS and event["type"] != "invoke"]
    assert len(completions) > 6
    ineffective = [event for event in completions if event["evidence"]["effective"] is False]
    assert ineffective == [] and all(event["type"] in ("ok", "info") for event in completions)
    for checker in ("linearizable", "faults", "invariants", "liveness"):
        assert verdict(spec, simulated, checker) == "valid"


def test_a_clock_on_the_wall_has_no_part_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> float:
        raise AssertionError("somebody asks for the time")

    spec = simulated_spec(nemesis=STORM)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep"):
        monkeypatch.setattr(time, name, never)
    assert len(simulate(spec).events) > 100


# Exactly repeatable


def test_tracing_sampling_and_watching_change_nothing() -> None:
    spec = simulated_spec(nemesis=STORM)
    plain = simulate(spec).events
    assert simulate(spec, trace=True, statuses=False, watch=lambda *_: False).events == plain


def test_other_seeds_are_other_runs() -> None:
    digests = set()
    for seed in range(4):
        events = simulate(simulated_spec(seed=seed, duration_seconds=0.5)).events
        digests.add(hashlib.sha256(json.dumps(events).encode()).hexdigest())
    assert len(digests) == 4


def planned_faults(events: Sequence[Event]) -> list[Any]:
    injected = [event for event in events if event["process"] == NEMESIS and event["f"] == "inject"]
    return [(event["time"], event["fault"], event["number"]) for event in injected if event["type"] == "invoke"]


def test_a_client_more_changes_no_fault_and_a_fault_more_no_plan_of_a_client() -> None:
    plain = simulate(simulated_spec(nemesis=STORM)).events
    more = simulate(simulated_spec(nemesis=STORM, clients={"processes": 7, "rate_per_second": 70})).events
    assert planned_faults(plain) == planned_faults(more) != []
    calm = simulate(simulated_spec()).events
    first = [next(event for event in events if event["process"] == 0) for events in (plain, calm)]
    assert [event["f"] for event in first] == [first[0]["f"]] * 2
    assert [event["time"] for event in first] == [first[0]["time"]] * 2


# Protocols that do wrong


def spec_of_alone(protocol: type[Protocol], **changes: Any) -> RunSpec:
    plain: dict[str, Any] = {"duration_seconds": 1.0, "recovery_seconds": 1.0}
    return simulated_spec(protocol={"name": f"{protocol.__module__}:{protocol.__name__}"}, **{**plain, **changes})


def test_one_replica_that_each_client_asks_alone_is_not_linearizable() -> None:
    spec = spec_of_alone(Alone)
    assert verdict(spec, simulate_twice(spec), "linearizable") == "violation"


# Liveness


class Sulks(Alone):
    """Answers only as long as it hears both others."""

    def recover(self, records: Sequence[Record]) -> None:
        super().recover(records)
        self.heard: dict[str, float] = {}

    def on_message(self, sender: str, message: Message) -> None:
        self.heard[sender] = self.io.now()

    def on_request(self, request: Request) -> None:
        if all(self.heard.get(peer, -1.0) > self.io.now() - 0.5 for peer in self.io.peers):
            super().on_request(request)


def test_a_majority_that_makes_no_progress_is_a_finding() -> None:
    spec = spec_of_alone(Sulks, simulation={"liveness_seconds": 7})
    simulated = simulate_twice(spec)
    assert simulated.stalled is not None
    alive = simulated.stalled.replicas
    assert len(alive) == 2 and simulated.stalled.sentence == f"no progress for 7 s with {', '.join(alive)} connected"
    result = CHECKERS["liveness"]().check(spec, simulated.events, LIMITS)
    assert [finding.anomaly for finding in result.findings] == ["no progress"]
    assert result.verdict == "violation"
    unasked = simulate(spec_of_alone(Sulks, simulation={"liveness_seconds": 0}))
    assert unasked.stalled is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_where_nobody_may_fail_no_progress_is_demanded_and_the_run_is_judged(replicas: int) -> None:
    spec = simulated_spec(replicas=replicas, duration_seconds=0.5)
    result = CHECKERS["liveness"]().check(spec, simulate(spec).events, LIMITS)
    assert result.verdict == "valid"
    assert result.sentence.startswith("not asked for: of ")


def test_the_weather_clears_before_progress_is_demanded() -> None:
    """Under heavy loss a hasty raft may elect leaders for ever: a correct protocol, of which nobody may say it is stuck."""
    weather = {"lost": 0.2, "late": 0.2, "jitter_ms": 5}
    for seed in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
        print(f"seed {seed}")
        hasty = {"name": "raft", "options": {"election_seconds": 0.11}}
        spec = simulated_spec(seed=seed, replicas=5, protocol=hasty, simulation=weather, duration_seconds=1.0)
        assert simulate(spec, statuses=False).stalled is None


def test_whoever_is_left_out_of_the_majority_comes_back() -> None:
    simulated = simulate_twice(simulated_spec())
    assert simulated.coverage["replicas"]["lives"] == 4
    assert {sample["state"] for sample in simulated.statuses[-3:]} == {"up"}


# Ends


def test_a_cluster_that_does_not_come_up_is_told_in_a_sentence() -> None:
    spec = simulated_spec(protocol={"name": f"{__name__}:Headless"})
    with pytest.raises(RunFailed, match="not healthy within 20 s: no replica became leader"):
        simulate(spec)


class Headless(Alone):
    chief = "leader"


def test_replicas_that_flood_each_other_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.simulation.world.MOST_EVENTS", 5_000)
    with pytest.raises(RunFailed, match="5000 events within"):
        simulate(spec_of_alone(Floods))


class Floods(Alone):
    def on_message(self, sender: str, message: Message) -> None:
        for peer in self.io.peers:
            self.io.send(peer, {"type": "flood"})


def test_faults_that_make_no_sense_here_are_refused() -> None:
    streams = [{"choices": [{"fault": "kill", "options": {"target": "n9"}}]}]
    with pytest.raises(BadInput, match="unknown target 'n9'"):
        simulate(simulated_spec(nemesis={"name": "kill", "streams": streams}))


def test_a_run_may_be_broken_off_and_keeps_its_beginning() -> None:
    spec = simulated_spec(nemesis=STORM)
    whole = simulate(spec).events
    until = simulate(spec, until_ns=1_000_000_000).events
    assert 0 < len(until) < len(whole) and until == whole[: len(until)]
    watched = simulate(spec, watch=lambda outcomes, faults, left: left < 1.5).events
    assert 0 < len(watched) < len(until) and watched == whole[: len(watched)]
    assert verdict(spec, simulate(spec, until_ns=1_000_000_000), "liveness") == "unknown"


def test_a_broken_law_is_in_the_history_and_ends_the_run_if_it_shall() -> None:
    flaw = {"name": "multi-paxos", "flaws": ["promise-not-persisted"]}
    storm = {"lost": 0.05, "late": 0.1, "sync_ms": 3}
    for seed in range(40):
        spec = simulated_spec(protocol=flaw, nemesis=STORM, simulation=storm, seed=seed, duration_seconds=4.0)
        simulated = simulate(spec, stop_at_broken=True)
        if simulated.broken:
            break
    assert simulated.broken, "no law was broken in 40 runs"
    assert simulated.events[-1]["f"] == "broken"
    result = CHECKERS["invariants"]().check(spec, simulated.events, LIMITS)
    assert [finding.anomaly for finding in result.findings] == [broken.law for broken in simulated.broken]
    again = simulate_twice(spec, stop_at_broken=True)
    assert again.trace is not None and again.trace[-1]["what"] in ("broken", "send", "reply")
