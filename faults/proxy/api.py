"""Toxiproxy's HTTP API, version 2.12, and what this server adds to it under `/rashomon`.

| request | answer |
|---|---|
| `GET /version` | `{"version", "extensions"}` |
| `GET /proxies`, `POST /proxies` | all of them by name; create one (201) |
| `POST /populate` | create or replace many (201) |
| `POST /reset` | enable everything, remove all toxics (204) |
| `GET`, `POST` or `PATCH`, `DELETE /proxies/{proxy}` | show, update, delete (204) |
| `GET`, `POST /proxies/{proxy}/toxics` | list, add (200) |
| `GET`, `POST` or `PATCH`, `DELETE /proxies/{proxy}/toxics/{toxic}` | show, update, remove (204) |
| `POST /rashomon/apply` | `{"changes": [{"name", "enabled", "toxics"}]}`: many proxies in one tick, or none |
| `GET /rashomon/traffic` | live counters of every proxy |

Errors are `{"error", "status"}` with 400, 404, 405, 409 or, where an address can't be listened on, 500.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from faults.proxy.errors import Refusal
from faults.proxy.http_server import Answer, Request
from faults.proxy.table import Table

VERSION = "2.12.0"
"""The version of Toxiproxy whose API this is."""

EXTENSIONS = ("apply", "traffic")

Endpoint = Callable[[Request], Awaitable[Answer]]


class Api:
    """Finds the endpoint of a request, and turns JSON into calls of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        # A path's pattern: None stands for a name.
        self._endpoints: dict[tuple[str | None, ...], dict[str, Endpoint]] = {
            ("version",): {"GET": self._version},
            ("reset",): {"POST": self._reset},
            ("populate",): {"POST": self._populate},
            ("proxies",): {"GET": self._list_proxies, "POST": self._create_proxy},
            ("proxies", None): {
                "GET": self._show_proxy,
                "POST": self._update_proxy,
                "PATCH": self._update_proxy,
                "DELETE": self._delete_proxy,
            },
            ("proxies", None, "toxics"): {"GET": self._list_toxics, "POST": self._add_toxic},
            ("proxies", None, "toxics", None): {
                "GET": self._show_toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
            ("rashomon", "apply"): {"POST": self._apply},
            ("rashomon", "traffic"): {"GET": self._traffic},
        }

    async def handle(self, request: Request) -> Answer:
        """Answer a request, or raise `Refusal`."""
        for pattern, methods in self._endpoints.items():
            if len(pattern) == len(request.parts) and all(
                fixed is None or fixed == part for fixed, part in zip(pattern, request.parts, strict=True)
            ):
                if request.method not in methods:
                    raise Refusal(f"method not allowed, can be {', '.join(methods)}", 405)
                return await methods[request.method](request)
        raise Refusal("404 page not found", 404)

    async def _version(self, request: Request) -> Answer:
        return Answer(200, {"version": VERSION, "extensions": EXTENSIONS})

    async def _reset(self, request: Request) -> Answer:
        await self._table.reset()
        return Answer(204)

    async def _populate(self, request: Request) -> Answer:
        bodies = _json(request)
        if not isinstance(bodies, list) or not all(isinstance(body, dict) for body in bodies):
            raise Refusal("bad request body: it must be a list of objects", 400)
        return Answer(201, {"proxies": await self._table.populate(bodies)})

    async def _list_proxies(self, request: Request) -> Answer:
        return Answer(200, self._table.describe())

    async def _create_proxy(self, request: Request) -> Answer:
        return Answer(201, await self._table.create(_object(request)))

    async def _show_proxy(self, request: Request) -> Answer:
        return Answer(200, self._table.proxy(request.parts[1]).describe())

    async def _update_proxy(self, request: Request) -> Answer:
        return Answer(200, await self._table.update(request.parts[1], _object(request)))

    async def _delete_proxy(self, request: Request) -> Answer:
        await self._table.delete(request.parts[1])
        return Answer(204)

    async def _list_toxics(self, request: Request) -> Answer:
        return Answer(200, self._table.proxy(request.parts[1]).describe()["toxics"])

    async def _add_toxic(self, request: Request) -> Answer:
        return Answer(200, await self._table.add_toxic(request.parts[1], _object(request)))

    async def _show_toxic(self, request: Request) -> Answer:
        return Answer(200, self._table.toxic(request.parts[1], request.parts[3]).describe())

    async def _update_toxic(self, request: Request) -> Answer:
        body = _object(request)
        return Answer(200, await self._table.update_toxic(request.parts[1], request.parts[3], body))

    async def _remove_toxic(self, request: Request) -> Answer:
        await self._table.remove_toxic(request.parts[1], request.parts[3])
        return Answer(204)

    async def _apply(self, request: Request) -> Answer:
        changes = _object(request).get("changes")
        if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
            raise Refusal("bad request body: changes must be a list of objects", 400)
        return Answer(200, {"proxies": await self._table.apply(changes)})

    async def _traffic(self, request: Request) -> Answer:
        return Answer(200, {"proxies": self._table.traffic()})


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"bad request body: {error}", 400) from error


def _object(request: Request) -> dict[str, Any]:
    body = _json(request)
    if not isinstance(body, dict):
        raise Refusal("bad request body: it must be an object", 400)
    return body
