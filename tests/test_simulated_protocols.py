"""Every protocol of the registry on the simulated cluster: repeated to the byte, under every fault; and it makes progress."""

from __future__ import annotations

import os
import random
import time
import uuid
from typing import Any

import pytest

from faults.catalogue import FAULTS
from harness.hunt.catalogue import promises
from harness.simulation.simulate import simulate
from harness.spec import RunSpec
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.two_phase_commit import TwoPhaseCommit
from tests.support.simulations import Alone, NotRepeated, digest, digests, simulate_twice, simulated_spec

WEATHER = {"lost": 0.02, "duplicated": 0.02, "late": 0.05, "overtaking": 0.2, "clock_drift": 0.01}


def every_fault(duration_seconds: float) -> dict[str, Any]:
    """A nemesis that injects each fault there is, one after the other, the next one before the last one is healed."""
    apart = duration_seconds / (len(FAULTS) + 3)
    streams = [
        {"choices": [{"fault": fault, "for_seconds": 2.5 * apart}], "at_seconds": [place * apart]}
        for place, fault in enumerate(FAULTS)
    ]
    return {"name": "every fault", "streams": streams}


def spec_of_protocol(name: str, **changes: Any) -> RunSpec:
    """A short run of the protocol with a workload that it is made for."""
    cells = promises(name)
    plain: dict[str, Any] = {"protocol": {"name": name}, "cell": name}
    if cells:
        plain |= {"workload": cells[0].workload, "machine": cells[0].machine}
    return simulated_spec(**{**plain, **changes})


def specs_with_every_fault(seed: int, duration_seconds: float) -> list[RunSpec]:
    return [
        spec_of_protocol(
            name,
            seed=seed,
            nemesis=every_fault(duration_seconds),
            simulation={**WEATHER, "liveness_seconds": 1.0},
            clients={"processes": 4, "rate_per_second": 30},
            duration_seconds=duration_seconds,
            recovery_seconds=1.0,
        )
        for name in PROTOCOLS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
def test_two_processes_give_the_same_bytes_at_length(seed: int) -> None:
    specs = specs_with_every_fault(seed, duration_seconds=6.0)
    assert digests(specs, hash_seed=1) == digests(specs, hash_seed=2)


# Protocols that cheat


class ReadsTheClock(Alone):
    def look(self) -> Any:
        return time.time()


class DrawsGlobally(Alone):
    def look(self) -> Any:
        return random.random()


class AsksTheSystem(Alone):
    def look(self) -> Any:
        return os.urandom(4).hex()


class TakesANumber(Alone):
    def look(self) -> Any:
        return str(uuid.uuid4())


class GoesByAddresses(Alone):
    kept: list[Any] = []

    def look(self) -> Any:
        self.kept.append(object())
        return id(self.kept[-1])


class Blocks(Alone):
    def look(self) -> Any:
        time.sleep(3600)


class OrdersASet(Alone):
    def look(self) -> Any:
        return list({f"word {number}" for number in range(20)})


def spec_of_alone(protocol: type[Protocol]) -> RunSpec:
    return simulated_spec(
        protocol={"name": f"{protocol.__module__}:{protocol.__name__}"},
        duration_seconds=0.5,
        recovery_seconds=1.0,
        simulation={"liveness_seconds": 0},
    )


@pytest.mark.parametrize(
    "protocol", [ReadsTheClock, DrawsGlobally, AsksTheSystem, TakesANumber, GoesByAddresses, Blocks]
)
def test_a_handler_that_looks_outside_is_caught(protocol: type[Protocol]) -> None:
    with pytest.raises(NotRepeated):
        simulate_twice(spec_of_alone(protocol))


def test_one_that_keeps_to_what_it_is_given_is_not() -> None:
    simulate_twice(spec_of_alone(Alone))


def test_another_process_gives_the_same_bytes_for_every_protocol_under_every_fault_and_other_ones_for_a_cheat() -> None:
    specs = specs_with_every_fault(seed=1, duration_seconds=0.8)
    here = []
    for spec in specs:
        simulated = simulate(spec, trace=True)
        injected = {event["fault"] for event in simulated.events if event.get("f") == "inject"}
        assert injected == set(FAULTS), spec.cell
        here.append(digest(simulated))
    assert len(set(here)) == len(PROTOCOLS)
    cheat = spec_of_alone(OrdersASet)
    another = 1 if os.environ.get("PYTHONHASHSEED") != "1" else 2
    *there, cheated = digests([*specs, cheat], another)
    assert there == here
    assert cheated != digest(simulate_twice(cheat))


# Liveness


def spec_with_survived_faults(name: str, seed: int, duration_seconds: float) -> RunSpec:
    """The protocol under what it promises to survive, one fault after the other; then it is asked for progress."""
    (cell, *_) = promises(name)
    pool = [choice.model_dump() for stream in cell.nemesis.streams for choice in stream.choices]
    choices = [{**choice, "for_seconds": 0.5} for choice in pool]
    changes = {
        "seed": seed,
        "replicas": 3,
        "duration_seconds": duration_seconds,
        "nemesis": {"name": "survived", "streams": [{"choices": choices, "every_seconds": 0.4}]},
        "simulation": {"liveness_seconds": 60.0},
    }
    return RunSpec.model_validate({**cell.model_dump(), **changes})


PROMISING = sorted({cell.protocol.name for cell in promises()})


@pytest.mark.parametrize("name", PROMISING)
def test_whoever_has_to_suffice_makes_progress_when_the_faults_are_over(name: str) -> None:
    simulated = simulate(spec_with_survived_faults(name, seed=1, duration_seconds=1.0), statuses=False)
    assert simulated.stalled is None
    (told,) = [event for event in simulated.events if event["f"] == "progress"]
    assert len(told["replicas"]) == (2 if PROTOCOLS[name].progresses_with == "majority" else 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISING)
def test_whoever_has_to_suffice_makes_progress_at_length(name: str) -> None:
    for seed in range(2, 12):
        spec = spec_with_survived_faults(name, seed, duration_seconds=5.0)
        assert simulate(spec).stalled is None, f"seed {seed}"


@pytest.mark.slow
def test_single_decree_paxos_goes_on_where_messages_take_longer_than_its_patience() -> None:
    weather = {"jitter_ms": 60.0, "late": 0.3, "late_ms": 500, "liveness_seconds": 20.0}
    spec = spec_of_protocol(
        "paxos",
        protocol={"name": "paxos", "options": {"retry_seconds": 0.05}},
        replicas=4,
        simulation=weather,
        clients={"processes": 4, "rate_per_second": 30, "timeout_seconds": 1.0, "attempts": 1},
        duration_seconds=2.0,
    )
    assert simulate_twice(spec).stalled is None


class Overconfident(TwoPhaseCommit):
    """Says of itself that a majority suffices; but it takes all."""

    progresses_with = "majority"


def test_a_protocol_that_needs_all_and_says_less_is_bound_to_stall() -> None:
    spec = simulated_spec(
        protocol={"name": f"{__name__}:Overconfident"},
        workload={"name": "register", "options": {"read": 0.0}},
        simulation={"liveness_seconds": 5.0},
    )
    simulated = simulate_twice(spec)
    assert simulated.stalled is not None
    assert simulated.stalled.sentence.startswith("no progress for 5 s with n")
    assert any(event["f"] == "final reads" or event["type"] == "ok" for event in simulated.events)
