"""The toxics that a proxy can have: their names, their attributes, and how they are written in JSON."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from faults.proxy import effects
from faults.proxy.errors import Refusal

StreamName = Literal["upstream", "downstream"]
"""`upstream`: from the client to the service. `downstream`: the answers."""

STREAMS: tuple[StreamName, ...] = ("upstream", "downstream")

_HIGHEST_ATTRIBUTE = 2**53
"""Attributes beyond this are refused: times and sizes so large mean nothing, and floats would no longer hold them."""


class Kind(NamedTuple):
    """A type of toxic: what it does, and its attributes. Each attribute is a whole number; absent ones are 0."""

    effect: type[effects.Effect]
    attributes: tuple[str, ...]
    positive: tuple[str, ...] = ()
    """Attributes that make no sense at 0."""


KINDS: dict[str, Kind] = {
    "latency": Kind(effects.Latency, ("latency", "jitter")),
    "bandwidth": Kind(effects.Bandwidth, ("rate",)),
    "slow_close": Kind(effects.SlowClose, ("delay",)),
    "timeout": Kind(effects.Timeout, ("timeout",)),
    "reset_peer": Kind(effects.ResetPeer, ("timeout",)),
    "slicer": Kind(effects.Slicer, ("average_size", "size_variation", "delay"), positive=("average_size",)),
    "limit_data": Kind(effects.LimitData, ("bytes",)),
    "noop": Kind(effects.Effect, ()),
    "blackhole": Kind(effects.BlackHole, ()),
}

_numbers = itertools.count()


@dataclass(eq=False)
class Toxic:
    """One toxic of a proxy. Two toxics are never the same, however equal: connections remember each one's effect."""

    name: str
    type: str
    stream: StreamName
    toxicity: float
    attributes: dict[str, int]
    number: int = field(default_factory=lambda: next(_numbers))
    """Counts all toxics of this server; with the seed it decides what the toxic draws."""

    def describe(self) -> dict[str, Any]:
        """The toxic as the API shows it."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def changed(self, body: Mapping[str, Any]) -> tuple[float, dict[str, int]]:
        """Toxicity and attributes after an update that names only some of them; raises `Refusal`."""
        return _toxicity(body, self.toxicity), _attributes(self.type, body, self.attributes)


def parse_toxic(body: Mapping[str, Any]) -> Toxic:
    """The toxic that a request asks for, with Toxiproxy's defaults filled in; raises `Refusal`."""
    stream = str(body.get("stream") or "downstream").lower()
    if stream not in STREAMS:
        raise Refusal("stream was invalid, can be either upstream or downstream", 400)
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Refusal("invalid toxic type", 400)
    name = body.get("name") or f"{kind}_{stream}"
    if not isinstance(name, str):
        raise Refusal("bad request body: name must be a string", 400)
    attributes = _attributes(kind, body, dict.fromkeys(KINDS[kind].attributes, 0))
    return Toxic(name, kind, "upstream" if stream == "upstream" else "downstream", _toxicity(body, 1.0), attributes)


def _toxicity(body: Mapping[str, Any], default: float) -> float:
    value = body.get("toxicity")
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refusal("bad request body: toxicity must be a number from 0 to 1", 400)
    return value


def _attributes(kind: str, body: Mapping[str, Any], old: Mapping[str, int]) -> dict[str, int]:
    """The old attributes with those that the body names; names that the kind doesn't have are left out."""
    given = body.get("attributes")
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise Refusal("bad request body: attributes must be an object", 400)
    new = dict(old)
    for name in KINDS[kind].attributes:
        value = given.get(name, old[name])
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _HIGHEST_ATTRIBUTE:
            raise Refusal(f"bad request body: {name} must be a whole number, not negative", 400)
        if value == 0 and name in KINDS[kind].positive:
            raise Refusal(f"bad request body: {name} must be greater than 0", 400)
        new[name] = value
    return new
