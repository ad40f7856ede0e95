"""Sieges and strikes: what aims keeps to the faults and the options that a campaign leaves open."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.explore.aim import moments_of
from harness.explore.swarm import draw
from harness.explore.variants import EVERYTHING, MESSAGES, ONLY_TOLD, RECORDS, STRIKING
from harness.hunt.catalogue import promises
from harness.simulation.simulate import simulate
from harness.spec import ExploreSpec, RunSpec, Stream
from tests.test_explore_swarm import cell_of

SEEDS = range(150)


def strikes_of(cell: RunSpec) -> list[Stream]:
    return [stream for seed in SEEDS for stream in draw(cell, seed).nemesis.streams if stream.moment is not None]


def test_some_runs_strike_at_moments_and_with_faults_that_the_campaign_has() -> None:
    cell = cell_of(*EVERYTHING, protocol={"name": "raft"})
    drawn = [draw(cell, seed) for seed in SEEDS]
    with_strikes = sum(any(stream.moment for stream in spec.nemesis.streams) for spec in drawn)
    assert 0.25 * len(SEEDS) < with_strikes < 0.55 * len(SEEDS)
    assert {stream.choices[0].fault for stream in strikes_of(cell)} == set(STRIKING) - ONLY_TOLD
    assert {stream.choices[0].fault for stream in strikes_of(cell_of("pause", "reset"))} == {"pause"}
    moments = [stream.moment for stream in strikes_of(cell) if stream.moment is not None]
    assert {f"{moment.what} {moment.kind}" for moment in moments} <= set(moments_of("raft"))
    assert {moment.hits for moment in moments} == {"doer", "peer"}


def test_whom_the_campaign_aims_at_stays_whom_it_hits() -> None:
    aimed: list[Any] = [("kill", {"target": "follower"}), ("partition", {"shape": "ring"})]
    for seed in SEEDS:
        for stream in draw(cell_of(*aimed), seed).nemesis.streams:
            assert stream.moment is None
            options = stream.choices[0].options
            assert options.get("shape") == "ring" or options["target"] == "follower"


def test_a_campaign_says_at_which_moments_or_at_none() -> None:
    assert not strikes_of(cell_of("kill", explore={"moments": {}}))
    told = strikes_of(cell_of("kill", "pause", explore={"moments": {"kill": ["send accept", "append"]}}))
    assert {stream.choices[0].fault for stream in told} == {"kill"}
    assert {(stream.moment.what, stream.moment.kind) for stream in told if stream.moment} == {
        ("send", "accept"),
        ("append", ""),
    }
    assert len(told) > 1.6 * len(SEEDS)  # both in most runs


def test_a_siege_is_of_whoever_is_in_charge_and_no_other_partition_overlaps_it() -> None:
    found = 0
    for seed in SEEDS:
        streams = draw(cell_of("partition", "kill", explore={"moments": {}}), seed).nemesis.streams
        sieges = [one for one in streams if one.choices[0].fault == "partition" and one.choices[0].for_seconds >= 3.0]
        sieges = [one for one in sieges if one.choices[0].options["target"] == "leader" and len(one.choices) == 1]
        for siege in sieges:
            if siege.choices[0].options["shape"] != "isolate":
                continue
            partitions = [one for one in streams for choice in one.choices if choice.fault == "partition"]
            assert partitions == [siege]
            assert siege.every_seconds is not None
            assert siege.every_seconds * 0.8 >= siege.choices[0].for_seconds
            found += 1
    assert 0.15 * len(SEEDS) < found < 0.45 * len(SEEDS)


def test_a_siege_can_be_told() -> None:
    cell = cell_of("partition", explore={"moments": {"partition": ["siege"]}})
    longest = [
        max((one.choices[0].for_seconds for one in draw(cell, seed).nemesis.streams), default=0) for seed in SEEDS
    ]
    assert sum(seconds >= 3.0 for seconds in longest) > 0.8 * len(SEEDS)


@pytest.mark.parametrize("told", [{"wipe": ["send vote"]}, {"kill": ["siege"]}, {"kill": ["sends vote"]}])
def test_what_can_not_be_told_is_refused(told: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        ExploreSpec.model_validate({"moments": told})


def test_a_protocol_that_nobody_knows_has_moments_too() -> None:
    assert moments_of("some.module:Protocol") == ["send", "deliver", "append"]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", MESSAGES)
def test_moments_are_of_messages_and_records_that_there_are(protocol: str) -> None:
    sent, written = set(), set()
    for seed in range(12):
        for step in simulate(draw(promises(protocol)[0], seed), trace=True).trace or []:
            if step["what"] == "send":
                sent.add(step["message"].get("type"))
            elif step["what"] == "append":
                written.add(step["record"].get("type"))
    assert set(MESSAGES[protocol]) <= sent
    assert set(RECORDS.get(protocol, ())) <= written
