"""Clusters that are left running, to be talked to by hand: `rashomon up`, `status` and `down`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from faults.cluster import ClusterError, ReplicaState
from harness.cluster import leftovers
from harness.cluster.http_cluster import HttpCluster
from harness.cluster.processes import is_alive, is_stopped
from harness.cluster.replica_api import ReplicaApi

RUN = "by-hand"
"""The name of the run that such a cluster is provisioned for; requests have to give it."""
MACHINE = "kv"


class Standing(NamedTuple):
    """One replica of a cluster that is up."""

    replica: str
    address: str
    """For clients, through the proxy."""
    state: ReplicaState
    api: ReplicaApi


def up(kind: str, replicas: int, protocol: str) -> list[str]:
    """Start a cluster that goes on when this process ends, with the protocol's defaults; returns lines for a person.

    Raises `ClusterError` if one of that kind is up already, or can't be started; then nothing is left running.
    """
    if _find(kind):
        raise ClusterError(f"a {kind} cluster is up already: `rashomon down --cluster {kind}` takes it down")
    cluster = _detached(kind, replicas)
    with cluster:
        cluster.provision(protocol, {}, MACHINE, RUN, seed=0)
        cluster.leave_running()
    return describe(kind)


def down(kind: str) -> list[str]:
    """Stop that cluster and remove everything of it; returns lines for a person."""
    if kind == "docker":
        from harness.cluster.docker import take_down

        return [take_down()]
    record = leftovers.standing(kind)
    if record is None:
        return ["no local cluster is up"]
    stopped = record.stop_children()
    record.end()
    return [f"stopped {stopped} processes of the local cluster and removed their data"]


def describe(kind: str) -> list[str]:
    """Addresses, roles and health of that cluster: lines for a person."""
    found = _find(kind)
    if not found:
        return [f"no {kind} cluster is up: `rashomon up --cluster {kind}` starts one"]
    return [*(_line(one) for one in found), "", *_example(found)]


def _detached(kind: str, replicas: int) -> HttpCluster:
    if kind == "docker":
        from harness.cluster.docker import DockerCluster

        return DockerCluster(replicas)
    from harness.cluster.local import LocalCluster

    return LocalCluster(replicas, detached=True)


def _find(kind: str) -> list[Standing]:
    if kind == "docker":
        from harness.cluster.docker import look

        return [
            Standing(replica, f"http://127.0.0.1:{port}", container.state, api)
            for replica, container, port, api in look()
        ]
    record = leftovers.standing(kind)
    return _find_local(record) if record else []


def _find_local(record: leftovers.Record) -> list[Standing]:
    ports, token = record.facts["ports"], record.facts["token"]
    found = []
    for replica in record.facts["replicas"]:
        process = record.children[replica]
        state: ReplicaState = "down" if not is_alive(process) else "paused" if is_stopped(process.pid) else "up"
        api = ReplicaApi(replica, "127.0.0.1", ports[f"{replica} control"], token)
        found.append(Standing(replica, f"http://127.0.0.1:{ports[f'client->{replica}']}", state, api))
    return found


def _line(one: Standing) -> str:
    start = f"{one.replica:<4}{one.address}  {one.state:<7}"
    status = one.api.status() if one.state == "up" else None
    if status is None:
        return start + ("does not answer" if one.state == "up" else "")
    if not status.get("protocol"):
        return start + "answers, without a protocol so far"
    words = [f"{status['protocol']}, {status['role']}"]
    if status.get("term") is not None:
        words.append(f"term {status['term']}")
    words += [f"log {status['log_index']}, applied {status['commit_index']}", f"state {status['digest']}"]
    return start + ", ".join(words)


def _example(found: Iterable[Standing]) -> list[str]:
    """How to talk to one: the body needs the run's name, which only the replica knows."""
    for one in found:
        status = one.api.status() if one.state == "up" else None
        if status and status.get("run"):
            operation = {"f": "write", "key": "x", "value": 1}
            body = {"run": status["run"], "client": "me", "sequence": 1, "operation": operation, "timeout_seconds": 2}
            return [
                "Clients talk to these addresses through their proxies. Count `sequence` up from one request to the next:",
                f"  curl {one.address}/op -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
            ]
    return []
