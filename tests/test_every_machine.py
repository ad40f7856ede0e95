"""Every protocol of the registry with every machine that it says it can replicate; a new one joins by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import load_campaign
from harness.checkers.inside import INSIDE
from harness.explore.trial import judged
from harness.results import count_operations
from harness.simulation.simulate import simulate
from harness.workloads import WORKLOADS
from node.machine import Machine
from node.machines import MACHINES
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from tests.support.simulations import simulated_spec

GALLERY = Path(__file__).parents[1] / "campaigns" / "gallery.yaml"


def machine_of(workload: str) -> type[Machine]:
    machine: type[Machine] = MACHINES[WORKLOADS[workload].machine]
    return machine


def carried() -> Iterator[tuple[str, str]]:
    """Each protocol, and each workload whose machine it can replicate."""
    for name in PROTOCOLS:
        protocol: type[Protocol] = PROTOCOLS[name]
        for workload in WORKLOADS:
            if protocol.refusal(machine_of(workload)) is None:
                yield name, workload


def options_of(protocol: type[Protocol], workload: str) -> dict[str, Any]:
    """Those with which the workload leaves alone what the protocol doesn't offer."""
    machine, weights = machine_of(workload), WORKLOADS[workload].Options.model_fields
    return {f: 0 for f in machine.functions if f in weights and protocol.refusal(machine, [f]) is not None}


@pytest.mark.parametrize(("name", "workload"), list(carried()))
def test_a_calm_stretch_of_it_is_what_the_protocol_promises(name: str, workload: str) -> None:
    protocol: type[Protocol] = PROTOCOLS[name]
    spec = simulated_spec(
        protocol={"name": name},
        machine=WORKLOADS[workload].machine,
        workload={"name": workload, "options": options_of(protocol, workload)},
        duration_seconds=0.6,
        simulation={"liveness_seconds": 0.0},
        checks={"checkers": [] if protocol.consistency.startswith("linearizable") else list(INSIDE)},
    )
    simulated = simulate(spec, statuses=False)
    findings, undecided = judged(spec, simulated)
    assert not findings and not undecided, (findings, undecided)
    counts = count_operations(simulated.events)
    assert counts["ok"] >= 20 and counts["fail"] == 0, counts


def test_every_machine_is_carried_by_somebody_and_has_a_workload() -> None:
    assert {WORKLOADS[workload].machine for _, workload in carried()} == set(MACHINES)
    assert {name for name, _ in carried()} == set(PROTOCOLS)


def test_the_gallery_is_one_campaign_with_all_of_them() -> None:
    cells = {(cell.protocol.name, cell.machine) for cell in load_campaign(GALLERY)}
    assert cells == {(name, WORKLOADS[workload].machine) for name, workload in carried()}


def test_what_a_protocol_cannot_carry_it_refuses_with_the_reason() -> None:
    for name in PROTOCOLS:
        protocol: type[Protocol] = PROTOCOLS[name]
        assert (protocol.machines is None) == (protocol.machines_why == ""), name
        for machine, functions in (protocol.machines or {}).items():
            assert machine in MACHINES and functions <= set(MACHINES[machine].functions), name
    assert PROTOCOLS["paxos"].refusal(MACHINES["kv"]) == (
        "paxos can't replicate 'kv', only 'register': each key is one decision, once and for ever"
    )
    assert PROTOCOLS["quorum"].refusal(MACHINES["kv"], ["read", "cas"]) == (
        "quorum has no 'cas' of 'kv', only 'read' and 'write': whatever depends on what is there already would need "
        "agreement"
    )
