"""The event loop: virtual time, in whole nanoseconds, which passes only from one event to the next.

    loop = Loop()
    loop.after(5_000_000, print, "after five milliseconds")
    loop.run(SECOND)

Events of the same instant happen in the order in which they were asked for. Integers, so that no rounding decides an
order. A run has a bound on its events: two replicas that answer each other without end would otherwise stop time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

MOST_EVENTS = 20_000_000
"""Events of one run. A run of ten minutes with five busy replicas has a fifth of that."""


class TooManyEvents(Exception):
    """The bound is reached; the message is one sentence."""


class Loop:
    """Virtual time and what is going to happen in it. For one thread."""

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self.now = 0
        """Nanoseconds since the beginning."""
        self.events = 0
        """How many have happened."""
        self.stopped = False
        """Set to let nothing more happen, ever."""
        self._most_events = most_events
        self._number = 0
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []

    def at(self, time_ns: int, event: Callable[..., object], *arguments: Any) -> None:
        """Call it at that time; now, after what is due now already, if the time is over."""
        self._number += 1
        heapq.heappush(self._heap, (time_ns if time_ns > self.now else self.now, self._number, event, arguments))

    def after(self, delay_ns: int, event: Callable[..., object], *arguments: Any) -> None:
        """Call it so many nanoseconds from now."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay_ns, self._number, event, arguments))

    def run(self, until_ns: int) -> None:
        """Let time pass until `until_ns`, unless the loop is stopped. Raises `TooManyEvents`."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_ns and not self.stopped:
            self.now, _, event, arguments = pop(heap)
            event(*arguments)
            self.events += 1
            if self.events > self._most_events:
                raise TooManyEvents(self._too_many())
        if not self.stopped:
            self.now = max(self.now, until_ns)

    def _too_many(self) -> str:
        return (
            f"{self._most_events} events within {self.now / SECOND:.3f} simulated seconds: look for messages that "
            "answer each other without end, or make the run shorter"
        )
