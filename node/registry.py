"""Named things that are imported when they are asked for: protocols, machines, faults, workloads, checkers."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class UnknownName(ValueError):
    """A name that nothing has; the message is one sentence with the nearest known name."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The sentence for a name that isn't among `known`: `unknown protocol 'paxso': did you mean 'paxos'?`"""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    return UnknownName(f"unknown {kind} {name!r}: {hint}")


class Registry(Mapping[str, Any]):
    """A mapping from a name to a class, given as `package.module:Class` and imported on first use.

    `registry["name"]` also takes a `package.module:Class` that isn't registered, so that a user can bring his own.
    Raises `UnknownName` for a name that nothing has or that can't be imported.
    """

    def __init__(self, kind: str, places: dict[str, str]) -> None:
        self.kind = kind
        self.places = places

    def __getitem__(self, name: str) -> Any:
        place = self.places.get(name, name)
        module_name, colon, attribute = place.partition(":")
        if not colon:
            raise unknown(self.kind, name, self.places)
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise UnknownName(f"cannot import {self.kind} {place!r}: {error}") from error

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
