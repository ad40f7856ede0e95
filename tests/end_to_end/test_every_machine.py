"""The gallery's campaign on real replicas: one operation after another is asked for, and is answered rightly.

All of its cells on local processes, and one of each protocol in containers. What many clients see at a time is judged by
`rashomon run campaigns/gallery.yaml`; here it is one at a time, so that every answer can be held against the model at once.
"""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import load_campaign
from harness.clients import converse
from harness.cluster import Cluster, create
from harness.conversation import Route, carry_out
from harness.models import MODELS
from harness.replica_session import ReplicaSession
from harness.spec import RunSpec
from harness.workloads import make_workload
from harness.workloads.workload import Memory
from node.protocols import PROTOCOLS
from tests.support.brute import operation as judged

pytestmark = pytest.mark.slow

OPERATIONS = 20
GALLERY = load_campaign(Path(__file__).parents[2] / "campaigns" / "gallery.yaml")


@pytest.fixture(scope="module", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = str(tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="module")
def processes() -> Iterator[Cluster]:
    with create("local", 3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def containers() -> Iterator[Cluster]:
    with create("docker", 3) as cluster:
        yield cluster


def cells_of(protocol: str) -> list[RunSpec]:
    return [spec for spec in GALLERY if spec.protocol.name == protocol]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_machine_of_the_protocol_answers_as_it_should(processes: Cluster, protocol: str) -> None:
    for spec in cells_of(protocol):
        live(processes, spec)


@pytest.mark.docker
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_protocol_runs_in_containers(containers: Cluster, protocol: str) -> None:
    live(containers, cells_of(protocol)[-1])


def live(cluster: Cluster, spec: RunSpec) -> None:
    """The first operations of one process of the cell's workload, each held against the model."""
    cluster.provision(spec.protocol.name, spec.protocol.options, spec.machine, spec.cell, spec.seed)
    addresses = {replica: cluster.address(replica) for replica in cluster.replicas}
    session = ReplicaSession(addresses, spec.cell, 5.0)
    route = Route(cluster.replicas, 0, True, random.Random(1))
    workload, memory = make_workload(spec), Memory()
    exact = PROTOCOLS[spec.protocol.name].consistency.startswith("linearizable")
    model = MODELS[workload.model]()
    states: dict[str, Any] = {}
    try:
        for number in range(OPERATIONS):
            operation = workload.bind(workload.plan(0, number), memory)
            tried = converse(carry_out(route, 20, "p0", number, operation), session, threading.Event())
            where = f"{spec.cell}: {operation} gave {tried.outcome}"
            assert tried.outcome.type == "ok", where
            workload.observe(operation, tried.outcome.result, memory)
            seen = judged(0, operation["f"], operation["value"], tried.outcome.result, 0, 1)
            if exact:
                after = model.step(states.get(operation["key"], model.initial()), seen)
                assert not isinstance(after, str), f"{where}: {after}"
                states[operation["key"]] = after[0]
    finally:
        session.close()
