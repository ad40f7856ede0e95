"""What is injected when: a pure function of the streams, the length of the run and the seed.

Every stream draws from seeds of its own, which are named after its faults and not after its place. So a stream that is
added, or moved, changes nothing about the others. Every injection has a seed of its own too: whom it hits follows from
the plan and not from what happened before it.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

SPREAD = 0.2
"""An interval between injections is drawn within this fraction of what was asked for."""

LEAST_SECONDS = 1.0
"""An injection that the end would cut shorter than this (and shorter than it was meant to be) is left out."""


class ChoiceLike(Protocol):
    """One fault that a stream may inject; see `harness.spec.Choice`."""

    @property
    def fault(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def for_seconds(self) -> float: ...
    @property
    def weight(self) -> float: ...


class StreamLike(Protocol):
    """One sequence of injections; see `harness.spec.Stream`."""

    @property
    def choices(self) -> Sequence[ChoiceLike]: ...
    @property
    def every_seconds(self) -> float | None: ...
    @property
    def first_seconds(self) -> float: ...
    @property
    def at_seconds(self) -> Sequence[float] | None: ...


@dataclass(frozen=True)
class Planned:
    """One injection to come. Times are seconds since the clients began."""

    at_seconds: float
    until_seconds: float
    fault: str
    options: dict[str, Any]
    number: int
    """Counts the injections of the run in the order of their times, from 1."""
    seed: int
    """The source of every choice that the fault makes."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(streams: Sequence[StreamLike], duration_seconds: float, seed: int) -> list[Planned]:
    """The injections of all streams, by time. Every one is healed when the run's duration is over at the latest."""
    drafts = [
        draft for name, stream in named_streams(streams) for draft in _draft(stream, name, duration_seconds, seed)
    ]
    drafts.sort(key=lambda draft: (draft.at_seconds, draft.seed))
    return [Planned(**{**vars(draft), "number": number}) for number, draft in enumerate(drafts, 1)]


def most_at_once(planned: Sequence[Planned]) -> int:
    """How many injections are active at the same time, at most."""
    changes = [(one.at_seconds, 1) for one in planned] + [(one.until_seconds, -1) for one in planned]
    active = most = 0
    for _, change in sorted(changes):
        active += change
        most = max(most, active)
    return most


def subseed(seed: int, *names: object) -> int:
    """A seed for one purpose, which knowing those for other purposes tells nothing about. The same on every machine."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


AnyStream = TypeVar("AnyStream", bound=StreamLike)


def named_streams(streams: Sequence[AnyStream]) -> Iterator[tuple[str, AnyStream]]:
    """Streams with their names: `partition 1`, `kill+pause 1`, `partition 2`."""
    seen: Counter[str] = Counter()
    for stream in streams:
        faults = "+".join(choice.fault for choice in stream.choices)
        seen[faults] += 1
        yield f"{faults} {seen[faults]}", stream


def _draft(stream: StreamLike, name: str, duration_seconds: float, seed: int) -> Iterator[Planned]:
    """The injections of one stream, all numbered 0."""
    dice = random.Random(subseed(seed, name, "choices"))
    weights = [choice.weight for choice in stream.choices]
    for place, at_seconds in enumerate(_times(stream, duration_seconds, subseed(seed, name, "times"))):
        choice = dice.choices(stream.choices, weights)[0]
        until_seconds = round(min(at_seconds + choice.for_seconds, duration_seconds), 3)
        if at_seconds + min(choice.for_seconds, LEAST_SECONDS) > duration_seconds:
            continue
        own_seed = subseed(seed, name, "injection", place)
        yield Planned(at_seconds, until_seconds, choice.fault, dict(choice.options), 0, own_seed)


def _times(stream: StreamLike, duration_seconds: float, seed: int) -> Iterator[float]:
    if stream.at_seconds is not None:
        yield from sorted(at_seconds for at_seconds in stream.at_seconds if 0 <= at_seconds < duration_seconds)
        return
    if stream.every_seconds is None:
        return
    dice = random.Random(seed)
    at_seconds = stream.first_seconds
    while at_seconds < duration_seconds:
        yield round(at_seconds, 3)
        at_seconds += stream.every_seconds * dice.uniform(1 - SPREAD, 1 + SPREAD)
