"""Faults that strike at a moment: right after what a replica does, by the seed alone, and the same again as a script."""

from __future__ import annotations

from typing import Any

import pytest

from faults.fault import Setting
from harness.injecting import Injector
from harness.shrink.script import scripted
from harness.simulation.loop import MILLISECOND
from harness.simulation.moments import Moments
from harness.simulation.simulate import Simulated, simulate
from harness.spec import NemesisSpec, RunSpec, Stream
from tests.support.fake_cluster import FakeCluster
from tests.support.simulations import simulate_twice, simulated_spec


def stream(moment: dict[str, Any], fault: str = "kill", for_seconds: float = 0.05, **options: Any) -> Stream:
    choice = {"fault": fault, "options": {"target": "one", **options}, "for_seconds": for_seconds}
    return Stream.model_validate({"choices": [choice], "every_seconds": None, "moment": moment})


def struck(moment: dict[str, Any], **changes: Any) -> RunSpec:
    """A short run of Raft whose replicas are killed at a moment."""
    nemesis = {"name": "strike", "streams": [stream(moment)]}
    return simulated_spec(protocol={"name": "raft"}, nemesis=nemesis, **changes)


def kills(simulated: Simulated) -> list[tuple[int, str]]:
    end = 2_000 * MILLISECOND  # after that the phase for liveness kills, too
    steps = simulated.trace or []
    return [(step["time"], step["replica"]) for step in steps if step["what"] == "kill" and step["time"] < end]


@pytest.mark.parametrize("hits", ["doer", "peer"])
def test_whoever_did_it_is_hit_so_long_after_it_or_the_other_end(hits: str) -> None:
    moment = {"what": "send", "kind": "append", "share": 0.3, "after_ms": 2.5, "hits": hits}
    simulated = simulate(struck(moment), trace=True)
    sends = [step for step in simulated.trace or [] if step["what"] == "send" and " append " in step["key"]]
    moments = {(step["time"] + 5 * MILLISECOND // 2, step["replica" if hits == "doer" else "peer"]) for step in sends}
    found = kills(simulated)
    assert len(found) >= 2
    assert set(found) <= moments


def test_a_replica_dies_before_what_it_appended_is_synced() -> None:
    simulated = simulate(struck({"what": "append", "kind": "entries"}), trace=True)
    appended = {
        (step["time"] + MILLISECOND // 1000, step["replica"])
        for step in simulated.trace or []
        if step["what"] == "append" and step["record"]["type"] == "entries"
    }
    found = kills(simulated)
    assert found
    assert set(found) <= appended


def test_a_message_that_is_handed_over_is_a_moment_too_and_any_type_is_if_none_is_said() -> None:
    handed = simulate(struck({"what": "deliver", "kind": "vote"}), trace=True)
    assert all(
        (time - MILLISECOND // 1000, replica, "vote")
        in {
            (step["time"], step["replica"], step["key"].split()[1])
            for step in handed.trace or []
            if step["what"] == "deliver"
        }
        for time, replica in kills(handed)
    )
    assert kills(simulate(struck({"what": "deliver", "share": 0.05}), trace=True))


def test_one_injection_at_a_time_with_its_rest_and_none_after_the_end() -> None:
    waiting = Moments([stream({"kind": "vote", "rest_seconds": 0.2}, for_seconds=0.1)], 1.0, seed=3)
    taken = [
        planned
        for ms in range(2_000)
        for planned in waiting.taken("send", "vote", "n1", "n2", ms * MILLISECOND, number=1)
    ]
    assert [planned.at_seconds for planned in taken] == pytest.approx(
        [0.000001, 0.301001, 0.602001, 0.903001], abs=0.005
    )
    assert max(planned.until_seconds for planned in taken) == 1.0
    assert {planned.options["target"] for planned in taken} == {"n1"}
    assert not list(waiting.taken("send", "voted", "n1", "n2", 0, number=1))


def test_the_share_is_kept() -> None:
    waiting = Moments([stream({"share": 0.25}, for_seconds=1e-6)], 100.0, seed=5)
    times = [ms * MILLISECOND for ms in range(4_000)]
    taken = sum(len(list(waiting.taken("send", "vote", "n1", "n2", time, number=1))) for time in times)
    assert 800 < taken < 1200


def test_a_fault_may_keep_its_own_target() -> None:
    waiting = Moments([stream({"hits": "target"}, target="leader")], 1.0, seed=3)
    (planned,) = waiting.taken("send", "vote", "n1", "n2", 0, number=7)
    assert (planned.number, planned.options["target"]) == (7, "leader")


def test_such_a_run_is_repeated_to_the_byte() -> None:
    simulate_twice(struck({"what": "send", "share": 0.05}, seed=4))


def test_as_a_script_it_is_the_same_run() -> None:
    spec = struck({"what": "append", "kind": "entries", "share": 0.2}, seed=6)
    first = simulate(spec, trace=True)
    again = simulate(scripted(spec, first), trace=True)
    assert len(kills(first)) >= 3
    assert kills(again) == kills(first)
    assert [one.options for one in again.plan][: len(first.plan)] == [one.options for one in first.plan]


def test_numbers_of_injections_stay_unique_beside_planned_ones() -> None:
    regular = {"choices": [{"fault": "partition", "for_seconds": 0.2}], "every_seconds": 0.4, "first_seconds": 0.1}
    nemesis = {"name": "both", "streams": [regular, stream({"kind": "append", "share": 0.2})]}
    simulated = simulate(simulated_spec(protocol={"name": "raft"}, nemesis=nemesis))
    numbers = [one.number for one in simulated.plan]
    assert len(numbers) == len(set(numbers))
    assert {one.fault for one in simulated.plan} == {"partition", "kill"}


def test_real_replicas_do_not_tell_what_they_do() -> None:
    cluster = FakeCluster(3)
    setting = Setting("local", cluster.replicas, "raft", "leader")
    spec = NemesisSpec(name="strike", streams=[stream({"kind": "vote"})])
    (problem,) = Injector(spec, setting, cluster, None, []).check()  # type: ignore[arg-type]
    assert "`cluster: simulated`" in problem
