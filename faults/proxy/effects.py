"""What a toxic does to one stream of one connection.

An `Effect` is one toxic at work on one stream. It owns no socket, no clock and no timer: a stream asks it how much of
the data at the head of its queue may go in one piece, and when; and tells it what went. To remove a toxic is to ask the
remaining effects again, so there is no chain of pipes to cut open and nothing that could deadlock.

All times are seconds on the event loop's clock; the attributes of toxics are in Toxiproxy's units, which are
milliseconds for all but the slicer's `delay` (microseconds) and the `rate` of bandwidth (1,000 bytes a second).
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from faults.proxy.toxics import Toxic

NEVER = math.inf

_SLICE_SECONDS = 0.1
"""Bandwidth passes data in pieces worth this long, so that a slow link trickles instead of stuttering."""

_CATCH_UP_SECONDS = 0.05
"""How much unused time a bandwidth may make up for: enough for late timers, too little for a burst."""


class Chunk:
    """Data as they were read from a socket, less what was passed on already."""

    __slots__ = ("arrived", "data")

    def __init__(self, data: bytes, arrived: float) -> None:
        self.data = memoryview(data)
        self.arrived = arrived


class Effect:
    """One toxic at work on one stream of one connection; this base lets everything pass.

    `chance` draws the coin that decides (against `toxicity`) whether the toxic touches this connection, and everything
    else that is random. The coin is tossed once: changing or adding toxics never tosses it again.
    """

    swallows: ClassVar[bool] = False
    """Data vanish."""
    hides_end: ClassVar[bool] = False
    """The end of the stream vanishes as well."""
    ends_when_removed: ClassVar[bool] = False
    """Taking the toxic away ends the stream, for what it swallowed can't be made good."""
    resets: ClassVar[bool] = False
    """What is due is not passed on: the connection is torn instead."""

    def __init__(self, toxic: Toxic, chance: random.Random, now: float) -> None:
        self.toxic = toxic
        self.chance = chance
        self._coin = chance.random()
        self.begin(now)

    @property
    def active(self) -> bool:
        return self._coin < self.toxic.toxicity

    def attribute(self, name: str) -> int:
        return self.toxic.attributes[name]

    def begin(self, now: float) -> None:
        """Start afresh: the toxic was added, or its attributes were changed."""

    def portion(self, size: int) -> int:
        """How many of the next `size` bytes may go in one piece (at least one)."""
        return size

    def due(self, chunk: Chunk, size: int, ready: float) -> float:
        """When the first `size` bytes of the chunk, that reach this toxic at `ready`, leave it."""
        return ready

    def due_end(self, ready: float) -> float:
        """When the end of the stream, that reaches this toxic at `ready`, leaves it."""
        return ready

    def passed(self, size: int, due: float, now: float) -> None:
        """`size` bytes that were due at `due` went at `now`."""

    def swallowed(self, now: float) -> None:
        """Data were thrown away for this (or another) toxic's sake."""

    @property
    def deadline(self) -> float:
        """When the stream ends whatever comes."""
        return NEVER

    @property
    def exhausted(self) -> bool:
        """Nothing more may pass: the next data end the stream."""
        return False


class Latency(Effect):
    """Each chunk waits `latency`, give or take up to `jitter`; chunks never overtake each other."""

    def begin(self, now: float) -> None:
        self._chunk: Chunk | None = None
        self._delay = 0.0

    def due(self, chunk: Chunk, size: int, ready: float) -> float:
        if chunk is not self._chunk:  # one draw for each chunk, however often it is asked for and cut
            self._chunk = chunk
            jitter = self.attribute("jitter")
            self._delay = max(0.0, self.attribute("latency") + (self.chance.uniform(-jitter, jitter) if jitter else 0))
        return ready + self._delay / 1000


class Bandwidth(Effect):
    """Data pass at `rate` thousands of bytes a second; at 0 they wait for as long as the toxic stays."""

    def begin(self, now: float) -> None:
        self._free = now

    def portion(self, size: int) -> int:
        return max(1, min(size, int(self.attribute("rate") * 1000 * _SLICE_SECONDS)))

    def due(self, chunk: Chunk, size: int, ready: float) -> float:
        rate = self.attribute("rate") * 1000
        return max(ready, self._free) + size / rate if rate else NEVER

    def passed(self, size: int, due: float, now: float) -> None:
        self._free = max(due, now - _CATCH_UP_SECONDS)


class Slicer(Effect):
    """Data go in pieces of `average_size` bytes, give or take `size_variation`, with `delay` microseconds between."""

    def begin(self, now: float) -> None:
        self._next = now
        self._size = 0

    def portion(self, size: int) -> int:
        if self._size == 0:
            variation = self.attribute("size_variation")
            self._size = max(1, self.attribute("average_size") + self.chance.randint(-variation, variation))
        return min(size, self._size)

    def due(self, chunk: Chunk, size: int, ready: float) -> float:
        return max(ready, self._next)

    def passed(self, size: int, due: float, now: float) -> None:
        self._next = now + self.attribute("delay") / 1_000_000
        self._size = 0


class LimitData(Effect):
    """The stream ends after `bytes` bytes. What passed already still counts when the limit is changed."""

    def __init__(self, toxic: Toxic, chance: random.Random, now: float) -> None:
        self._passed = 0
        super().__init__(toxic, chance, now)

    def portion(self, size: int) -> int:
        return max(1, min(size, self.attribute("bytes") - self._passed))

    def passed(self, size: int, due: float, now: float) -> None:
        self._passed += size

    @property
    def exhausted(self) -> bool:
        return self._passed >= self.attribute("bytes")


class SlowClose(Effect):
    """The end of the stream waits `delay`."""

    def due_end(self, ready: float) -> float:
        return ready + self.attribute("delay") / 1000


class ResetPeer(Effect):
    """The first data, or the end, tear the connection with an RST `timeout` later."""

    resets = True

    def due(self, chunk: Chunk, size: int, ready: float) -> float:
        return ready + self.attribute("timeout") / 1000

    def due_end(self, ready: float) -> float:
        return ready + self.attribute("timeout") / 1000


class Timeout(Effect):
    """A black hole: data vanish, and the stream ends after `timeout` without data; at 0 it never ends of itself.

    The end of the stream passes: whoever hangs up is heard on the other side.
    """

    swallows = True
    ends_when_removed = True

    def begin(self, now: float) -> None:
        self._since = now

    def swallowed(self, now: float) -> None:
        self._since = now

    @property
    def deadline(self) -> float:
        timeout = self.attribute("timeout")
        return self._since + timeout / 1000 if timeout else NEVER


class BlackHole(Effect):
    """A black hole that hides the end of the stream too, as a cut cable does. Not one of Toxiproxy's toxics."""

    swallows = True
    hides_end = True
    ends_when_removed = True
