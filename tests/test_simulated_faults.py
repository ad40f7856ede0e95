"""Every fault on a simulated cluster: it is proved, it is healed, and storms of all of them lead to no wrong word."""

from __future__ import annotations

from typing import Any

import pytest

from faults.catalogue import FAULTS
from harness.audit import audit
from harness.history import Event
from harness.simulation.simulate import simulate
from harness.spec import (
    Choice,
    ClientsSpec,
    Named,
    NemesisSpec,
    ProtocolSpec,
    RunSpec,
    SimulationSpec,
    Stream,
)

ROUGH = {
    "lost": 0.02,
    "duplicated": 0.05,
    "late": 0.05,
    "clock_drift": 0.05,
    "clock_offset_seconds": 3.0,
    "sync_ms": 3.0,
}
"""A world in which much goes wrong without a fault, which must be neither proof of one nor of a bad healing."""


def run(seed: int, *streams: Stream, duration_seconds: float, **world: Any) -> list[Event]:
    """What the nemesis wrote, but for its invocations."""
    spec = RunSpec(
        campaign="trial",
        cell="trial",
        seed=seed,
        cluster="simulated",
        replicas=3 + seed % 3,
        protocol=ProtocolSpec(name="multi-paxos"),
        machine="kv",
        workload=Named(name="register"),
        duration_seconds=duration_seconds,
        simulation=SimulationSpec(**world, liveness_seconds=0.0),
        clients=ClientsSpec(processes=3, rate_per_second=10.0),
        nemesis=NemesisSpec(name="trial", streams=list(streams)),
    )
    simulated = simulate(spec)
    assert audit(simulated.events) == []
    assert not [event for event in simulated.events if "not healed" in str(event.get("value"))]
    return [event for event in simulated.events if event["process"] == "nemesis" and event["type"] != "invoke"]


@pytest.mark.parametrize("world", [{}, ROUGH], ids=["calm", "rough"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_proved_and_healed(fault: str, world: dict[str, Any]) -> None:
    stream = Stream(choices=[Choice(fault=fault, for_seconds=2.0)], at_seconds=[1.0])
    told = run(1, stream, duration_seconds=4.0, **world)
    assert [(event["f"], event["type"]) for event in told] == [("inject", "ok"), ("heal", "ok")], told


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_of_all_faults_leads_to_no_wrong_word(seed: int) -> None:
    choices = [Choice(fault=fault, for_seconds=5.0) for fault in FAULTS]
    streams = [Stream(choices=choices, every_seconds=2.0, first_seconds=0.1 * k) for k in range(1 + seed % 3)]
    told = run(seed, *streams, duration_seconds=15.0, **(ROUGH if seed % 2 else {}))
    assert not [event for event in told if event["type"] == "fail"]
    assert not [event for event in told if event["evidence"]["effective"] is False]
    assert sum(event["type"] == "ok" for event in told) > len(told) / 2
