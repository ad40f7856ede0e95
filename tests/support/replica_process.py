"""`python -m node` in a process of its own, as the end-to-end tests start, ask, kill and restart it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from node.app import TOKEN_HEADER
from tests.support.waiting import wait_for

TOKEN = "secret"
PROJECT = Path(__file__).resolve().parents[2]


class ReplicaProcess:
    """One replica with its folder and ports, which it keeps over its restarts. Leaving the `with` block kills it."""

    def __init__(self, folder: Path, id: str = "n1") -> None:
        self.id = id
        self.folder = folder / id
        self.log = folder / f"{id}.log"
        self.port, self.control_port = free_ports(2)
        self.address = f"http://127.0.0.1:{self.port}"
        self.control = f"http://127.0.0.1:{self.control_port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ReplicaProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.kill()

    def launch(self, token: str | None = TOKEN) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing."""
        environment = {name: value for name, value in os.environ.items() if name != "RASHOMON_TOKEN"}
        if token is not None:
            environment["RASHOMON_TOKEN"] = token
        arguments = ["--id", self.id, "--port", str(self.port), "--control-port", str(self.control_port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", *arguments, "--data", str(self.folder), "--exit-with-stdin"],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        return self.process

    def start(self) -> None:
        """Start the process and wait until it answers."""
        process = self.launch()

        def answers() -> bool:
            assert process.poll() is None, f"the replica ended with {process.returncode}: {self.log.read_text()}"
            try:
                return self.session.get(f"{self.control}/ping", timeout=1).status_code == 204
            except requests.RequestException:
                return False

        wait_for(answers, 30)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.exit_code()

    def exit_code(self, seconds: float = 20) -> int:
        """Wait until the process has ended by itself."""
        assert self.process is not None
        code = self.process.wait(seconds)
        if self.process.stdin:
            self.process.stdin.close()
        return code

    def order(self, what: str, body: dict[str, Any] | None = None) -> requests.Response:
        """Post to the control port, with the token."""
        return self.session.post(
            f"{self.control}/control/{what}", json=body or {}, headers={TOKEN_HEADER: TOKEN}, timeout=20
        )

    def provision(self, protocol: str, peers: dict[str, str] | None = None, run: str = "r1") -> None:
        peers = peers or {}
        body = {
            "run": run,
            "protocol": f"tests.support.replica_protocols:{protocol}",
            "machine": "kv",
            "seed": 1,
            "replicas": sorted([self.id, *peers]),
            "peers": peers,
        }
        answer = self.order("provision", body)
        assert answer.status_code == 204, answer.text

    def op(self, f: str, key: str, value: Any = None, timeout_seconds: float = 10) -> dict[str, Any]:
        body = operation_body(f, key, value, timeout_seconds)
        answer: dict[str, Any] = self.session.post(f"{self.address}/op", json=body, timeout=30).json()
        return answer

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.get(f"{self.control}/status", timeout=10).json()
        return answer


def operation_body(f: str, key: str, value: Any = None, timeout_seconds: float = 10) -> dict[str, Any]:
    operation = {"f": f, "key": key, "value": value}
    return {"run": "r1", "client": "c1", "sequence": 1, "operation": operation, "timeout_seconds": timeout_seconds}


def free_ports(count: int) -> list[int]:
    """Ports below the ephemeral range that nobody listens on now, different for different processes of tests."""
    found: list[int] = []
    start = 20_000 + os.getpid() * 37 % 10_000
    for port in range(start, 32_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


_given: set[int] = set()
