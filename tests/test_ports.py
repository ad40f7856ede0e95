"""Ports: no two clusters get the same one, and a dead holder's come back."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.cluster import ClusterError
from harness.cluster import ports
from harness.cluster.ports import FIRST, LAST, PortLease

HOLD_THEN_WAIT = """
import sys
from harness.cluster.ports import PortLease
lease = PortLease(int(sys.argv[1]))
print(*lease.ports, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds forty ports."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_THEN_WAIT, "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def held_by(process: subprocess.Popen[str]) -> set[int]:
    assert process.stdout
    return {int(port) for port in process.stdout.readline().split()}


def test_a_lease_has_as_many_different_ports_as_asked_for_all_in_the_range() -> None:
    lease = PortLease(120)
    assert len(set(lease.ports)) == 120
    assert all(FIRST <= port <= LAST < 32768 for port in lease.ports)
    lease.release()


def test_two_leases_of_one_process_share_no_port() -> None:
    one, other = PortLease(60), PortLease(60)
    assert not set(one.ports) & set(other.ports)
    one.release()
    other.release()


def test_leases_of_two_processes_share_no_port(holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = held_by(holder)
    start = min(taken) - min(taken) % ports.BLOCK
    monkeypatch.setattr(ports, "_blocks", lambda: [start, FIRST if start != FIRST else FIRST + ports.BLOCK])
    lease = PortLease(10)
    assert not set(lease.ports) & taken
    lease.release()


def test_the_ports_of_a_process_that_was_killed_are_free_again(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = held_by(holder)
    monkeypatch.setattr(ports, "_blocks", lambda: sorted({port - port % ports.BLOCK for port in taken}))
    with pytest.raises(ClusterError):
        PortLease(10)
    holder.kill()
    holder.wait(10)
    lease = PortLease(10)
    lease.release()


def test_a_released_lease_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_blocks", lambda: [FIRST])
    lease = PortLease(5)
    lease.release()
    lease.release()
    again = PortLease(5)
    assert again.ports == lease.ports
    again.release()


def test_a_port_that_somebody_listens_on_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_blocks", lambda: [FIRST])
    lease = PortLease(1)
    wanted = lease.ports[0]
    lease.release()
    with socket.create_server(("127.0.0.1", wanted)):
        lease = PortLease(1)
        assert lease.ports[0] != wanted
        lease.release()


def test_too_many_ports_are_refused_in_one_sentence_and_nothing_stays_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_blocks", lambda: [FIRST])
    with pytest.raises(ClusterError, match=r"needs 51 free ports .* end other clusters or take fewer replicas"):
        PortLease(51)
    lease = PortLease(1)
    lease.release()
