"""What the embedded proxy costs: the same requests sent directly, through it, and through it with two toxics.

    python bench/proxy.py

Everything runs on this machine's loopback interface, in three processes: the client (here), the proxy, and a service
that answers at once. The toxics add no delay, so what they cost is their handling. Takes about ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

REQUEST = b"POST /op HTTP/1.1\r\nHost: n1\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"y" * 100
BULK_REQUEST = REQUEST.replace(b"/op", b"/go")
BULK_PIECE = bytes(256 << 10)
BULK_BYTES = 512 * len(BULK_PIECE)

KEPT_ALIVE_REQUESTS = 4000
NEW_CONNECTIONS = 500
PARALLEL_REQUESTS = 20_000
PARALLEL_CONNECTIONS = 16


class Service(asyncio.Protocol):
    """Answers each request of REQUEST's size at once; one for `/go` with BULK_BYTES."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""
        self.bulk_left = 0
        self.full = False

    def data_received(self, data: bytes) -> None:
        self.received += data
        while len(self.received) >= len(REQUEST):
            request, self.received = self.received[: len(REQUEST)], self.received[len(REQUEST) :]
            if request == BULK_REQUEST:
                self.bulk_left = BULK_BYTES
                self.send_bulk()
            else:
                self.transport.write(ANSWER)

    def send_bulk(self) -> None:
        while self.bulk_left > 0 and not self.full:
            self.bulk_left -= len(BULK_PIECE)
            self.transport.write(BULK_PIECE)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.send_bulk()


def serve(port_sender: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
        port_sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client: socket.socket, size: int) -> None:
    while size > 0:
        part = client.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the connection was closed")
        size -= len(part)


def kept_alive(port: int) -> float:
    """Microseconds of a request on an open connection: the median."""
    with connect(port) as client:
        return statistics.median(microseconds(lambda: exchange(client)) for _ in range(KEPT_ALIVE_REQUESTS))


def new_connection(port: int) -> float:
    """Microseconds of connecting, one request, and closing: the median."""

    def once() -> None:
        with connect(port) as client:
            exchange(client)

    return statistics.median(microseconds(once) for _ in range(NEW_CONNECTIONS))


def megabytes_per_second(port: int) -> float:
    with connect(port) as client:
        began = time.perf_counter()
        client.sendall(BULK_REQUEST)
        receive(client, BULK_BYTES)
        return BULK_BYTES / 1e6 / (time.perf_counter() - began)


def requests_per_second(port: int) -> float:
    """With many connections that each send the next request when they have their answer."""
    selector = selectors.DefaultSelector()
    clients = [connect(port) for _ in range(PARALLEL_CONNECTIONS)]
    began = time.perf_counter()
    for client in clients:
        selector.register(client, selectors.EVENT_READ)
        client.sendall(REQUEST)
    answered = 0
    while answered < PARALLEL_REQUESTS:
        for key, _ in selector.select(30):
            assert isinstance(key.fileobj, socket.socket)
            receive(key.fileobj, len(ANSWER))
            key.fileobj.sendall(REQUEST)
            answered += 1
    seconds = time.perf_counter() - began
    for client in clients:
        client.close()
    selector.close()
    return answered / seconds


def exchange(client: socket.socket) -> None:
    client.sendall(REQUEST)
    receive(client, len(ANSWER))


def microseconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e6


class Figures(NamedTuple):
    kept_alive_us: float
    new_connection_us: float
    megabytes_per_second: float
    requests_per_second: float


def measure(port: int) -> Figures:
    exchange_once = connect(port)
    exchange(exchange_once)
    exchange_once.close()
    return Figures(kept_alive(port), new_connection(port), megabytes_per_second(port), requests_per_second(port))


def call(url: str, body: object) -> dict[str, str]:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10) as answer:
        shown: dict[str, str] = json.load(answer)
        return shown


def measure_all(service_port: int, api: str) -> dict[str, Figures]:
    listen = call(f"{api}/proxies", {"name": "bench", "upstream": f"127.0.0.1:{service_port}"})["listen"]
    port = int(listen.rpartition(":")[2])
    figures = {"direct": measure(service_port), "embedded": measure(port)}
    for stream in ("upstream", "downstream"):
        call(f"{api}/proxies/bench/toxics", {"type": "latency", "stream": stream})
    return {**figures, "embedded, 2 toxics": measure(port)}


def show(figures: dict[str, Figures]) -> None:
    direct = figures["direct"]
    row = "{:<20}{:>22}{:>22}{:>18}{:>20}"
    print(row.format("path", "kept alive p50, us", "new connection, us", "MB/s", "requests/s"))
    for path, each in figures.items():
        cells = [f"{value:,.0f} ({value / base:.2f})" for value, base in zip(each, direct, strict=True)]
        print(row.format(path, *cells))
    print("in brackets: the ratio to the direct path of this run")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    service = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,), daemon=True)
    service.start()
    command = [sys.executable, "-m", "faults.proxy", "--port", "0", "--exit-with-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as proxy:
        assert proxy.stderr is not None
        line = proxy.stderr.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            sys.exit(f"the proxy did not start: {line}")
        try:
            show(measure_all(receiver.recv(), found[0]))
        finally:
            proxy.kill()
            service.kill()
            service.join()


if __name__ == "__main__":
    main()
