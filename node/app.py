"""The replica's two faces on HTTP, as `docs/http.md` has them: the public one for clients and peers, and the control one."""

from __future__ import annotations

import hmac
import json
import math
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from node.machine import Operation
from node.replica import BadProvision, Provision, Replica, first_problem
from node.runtime import Busy, encode

TOKEN_HEADER = "X-Rashomon-Token"
BODY_LIMIT_BYTES = 64 * 1024 * 1024
NESTING_LIMIT = 100
PINGS_LIMIT = 24
"""How many pings may be on their way at once: fewer than the control server's threads, so that a status always gets one."""


class ClockSetting(BaseModel):
    """The body of `POST /control/clock`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    offset_seconds: float = 0.0
    rate: float = Field(default=1.0, gt=0, le=1000)


class PingOrder(BaseModel):
    """The body of `POST /control/ping`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    peer: str
    timeout_seconds: float = Field(gt=0, le=10)


class Refused(Exception):
    """A request that is turned down, with a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def public_app(replica: Replica) -> Flask:
    """For clients and peers."""
    app = _app(replica)

    @app.post("/op")
    def op() -> Response:
        try:
            return _json(200, _perform(replica, _body_object()))
        except Refused as refused:
            # The protocol has never seen the request, so this is definite.
            return _json(refused.status, encode({"type": "fail", "error": str(refused), "leader": None}))

    @app.post("/messages")
    def messages() -> Response:
        _deliver(replica, _body_object())
        # Not 204: waitress closes the connection after an answer without a body, and links keep theirs.
        return Response(status=200)

    return app


def control_app(replica: Replica, token: str, shut_down: Callable[[], None]) -> Flask:
    """For the harness. Whatever is under /control/ needs the token; `shut_down` must return at once."""
    app = _app(replica)
    pings = threading.BoundedSemaphore(PINGS_LIMIT)

    @app.before_request
    def check_token() -> None:
        shown = request.headers.get(TOKEN_HEADER, "")
        if request.path.startswith("/control") and not hmac.compare_digest(shown.encode(), token.encode()):
            raise Refused(403, f"the control port asks for the run's token in the header {TOKEN_HEADER}")

    @app.post("/control/provision")
    def provision() -> Response:
        try:
            replica.provision(Provision.model_validate(_body_object()))
        except BadProvision as error:
            raise Refused(400, str(error)) from error
        except OSError as error:
            raise Refused(500, f"cannot write the replica's folder: {error}") from error
        return Response(status=204)

    @app.post("/control/clock")
    def clock() -> Response:
        setting = ClockSetting.model_validate(_body_object())
        replica.set_clock(setting.offset_seconds, setting.rate)
        return Response(status=204)

    @app.post("/control/ping")
    def ping_peer() -> Response:
        order = PingOrder.model_validate(_body_object())
        if not pings.acquire(blocking=False):
            raise Refused(503, f"{PINGS_LIMIT} pings are on their way already")
        try:
            return _json(200, encode(replica.ping(order.peer, order.timeout_seconds)))
        except KeyError as error:
            raise Refused(400, f"{replica.id} has no peer {order.peer!r}") from error
        finally:
            pings.release()

    @app.post("/control/shutdown")
    def shutdown() -> Response:
        shut_down()
        return Response(status=204)

    return app


def _app(replica: Replica) -> Flask:
    """What both faces have in common."""
    app = Flask("node", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES

    @app.get("/ping")
    def ping() -> Response:
        return Response(status=204)

    @app.get("/status")
    def status() -> Response:
        try:
            return _json(200, encode(replica.status()))
        except Busy as busy:
            raise Refused(503, str(busy)) from busy

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return _json(error.status, encode({"error": str(error)}))

    @app.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> Response:
        return _json(400, encode({"error": first_problem(error)}))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return _json(error.code or 500, encode({"error": f"{error.name}: {request.method} {request.path}"}))

    return app


def _perform(replica: Replica, body: dict[str, Any]) -> bytes:
    """The encoded outcome of the operation in the body of an `/op`."""
    operation = _operation(_field(body, "operation", dict))
    client, sequence = _field(body, "client", str), _field(body, "sequence", int)
    timeout_seconds = body.get("timeout_seconds")
    if isinstance(timeout_seconds, bool) or not isinstance(timeout_seconds, (int, float)) or timeout_seconds <= 0:
        raise Refused(400, "timeout_seconds must be a number above 0")
    if _too_deep(operation["value"], NESTING_LIMIT):
        raise Refused(400, f"the operation's value is nested more than {NESTING_LIMIT} deep")
    life = replica.life
    if life is None:
        raise Refused(503, f"{replica.id} is not provisioned")
    if _field(body, "run", str) != life.provision.run:
        raise Refused(409, f"{replica.id} serves another run")
    problem = life.machine.problem(operation)
    if problem is not None:
        raise Refused(400, problem)
    try:
        return life.runtime.perform(client, sequence, operation, timeout_seconds)
    except Busy as busy:
        raise Refused(503, f"{replica.id} is too busy: {busy}") from busy


def _deliver(replica: Replica, body: dict[str, Any]) -> None:
    """Put the messages in the body of a `/messages` into the mailbox."""
    messages = _field(body, "messages", list)
    if not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "every message must be a JSON object")
    sender, receiver = _field(body, "from", str), _field(body, "to", str)
    life = replica.life
    if life is None:
        raise Refused(503, f"{replica.id} is not provisioned")
    if _field(body, "run", str) != life.provision.run:
        raise Refused(409, f"{replica.id} serves another run")
    if receiver != replica.id or sender not in life.provision.peers:
        raise Refused(409, f"{replica.id} takes no messages from {sender!r} to {receiver!r}")
    try:
        life.runtime.deliver(sender, messages)
    except Busy as busy:
        raise Refused(503, f"{replica.id} is too busy: {busy}") from busy


def _body_object() -> dict[str, Any]:
    """The request's body, a JSON object in which every number is finite."""
    try:
        body = json.loads(request.get_data(cache=False), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _field(body: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = body.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Refused(400, f"the body needs {name!r}, {_KINDS[kind]}")
    return value


_KINDS = {str: "a string", int: "an integer", list: "a list", dict: "an object"}


def _operation(given: dict[str, Any]) -> Operation:
    if set(given) != {"f", "key", "value"} or not isinstance(given["f"], str) or not isinstance(given["key"], str):
        raise Refused(400, "an operation has the strings 'f' and 'key', a 'value', and nothing else")
    return Operation(f=given["f"], key=given["key"], value=given["value"])


def _too_deep(value: Any, limit: int) -> bool:
    """Whether a value is nested deeper than `limit`: what is nested too deep to be encoded would end the replica."""
    if isinstance(value, dict):
        return limit == 0 or any(_too_deep(part, limit - 1) for part in value.values())
    if isinstance(value, list):
        return limit == 0 or any(_too_deep(part, limit - 1) for part in value)
    return False


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, mimetype="application/json")
