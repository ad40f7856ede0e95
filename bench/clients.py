"""Operations a second of the harness against a replica that answers at once, beside a bare `requests` loop.

Both have as many threads, use the same server (a process of its own) and take turns within one run, so that the ratio
means something on any machine. The harness does all that it does in a run: plans operations, keeps sessions, records every
invocation and completion in a file. The bare loop posts the same JSON with a kept-alive `requests.Session` per thread and
decodes the answer. At least 0.7 of the bare loop is what we ask of ourselves.

    python bench/clients.py [seconds per turn] [turns] [threads]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from harness.clients import Clients
from harness.history import History
from harness.spec import ClientsSpec
from harness.workloads.register import Register, RegisterOptions

ANSWER = b'{"type":"ok","result":true}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


class AnsweringAtOnce(asyncio.Protocol):
    """As much of HTTP as a client with small requests and kept-alive connections needs."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, separator, rest = self._received.partition(b"\r\n\r\n")
            if not separator:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._transport.write(RESPONSE)


async def serve() -> None:
    """Print the port, then answer until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(AnsweringAtOnce, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def bare_loop(address: str, threads: int, seconds: float) -> float:
    """Operations a second."""
    counts = [0] * threads
    stopped = threading.Event()

    def work(number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not stopped.is_set():
                operation = {"f": "write", "key": "k0.0", "value": counts[number]}
                body = {"run": "bench", "client": f"p{number}", "sequence": counts[number], "operation": operation}
                assert session.post(f"{address}/op", json=body, timeout=2.0).json()["type"] == "ok"
                counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    stopped.wait(seconds)
    stopped.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - began)


def harness_loop(address: str, threads: int, seconds: float) -> float:
    """Operations a second."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.jsonl")
        workload = Register(RegisterOptions(), threads, 1)
        clients = Clients(workload, ClientsSpec(processes=threads), {"n1": address}, "bench", 1, history)
        began = time.monotonic()
        clients.start()
        time.sleep(seconds)
        clients.stop()
        took = time.monotonic() - began
        history.close()
    counts = clients.tally.counts()
    assert counts["fail"] == counts["info"] == 0, counts
    return counts["ok"] / took


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=2.0, help="how long a turn is (%(default)s)")
    parser.add_argument("turns", type=int, nargs="?", default=5, help="how many each has (%(default)s)")
    parser.add_argument("threads", type=int, nargs="?", default=10, help="of each (%(default)s)")
    return parser.parse_args()


def main(seconds: float, turns: int, threads: int) -> None:
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        loops: dict[str, Callable[[str, int, float], float]] = {"bare requests": bare_loop, "harness": harness_loop}
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for loop in loops.values():
            loop(address, threads, seconds / 4)  # not counted: imports, first connections
        for _ in range(turns):
            for name, loop in loops.items():
                rates[name].append(loop(address, threads, seconds))
        server.communicate()
    print(f"{threads} threads, {turns} turns of {seconds:g} s each, medians:")
    for name, measured in rates.items():
        print(
            f"  {name:14} {statistics.median(measured):7.0f} operations/s   ({min(measured):.0f} to {max(measured):.0f})"
        )
    ratios = [ours / bare for ours, bare in zip(rates["harness"], rates["bare requests"], strict=True)]
    print(f"  ratio          {statistics.median(ratios):7.2f}                ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main(**vars(options()))
