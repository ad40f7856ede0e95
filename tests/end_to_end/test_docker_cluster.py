"""The kind `docker`: the compose file's containers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from faults.cluster import ClusterError, Condition, Link, Mode
from harness.cluster import compose, leftovers, standing
from harness.cluster.docker import LABEL, TOXIPROXY, Container, DockerCluster, Engine
from harness.cluster.leftovers import sweep
from tests.support.cluster_contract import ClusterContract, operate, provision
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.docker]

PROJECT = "rashomon-test"
BREAK_THEN_WAIT = """
import sys
from faults.cluster import Condition, Link, Mode
from harness.cluster.docker import DockerCluster
with DockerCluster(3) as cluster:
    cluster.provision("primary-backup", {}, "kv", "broken", seed=1)
    cluster.pause("n2")
    cluster.kill("n3")
    cluster.network.apply({Link("n1", "n2"): Condition(Mode.DROP), Link("client", "n1"): Condition(Mode.DROP)})
    print("broken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is up before, and nothing after."""
    folder = str(tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        assert not containers(), "a cluster is up: take it down with `rashomon down` first"
        yield
        left = containers()
        if left:
            standing.down("docker")
        assert not left, "a test left containers"


@pytest.fixture(scope="class")
def cluster() -> Iterator[DockerCluster]:
    with DockerCluster(3) as cluster:
        yield cluster


@pytest.fixture
def already_up() -> Iterator[dict[str, Container]]:
    """Three replicas that a person brought up."""
    compose.up(PROJECT, ["toxiproxy", "n1", "n2", "n3"], {})
    try:
        yield containers()
    finally:
        compose.down(PROJECT)


@pytest.fixture
def killed_harness() -> str:
    """What a harness printed that broke its cluster and was then killed."""
    with subprocess.Popen(
        [sys.executable, "-c", BREAK_THEN_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout
        assert harness.stderr
        line = harness.stdout.readline()
        harness.kill()
        assert line == "broken\n", harness.stderr.read()
    return str(harness.pid)


def containers() -> dict[str, Container]:
    with Engine() as engine:
        return engine.containers()


def all_healthy() -> bool:
    return {(container.state, container.health) for container in containers().values()} == {("up", "healthy")}


def inspect(kind: str, name: str) -> dict[str, Any]:
    told = subprocess.run(["docker", kind, "inspect", name], capture_output=True, timeout=30, check=True)
    found: dict[str, Any] = json.loads(told.stdout)[0]
    return found


class TestDockerCluster(ClusterContract):
    def end_from_outside(self, cluster: Any, replica: str) -> None:
        subprocess.run(["docker", "kill", containers()[replica].id], capture_output=True, timeout=30, check=True)

    def test_replicas_have_no_privileges_and_are_published_here_only(self, cluster: DockerCluster) -> None:
        found = containers()
        assert set(found) == {"n1", "n2", "n3", TOXIPROXY}
        for container in found.values():
            told = inspect("container", container.id)
            assert told["HostConfig"]["ReadonlyRootfs"] is True
            assert told["HostConfig"]["CapDrop"] == ["ALL"]
            assert told["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
            published = [binding for bindings in told["HostConfig"]["PortBindings"].values() for binding in bindings]
            assert published
            assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
        shell = ["docker", "exec", found["n1"].id, "sh", "-c"]
        told_id = subprocess.run([*shell, "id -u"], capture_output=True, text=True, timeout=30, check=True)
        assert int(told_id.stdout) == 10001
        for place in ("/app/x", "/x"):
            assert subprocess.run([*shell, f"touch {place}"], capture_output=True, timeout=30, check=False).returncode
        capabilities = subprocess.run(
            [*shell, "grep CapEff /proc/self/status"], capture_output=True, text=True, check=True
        )
        assert int(capabilities.stdout.split()[1], 16) == 0

    def test_another_command_may_not_use_it_meanwhile(self, cluster: DockerCluster) -> None:
        with pytest.raises(ClusterError, match="another rashomon command is using"), DockerCluster(3):
            pass
        with pytest.raises(ClusterError, match="another rashomon command is using"):
            standing.down("docker")
        assert cluster.state("n1") == "up"


def test_what_was_not_up_is_taken_down_again() -> None:
    with DockerCluster(1) as cluster:
        run = provision(cluster)
        assert operate(cluster, run, "write", 1)["type"] == "ok"
        project = containers()["n1"].project
        volumes = [mount["Name"] for mount in inspect("container", containers()["n1"].id)["Mounts"] if "Name" in mount]
        assert volumes
    assert containers() == {}
    for kind, name in [("network", f"{project}_default"), ("volume", volumes[0])]:
        assert subprocess.run(["docker", kind, "inspect", name], capture_output=True, check=False).returncode != 0
    assert list(leftovers.records()) == []


def test_what_was_up_stays_up_healed_and_healthy(already_up: dict[str, Container]) -> None:
    with DockerCluster(3) as cluster:
        run = provision(cluster)
        cluster.kill("n1")
        cluster.pause("n2")
        cluster.network.apply({Link("client", "n3"): Condition(Mode.REFUSE)})
    now = containers()
    assert {part: container.id for part, container in now.items()} == {
        part: container.id for part, container in already_up.items()
    }
    assert all_healthy()
    assert "primary-backup" in standing.describe("docker")[0]
    with DockerCluster(3) as cluster:
        assert (cluster.status("n1") or {})["run"] == run


def test_replicas_that_were_missing_are_added_and_removed_again(already_up: dict[str, Container]) -> None:
    with DockerCluster(4) as cluster:
        provision(cluster)
        assert set(containers()) == {*already_up, "n4"}
    assert set(containers()) == set(already_up)


def test_a_killed_harness_leaves_what_the_next_command_takes_down(killed_harness: str) -> None:
    assert containers()["n2"].state == "paused"
    sentences = sweep()
    assert sentences == [f"cleaned up after a run that was killed (process {killed_harness}): took its containers down"]
    assert containers() == {}


def test_a_killed_harness_leaves_what_the_next_command_mends(
    already_up: dict[str, Container], killed_harness: str
) -> None:
    sentences = sweep()
    assert len(sentences) == 1
    assert "run again" in sentences[0]
    assert all_healthy()
    assert {container.id for container in containers().values()} == {one.id for one in already_up.values()}
    assert sweep() == []
    with DockerCluster(3) as cluster:
        assert cluster.ping(Link("client", "n1"), 3).outcome == "ok"
        assert cluster.ping(Link("n1", "n2"), 3).outcome == "ok"


def test_a_cluster_is_left_running_until_it_is_taken_down() -> None:
    lines = standing.up("docker", 2, "primary-backup")
    assert lines[0].startswith("n1  http://127.0.0.1:28001")
    assert any("/op" in line for line in lines)
    assert sweep() == []
    with pytest.raises(ClusterError, match="up already"):
        standing.up("docker", 2, "primary-backup")
    wait_for(all_healthy)
    assert standing.down("docker") == ["removed 3 containers, their network and volumes"]
    assert containers() == {}
    assert standing.down("docker") == ["no docker cluster is up"]


def test_two_projects_at_once_are_told(already_up: dict[str, Container]) -> None:
    image = inspect("container", already_up["n1"].id)["Image"]
    labels = ["--label", f"{LABEL}=n1", "--label", "com.docker.compose.project=another"]
    made = subprocess.run(["docker", "create", *labels, image], capture_output=True, text=True, check=True)
    try:
        with pytest.raises(ClusterError, match="up more than once, as another and rashomon-test"), DockerCluster(1):
            pass
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", made.stdout.strip()], capture_output=True, check=True)
