"""What a run of an exploration is made of: a pure function of cell and seed, which keeps to what the campaign says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from faults.catalogue import FAULTS, fault_problem
from faults.fault import Setting
from faults.schedule import most_at_once, plan
from harness.explore.swarm import draw
from harness.explore.variants import EVERYTHING, FAULT_VARIANTS, WORKLOAD_VARIANTS
from harness.injecting import MOST_AT_ONCE
from harness.spec import ExploreSpec, RunSpec
from harness.workloads import WORKLOADS
from node.protocols import PROTOCOLS
from tests.support.specs import spec_of


def cell_of(*faults: Any, **changes: Any) -> RunSpec:
    """A cell whose faults are these, by name or as `(name, options)`."""
    pairs = [fault if isinstance(fault, tuple) else (fault, {}) for fault in faults]
    choices = [
        {"fault": name, "options": FAULTS[name].Options.model_validate(options).model_dump(mode="json")}
        for name, options in pairs
    ]
    nemesis = {"name": "pool", "streams": [{"choices": [choice]} for choice in choices]}
    plain: dict[str, Any] = {"replicas": 5, "duration_seconds": 15.0, "nemesis": nemesis, "cluster": "simulated"}
    return spec_of(**{**plain, **changes})


def choices_of(spec: RunSpec) -> list[Any]:
    return [choice for stream in spec.nemesis.streams for choice in stream.choices]


SEEDS = range(100)


def test_drawing_is_a_pure_function() -> None:
    cell = cell_of(*EVERYTHING)
    assert [draw(cell, seed) for seed in SEEDS] == [draw(cell, seed) for seed in SEEDS]
    assert len({draw(cell, seed).as_yaml() for seed in SEEDS}) == len(SEEDS)


def test_what_is_drawn_is_a_run_like_any_other() -> None:
    cell = cell_of(*EVERYTHING, cell="multi-paxos, register, everything, seed 1")
    spec = draw(cell, 1742)
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert spec.cell == "multi-paxos, register, everything, seed 1742"
    assert (spec.seed, spec.cluster, spec.explore) == (1742, "simulated", None)


def test_every_fault_can_be_injected_where_it_was_drawn() -> None:
    for protocol in ("multi-paxos", "primary-backup"):
        cell = cell_of(*FAULT_VARIANTS, protocol={"name": protocol})
        for seed in SEEDS:
            spec = draw(cell, seed)
            setting = Setting("simulated", spec.replica_names, protocol, PROTOCOLS[protocol].chief)
            for choice in choices_of(spec):
                assert fault_problem(choice.fault, choice.options, setting) is None
            assert most_at_once(plan(spec.nemesis.streams, spec.duration_seconds, seed)) <= MOST_AT_ONCE


def test_runs_draw_subsets_of_the_faults() -> None:
    cell = cell_of(*EVERYTHING)
    sets = [frozenset(choice.fault for choice in choices_of(draw(cell, seed))) for seed in SEEDS]
    assert len(set(sets)) > 60
    for fault in EVERYTHING:
        share = sum(fault in faults for faults in sets) / len(sets)
        assert 0.3 < share < 0.7, fault


def test_a_cell_draws_its_own_faults_only_and_none_without_any() -> None:
    cell = cell_of("kill", "pause")
    assert {choice.fault for seed in SEEDS for choice in choices_of(draw(cell, seed))} == {"kill", "pause"}
    assert not any(choices_of(draw(cell_of(), seed)) for seed in SEEDS)


def test_what_the_campaign_says_of_a_fault_stays() -> None:
    cell = cell_of(("kill", {"target": "minority"}), ("partition", {"shape": "ring"}))
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        for choice in choices_of(draw(cell, seed)):
            kept = (
                choice.options["target"] == "minority" if choice.fault == "kill" else choice.options["shape"] == "ring"
            )
            assert kept
            seen[choice.options.get("block", "")] += 1
    assert seen["drop"] > 10 < seen["refuse"]


def test_one_more_fault_changes_nothing_about_the_others() -> None:
    for seed in SEEDS:
        few, more = (
            draw(cell_of(*faults, explore={"moments": {}}), seed)
            for faults in (("kill", "pause"), ("kill", "pause", "reset"))
        )
        assert few.clients == more.clients
        assert few.simulation == more.simulation
        options = [[choice.options for choice in choices_of(spec) if choice.fault != "reset"] for spec in (few, more)]
        assert options[0] == options[1] or not options[1] or len(choices_of(few)) == 1


def test_a_cluster_has_three_replicas_to_as_many_as_the_cell() -> None:
    assert {draw(cell_of(), seed).replicas for seed in SEEDS} == {3, 4, 5}
    assert {draw(cell_of(replicas=3), seed).replicas for seed in SEEDS} == {3}
    assert {draw(cell_of(replicas=1), seed).replicas for seed in SEEDS} == {1}
    assert {draw(cell_of(explore={"replicas": [2, 7]}), seed).replicas for seed in SEEDS} == {2, 7}


def test_a_run_lasts_five_seconds_to_as_long_as_the_cell() -> None:
    lengths = [draw(cell_of(), seed).duration_seconds for seed in SEEDS]
    assert 5 <= min(lengths) < 7 < 13 < max(lengths) <= 15
    assert {draw(cell_of(duration_seconds=0.04), seed).duration_seconds for seed in range(10)} == {0.04}


def test_the_tempo_keeps_the_proportions_of_a_protocol_s_times() -> None:
    tempi = set()
    for seed in SEEDS:
        options = draw(cell_of(), seed).protocol.options
        PROTOCOLS["multi-paxos"].Options.model_validate(options)
        assert options.get("suspect_seconds", 0.75) / options.get("heartbeat_seconds", 0.15) == pytest.approx(5.0)
        tempi.add(options.get("suspect_seconds", 0.75))
    assert len(tempi) > 3
    still = [draw(cell_of(explore={"tempo": False}), seed).protocol.options for seed in SEEDS]
    assert not any("suspect_seconds" in options for options in still)


def test_options_of_the_protocol_are_drawn_from_what_the_campaign_lists() -> None:
    said = {"name": "multi-paxos", "options": {"window": 3, "snapshot_every": 1000}, "flaws": ["sync-skipped"]}
    cell = cell_of(protocol=said, explore={"options": {"answer_seconds": [1.0, 2.0]}})
    drawn = [draw(cell, seed).protocol for seed in SEEDS]
    assert {protocol.options["answer_seconds"] for protocol in drawn} == {1.0, 2.0}
    assert {protocol.options["window"] for protocol in drawn} == {3}
    assert {protocol.options["snapshot_every"] for protocol in drawn} == {5, 20, 100, 1000}
    assert all(protocol.flaws == ["sync-skipped"] for protocol in drawn)


def test_the_weather_is_drawn_unless_the_campaign_has_its_own() -> None:
    drawn = [draw(cell_of(), seed).simulation for seed in SEEDS]
    for field in ("lost", "duplicated", "late", "overtaking", "clock_drift"):
        calm = sum(getattr(simulation, field) == 0 for simulation in drawn)
        assert 0.3 * len(SEEDS) < calm < 0.8 * len(SEEDS), field
    own = cell_of(simulation={"delay_ms": 7.0})
    assert all(draw(own, seed).simulation == own.simulation for seed in SEEDS)
    unasked = [draw(cell_of(simulation={"liveness_seconds": 0.0}), seed).simulation for seed in SEEDS]
    assert unasked == [one.model_copy(update={"liveness_seconds": 0.0}) for one in drawn]
    without = cell_of(explore=ExploreSpec(weather=False))
    assert all(draw(without, seed).simulation == without.simulation for seed in SEEDS)


def test_clients_are_drawn_within_what_the_cell_has() -> None:
    for seed in SEEDS:
        clients = draw(cell_of(clients={"processes": 6, "rate_per_second": 40, "timeout_seconds": 1.0}), seed).clients
        assert 2 <= clients.processes <= 6
        assert 10 <= clients.rate_per_second <= 40
        assert 0.3 <= clients.timeout_seconds <= 1.0
        assert clients.mode == "leader" or clients.processes >= draw(cell_of(), seed).replicas
    pinned = cell_of(clients={"processes": 1, "mode": "pinned", "attempts": 7})
    assert {(draw(pinned, seed).clients.mode, draw(pinned, seed).clients.attempts) for seed in SEEDS} == {("pinned", 7)}


@pytest.mark.parametrize("name", WORKLOAD_VARIANTS)
def test_options_of_workloads_stay_valid(name: str) -> None:
    cell = cell_of(workload={"name": name})
    for seed in SEEDS:
        WORKLOADS[name].Options.model_validate(draw(cell, seed).workload.options)


def test_variants_are_of_options_that_exist() -> None:
    for fault, variants in FAULT_VARIANTS.items():
        assert set(variants) <= set(FAULTS[fault].Options.model_fields), fault
    assert set(FAULT_VARIANTS) == set(FAULTS), "a new fault needs variants, if only an empty mapping"
    for workload, variants in WORKLOAD_VARIANTS.items():
        assert set(variants) <= set(WORKLOADS[workload].Options.model_fields), workload
