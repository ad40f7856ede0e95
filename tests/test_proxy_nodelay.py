"""Both sockets of a proxied connection send at once what they are given."""

from __future__ import annotations

import asyncio
import socket

from faults.proxy import connection
from faults.proxy.proxy import Proxy


def test_no_socket_of_a_connection_waits_for_acknowledgements() -> None:
    options: list[int] = []

    def look(transport: asyncio.BaseTransport) -> None:
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def scenario() -> None:
        upstream = socket.create_server(("127.0.0.1", 0))
        proxy = Proxy("link", "127.0.0.1:0", "{}:{}".format(*upstream.getsockname()), seed=1)
        await proxy.enable()
        host, port = proxy.describe()["listen"].rsplit(":", 1)
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(host, int(port))
            while not (proxied := [each for each in proxy._connections if each._server is not None]):
                await asyncio.sleep(0.01)
            (one,) = proxied
            assert isinstance(one, connection.Connection)
            look(one._client)
            assert one._server is not None
            look(one._server)
        writer.close()
        proxy.disable()
        upstream.close()

    asyncio.run(scenario())
    assert len(options) == 2
    assert all(options)
