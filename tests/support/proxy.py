"""Servers, upstreams and clients for the tests of the proxies."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

LIMIT_SECONDS = 20.0
"""No wait in these tests lasts longer; a test that gets there has failed."""

GIVE_UP_SECONDS = 0.2
"""How long a client waits that is expected to wait in vain."""

Json = Any


def free_port() -> int:
    """A port below the ephemeral range that nothing listens on."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port found")


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until the condition gives something true, and return that."""
    limit = time.monotonic() + LIMIT_SECONDS
    while True:
        if found := condition():
            return found
        assert time.monotonic() < limit, f"waited in vain: {what}"
        time.sleep(0.005)


class Api:
    """Plain calls of a server's HTTP API."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def call(
        self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Json]:
        """Status and JSON of the answer; text that isn't JSON comes as it is, and nothing as None."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=LIMIT_SECONDS)
        try:
            connection.request(method, path, raw, headers or {})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(text) if text else None
        except ValueError:
            return response.status, text.decode()

    def do(self, method: str, path: str, body: Json = None) -> Json:
        """As `call`, for what must succeed."""
        status, answer = self.call(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer


class ProxyProcess:
    """The embedded server as a process; it dies with the test."""

    def __init__(self, port: int = 0, seed: int | None = None) -> None:
        arguments = ["--port", str(port), "--exit-with-stdin", *(["--seed", str(seed)] if seed is not None else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.proxy", *arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.match(r"listening on http://127\.0\.0\.1:(\d+) ", line)
        assert found, line + self.process.stderr.read()
        self.port = int(found[1])

    @property
    def api(self) -> Api:
        return Api("127.0.0.1", self.port)

    def stop(self) -> str:
        """End it by closing its standard input; returns the rest of what it wrote to stderr. Twice is once."""
        assert self.process.stdin is not None and self.process.stderr is not None
        if self.process.stderr.closed:
            return ""
        self.process.stdin.close()
        try:
            self.process.wait(LIMIT_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            said = self.process.stderr.read()
            self.process.stderr.close()
        return said

    def __enter__(self) -> ProxyProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class CountingUpstream:
    """An HTTP service that counts the requests it has executed, and can be told to hold its answers back."""

    def __init__(self) -> None:
        self.executed = 0
        self._changed = threading.Condition()
        self._may_answer = threading.Event()
        self._may_answer.set()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with upstream._changed:
                    upstream.executed += 1
                    upstream._changed.notify_all()
                upstream._may_answer.wait(LIMIT_SECONDS)
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # connections are torn here on purpose

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def hold_answers(self) -> None:
        self._may_answer.clear()

    def release_answers(self) -> None:
        self._may_answer.set()

    def wait_executed(self, count: int) -> None:
        with self._changed:
            reached = self._changed.wait_for(lambda: self.executed >= count, LIMIT_SECONDS)
        assert reached, f"{self.executed} requests were executed, not {count}"

    def close(self) -> None:
        self.release_answers()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Client:
    """One kept-alive HTTP connection, and how a request on it came out."""

    def __init__(self, port: int, timeout_seconds: float = LIMIT_SECONDS) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)

    def ask(self) -> str:
        """`ok`, `timeout`, `refused`, `closed` (by a FIN, perhaps in the middle of the answer) or `reset` (by an RST)."""
        try:
            self._connection.request("GET", "/")
            response = self._connection.getresponse()
            return "ok" if response.read() == b"ok" else "closed"
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except (http.client.BadStatusLine, http.client.IncompleteRead, BrokenPipeError):
            return "closed"
        except ConnectionResetError:
            return "reset"

    @property
    def local_port(self) -> int:
        """Tells one connection from another."""
        port: int = self._connection.sock.getsockname()[1]
        return port

    def was_hung_up(self) -> bool:
        """Wait until the other side closes the connection; False if it says something instead."""
        self._connection.sock.settimeout(LIMIT_SECONDS)
        try:
            return self._connection.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._connection.close()


class Ground:
    """One proxy of a server, its upstream, and clients of it."""

    def __init__(self, api: Api, name: str, upstream: str) -> None:
        self.api = api
        self.name = name
        self.port = free_port()
        self._path = f"/proxies/{name}"
        self._clients: list[Client] = []
        self._pool = ThreadPoolExecutor(8)
        api.do("POST", "/proxies", {"name": name, "listen": f"127.0.0.1:{self.port}", "upstream": upstream})

    def add(self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> str:
        """Add a toxic; returns its name."""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        name: str = self.api.do("POST", f"{self._path}/toxics", body)["name"]
        return name

    def change(self, method: str, toxic: str, **attributes: int) -> None:
        self.api.do(method, f"{self._path}/toxics/{toxic}", {"attributes": attributes})

    def remove(self, toxic: str) -> None:
        self.api.do("DELETE", f"{self._path}/toxics/{toxic}")

    def enable(self) -> None:
        self.api.do("POST", self._path, {"enabled": True})

    def disable(self) -> None:
        self.api.do("POST", self._path, {"enabled": False})

    def show(self) -> Json:
        return self.api.do("GET", self._path)

    def traffic(self) -> Json:
        """The live counters of this proxy; the embedded server alone has them."""
        return self.api.do("GET", "/rashomon/traffic")["proxies"][self.name]

    def client(self, timeout_seconds: float = LIMIT_SECONDS) -> Client:
        client = Client(self.port, timeout_seconds)
        self._clients.append(client)
        return client

    def ask(self, timeout_seconds: float = LIMIT_SECONDS) -> str:
        """One request on a new connection."""
        return self.client(timeout_seconds).ask()

    def in_background(self, action: Callable[[], Any]) -> Future[Any]:
        return self._pool.submit(action)

    def connect(self) -> socket.socket:
        """A plain socket to the proxy; the caller closes it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS)

    def close(self) -> None:
        self.api.call("DELETE", self._path)
        for client in self._clients:
            client.close()
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def raw_upstream() -> Iterator[socket.socket]:
    """A listening socket, for tests that play the service themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_SECONDS)
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def accept(listener: socket.socket) -> socket.socket:
    connection, _ = listener.accept()
    connection.settimeout(LIMIT_SECONDS)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes, or fewer if the connection ends before."""
    parts = []
    while size > 0 and (part := connection.recv(min(size, 65536))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive_to_end(connection: socket.socket) -> bytes:
    return receive(connection, sys.maxsize)


def says_something(connection: socket.socket, within_seconds: float) -> bool:
    """Whether data or an end arrive in that time; for what is expected NOT to come."""
    return bool(select.select([connection], [], [], within_seconds)[0])


def real_server() -> Api | None:
    """The real Toxiproxy that `TOXIPROXY_URL` names, if it is set."""
    url = os.environ.get("TOXIPROXY_URL")
    if not url:
        return None
    found = re.fullmatch(r"(?:http://)?([^/:]+):(\d+)/?", url)
    assert found, f"TOXIPROXY_URL is {url!r}; write http://127.0.0.1:8474"
    return Api(found[1], int(found[2]))
