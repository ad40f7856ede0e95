"""Faults that strike at a moment: not at a time, but whenever a replica does what `harness.spec.Moment` says.

A bug may need its fault between two messages: a vote that has left and a second one that is not asked for yet. At drawn
times that is rare; after something that replicas do it is a matter of a few draws. Each stream
draws from a source of its own; so which moments are taken follows from the run and its seed alone. In a script of the run
(`harness.scripted`) they are injections at their times, like any other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from faults.schedule import Planned, named_streams, subseed
from harness.simulation.loop import MILLISECOND, SECOND
from harness.spec import Choice, Moment, Stream


class Moments:
    """All streams of a nemesis that wait for moments."""

    def __init__(self, streams: Sequence[Stream], duration_seconds: float, seed: int) -> None:
        self._waiting = [
            _Waiting(name, stream.moment, stream.choices, round(duration_seconds * SECOND), seed)
            for name, stream in named_streams(streams)
            if stream.moment is not None
        ]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._waiting)

    def taken(self, what: str, kind: str, doer: str, peer: str, now_ns: int, number: int) -> Iterator[Planned]:
        """The injections that follow from what a replica does now, numbered from `number` on."""
        for waiting in self._waiting:
            if waiting.fits(what, kind):
                planned = waiting.take(doer, peer, now_ns, number)
                if planned is not None:
                    number += 1
                    yield planned


class _Waiting:
    """One stream."""

    def __init__(self, name: str, moment: Moment, choices: Sequence[Choice], end_ns: int, seed: int) -> None:
        self._name = name
        self._moment = moment
        self._choices = choices
        self._weights = [choice.weight for choice in choices]
        self._end_ns = end_ns
        self._seed = seed
        self._dice = random.Random(subseed(seed, name, "moments"))
        self._taken = 0
        self._free_at_ns = 0
        """Until then the last injection, and the rest after it, lasts."""

    def fits(self, what: str, kind: str) -> bool:
        return what == self._moment.what and self._moment.kind in ("", kind)

    def take(self, doer: str, peer: str, now_ns: int, number: int) -> Planned | None:
        """None if this moment is let pass."""
        at_ns = now_ns + round(self._moment.after_ms * MILLISECOND)
        if now_ns < self._free_at_ns or at_ns >= self._end_ns or self._dice.random() >= self._moment.share:
            return None
        choice = self._dice.choices(self._choices, self._weights)[0]
        options = dict(choice.options)
        if self._moment.hits != "target":
            options["target"] = doer if self._moment.hits == "doer" else peer
        until_ns = min(at_ns + round(choice.for_seconds * SECOND), self._end_ns)
        self._free_at_ns = until_ns + round(self._moment.rest_seconds * SECOND)
        self._taken += 1
        own_seed = subseed(self._seed, self._name, "injection", self._taken)
        return Planned(at_ns / SECOND, until_ns / SECOND, choice.fault, options, number, own_seed)
