"""A service of several replicas that lives in this process: real HTTP, made-up behaviour. And a cluster around it.

All replicas serve one register per key, as if replication were perfect, unless they are told otherwise::

    with FakeService(3) as service:
        service.leader = "n2"                  # the others answer fail, and hint at n2
        service.modes["n1"] = "hang"           # see MODES
        service.refuse("n3")                   # nobody listens; `accept` undoes it
        service.idempotent = False             # a request that is repeated is executed again
        service.lose_every = 3                 # every third write is acknowledged and forgotten
        service.received                       # what came in, in order
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faults.cluster import ClusterError, ReplicaState
from harness.cluster import Cluster
from tests.support.fake_cluster import FakeCluster

MODES = {
    "ok": "executes, and answers",
    "fail": "doesn't execute, and says so",
    "fail 503": "the same, with the status 503",
    "info": "executes, and says that it doesn't know",
    "hang": "executes, and never answers",
    "hang before": "neither executes nor answers",
    "close": "executes, then closes the connection",
    "close before": "closes the connection without executing",
    "garbage": "executes, and answers what is not JSON",
    "nan": "executes, and answers what Python takes for JSON",
    "ok 500": "executes, and answers ok with the status 500",
    "redirect": "sends the client elsewhere",
    "trickle": "executes, and lets its answer drip",
    "slow": "executes, and answers after `delay_seconds`",
}


class FakeService:
    def __init__(self, replicas: int = 3) -> None:
        self.replicas = tuple(f"n{number}" for number in range(1, replicas + 1))
        self.modes = dict.fromkeys(self.replicas, "ok")
        self.leader: str | None = None
        self.idempotent = True
        self.lose_every = 0
        self.delay_seconds = 0.0
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.values: dict[str, Any] = {}
        self.released = threading.Event()
        """Set to let go of everything that hangs."""
        self._writes = 0
        self._answers: dict[str, tuple[int, Any]] = {}
        self._lock = threading.Lock()
        self._ports: dict[str, int] = {}
        self._servers: dict[str, _Server] = {}

    def __enter__(self) -> Self:
        for replica in self.replicas:
            self.accept(replica)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        for replica in self.replicas:
            self.refuse(replica)

    @property
    def addresses(self) -> dict[str, str]:
        return {replica: self.address(replica) for replica in self.replicas}

    def address(self, replica: str) -> str:
        return f"http://127.0.0.1:{self._ports[replica]}"

    def refuse(self, replica: str) -> None:
        """Listen no more, and cut what is connected."""
        server = self._servers.pop(replica, None)
        if server is not None:
            server.end()

    def accept(self, replica: str) -> None:
        """Listen again, on the same port as before."""
        if replica not in self._servers:
            server = _Server(self, replica, self._ports.get(replica, 0))
            self._ports[replica] = server.server_address[1]
            self._servers[replica] = server

    def requests_of(self, client: str) -> list[tuple[str, int]]:
        """Whom the client asked with which sequence number, in order."""
        return [(replica, body["sequence"]) for replica, body in self.received if body["client"] == client]

    def take(self, replica: str, body: dict[str, Any]) -> str:
        """Note a request; returns the mode that it is answered in."""
        with self._lock:
            self.received.append((replica, body))
            return self.modes[replica]

    def execute(self, body: dict[str, Any]) -> Any:
        client, sequence = body["client"], body["sequence"]
        with self._lock:
            known = self._answers.get(client)
            if self.idempotent and known is not None and known[0] == sequence:
                return known[1]
            result = self._apply(body["operation"])
            self._answers[client] = (sequence, result)
            return result

    def _apply(self, operation: dict[str, Any]) -> Any:
        f, key, value = operation["f"], operation["key"], operation["value"]
        if f == "read":
            return self.values.get(key)
        if f == "cas":
            if self.values.get(key) != value[0]:
                return False
            self.values[key] = value[1]
            return True
        self._writes += 1
        if not self.lose_every or self._writes % self.lose_every:
            self.values[key] = value
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, service: FakeService, replica: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.service = service
        self.replica = replica
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name=f"fake {replica}", daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def end(self) -> None:
        self.shutdown()
        self._thread.join(5.0)
        self.server_close()
        with self._guard:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        service, replica = self.server.service, self.server.replica
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = service.take(replica, body)
        if mode == "redirect":
            self._redirect()
        elif mode in ("hang before", "close before"):
            self._leave(hanging=mode.startswith("hang"))
        elif mode in ("fail", "fail 503"):
            self._answer({"type": "fail", "error": "told to fail"}, 503 if mode == "fail 503" else 200)
        elif mode == "ok" and service.leader not in (None, replica):
            self._answer({"type": "fail", "error": f"{replica} is not the leader", "leader": service.leader})
        else:
            self._answer_executed(mode, service.execute(body))

    def _answer_executed(self, mode: str, result: Any) -> None:
        if mode in ("hang", "close"):
            self._leave(hanging=mode == "hang")
        elif mode == "info":
            self._answer({"type": "info", "error": "told not to know"})
        elif mode == "garbage":
            self._send(200, b"<html>hello</html>")
        elif mode == "nan":
            self._send(200, b'{"type": "ok", "result": NaN}')
        elif mode == "slow":
            self.server.service.released.wait(self.server.service.delay_seconds)
            self._answer({"type": "ok", "result": result})
        elif mode == "trickle":
            self._trickle(json.dumps({"type": "ok", "result": result}).encode())
        else:
            self._answer({"type": "ok", "result": result}, 500 if mode == "ok 500" else 200)

    def _answer(self, answer: Mapping[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _redirect(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"{self.server.service.address('n2')}/op")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _trickle(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for place in range(len(content)):
            self.wfile.write(content[place : place + 1])
            if self.server.service.released.wait(0.05):
                break

    def _leave(self, hanging: bool) -> None:
        if hanging:
            self.server.service.released.wait(30.0)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class ServedCluster(FakeCluster, Cluster):
    """The fake cluster of the faults' tests, with a service that clients can talk to, and a life.

    A replica that is killed closes connections without executing, one that is paused hangs.
    """

    kind = "fake"
    network: Any = None

    def __init__(self, replicas: int = 3) -> None:
        super().__init__(replicas)
        self.service = FakeService(replicas)
        self.up = False
        self.provisioned: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        """Of `enter`, `provision`, `save_logs`: what raises ClusterError."""
        self.untold_deaths: list[str] = []

    def __enter__(self) -> Self:
        self._perhaps_fail("enter")
        self.service.__enter__()
        self.up = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.__exit__(kind, error, trace)
        self.up = False

    def provision(
        self,
        protocol: str,
        options: Mapping[str, Any],
        machine: str,
        run: str,
        seed: int,
        timeout_seconds: float = 20.0,
        flaws: Sequence[str] = (),
    ) -> None:
        self._perhaps_fail("provision")
        self.provisioned.append((protocol, dict(options), machine, run, seed))

    def address(self, replica: str) -> str:
        return self.service.address(replica)

    def deaths(self) -> list[str]:
        told, self.untold_deaths = self.untold_deaths, []
        return told

    def save_logs(self, folder: Path) -> None:
        self._perhaps_fail("save_logs")
        for replica in self.replicas:
            (folder / f"{replica}.log").write_text(f"{replica} was here\n", "utf-8")

    def _perhaps_fail(self, what: str) -> None:
        if what in self.failing:
            raise ClusterError(f"the cluster failed to {what}: this is a test")

    def _do(self, deed: str, replica: str, state: ReplicaState, from_states: tuple[str, ...]) -> None:
        super()._do(deed, replica, state, from_states)
        modes = {"up": "ok", "down": "close before", "paused": "hang before"}
        self.service.modes[replica] = modes[self.states[replica]]
