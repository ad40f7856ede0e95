"""One client's connection: two sockets, and a stream in each direction.

As in Toxiproxy there is no half-open state: when a stream has ended, its sink is closed in both directions, so the
other stream ends as well, after what it still holds.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from faults.proxy.address import split_address
from faults.proxy.effects import Effect
from faults.proxy.stream import Counters, Stream
from faults.proxy.toxics import KINDS, StreamName

if TYPE_CHECKING:
    from faults.proxy.toxics import Toxic

DIAL_SECONDS = 10.0
"""How long the upstream has to accept a connection."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends an RST."""


class Connection:
    """A connection that was accepted, its dial to the upstream, and later both ends.

    `seed` names this connection; with the seed of the server it decides all that is random about it. `on_closed` is
    called once, when neither socket is left.
    """

    def __init__(
        self,
        client: asyncio.Transport,
        upstream: str,
        counters: Mapping[StreamName, Counters],
        seed: str,
        toxics: Iterable[Toxic],
        on_closed: Callable[[Connection], None],
    ) -> None:
        self._seed = seed
        self._on_closed = on_closed
        self._client = client
        self._server: asyncio.Transport | None = None
        self._open_sockets = 1
        self.up = Stream("upstream", counters["upstream"], self._effect, self._up_ended, self.reset)
        self.down = Stream("downstream", counters["downstream"], self._effect, self._down_ended, self.reset)
        self._dial: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(self._connect(upstream))
        self._dial.add_done_callback(self._dialled)
        self.up.attach_source(client)
        self.load(toxics)
        self.down.attach_sink(client)

    @property
    def buffered_bytes(self) -> int:
        """Data that wait inside this connection, not counting the kernel's buffers."""
        transports = (transport for transport in (self._client, self._server) if transport is not None)
        written = sum(transport.get_write_buffer_size() for transport in transports)
        return self.up.queued_bytes + self.down.queued_bytes + written

    def load(self, toxics: Iterable[Toxic], updated: Toxic | None = None) -> None:
        """Take on the proxy's present toxics."""
        self.up.load(toxics, updated)
        self.down.load(toxics, updated)

    def cut(self) -> None:
        """Close both ends at once; what is still inside is lost."""
        self._stop()
        self._client.abort()
        if self._server is not None:
            self._server.abort()

    def reset(self) -> None:
        """Tear both ends with an RST."""
        for transport in (self._client, self._server):
            # A transport that was lost already has no socket left to set an option on.
            connected = transport.get_extra_info("socket") if transport is not None else None
            if connected is not None and connected.fileno() != -1:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.cut()

    def socket_lost(self) -> None:
        """One of the sockets is gone."""
        self._open_sockets -= 1
        self._closed_if_done()

    def _stop(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
        self.up.stop()
        self.down.stop()

    def _effect(self, toxic: Toxic, now: float) -> Effect:
        chance = random.Random(f"{self._seed}/{toxic.number}/{toxic.name}")
        return KINDS[toxic.type].effect(toxic, chance, now)

    def _up_ended(self) -> None:
        self.down.feed_end()

    def _down_ended(self) -> None:
        self.up.feed_end()

    async def _connect(self, upstream: str) -> None:
        # Dialling apart from accepting: an upstream that doesn't answer holds up nobody else.
        try:
            host, port = split_address(upstream)
            async with asyncio.timeout(DIAL_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: UpstreamSide(self), host, port)
        except (OSError, ValueError):  # unreachable, refused, no such name, too slow; or no address at all
            self.up.stop()
            if not self.down.hides_end:
                self.down.end()

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        # Not at the end of `_connect`, which never begins if the connection is cut as soon as it was accepted.
        self._dial = None
        self._closed_if_done()

    def connected(self, server: asyncio.Transport) -> None:
        """The upstream accepted: what the client said so far may go."""
        self._open_sockets += 1
        self._server = server
        if self.up.ended:  # meanwhile there is nothing left to say
            server.abort()
            return
        self.down.attach_source(server)
        self.up.attach_sink(server)

    def _closed_if_done(self) -> None:
        if self._open_sockets == 0 and self._dial is None:
            self._stop()
            self._on_closed(self)


class _Side(asyncio.Protocol):
    """One socket of a connection: `outgoing` takes what it says, `incoming` what is said to it."""

    connection: Connection
    outgoing: Stream
    incoming: Stream

    def data_received(self, data: bytes) -> None:
        self.outgoing.feed(data)

    def eof_received(self) -> bool:
        self.outgoing.feed_end()
        return True  # the transport stays open until the stream's end came through the toxics

    def connection_lost(self, error: Exception | None) -> None:
        self.incoming.stop()
        self.outgoing.feed_end()
        self.connection.socket_lost()

    def pause_writing(self) -> None:
        self.incoming.sink_full()

    def resume_writing(self) -> None:
        self.incoming.sink_ready()


class ClientSide(_Side):
    """The socket that was accepted. `accept` makes its connection, or declines with None."""

    def __init__(self, accept: Callable[[asyncio.Transport], Connection | None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        connection = self._accept(transport)
        if connection is None:
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
            return
        self.connection = connection
        self.outgoing, self.incoming = connection.up, connection.down


class UpstreamSide(_Side):
    """The socket to the upstream."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outgoing, self.incoming = connection.down, connection.up

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.connection.connected(transport)
