"""The little HTTP/1.1 that an API server needs, with a limit on everything a client could overdo."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from faults.proxy.errors import Refusal

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_CLIENTS = 128
REQUEST_SECONDS = 15.0
"""How long a client may take to send one request, once it has begun, and to read its answer."""
IDLE_SECONDS = 60.0
"""How long a kept-alive connection may say nothing."""


class Request(NamedTuple):
    method: str
    parts: tuple[str, ...]
    """The decoded path: `/proxies/a` is `("proxies", "a")`."""
    body: bytes


class Answer(NamedTuple):
    status: int
    body: Any = None
    """A JSON value; None for no content."""


Handler = Callable[[Request], Awaitable[Answer]]


class _Head(NamedTuple):
    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def keeps_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection and (self.version == "HTTP/1.1" or "keep-alive" in connection)


class HttpServer:
    """Serves `handler`; a `Refusal` becomes `{"error", "status"}`. A client that breaks the rules is answered once,
    where it can be, and then hung up on; nothing it does can hold up another client."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return the address; raises `OSError`."""
        self._server = await asyncio.start_server(self._client, host, port, limit=MAX_HEAD_BYTES, backlog=MAX_CLIENTS)
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    async def stop(self) -> None:
        """Listen no more, and hang up on every client."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) <= MAX_CLIENTS:
                while await self._exchange(reader, writer):
                    pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # gone, hung up in mid-request, too slow (TimeoutError is an OSError), or we are stopping
        finally:
            await _hang_up(writer)
            self._clients.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False if the connection is to be closed."""
        async with asyncio.timeout(IDLE_SECONDS):
            first = await reader.read(1)
        if not first:
            return False
        async with asyncio.timeout(REQUEST_SECONDS):
            try:
                head = await _read_head(reader, first)
                body = await _read_body(reader, writer, head)
            except Refusal as refusal:  # where the next request would begin isn't known any more
                await _send(writer, _refused(refusal), keep_alive=False)
                return False
        answer = await self._answer(head, body)
        async with asyncio.timeout(REQUEST_SECONDS):
            await _send(writer, answer, head.keeps_alive)
        return head.keeps_alive

    async def _answer(self, head: _Head, body: bytes) -> Answer:
        if head.headers.get("user-agent", "").startswith("Mozilla/"):
            # Any web page could make its reader's browser send requests here.
            return _refused(Refusal("User agent not allowed", 403))
        parts = tuple(unquote(part) for part in head.target.partition("?")[0].split("/") if part)
        try:
            return await self._handler(Request(head.method, parts, body))
        except Refusal as refusal:
            return _refused(refusal)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close after what was written was read, or at once if the client doesn't read it."""
    writer.close()
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await writer.wait_closed()
    except (OSError, asyncio.CancelledError):
        writer.transport.abort()


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, {"error": refusal.message, "status": refusal.status})


async def _read_head(reader: asyncio.StreamReader, first: bytes) -> _Head:
    try:
        data = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refusal(f"the request's head is longer than {MAX_HEAD_BYTES} bytes", 431) from None
    request_line, *lines = data.decode("latin-1").strip().split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1") or not words[1].startswith("/"):
        raise Refusal("malformed request line", 400)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refusal("malformed header", 400)
        headers[name.lower()] = value.strip()
    return _Head(words[0], words[1], words[2], headers)


async def _read_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head) -> bytes:
    if "transfer-encoding" in head.headers:
        raise Refusal("a body needs a Content-Length here", 411)
    text = head.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Refusal("malformed Content-Length", 400)
    if len(text) > 12 or int(text) > MAX_BODY_BYTES:
        raise Refusal(f"the request's body is longer than {MAX_BODY_BYTES} bytes", 413)
    if head.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await reader.readexactly(int(text))


async def _send(writer: asyncio.StreamWriter, answer: Answer, keep_alive: bool) -> None:
    body = b"" if answer.body is None else json.dumps(answer.body).encode() + b"\n"
    lines = [f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}"]
    if answer.status != http.HTTPStatus.NO_CONTENT:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if not keep_alive:
        lines.append("Connection: close")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
    await writer.drain()
