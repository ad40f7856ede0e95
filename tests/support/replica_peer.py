"""The other end of a link: a small server on a real socket that a test can make misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any


class Peer:
    """Takes `POST /messages` and remembers what came.

    `behaviour` is looked at for every request: `take` answers 200, `refuse` 503, `swallow` (a black hole) never
    answers, `tear` closes the connection without an answer, `take and close` answers 200 and closes,
    `trickle` answers 200 byte by byte, `babble` says a lot that is not HTTP.
    """

    def __init__(self, behaviour: str = "take") -> None:
        self.behaviour = behaviour
        self.batches: list[list[Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.connections = 0
        self.requests = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def messages(self) -> list[Any]:
        return [message for batch in list(self.batches) for message in batch]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def cut(self) -> None:
        """Close every connection, as a proxy does when a black hole is healed."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while body := self._read(stream):
                    if not self._answer(connection, body):
                        return
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket, body: dict[str, Any]) -> bool:
        """Whether the connection stays open."""
        self.requests += 1
        behaviour = self.behaviour
        if behaviour == "tear":
            return False
        if behaviour == "swallow":
            return True
        if behaviour == "refuse":
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}")
            return True
        if behaviour == "babble":
            connection.sendall(b"bla " * 50_000)
            return True
        self.bodies.append(body)
        self.batches.append(body["messages"])
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: today\r\n\r\n{}"
        step = 1 if behaviour == "trickle" else len(answer)
        for place in range(0, len(answer), step):
            connection.sendall(answer[place : place + step])
        return behaviour != "take and close"

    @staticmethod
    def _read(stream: Any) -> dict[str, Any] | None:
        if not stream.readline():
            return None
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body: dict[str, Any] = json.loads(stream.read(length))
        return body
