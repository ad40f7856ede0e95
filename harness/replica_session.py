"""One worker's conversation with the replicas: a request goes out once, and what comes back is a definite answer or not.

Outcomes, strictly: an answer of the replica itself says what happened. A connection that was refused carried nothing, so
the operation certainly did not happen. Everything else (no answer in time, a connection that was cut, an answer that
can't be understood) leaves it unknown: behind a proxy all of these occur with and without the operation being executed.

Nothing is ever sent twice behind the caller's back: no retries, no redirects, no proxies from the environment.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Never

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from node.machine import Operation
from node.protocol import Outcome

REFUSED = "connection refused"


class ReplicaSession:
    """Kept-alive connections to all replicas, for one thread."""

    def __init__(self, addresses: Mapping[str, str], run: str, timeout_seconds: float) -> None:
        self._run = run
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", _OnceAdapter())
        # Prepared once: of what requests does for each request, most is the same for all of these.
        self._requests = {
            replica: self._session.prepare_request(
                requests.Request("POST", f"{address}/op", headers={"Content-Type": "application/json"})
            )
            for replica, address in addresses.items()
        }

    def ask(self, replica: str, client: str, sequence: int, operation: Operation) -> Outcome:
        """Send the operation to the replica, once. Takes `timeout_seconds` at most, or as long again to connect."""
        request = self._requests[replica]
        request.body = _encode(
            {
                "run": self._run,
                "client": client,
                "sequence": sequence,
                "operation": operation,
                "timeout_seconds": self._timeout_seconds,
            }
        ).encode()
        request.headers["Content-Length"] = str(len(request.body))
        try:
            response = self._session.send(request, timeout=self._timeout_seconds, allow_redirects=False, proxies={})
        except requests.Timeout:
            return Outcome.info(f"no answer within {self._timeout_seconds:g} s")
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            return Outcome.fail(REFUSED) if _was_refused(error) else Outcome.info(_describe(error))
        return _understand(response.status_code, response.content)

    def close(self) -> None:
        self._session.close()


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _refuse_constant(text: str) -> Never:
    raise ValueError(f"{text} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _understand(status: int, content: bytes) -> Outcome:
    """The replica's answer. A `fail` is definite whatever the status says; `ok` has to come with 200."""
    try:
        answer = _decode(content.decode())
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        kind, error, leader = answer.get("type"), answer.get("error"), answer.get("leader")
        leader = leader if isinstance(leader, str) else None
        if kind == "ok" and status == 200:
            return Outcome.ok(answer.get("result"))
        if kind == "fail":
            return Outcome.fail(str(error), leader)
        if kind == "info":
            return Outcome.info(str(error), leader)
    return Outcome.info(f"HTTP {status} with an answer that can't be understood")


def _was_refused(error: BaseException) -> bool:
    """Whether connecting was refused: the one failure that proves that nothing was sent.

    Only `NewConnectionError` counts: a kept-alive connection may report the same errno after a request has gone out.
    """
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError) and isinstance(
        reason.__cause__, ConnectionRefusedError
    )


def _describe(error: BaseException) -> str:
    text = str(error)
    if "timed out" in text:
        return "no answer in time"
    if any(sign in text for sign in ("Connection aborted", "Connection reset", "Connection broken", "IncompleteRead")):
        return "connection closed before the answer"
    return f"{type(error).__name__}: {text:.100}"


class _DeadlineSocket(socket.socket):
    """A socket whose answer has to be complete in time.

    The usual timeout is that of each single `recv`: over a link that lets a few bytes a second through an answer would
    stay "in time" for minutes. Here the clock starts when the timeout is set, which urllib3 does when it begins to wait
    for an answer, and isn't set back by what arrives.
    """

    _deadline: float | None = None

    def settimeout(self, value: float | None) -> None:
        super().settimeout(value)
        self._deadline = None if value is None else time.monotonic() + value

    def recv_into(self, *args: Any) -> int:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)
        return super().recv_into(*args)


class _DeadlineConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        bounded = _DeadlineSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        bounded.settimeout(timeout)
        return bounded


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _OnceAdapter(HTTPAdapter):
    """Sends once, over connections with a deadline. (An adapter's own default is no retries; said here for certain.)"""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_connections=32, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool}
