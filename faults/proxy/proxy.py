"""One proxy: a listener, an upstream, toxics, and the connections that were made through it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from faults.proxy.address import join_address, split_address
from faults.proxy.connection import ClientSide, Connection
from faults.proxy.errors import Refusal
from faults.proxy.stream import Counters
from faults.proxy.toxics import STREAMS, StreamName, Toxic

MAX_CONNECTIONS = 4096
"""Connections that one proxy holds at a time; further ones are closed as soon as they are accepted."""

_BACKLOG = 512


class Proxy:
    """See the module. A proxy is enabled exactly as long as it listens; its toxics outlive that."""

    def __init__(self, name: str, listen: str, upstream: str, seed: int) -> None:
        self.name = name
        self.upstream = upstream
        self.toxics: list[Toxic] = []
        self.counters: dict[StreamName, Counters] = {stream: Counters() for stream in STREAMS}
        self.accepted = 0
        """Connections since the proxy was created."""
        self._seed = seed
        self._asked = listen
        self._listen = listen
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def enabled(self) -> bool:
        return self._listener is not None

    def describe(self) -> dict[str, Any]:
        """The proxy as the API shows it; `listen` is the address that it really got."""
        return {
            "name": self.name,
            "listen": self._listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.describe() for toxic in self.toxics],
        }

    def traffic(self) -> dict[str, Any]:
        """Live counters: connections accepted and open, bytes of each stream, bytes waiting inside."""
        return {
            "connections": self.accepted,
            "open_connections": len(self._connections),
            "buffered_bytes": sum(connection.buffered_bytes for connection in self._connections),
            **{
                stream: {"passed_bytes": counters.passed_bytes, "dropped_bytes": counters.dropped_bytes}
                for stream, counters in self.counters.items()
            },
        }

    def is_at(self, listen: str, upstream: str) -> bool:
        """Whether the proxy was asked to be (or is) at these addresses."""
        return listen in (self._asked, self._listen) and upstream == self.upstream

    def move(self, listen: str, upstream: str) -> None:
        """Give a proxy that is disabled other addresses."""
        assert not self.enabled
        self._asked = self._listen = listen
        self.upstream = upstream

    # --- listening ----------------------------------------------------------------------------------------------------

    async def enable(self) -> None:
        """Listen; nothing happens if it does already. Raises `Refusal` if the address can't be had."""
        if self.enabled:
            return
        try:
            listener = _listening_socket(self._listen)
        except (OSError, ValueError) as error:
            reason = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).lower()
            raise Refusal(f"listen tcp {self._listen}: {reason}", 500) from error
        # What is accepted inherits this; asyncio sets it only on sockets that name their protocol, which these don't. An
        # answer in two parts would wait 40 ms for the acknowledgement of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listen = join_address(*listener.getsockname()[:2])
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: ClientSide(self._accept), sock=listener, backlog=_BACKLOG)

    def disable(self) -> None:
        """Refuse new connections and cut those that are open, now. Toxics stay."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for connection in tuple(self._connections):
            connection.cut()

    def _accept(self, client: asyncio.Transport) -> Connection | None:
        if not self.enabled or len(self._connections) >= MAX_CONNECTIONS:
            return None
        self.accepted += 1
        connection = Connection(
            client,
            self.upstream,
            self.counters,
            f"{self._seed}/{self.name}/{self.accepted}",
            self.toxics,
            self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    # --- toxics -------------------------------------------------------------------------------------------------------

    def find_toxic(self, name: str) -> Toxic | None:
        return next((toxic for toxic in self.toxics if toxic.name == name), None)

    def change_toxic(self, toxic: Toxic, toxicity: float, attributes: dict[str, int]) -> None:
        """Give one of the toxics other values, for open connections too."""
        toxic.toxicity, toxic.attributes = toxicity, attributes
        self._load(updated=toxic)

    def set_toxics(self, toxics: Sequence[Toxic]) -> None:
        """Have exactly these toxics, from now on and on open connections; those that it has already work on."""
        self.toxics = list(toxics)
        self._load()

    def _load(self, updated: Toxic | None = None) -> None:
        for connection in tuple(self._connections):
            connection.load(self.toxics, updated)


def _listening_socket(address: str) -> socket.socket:
    host, port = split_address(address)
    if host in ("", "::"):  # all interfaces, of both kinds where the machine has both
        if socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
