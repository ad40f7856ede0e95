"""The kind `local`: real processes and the embedded proxies' server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.cluster import ClusterError, Link
from harness.cluster import leftovers, local, ports, standing
from harness.cluster.leftovers import sweep
from harness.cluster.local import LocalCluster
from harness.cluster.ports import PortLease
from harness.cluster.processes import ProcessId, is_alive
from tests.support.cluster_contract import LONG, ClusterContract, operate, provision
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

UP_THEN_WAIT = """
import json, sys
from harness.cluster.local import LocalCluster
from harness.cluster.leftovers import records
with LocalCluster(3) as cluster:
    cluster.pause("n2")
    record = next(records())
    print(json.dumps([record.children, str(record.data)]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = str(tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        yield
        assert list(leftovers.records()) == [], "a test left something running"


@pytest.fixture(scope="class")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(3) as cluster:
        yield cluster


def children() -> list[ProcessId]:
    """All processes that are on record now."""
    return [process for record in leftovers.records() for process in record.children.values()]


class TestLocalCluster(ClusterContract):
    def end_from_outside(self, cluster: Any, replica: str) -> None:
        record = next(leftovers.records())
        os.kill(record.children[replica].pid, signal.SIGKILL)


def test_leaving_stops_every_process_paused_ones_too_and_removes_the_data() -> None:
    with LocalCluster(2) as cluster:
        provision(cluster)
        started = children()
        assert len(started) == 3
        data = next(leftovers.records()).data
        assert data.exists()
        cluster.pause("n1")
        cluster.kill("n2")
    assert not any(is_alive(process) for process in started)
    assert not data.exists()
    assert list(leftovers.records()) == []


def test_an_error_inside_takes_everything_down_as_well() -> None:
    started: list[ProcessId] = []
    with pytest.raises(ZeroDivisionError), LocalCluster(1):
        started += children()
        raise ZeroDivisionError
    assert len(started) == 2
    assert not any(is_alive(process) for process in started)


def test_one_replica_alone_is_a_cluster() -> None:
    with LocalCluster(1) as cluster:
        run = provision(cluster)
        assert operate(cluster, run, "write", 1)["type"] == "ok"
        assert list(cluster.network.conditions()) == [Link("client", "n1")]


def test_clusters_side_by_side_do_not_meet() -> None:
    with LocalCluster(2) as one, LocalCluster(2) as other:
        runs = provision(one), provision(other)
        assert operate(one, runs[0], "write", 1)["type"] == "ok"
        assert operate(other, runs[1], "read")["result"] is None
        assert operate(other, runs[0], "read")["type"] == "fail", "the other cluster's run is refused"
        one.kill("n1")
        assert other.ping(Link("n2", "n1"), LONG).outcome == "ok"


def test_a_port_taken_at_the_last_moment_is_answered_by_other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    class Robbed(PortLease):
        """The first time somebody listens on one of the ports as soon as they are given out."""

        robber: socket.socket | None = None

        def __init__(self, count: int) -> None:
            super().__init__(count)
            if Robbed.robber is None:
                Robbed.robber = socket.create_server(("127.0.0.1", self.ports[2]))

    monkeypatch.setattr(local, "PortLease", Robbed)
    with LocalCluster(2) as cluster:
        assert cluster.state("n1") == cluster.state("n2") == "up"
    assert Robbed.robber
    Robbed.robber.close()


def test_a_replica_that_cannot_start_is_told_in_its_words_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    start = LocalCluster._start_replica

    def start_with_a_file_in_the_way(self: LocalCluster, replica: str) -> None:
        if replica == "n2":
            next(leftovers.records()).data.joinpath(replica).write_text("not a folder")
        start(self, replica)

    monkeypatch.setattr(LocalCluster, "_start_replica", start_with_a_file_in_the_way)
    with pytest.raises(ClusterError, match=r"n2 died on its own: exit code 3; its last words: .+"), LocalCluster(2):
        pass
    assert list(leftovers.records()) == []


def test_a_harness_that_is_killed_leaves_what_the_next_command_cleans() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UP_THEN_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout
        told, data = json.loads(harness.stdout.readline())
        harness.kill()
    processes = {name: ProcessId(*process) for name, process in told.items()}
    assert set(processes) == {"n1", "n2", "n3", "proxy"}
    paused = processes.pop("n2")
    wait_for(lambda: not any(is_alive(process) for process in processes.values()))
    assert is_alive(paused), "a paused process can't notice"

    sentences = sweep()
    assert len(sentences) == 1
    assert f"process {harness.pid}" in sentences[0]
    wait_for(lambda: not is_alive(paused))
    assert not Path(data).exists()


def test_nothing_is_started_after_the_end() -> None:
    with LocalCluster(1) as cluster:
        pass
    with pytest.raises(ClusterError):
        cluster.restart("n1")


def test_proxies_that_die_are_started_again_and_the_run_is_tainted() -> None:
    with LocalCluster(2) as cluster:
        provision(cluster)
        os.kill(next(leftovers.records()).children["proxy"].pid, signal.SIGKILL)
        wait_for(lambda: cluster.network.tainted)
        wait_for(lambda: cluster.ping(Link("n1", "n2"), LONG).outcome == "ok")


def test_a_cluster_is_left_running_until_it_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from harness.cluster import standing; print(*standing.up('local', 2, 'primary-backup'), sep='\\n')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    try:
        assert told.returncode == 0, told.stderr
        assert "/op" in told.stdout
        assert sweep() == []

        lines = standing.describe("local")
        assert lines[0].startswith("n1  http://127.0.0.1:")
        assert "primary-backup, primary" in lines[0]
        with pytest.raises(ClusterError, match="up already"):
            standing.up("local", 1, "primary-backup")
        record = leftovers.standing("local")
        assert record
        used = {port - port % ports.BLOCK for port in record.facts["ports"].values()}
        monkeypatch.setattr(ports, "_blocks", lambda: sorted(used))
        with pytest.raises(ClusterError, match="free ports"):
            PortLease(1)
    finally:
        assert "3 processes" in standing.down("local")[0]
    assert standing.down("local") == ["no local cluster is up"]
    assert "no local cluster is up" in standing.describe("local")[0]
