"""The harness's side of a replica's control port (docs/http.md): direct, never through a proxy."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import requests

from faults.cluster import ClusterError, Link, Ping

STATUS_SECONDS = 1.0
"""A replica that doesn't tell its status within this time is taken not to answer."""
CALL_SECONDS = 10.0
_POLL_SECONDS = 0.02


class ReplicaApi:
    """One replica's control port. May be used from several threads; every call has a limit of time."""

    def __init__(self, replica: str, host: str, control_port: int, token: str) -> None:
        self.replica = replica
        self._url = f"http://{host}:{control_port}"
        self._session = requests.Session()
        self._session.trust_env = False
        # No kept-alive connections: one from before a kill would make the first call after the restart fail.
        self._session.headers.update({"X-Rashomon-Token": token, "Connection": "close"})

    def answers(self, timeout_seconds: float = STATUS_SECONDS) -> bool:
        """Whether the replica serves requests."""
        try:
            return self._session.get(f"{self._url}/ping", timeout=timeout_seconds).ok
        except requests.RequestException:
            return False

    def status(self, timeout_seconds: float = STATUS_SECONDS) -> dict[str, Any] | None:
        """What the replica says of itself; None if it doesn't answer in time."""
        try:
            answer = self._session.get(f"{self._url}/status", timeout=timeout_seconds)
            value = answer.json() if answer.ok else None
        except (requests.RequestException, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def provision(self, body: Mapping[str, Any], timeout_seconds: float) -> None:
        """Wipe the replica and start a protocol on it; raises `ClusterError` with the replica's own sentence."""
        self._post("provision", body, timeout_seconds)

    def set_clock(self, offset_seconds: float, rate: float) -> None:
        """Skew the replica's clock; raises `ClusterError` if it doesn't answer."""
        self._post("clock", {"offset_seconds": offset_seconds, "rate": rate}, CALL_SECONDS)

    def ping_peer(self, peer: str, timeout_seconds: float) -> Ping:
        """What came of a request over this replica's own link to the peer; `unprobed` if the replica can't be asked."""
        link = Link(self.replica, peer)
        began = time.monotonic()
        try:
            answer = self._session.post(
                f"{self._url}/control/ping",
                json={"peer": peer, "timeout_seconds": timeout_seconds},
                timeout=timeout_seconds + STATUS_SECONDS,
            )
            value = answer.json()
            if answer.ok:
                return Ping(link, value["outcome"], float(value["seconds"]), str(value.get("detail", "")))
            reason = value.get("error", f"status {answer.status_code}")
        except (requests.RequestException, ValueError, KeyError, AttributeError) as error:
            reason = _plain(error)
        detail = f"{self.replica} could not be asked: {reason}"
        return Ping(link, "unprobed", time.monotonic() - began, detail)

    def wait_until_ready(
        self,
        timeout_seconds: float,
        ready: Callable[[], bool] | None = None,
        gone: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Return when the replica answers, or is `ready` if that is given.

        Raises `ClusterError` when the time is up, or at once when `gone` tells why there is nothing to wait for.
        """
        ready = ready or self.answers
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            reason = gone()
            if reason:
                raise ClusterError(reason)
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.replica} did not answer within {timeout_seconds:.0f} s: see its log")
            time.sleep(_POLL_SECONDS)

    def _post(self, path: str, body: Mapping[str, Any], timeout_seconds: float) -> None:
        try:
            answer = self._session.post(f"{self._url}/control/{path}", json=body, timeout=timeout_seconds)
        except requests.RequestException as error:
            raise ClusterError(f"{self.replica} did not answer /control/{path}: {_plain(error)}") from error
        if not answer.ok:
            raise ClusterError(f"{self.replica} refused /control/{path}: {_reason(answer)}")


def ping_from_here(link: Link, host: str, port: int, timeout_seconds: float) -> Ping:
    """Pass `GET /ping` from this process over a new connection, and say what came of it.

    Done with the standard library's plain client, whose errors tell a refusal from a cut without guessing.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    began = time.monotonic()
    outcome: Literal["ok", "timeout", "refused", "closed"]
    detail = ""
    try:
        connection.request("GET", "/ping", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        outcome, detail = "ok", "" if answer.status == 204 else f"status {answer.status}"
    except TimeoutError:
        outcome = "timeout"
    except ConnectionRefusedError:
        outcome = "refused"
    except (OSError, http.client.HTTPException) as error:
        outcome, detail = "closed", _plain(error)
    finally:
        seconds = time.monotonic() - began
        with contextlib.suppress(OSError):
            connection.close()
    return Ping(link, outcome, seconds, detail)


def _reason(answer: requests.Response) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        error = answer.json().get("error")
        if error:
            return str(error)
    return f"status {answer.status_code}"


def _plain(error: Exception) -> str:
    """The innermost cause: the layers of an HTTP client tell nothing to a person."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(cause) or type(cause).__name__
