"""What every kind of cluster promises (`harness.cluster.Cluster`, `faults.cluster.Cluster`), as tests.

A test class of a kind inherits from `ClusterContract` and has a fixture `cluster`: one of three replicas that is up. It
is provisioned anew before each test.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest
import requests

from faults.cluster import CLEAR, CLIENT, ClusterError, Condition, Link, Mode
from harness.cluster import Cluster
from tests.support.waiting import wait_for

LONG = 3.0
"""Seconds for what should work."""
SHORT = 0.3
"""Seconds for what should not."""

runs = (f"test-{number}" for number in itertools.count(1))


def provision(cluster: Cluster, protocol: str = "primary-backup", **options: Any) -> str:
    run = next(runs)
    cluster.provision(protocol, options, "kv", run, seed=1)
    return run


def operate(cluster: Cluster, run: str, f: str, value: Any = None, replica: str = "n1", sequence: int = 1) -> Any:
    """One operation on the key `x`: the answer's body."""
    body = {
        "run": run,
        "client": "tester",
        "sequence": sequence,
        "operation": {"f": f, "key": "x", "value": value},
        "timeout_seconds": LONG,
    }
    return requests.post(f"{cluster.address(replica)}/op", json=body, timeout=LONG + 1).json()


class ClusterContract(ABC):
    @abstractmethod
    def end_from_outside(self, cluster: Any, replica: str) -> None:
        """Kill a replica without the cluster's doing."""

    @pytest.fixture
    def run(self, cluster: Cluster) -> str:
        return provision(cluster)

    def test_a_provisioned_cluster_is_healthy_and_answers_clients(self, cluster: Cluster, run: str) -> None:
        statuses = [cluster.status(replica) or {} for replica in cluster.replicas]
        assert [status.get("run") for status in statuses] == [run] * 3
        assert cluster.chief == "primary"
        assert "primary" in [status.get("role") for status in statuses]
        assert operate(cluster, run, "write", 7)["type"] == "ok"
        assert operate(cluster, run, "read", sequence=2)["result"] == 7
        assert cluster.deaths() == []

    def test_provisioning_wipes_what_was_there(self, cluster: Cluster, run: str) -> None:
        assert operate(cluster, run, "write", 7)["type"] == "ok"
        again = provision(cluster)
        assert operate(cluster, again, "read")["result"] is None

    def test_every_link_has_a_proxy_of_its_own_that_lets_pings_through(self, cluster: Cluster, run: str) -> None:
        links = list(cluster.network.conditions())
        assert len(links) == 9
        assert {cluster.ping(link, LONG).outcome for link in links} == {"ok"}

    @pytest.mark.parametrize(("mode", "outcome"), [(Mode.DROP, "timeout"), (Mode.REFUSE, "refused")])
    def test_a_cut_link_is_cut_in_one_direction_only(
        self, cluster: Cluster, run: str, mode: Mode, outcome: str
    ) -> None:
        cut = [Link("n1", "n2"), Link(CLIENT, "n3")]
        cluster.network.apply(dict.fromkeys(cut, Condition(mode)))
        assert [cluster.ping(link, SHORT).outcome for link in cut] == [outcome] * 2
        intact = [Link("n2", "n1"), Link("n1", "n3"), Link(CLIENT, "n1")]
        assert [cluster.ping(link, LONG).outcome for link in intact] == ["ok"] * 3
        assert cluster.status("n3") is not None, "the harness's own way to a replica is never cut"
        cluster.network.apply(dict.fromkeys(cut, CLEAR))
        assert [cluster.ping(link, LONG).outcome for link in cut] == ["ok"] * 2

    def test_a_slow_link_is_measured_as_slow(self, cluster: Cluster, run: str) -> None:
        link = Link("n2", "n3")
        cluster.network.apply({link: Condition(Mode.LATENCY, latency_ms=150)})
        ping = cluster.ping(link, LONG)
        assert ping.outcome == "ok"
        assert ping.seconds >= 0.15

    def test_a_killed_replica_is_gone_and_comes_back_with_its_data(self, cluster: Cluster, run: str) -> None:
        assert operate(cluster, run, "write", 7)["type"] == "ok"
        cluster.kill("n2")
        assert cluster.state("n2") == "down"
        assert cluster.status("n2") is None
        assert cluster.ping(Link("n1", "n2"), LONG).outcome == "closed"
        assert cluster.ping(Link("n2", "n1"), LONG).outcome == "unprobed"
        assert cluster.deaths() == [], "a kill is no death of its own"
        cluster.kill("n2")

        cluster.restart("n2")
        assert cluster.state("n2") == "up"
        status = cluster.status("n2")
        assert status
        assert status["run"] == run
        assert cluster.ping(Link("n1", "n2"), LONG).outcome == "ok"
        wait_for(lambda: len({(cluster.status(name) or {}).get("digest") for name in cluster.replicas}) == 1)

    def test_a_paused_replica_stands_still_until_it_is_resumed(self, cluster: Cluster, run: str) -> None:
        cluster.pause("n3")
        assert cluster.state("n3") == "paused"
        assert cluster.status("n3") is None
        assert cluster.ping(Link("n1", "n3"), SHORT).outcome == "timeout"
        assert cluster.ping(Link("n3", "n1"), SHORT).outcome == "unprobed"
        cluster.pause("n3")

        cluster.resume("n3")
        assert cluster.state("n3") == "up"
        wait_for(lambda: cluster.status("n3") is not None)
        cluster.resume("n3")
        assert cluster.deaths() == []

    def test_a_paused_replica_can_be_killed_and_restarted(self, cluster: Cluster, run: str) -> None:
        cluster.pause("n3")
        cluster.kill("n3")
        assert cluster.state("n3") == "down"
        cluster.resume("n3")
        assert cluster.state("n3") == "down"
        cluster.restart("n3")
        assert cluster.state("n3") == "up"

    def test_a_replica_that_dies_on_its_own_is_told_once(self, cluster: Cluster, run: str) -> None:
        self.end_from_outside(cluster, "n3")
        wait_for(lambda: cluster.state("n3") == "down")
        deaths = cluster.deaths()
        assert len(deaths) == 1
        assert deaths[0].startswith("n3 died on its own: ")
        assert cluster.deaths() == []

    def test_provisioning_mends_everything_first(self, cluster: Cluster, run: str) -> None:
        cluster.pause("n1")
        cluster.kill("n2")
        self.end_from_outside(cluster, "n3")
        cluster.network.apply({link: Condition(Mode.DROP) for link in cluster.network.conditions()})
        wait_for(lambda: cluster.state("n3") == "down")

        again = provision(cluster, "multi-paxos")
        assert [cluster.state(replica) for replica in cluster.replicas] == ["up"] * 3
        assert set(cluster.network.conditions().values()) == {CLEAR}
        assert cluster.chief == "leader"
        assert (cluster.status("n3") or {})["run"] == again

    def test_a_clock_is_skewed_until_the_next_provisioning(self, cluster: Cluster, run: str) -> None:
        def clock() -> Any:
            return (cluster.status("n2") or {})["host"]["clock"]

        cluster.set_clock("n2", 30.0, 1.5)
        assert clock() == {"offset_seconds": 30.0, "rate": 1.5}
        provision(cluster)
        assert clock() == {"offset_seconds": 0.0, "rate": 1.0}

    def test_a_clock_shows_how_it_was_skewed(self, cluster: Cluster, run: str) -> None:
        def ahead() -> tuple[float, float]:
            reading = cluster.clock("n2")
            assert reading is not None
            return reading.shown_seconds - reading.true_seconds, reading.within_seconds

        before, within = ahead()
        cluster.set_clock("n2", 30.0, 1.0)
        after, within_too = ahead()
        assert after - before == pytest.approx(30.0, abs=within + within_too + 0.01)
        cluster.kill("n2")
        assert cluster.clock("n2") is None
        cluster.restart("n2")
        assert ahead()[0] == pytest.approx(before, abs=5.0), "another process, whose clock is true"

    def test_a_wiped_replica_has_forgotten_everything_and_is_one_of_the_run(self, cluster: Cluster) -> None:
        run = provision(cluster, "multi-paxos")
        written = (operate(cluster, run, "write", "x" * 500, f"n{n % 3 + 1}", sequence=n)["type"] for n in range(60))
        assert list(written).count("ok") >= 20
        wiped = cluster.wipe("n2")
        assert cluster.state("n2") == "down"
        assert wiped.bytes_before is not None
        assert wiped.bytes_after < wiped.bytes_before
        cluster.restart("n2")
        status = cluster.status("n2") or {}
        assert (status["run"], status["protocol"]) == (run, "multi-paxos")
        wait_for(lambda: (cluster.status("n2") or {})["commit_index"] >= 20)
        assert cluster.deaths() == []

    def test_logs_are_saved(self, cluster: Cluster, run: str, tmp_path: Path) -> None:
        cluster.save_logs(tmp_path / "logs")
        for replica in cluster.replicas:
            assert (tmp_path / "logs" / f"{replica}.log").stat().st_size > 0

    def test_what_a_replica_refuses_is_told_in_its_words(self, cluster: Cluster) -> None:
        with pytest.raises(ClusterError, match="acknowlege"):
            provision(cluster, acknowlege="all")
        with pytest.raises(ClusterError, match="did you mean 'primary-backup'"):
            provision(cluster, "primary-backups")
