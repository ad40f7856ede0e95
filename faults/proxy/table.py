"""All proxies of a server, and every change that the API can make to them.

A change is checked as a whole before anything is done. The one part that can still fail after that is to get a
listening address; where several proxies change in one request, all addresses are taken first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from faults.proxy.errors import Refusal
from faults.proxy.proxy import Proxy
from faults.proxy.toxics import Toxic, parse_toxic

MAX_PROXIES = 4096
"""Proxies of one server."""

_DEFAULT_LISTEN = "127.0.0.1:0"


class Table:
    """See the module. Changes run one at a time; each returns what the API shows, or raises `Refusal`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._proxies: dict[str, Proxy] = {}
        self._changing = asyncio.Lock()

    def close(self) -> None:
        """Stop every proxy."""
        for proxy in self._proxies.values():
            proxy.disable()
        self._proxies.clear()

    # --- looking ------------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        return {name: proxy.describe() for name, proxy in self._proxies.items()}

    def traffic(self) -> dict[str, Any]:
        return {name: proxy.traffic() for name, proxy in self._proxies.items()}

    def proxy(self, name: str) -> Proxy:
        if name not in self._proxies:
            raise Refusal("proxy not found", 404)
        return self._proxies[name]

    def toxic(self, proxy: str, name: str) -> Toxic:
        toxic = self.proxy(proxy).find_toxic(name)
        if toxic is None:
            raise Refusal("toxic not found", 404)
        return toxic

    # --- proxies ------------------------------------------------------------------------------------------------------

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wish = _proxy_wish(body, "")
        async with self._changing:
            if wish.name in self._proxies:
                raise Refusal("proxy already exists", 409)
            return (await self._add(wish)).describe()

    async def populate(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Create each proxy, or replace the one of its name; one that is at the same addresses stays as it is."""
        wishes = [_proxy_wish(body, f" at proxy {number}") for number, body in enumerate(bodies, 1)]
        async with self._changing:
            return [(await self._add_or_replace(wish)).describe() for wish in wishes]

    async def update(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Enable, disable, or move a proxy; moving restarts it."""
        async with self._changing:
            proxy = self.proxy(name)
            shown = proxy.describe()
            listen = _text(body, "listen", shown["listen"])
            upstream = _text(body, "upstream", shown["upstream"])
            enabled = _flag(body, "enabled", proxy.enabled)
            if not proxy.is_at(listen, upstream):
                proxy.disable()
                proxy.move(listen, upstream)
            if enabled:
                await proxy.enable()
            else:
                proxy.disable()
            return proxy.describe()

    async def delete(self, name: str) -> None:
        async with self._changing:
            self.proxy(name).disable()
            del self._proxies[name]

    async def reset(self) -> None:
        """Enable every proxy and remove every toxic; goes on past a proxy that can't listen, and then says so."""
        refusals = []
        async with self._changing:
            for proxy in self._proxies.values():
                proxy.set_toxics([])
                try:
                    await proxy.enable()
                except Refusal as refusal:
                    refusals.append(refusal)
        if refusals:
            raise refusals[0]

    async def _add_or_replace(self, wish: _ProxyWish) -> Proxy:
        old = self._proxies.get(wish.name)
        if old is not None:
            if old.is_at(wish.listen, wish.upstream):
                return old
            old.disable()
            del self._proxies[wish.name]
        return await self._add(wish)

    async def _add(self, wish: _ProxyWish) -> Proxy:
        if len(self._proxies) >= MAX_PROXIES:
            raise Refusal(f"too many proxies: {MAX_PROXIES} is the limit", 500)
        proxy = Proxy(wish.name, wish.listen, wish.upstream, self._seed)
        if wish.enabled:
            await proxy.enable()
        self._proxies[wish.name] = proxy
        return proxy

    # --- toxics -------------------------------------------------------------------------------------------------------

    async def add_toxic(self, proxy_name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._changing:
            proxy = self.proxy(proxy_name)
            toxic = parse_toxic(body)
            if proxy.find_toxic(toxic.name) is not None:
                raise Refusal("toxic already exists", 409)
            proxy.set_toxics([*proxy.toxics, toxic])
            return toxic.describe()

    async def update_toxic(self, proxy_name: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._changing:
            toxic = self.toxic(proxy_name, name)
            self.proxy(proxy_name).change_toxic(toxic, *toxic.changed(body))
            return toxic.describe()

    async def remove_toxic(self, proxy_name: str, name: str) -> None:
        async with self._changing:
            removed = self.toxic(proxy_name, name)
            proxy = self.proxy(proxy_name)
            proxy.set_toxics([toxic for toxic in proxy.toxics if toxic is not removed])

    # --- many at once -------------------------------------------------------------------------------------------------

    async def apply(self, bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Bring proxies into given states, all of them in one tick of the event loop, or none.

        Each body names a proxy, whether it is `enabled`, and all its `toxics`. A toxic that the proxy has already, with
        the same values, works on; one that only has other attributes is changed; every other one is removed.
        """
        async with self._changing:
            wishes = [self._state_wish(body) for body in bodies]
            toxics_before: dict[Proxy, list[Toxic]] = {}
            try:
                for wish in wishes:
                    if wish.enabled and not wish.proxy.enabled:
                        # Its toxics come first, so that nothing slips through while the others' addresses are taken.
                        toxics_before[wish.proxy] = wish.proxy.toxics
                        wish.proxy.set_toxics(wish.toxics)
                        await wish.proxy.enable()
            except Refusal:
                for proxy, toxics in toxics_before.items():
                    proxy.disable()
                    proxy.set_toxics(toxics)
                raise
            for wish in wishes:  # from here on nothing waits and nothing can fail: this is the one tick
                _bring_about(wish)
            return {wish.proxy.name: wish.proxy.describe() for wish in wishes}

    def _state_wish(self, body: Mapping[str, Any]) -> _StateWish:
        proxy = self.proxy(_text(body, "name", ""))
        given = body.get("toxics") or []
        if not isinstance(given, list) or not all(isinstance(toxic, dict) for toxic in given):
            raise Refusal("bad request body: toxics must be a list of objects", 400)
        toxics = [parse_toxic(toxic) for toxic in given]
        if len({toxic.name for toxic in toxics}) < len(toxics):
            raise Refusal("toxic already exists", 409)
        return _StateWish(proxy, _flag(body, "enabled", True), toxics)


class _ProxyWish(NamedTuple):
    name: str
    listen: str
    upstream: str
    enabled: bool


class _StateWish(NamedTuple):
    proxy: Proxy
    enabled: bool
    toxics: list[Toxic]


def _bring_about(wish: _StateWish) -> None:
    proxy = wish.proxy
    if not wish.enabled:
        proxy.disable()
    toxics = []
    for wanted in wish.toxics:
        present = proxy.find_toxic(wanted.name)
        if present is None or (present.type, present.stream) != (wanted.type, wanted.stream):
            toxics.append(wanted)
            continue
        toxics.append(present)
        if (present.toxicity, present.attributes) != (wanted.toxicity, wanted.attributes):
            proxy.change_toxic(present, wanted.toxicity, wanted.attributes)
    if toxics != proxy.toxics:
        proxy.set_toxics(toxics)


def _proxy_wish(body: Mapping[str, Any], where: str) -> _ProxyWish:
    name, upstream = _text(body, "name", ""), _text(body, "upstream", "")
    if not name:
        raise Refusal(f"missing required field: name{where}", 400)
    if not upstream:
        raise Refusal(f"missing required field: upstream{where}", 400)
    return _ProxyWish(name, _text(body, "listen", "") or _DEFAULT_LISTEN, upstream, _flag(body, "enabled", True))


def _text(body: Mapping[str, Any], name: str, default: str) -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise Refusal(f"bad request body: {name} must be a string", 400)
    return value


def _flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal(f"bad request body: {name} must be true or false", 400)
    return value
