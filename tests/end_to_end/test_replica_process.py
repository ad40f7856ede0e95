"""Real replicas: what survives SIGKILL and what doesn't, ways to end, ways not to start, load and links."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from node.runtime import OPEN_REQUESTS_LIMIT
from tests.support.replica_process import ReplicaProcess, operation_body
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[ReplicaProcess]:
    with ReplicaProcess(tmp_path) as replica:
        yield replica


def last_line(replica: ReplicaProcess) -> str:
    return replica.log.read_text().splitlines()[-1]


# What survives


def test_what_was_answered_survives_a_kill_and_the_replica_comes_back_by_itself(replica: ReplicaProcess) -> None:
    replica.provision("Keeper")
    for value in range(10):
        assert replica.op("write", f"k{value}", value)["type"] == "ok"
    replica.kill()
    replica.start()
    assert [replica.op("read", f"k{value}")["result"] for value in range(10)] == list(range(10))
    assert replica.status()["run"] == "r1"


def test_what_was_not_synced_is_lost_by_a_kill(replica: ReplicaProcess) -> None:
    replica.provision("Hanging")
    assert replica.op("write", "x", "synced")["type"] == "ok"
    assert replica.op("write", "hang", "not synced", timeout_seconds=0.2)["type"] == "info"
    replica.kill()
    assert b"not synced" not in (replica.folder / "journal").read_bytes()
    replica.start()
    assert replica.op("read", "x")["result"] == "synced"
    assert replica.status()["details"]["recovered"] == [{"effect": ["x", "synced"]}]


def test_kills_under_load_lose_nothing_that_was_answered(replica: ReplicaProcess) -> None:
    replica.provision("Keeper")
    answered: dict[str, int] = {}
    for round_number in range(3):
        clients = [
            threading.Thread(target=write_until_gone, args=(replica, f"k{number}", round_number, answered))
            for number in range(6)
        ]
        for client in clients:
            client.start()
        wait_for(lambda: len(answered) == 6 and min(answered.values()) >= round_number * 100_000 + 5)  # noqa: B023
        replica.kill()
        for client in clients:
            client.join(30)
        replica.start()
        # One more may have been carried out without its answer getting through, never one less.
        for key, value in answered.items():
            assert replica.op("read", key)["result"] in (value, value + 1), (key, value, round_number)


def write_until_gone(replica: ReplicaProcess, key: str, round_number: int, answered: dict[str, int]) -> None:
    value = round_number * 100_000
    with requests.Session() as session:
        session.trust_env = False
        if round_number:
            answered[key] = value
        while True:
            body = operation_body("write", key, value + 1)
            try:
                answer = session.post(f"{replica.address}/op", json=body, timeout=20).json()
            except requests.RequestException:
                return
            assert answer["type"] == "ok"
            value += 1
            answered[key] = value


def test_a_journal_damaged_in_its_middle_is_not_started_with(replica: ReplicaProcess) -> None:
    replica.provision("Keeper")
    for value in range(3):
        replica.op("write", "x", value)
    replica.kill()
    journal = replica.folder / "journal"
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 1
    journal.write_bytes(content)
    replica.launch()
    assert replica.exit_code() == 4
    assert "is damaged, and whole records follow it" in last_line(replica)
    assert "Traceback" not in replica.log.read_text()


# Ways to end


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "shutdown"])
def test_it_ends_cleanly_and_its_clients_are_told(replica: ReplicaProcess, how: str) -> None:
    replica.provision("Plain")
    waiting = send(replica, json.dumps(operation_body("read", "x")).encode())
    wait_for(lambda: replica.status()["host"]["open_requests"] == 1)
    if how == "shutdown":
        assert replica.order("shutdown").status_code == 204
    else:
        assert replica.process
        replica.process.send_signal(getattr(signal, how))
    assert replica.exit_code(10) == 0
    assert b'"info"' in received(waiting)


def test_it_ends_with_its_owner(replica: ReplicaProcess) -> None:
    assert replica.process and replica.process.stdin
    replica.process.stdin.close()
    assert replica.process.wait(10) == 0


def test_a_handler_that_raises_ends_the_process_with_a_traceback_in_the_log(replica: ReplicaProcess) -> None:
    replica.provision("Keeper")
    with pytest.raises(requests.ConnectionError):
        replica.op("write", "broken", 1)
    assert replica.exit_code() == 5
    assert "RuntimeError: this handler is broken" in last_line(replica)
    assert "Traceback" in replica.log.read_text()


def test_a_disk_that_is_full_ends_the_process_before_it_answers(replica: ReplicaProcess) -> None:
    replica.provision("Keeper")
    assert replica.op("write", "x", 1)["type"] == "ok"
    assert replica.process
    # Files may grow no more; standard error was opened by others, and its limit counts for the log as well.
    limit = max(replica.log.stat().st_size + 4096, 16_384)
    resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(requests.ConnectionError):
        replica.op("write", "y", "long " * 10_000)
    assert replica.exit_code() == 6
    assert "cannot write the journal (File too large)" in last_line(replica)
    replica.start()
    assert [replica.op("read", key)["result"] for key in ("x", "y")] == [1, None]


# Ways not to start


@pytest.mark.parametrize("which", ["port", "control_port"])
def test_a_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path, which: str) -> None:
    replica = ReplicaProcess(tmp_path)
    with socket.create_server(("127.0.0.1", getattr(replica, which))):
        replica.launch()
        assert replica.exit_code() == 3
    assert f"cannot listen on 127.0.0.1:{getattr(replica, which)}: the port is taken" in replica.log.read_text()
    assert len(replica.log.read_text().splitlines()) == 1


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_it_does_not_start(tmp_path: Path, token: str | None) -> None:
    replica = ReplicaProcess(tmp_path)
    replica.launch(token)
    assert replica.exit_code() == 3
    assert replica.log.read_text().count("\n") == 1 and "RASHOMON_TOKEN is not set" in replica.log.read_text()


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    replica = ReplicaProcess(tmp_path)
    (tmp_path / "file").write_text("")
    replica.folder = tmp_path / "file" / "folder"
    replica.launch()
    assert replica.exit_code() == 3
    assert replica.log.read_text().count("\n") == 1 and "cannot write the folder" in replica.log.read_text()


def test_a_folder_in_use_is_told_in_one_sentence(replica: ReplicaProcess, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    second = ReplicaProcess(tmp_path / "other")
    second.folder = replica.folder
    second.launch()
    assert second.exit_code() == 3
    assert "belongs to a replica that is running" in last_line(second)


# Load, clients and links


def test_waiting_clients_never_keep_peers_waiting_and_too_many_are_refused(replica: ReplicaProcess) -> None:
    replica.provision("Plain", {"n2": "http://127.0.0.1:9"})
    body = json.dumps(operation_body("read", "x", timeout_seconds=30)).encode()
    clients = [send(replica, body) for _ in range(OPEN_REQUESTS_LIMIT)]
    wait_for(lambda: replica.status()["host"]["open_requests"] == OPEN_REQUESTS_LIMIT)
    refused = replica.session.post(f"{replica.address}/op", data=body, timeout=20)
    assert (refused.status_code, refused.json()["type"]) == (503, "fail")
    letter = {"run": "r1", "from": "n2", "to": "n1", "messages": [{}]}
    assert replica.session.post(f"{replica.address}/messages", json=letter, timeout=5).status_code == 200
    for client in clients:
        client.close()
    assert replica.order("shutdown").status_code == 204
    assert replica.exit_code(20) == 0


def test_a_client_that_goes_away_breaks_nothing(replica: ReplicaProcess) -> None:
    replica.provision("Plain")
    send(replica, json.dumps(operation_body("read", "x", timeout_seconds=0.5)).encode()).close()
    wait_for(lambda: replica.status()["host"]["handled"] == 1)
    wait_for(lambda: replica.status()["host"]["open_requests"] == 0)
    assert replica.op("read", "x", timeout_seconds=0.1)["type"] == "info"
    assert "Traceback" not in replica.log.read_text()


def test_messages_pass_between_replicas_and_again_after_a_kill(tmp_path: Path) -> None:
    with ReplicaProcess(tmp_path, "n1") as one, ReplicaProcess(tmp_path, "n2") as two:
        one.provision("Gossip", {"n2": two.address})
        two.provision("Gossip", {"n1": one.address})
        one.op("write", "x", 1)
        wait_for(lambda: two.op("read", "x")["result"] == 1)
        assert ping(one) == "ok"
        two.kill()
        assert ping(one) == "refused"
        one.op("write", "x", 2)
        wait_for(lambda: one.status()["host"]["links"]["n2"]["dropped"] == 1)
        two.start()
        assert ping(one) == "ok"
        one.op("write", "x", 3)
        wait_for(lambda: two.op("read", "x")["result"] == 3)


def test_a_paused_peer_is_given_up_and_found_again(tmp_path: Path) -> None:
    with ReplicaProcess(tmp_path, "n1") as one, ReplicaProcess(tmp_path, "n2") as two:
        one.provision("Gossip", {"n2": two.address})
        two.provision("Gossip", {"n1": one.address})
        assert two.process
        os.kill(two.process.pid, signal.SIGSTOP)
        one.op("write", "x", 1)
        wait_for(lambda: one.status()["host"]["links"]["n2"]["dropped"] == 1)
        assert ping(one) == "timeout"
        os.kill(two.process.pid, signal.SIGCONT)
        one.op("write", "y", 2)
        wait_for(lambda: two.op("read", "y")["result"] == 2)


def ping(replica: ReplicaProcess) -> Any:
    return replica.order("ping", {"peer": "n2", "timeout_seconds": 2}).json()["outcome"]


def send(replica: ReplicaProcess, body: bytes) -> socket.socket:
    """A client of its own connection that has asked and not yet read."""
    client = socket.create_connection(("127.0.0.1", replica.port), 10)
    client.sendall(b"POST /op HTTP/1.1\r\nHost: n1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return client


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    with client:
        content = b""
        while part := client.recv(4096):
            content += part
        return content
