"""Serving a Flask app: a listening socket, waitress, and the thread that runs it."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

CONNECTIONS_LIMIT = 2000
"""Every client process and every peer keeps a connection open, and those of dead ones linger."""
IDLE_CONNECTION_SECONDS = 600
BACKLOG = 1024


class CannotListen(Exception):
    """The address can't be had; the message is one sentence."""


def listen(host: str, port: int) -> socket.socket:
    """Take the address, so that nobody else can. Raises `CannotListen`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A replica that was killed leaves connections behind that would block its port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # At once: two that may reuse an address can both bind it, and only the second `listen` finds out.
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "the port is taken, choose another one" if taken else str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from error
    return listener


class Server:
    """One app on one listening socket, served by `threads` threads until `close`."""

    def __init__(self, app: Flask, listener: socket.socket, threads: int, name: str) -> None:
        # Waitress warns of every request that waits for a thread for a moment. That is no news under load.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets: dict[int, Any] = {}
        self._waitress = create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=threads,
            connection_limit=CONNECTIONS_LIMIT,
            channel_timeout=IDLE_CONNECTION_SECONDS,
            backlog=BACKLOG,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        self._thread = threading.Thread(target=self._waitress.run, name=f"{name} server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving. What is being answered has a second to finish; then every connection is closed."""
        self._waitress.task_dispatcher.shutdown(timeout=1)
        # The sockets belong to the server's own thread: it must be the one to close them.
        self._waitress.trigger.pull_trigger(lambda: wasyncore.close_all(self._sockets))
        self._thread.join(1)
