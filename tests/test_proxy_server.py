"""The embedded server's process, and its HTTP against clients that break the rules."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from faults.proxy.http_server import MAX_BODY_BYTES, MAX_CLIENTS, MAX_HEAD_BYTES
from tests.support.proxy import LIMIT_SECONDS, ProxyProcess, free_port, receive, receive_to_end


@pytest.fixture(scope="module")
def process() -> Iterator[ProxyProcess]:
    with ProxyProcess() as process:
        yield process


def connect(process: ProxyProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", process.port), timeout=LIMIT_SECONDS)


def exchange(process: ProxyProcess, data: bytes) -> bytes:
    """Everything that the server says to these bytes until it hangs up."""
    with connect(process) as client:
        client.sendall(data)
        return receive_to_end(client)


class TestHttp:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"hello\r\n\r\n", 400),
            (b"GET /version\r\n\r\n", 400),
            (b"GET version HTTP/1.1\r\n\r\n", 400),
            (b"GET /version HTTP/3\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
            (b"GET /version HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET /version HTTP/1.1\r\n folded: header\r\n\r\n", 400),
            (b"POST /proxies HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST /proxies HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
            (b"POST /proxies HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
            (b"POST /proxies HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
            (b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (b"GET /version HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1), 431),
        ],
    )
    def test_what_is_malformed_or_too_big_is_answered_once_and_hung_up_on(
        self, process: ProxyProcess, data: bytes, status: int
    ) -> None:
        head, _, body = exchange(process, data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in head
        assert json.loads(body)["status"] == status
        assert process.api.do("GET", "/version")

    @pytest.mark.parametrize(
        "data", [b"", b"GET", b"GET /version HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"]
    )
    def test_a_client_that_goes_away_in_the_middle_leaves_nothing(self, process: ProxyProcess, data: bytes) -> None:
        with connect(process) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(client) == b""
        assert process.api.do("GET", "/version")

    def test_deeply_nested_json_is_refused(self, process: ProxyProcess) -> None:
        status, answer = process.api.call("POST", "/proxies", b"[" * 100_000)
        assert (status, answer["status"]) == (400, 400)

    def test_requests_follow_each_other_on_one_connection(self, process: ProxyProcess) -> None:
        answer = exchange(
            process,
            b"GET /version HTTP/1.1\r\n\r\nDELETE /proxies/none HTTP/1.1\r\n\r\n"
            b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]

    def test_http_1_0_is_served_and_hung_up_on(self, process: ProxyProcess) -> None:
        assert exchange(process, b"GET /version HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")

    def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(self, process: ProxyProcess) -> None:
        with connect(process) as client:
            client.sendall(b"POST /populate HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"[]")
            assert receive(client, 12) == b"HTTP/1.1 201"

    def test_slow_clients_hold_up_nobody_and_too_many_are_hung_up_on(self, process: ProxyProcess) -> None:
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(connect(process)) for _ in range(MAX_CLIENTS // 2)]
            for client in slow:
                client.sendall(b"GET /ver")
            assert process.api.do("GET", "/version")
            many = [stack.enter_context(connect(process)) for _ in range(MAX_CLIENTS)]
            assert receive_to_end(many[-1]) == b""
            for client in slow:
                client.sendall(b"sion HTTP/1.1\r\n\r\n")
                assert receive(client, 12) == b"HTTP/1.1 200"


class TestProcess:
    def test_it_ends_with_its_standard_input_and_says_no_more_than_where_it_listens(self) -> None:
        with ProxyProcess() as process:
            process.api.do("POST", "/proxies", {"name": "a", "upstream": "127.0.0.1:9"})
            assert process.stop() == ""
            assert process.process.returncode == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_at_a_signal_also_with_connections_open(self, number: signal.Signals) -> None:
        with ProxyProcess() as process, connect(process) as client:
            process.api.do("POST", "/proxies", {"name": "a", "upstream": "127.0.0.1:9"})
            process.process.send_signal(number)
            assert process.process.wait(LIMIT_SECONDS) == 0
            assert receive_to_end(client) == b""

    def test_an_address_that_is_taken_is_one_sentence(self, process: ProxyProcess) -> None:
        ended = self.run("--port", str(process.port))
        assert ended.returncode == 3
        assert ended.stderr == (
            f"cannot listen on 127.0.0.1:{process.port}: address already in use; choose another with --host and --port\n"
        )

    @pytest.mark.parametrize("arguments", [["--port", "70000"], ["--host", "no.such.host.invalid"]])
    def test_an_address_that_is_none_is_one_sentence(self, arguments: list[str]) -> None:
        ended = self.run(*arguments)
        assert ended.returncode == 3
        assert ended.stderr.count("\n") == 1

    def test_the_port_is_free_again_at_once(self) -> None:
        port = free_port()
        for _ in range(2):
            with ProxyProcess(port) as process:
                assert process.api.do("GET", "/version")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "faults.proxy", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_SECONDS,
        )
