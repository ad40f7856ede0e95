"""Links: one sender for each directed link, with a thread, a bounded queue and one kept-alive connection of its own.

A link is fair-loss. `send` never waits and never fails; what can't be delivered is dropped and counted, and nothing is
sent twice. While a request is on its way the messages behind it gather, and leave together in the next one. That bounds
the cost of a busy link, and adds at most one round trip to the delay of a slow one.

Two rules keep a broken link from doing harm after it has healed: a connection on which nothing comes back within
`timeout_seconds` is given up for a new one, and a message that has waited for `max_age_seconds` is dropped rather than
delivered in a flood of old news.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
import threading
import time
from collections import deque
from typing import Literal, NamedTuple, TypedDict
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 1.0
BACKOFF_SECONDS = 0.075
MAX_AGE_SECONDS = 1.0
QUEUE_LIMIT = 10_000
BATCH_LIMIT = 500
BATCH_BYTES = 1_000_000


class LinkCounters(TypedDict):
    """What became of the messages of a link. `sent` = the other three + what is on its way now."""

    sent: int
    delivered: int
    """The peer's host has taken them."""
    dropped: int
    """Not delivered, or not known to be: the answer may have been lost instead of the message."""
    queued: int


class _Waiting(NamedTuple):
    since: float
    message: bytes


class Sender:
    """The sending end of the link from one replica to another; `address` is where the peer is reached (an http URL).

    It works from `start` to `close`.
    """

    def __init__(
        self,
        run: str,
        source: str,
        target: str,
        address: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        backoff_seconds: float = BACKOFF_SECONDS,
        max_age_seconds: float = MAX_AGE_SECONDS,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._prefix = _envelope(run, source, target)
        self._timeout_seconds = timeout_seconds
        self._backoff_seconds = backoff_seconds
        self._max_age_seconds = max_age_seconds
        self._queue_limit = queue_limit
        self._connection = _Connection(address, timeout_seconds)
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._closing = False
        self._sent = self._delivered = self._dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"link {source}->{target}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, message: bytes) -> None:
        """Queue one message (a JSON object, encoded). If the queue is full the oldest one makes room."""
        with self._changed:
            self._sent += 1
            if self._closing:
                self._dropped += 1
                return
            if len(self._queue) >= self._queue_limit:
                self._queue.popleft()
                self._dropped += 1
            self._queue.append(_Waiting(time.monotonic(), message))
            self._changed.notify()

    def counters(self) -> LinkCounters:
        with self._changed:
            return LinkCounters(
                sent=self._sent, delivered=self._delivered, dropped=self._dropped, queued=len(self._queue)
            )

    def close(self) -> None:
        """Drop what is queued, give up what is on its way, and stop. Idempotent; takes a second more than `timeout_seconds` at
        most."""
        with self._changed:
            self._closing = True
            self._dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify()
        self._connection.abort()
        if self._thread.is_alive():
            self._thread.join(self._timeout_seconds + 1)

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._deliver(batch)
        finally:
            self._connection.close()

    def _take(self) -> list[bytes]:
        """The next batch, as soon as there is one; nothing when the sender is closing."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return []
                self._drop_old()
                if self._queue:
                    return self._next_batch()

    def _drop_old(self) -> None:
        oldest = time.monotonic() - self._max_age_seconds
        while self._queue and self._queue[0].since < oldest:
            self._queue.popleft()
            self._dropped += 1

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._queue and len(batch) < BATCH_LIMIT and size < BATCH_BYTES:
            batch.append(self._queue.popleft().message)
            size += len(batch[-1])
        return batch

    def _deliver(self, batch: list[bytes]) -> None:
        outcome = self._connection.post(self._prefix + b",".join(batch) + b"]}")
        with self._changed:
            if outcome == "taken":
                self._delivered += len(batch)
                return
            self._dropped += len(batch)
            if outcome != "torn":
                self._changed.wait_for(lambda: self._closing, self._backoff_seconds)


class _Connection:
    """One kept-alive connection for `POST /messages`, made when it is needed.

    It speaks just enough HTTP for the one request that there is: links are where a replica spends most of its time, and
    a general client takes five times as long. Every exchange is over, for better or worse, within `timeout_seconds`,
    the time for finding the address of a name apart.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self._host, self._port = _host_and_port(address)
        self._timeout_seconds = timeout_seconds
        self._head = f"POST /messages HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> Literal["taken", "refused", "torn", "unreachable"]:
        """Post once. `torn`: a connection that had worked broke; that alone says nothing about the next one."""
        if self._is_stale():
            self.close()
        had_worked = self._socket is not None
        deadline = time.monotonic() + self._timeout_seconds
        try:
            status = self._exchange(body, deadline)
        except TimeoutError:
            self.close()
            return "unreachable"
        except OSError:
            self.close()
            return "torn" if had_worked else "unreachable"
        return "taken" if status == 200 else "refused"

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def abort(self) -> None:
        """End an exchange that another thread is in the middle of."""
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):  # the other thread may be closing it
                connected.shutdown(socket.SHUT_RDWR)

    def _is_stale(self) -> bool:
        """Whether the peer has closed the connection since the last answer: then nothing need be lost on it."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def _exchange(self, body: bytes, deadline: float) -> int:
        """The status of the answer. Raises `OSError` for a connection that breaks or on which no HTTP is spoken."""
        if self._socket is None:
            self._socket = socket.create_connection((self._host, self._port), _rest(deadline))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(_rest(deadline))
        self._socket.sendall(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
        answer = b""
        while (match := _ANSWER.match(answer)) is None or len(answer) < match.end() + int(match["length"]):
            if len(answer) > _ANSWER_LIMIT_BYTES:
                raise ConnectionError("the peer answers with something else than HTTP")
            self._socket.settimeout(_rest(deadline))
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError("the peer closed the connection")
            answer += part
        return int(match["status"])


_ANSWER = re.compile(
    rb"HTTP/1\.1 (?P<status>\d{3}) .*?\r\nContent-Length: (?P<length>\d+)(?=\r\n).*?\r\n\r\n", re.S | re.I
)
"""The head of an answer. The replica's own server always tells the length."""
_ANSWER_LIMIT_BYTES = 65536


def _rest(deadline: float) -> float:
    """How much time is left. Raises `TimeoutError` if none is."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("out of time")
    return seconds


class Pinged(TypedDict):
    """What came of one ping; see `docs/http.md`."""

    outcome: Literal["ok", "timeout", "refused", "closed"]
    seconds: float
    detail: str


def ping(address: str, timeout_seconds: float) -> Pinged:
    """One `GET /ping` on a new connection."""
    began = time.monotonic()
    outcome, detail = _try_ping(address, timeout_seconds, began + timeout_seconds)
    return Pinged(outcome=outcome, seconds=time.monotonic() - began, detail=detail)


def _try_ping(
    address: str, timeout_seconds: float, deadline: float
) -> tuple[Literal["ok", "timeout", "refused", "closed"], str]:
    connection = _connection_to(address, timeout_seconds)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except TimeoutError:
        return "timeout", f"no answer within {timeout_seconds} s"
    except ConnectionRefusedError as error:
        return "refused", str(error)
    except (OSError, http.client.HTTPException) as error:
        return "closed", str(error) or type(error).__name__
    finally:
        connection.close()
    if time.monotonic() > deadline:
        return "timeout", f"the answer took longer than {timeout_seconds} s"
    return ("ok", "") if status == 204 else ("closed", f"something else answered there, with the status {status}")


def check_address(address: str) -> None:
    """Raises `ValueError` with a sentence for what isn't the http address of a replica."""
    _host_and_port(address)


def _connection_to(address: str, timeout_seconds: float) -> http.client.HTTPConnection:
    host, port = _host_and_port(address)
    return http.client.HTTPConnection(host, port, timeout=timeout_seconds)


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme != "http":
        raise ValueError(f"{address!r} is not the address of a replica: one looks like http://127.0.0.1:21001")
    return host, port


def _envelope(run: str, source: str, target: str) -> bytes:
    """The body of a request up to where its messages begin."""
    head = json.dumps({"run": run, "from": source, "to": target}, separators=(",", ":"))
    return head[:-1].encode("ascii") + b',"messages":['
