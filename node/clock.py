"""A replica's own clock, which can be skewed while it runs, and the timers that go by it."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

TimeSource = Callable[[], float]


class SkewableClock:
    """A monotonic clock with an offset and a rate. Safe to use from many threads.

    With offset `o` and rate `r` set at true time `t0`, it shows `t0 + o + (t - t0) * r` at true time `t`, so that
    `set(0, 1)` gives true time back. It never goes back: set into the past, it stands still until the skewed time has
    caught up with what it has shown. True time is what `source` gives: seconds, monotonic.
    """

    def __init__(self, source: TimeSource = time.monotonic) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._offset_seconds = 0.0
        self._rate = 1.0
        self._set_at = source()
        self._latest = self._set_at

    @property
    def offset_seconds(self) -> float:
        return self._offset_seconds

    @property
    def rate(self) -> float:
        return self._rate

    def now(self) -> float:
        """Seconds; never less than before."""
        with self._lock:
            return self._show()

    def set(self, offset_seconds: float, rate: float) -> None:
        """Skew the clock from now on. Raises `ValueError` for a rate that isn't above 0."""
        if rate <= 0:
            raise ValueError(f"the rate of a clock must be above 0, not {rate}")
        with self._lock:
            self._show()  # what it could have shown until now still counts
            self._offset_seconds = offset_seconds
            self._rate = rate
            self._set_at = self._source()

    def true_seconds_until(self, moment: float) -> float:
        """How long, in true time, until `now()` reaches `moment`, if the skew stays as it is; 0 if it has."""
        with self._lock:
            if self._show() >= moment:
                return 0.0
            return max(0.0, (moment - self._skewed()) / self._rate)

    def _skewed(self) -> float:
        return self._set_at + self._offset_seconds + (self._source() - self._set_at) * self._rate

    def _show(self) -> float:
        self._latest = max(self._latest, self._skewed())
        return self._latest


class Timers:
    """Named timers on a clock, each of which goes off once. For one thread."""

    def __init__(self, clock: SkewableClock) -> None:
        self._clock = clock
        self._numbers = count()
        self._armed: dict[str, int] = {}
        self._heap: list[tuple[float, int, str]] = []
        """What was ever set, the earliest first; an entry whose number isn't the armed one is void."""

    def set(self, name: str, seconds: float) -> None:
        """Arm the timer to go off `seconds` from now; replaces a timer of the same name."""
        number = next(self._numbers)
        self._armed[name] = number
        heapq.heappush(self._heap, (self._clock.now() + max(0.0, seconds), number, name))
        if len(self._heap) > 2 * len(self._armed) + 64:
            self._drop_void()

    def cancel(self, name: str) -> None:
        self._armed.pop(name, None)

    def pop_due(self) -> str | None:
        """The timer that has been due for longest, disarmed; None if none is due."""
        self._settle_top()
        if not self._heap or self._heap[0][0] > self._clock.now():
            return None
        name = heapq.heappop(self._heap)[2]
        del self._armed[name]
        return name

    def true_seconds_until_due(self) -> float | None:
        """How long, in true time, until the next timer is due; None if none is armed."""
        self._settle_top()
        return self._clock.true_seconds_until(self._heap[0][0]) if self._heap else None

    def _settle_top(self) -> None:
        while self._heap and self._void(self._heap[0]):
            heapq.heappop(self._heap)

    def _drop_void(self) -> None:
        self._heap = [entry for entry in self._heap if not self._void(entry)]
        heapq.heapify(self._heap)

    def _void(self, entry: tuple[float, int, str]) -> bool:
        return self._armed.get(entry[2]) != entry[1]
