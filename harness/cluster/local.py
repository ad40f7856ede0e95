"""The kind `local`: one process per replica and one for the proxies, all on this machine. It needs no Docker.

Every child holds the end of a pipe whose other end is the harness's: when the harness dies, however it dies, they see
the end of the pipe and die too. Those that can't see it, because they are paused, are found by `leftovers.sweep`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from faults.cluster import CLIENT, ClusterError, Link, NetworkError, ReplicaState
from faults.toxiproxy import ProxyAddress, ToxiproxyNetwork, wait_for_server
from harness.cluster.http_cluster import READY_SECONDS, HttpCluster
from harness.cluster.leftovers import Record
from harness.cluster.ports import PortLease
from harness.cluster.processes import is_stopped
from harness.cluster.replica_api import ReplicaApi

PROXY = "proxy"
PROJECT = Path(__file__).resolve().parents[2]
"""The folder that the package `node` lies in."""
HOST = "127.0.0.1"
BAD_INPUT_EXIT_CODE = 3
"""Replicas and the proxies' server end with it when a port is taken."""
_STARTS = 3
_STOP_SECONDS = 5.0


class LocalCluster(HttpCluster):
    """Up to 25 replicas, on ports that no other cluster of this machine has; several clusters go side by side.

    With `detached` the processes live on when the harness ends, after `leave_running`.
    """

    kind = "local"

    def __init__(self, replicas: int, detached: bool = False) -> None:
        super().__init__(replicas)
        self._detached = detached
        self._token = secrets.token_hex(16)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._record: Record | None = None
        self._lease: PortLease | None = None
        self._spawning = threading.Lock()
        self._closed = False
        """A fault that is still at work in another thread must not start a replica after the last one was ended."""
        self._ports: dict[str, int] = {}
        """By what listens: `n1`, `n1 control`, `proxy`, `n1->n2`, `client->n1`."""

    # Life

    def __enter__(self) -> Self:
        try:
            self._record = Record.begin("local")
            self._start_with_retries()
        except BaseException as error:
            self._take_down()
            if isinstance(error, OSError | NetworkError):
                raise ClusterError(f"the local cluster could not be started: {error}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def leave_running(self) -> None:
        """Make a detached cluster that is up stay so, until its record is asked to stop it."""
        record = self._the_record
        record.owner = None
        record.facts = {
            "token": self._token,
            "ports": self._ports,
            "replicas": list(self.replicas),
        }
        record.save()
        self._children.clear()
        self._record = None

    def _start_with_retries(self) -> None:
        """Somebody may take a port between finding it free and listening on it: then other ports will do."""
        for attempt in range(1, _STARTS + 1):
            try:
                self._start()
                return
            except ClusterError:
                if attempt == _STARTS or not self._a_port_was_taken():
                    raise
                self._stop()

    def _a_port_was_taken(self) -> bool:
        return any(child.poll() == BAD_INPUT_EXIT_CODE for child in self._children.values())

    def _start(self) -> None:
        self._closed = False
        self._down_on_purpose.clear()
        self._assign_ports()
        record = self._the_record
        record.data.mkdir(parents=True, exist_ok=True)
        self._start_proxy()
        for replica in self.replicas:
            self._start_replica(replica)
        self._wait_for_proxy()
        self._network = ToxiproxyNetwork(HOST, self._ports[PROXY], self._proxies(), restart=self._restart_proxy)
        self._network.create()
        self._wait_until_answering(self.replicas)

    def _assign_ports(self) -> None:
        names = [PROXY, *self.replicas, *(f"{replica} control" for replica in self.replicas), *map(str, self.links)]
        self._lease = PortLease(len(names))
        self._ports = dict(zip(names, self._lease.ports, strict=True))
        self._apis = {
            replica: ReplicaApi(replica, HOST, self._ports[f"{replica} control"], self._token)
            for replica in self.replicas
        }

    def _take_down(self) -> None:
        self._stop()
        if self._record:
            self._record.end()
            self._record = None

    def _stop(self) -> None:
        """End every child and give back the ports; goes on whatever is gone already."""
        if self._network:
            self._network.detach()
            self._network = None
        with self._spawning:
            self._closed = True
        self._down_on_purpose.update(self.replicas)
        for child in self._children.values():
            _signal(child, signal.SIGKILL)
        for child in self._children.values():
            _reap(child)
        self._children.clear()
        if self._lease:
            self._lease.release()
            self._lease = None
        if self._record:
            shutil.rmtree(self._record.data, ignore_errors=True)

    # Addresses

    def client_port(self, replica: str) -> int:
        return self._ports[str(Link(CLIENT, replica))]

    def peer_url(self, link: Link) -> str:
        return f"http://{HOST}:{self._ports[str(link)]}"

    def _proxies(self) -> dict[Link, ProxyAddress]:
        return {
            link: ProxyAddress(f"{HOST}:{self._ports[str(link)]}", f"{HOST}:{self._ports[link.target]}")
            for link in self.links
        }

    # Replicas

    def state(self, replica: str) -> ReplicaState:
        child = self._children.get(replica)
        if child is None or child.poll() is not None:
            return "down"
        return "paused" if is_stopped(child.pid) else "up"

    def pause(self, replica: str) -> None:
        with self._locks[replica]:
            if self.state(replica) == "up":
                self._signal_and_wait(replica, signal.SIGSTOP, "paused")

    def resume(self, replica: str) -> None:
        with self._locks[replica]:
            if self.state(replica) == "paused":
                self._signal_and_wait(replica, signal.SIGCONT, "up")

    def save_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*self.replicas, PROXY):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self._log_path(name), folder / f"{name}.log")

    def _signal_and_wait(self, replica: str, number: signal.Signals, wanted: ReplicaState) -> None:
        _signal(self._children[replica], number)
        deadline = time.monotonic() + _STOP_SECONDS
        while (state := self.state(replica)) != wanted:
            if state == "down":
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"{replica} is not {wanted} {_STOP_SECONDS:.0f} s after {number.name}")
            time.sleep(0.001)

    def _kill_replica(self, replica: str) -> None:
        child = self._children.get(replica)
        if child is not None:
            _signal(child, signal.SIGKILL)
            _reap(child)

    def _start_replica(self, replica: str) -> None:
        ports = ["--port", str(self._ports[replica]), "--control-port", str(self._ports[f"{replica} control"])]
        data = ["--data", str(self._the_record.data / replica)]
        self._spawn(replica, ["-m", "node", "--id", replica, "--host", HOST, *ports, *data])

    def _obituary(self, replica: str) -> str:
        child = self._children.get(replica)
        code = child.poll() if child else None
        how = "it was never started" if code is None else f"exit code {code}" if code >= 0 else _signal_name(-code)
        last = _last_line(self._log_path(replica))
        return f"{how}; its last words: {last}" if last else how

    # Processes

    def _start_proxy(self) -> None:
        self._spawn(PROXY, ["-m", "faults.proxy", "--host", HOST, "--port", str(self._ports[PROXY])])

    def _wait_for_proxy(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self._children[PROXY].poll() is not None:
                raise ClusterError(f"the proxies' server ended at once: {_last_line(self._log_path(PROXY))}")
            try:
                wait_for_server(HOST, self._ports[PROXY], timeout_seconds=0.2)
                return
            except NetworkError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the proxies' server does not answer: {error}") from error

    def _restart_proxy(self) -> None:
        """For the network's watchdog, when the server has died or hangs."""
        _signal(self._children[PROXY], signal.SIGKILL)
        self._start_proxy()
        self._wait_for_proxy()

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with self._spawning, self._log_path(name).open("ab") as log:
            if self._closed:
                raise ClusterError(f"{name} is not started: the cluster is being taken down")
            if name in self._children:
                _reap(self._children[name])  # one that died on its own has left its pipe open
            child = subprocess.Popen(
                [sys.executable, *arguments, *([] if self._detached else ["--exit-with-stdin"])],
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "RASHOMON_TOKEN": self._token, "PYTHONPATH": _python_path()},
                # Ctrl-C in the terminal is for the harness alone, which then ends its children in good order.
                start_new_session=True,
                # The lease of a cluster that is left running lives as long as its proxies.
                pass_fds=self._lease.files if self._lease and self._detached and name == PROXY else (),
            )
            self._children[name] = child
            self._the_record.started(name, child.pid)

    def _log_path(self, name: str) -> Path:
        return self._the_record.data / f"{name}.log"

    @property
    def _the_record(self) -> Record:
        if self._record is None:
            raise ClusterError("the cluster is not up")
        return self._record


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Not by the group: a child is alone in its session, and `send_signal` never hits a pid that was given out again.
    child.send_signal(number)


def _reap(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_STOP_SECONDS)
    if child.stdin:
        child.stdin.close()


def _python_path() -> str:
    """Replicas import what the harness can import: a protocol of the user's own, or the project from its checkout."""
    return os.pathsep.join(dict.fromkeys(path or str(Path.cwd()) for path in (*sys.path, str(PROJECT))))


def _last_line(path: Path) -> str:
    """The end of a log, where the reason stands; empty if there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def _signal_name(number: int) -> str:
    try:
        return f"ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended by signal {number}"
