"""The server process: the API and its proxies on one event loop, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import threading

from faults.proxy.api import Api
from faults.proxy.http_server import HttpServer
from faults.proxy.table import Table


async def serve(host: str, port: int, seed: int, exit_with_stdin: bool) -> None:
    """Serve until SIGTERM or SIGINT, or (with `exit_with_stdin`) until standard input ends.

    Raises `OSError` if the API's address can't be had.
    """
    _allow_many_sockets()
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    table = Table(seed)
    http_server = HttpServer(Api(table).handle)
    address, real_port = await http_server.start(host, port)
    if exit_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=(loop, over), daemon=True).start()
    print(f"listening on http://{address}:{real_port} (seed {seed})", file=sys.stderr, flush=True)
    try:
        await over.wait()
    finally:
        table.close()
        await http_server.stop()


def _allow_many_sockets() -> None:
    """Each connection takes two; the usual soft limit of 1,024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _await_end_of_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    # A thread, because standard input may be anything, and an event loop can't watch a plain file.
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno() if sys.stdin else -1, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(over.set)
