"""How long and how large a check may grow: looked at inside every loop that can be long."""

from __future__ import annotations

import gc
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from harness.checkers.checker import Limits

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = resource.getpagesize()
_SECONDS_PER_MEASUREMENT = 0.01
"""A look at the clock is cheap, one at the memory costs some ten microseconds."""
SECONDS_PER_REPORT = 0.1
_THINGS_PER_LOOK = 1024

_T = TypeVar("_T")

_pauses = 0
_pauses_lock = threading.Lock()
_was_enabled = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without the collector of cyclic garbage: on millions of live objects it takes longer than the work itself.

    May be nested, and used by several threads; the collector goes on when the last one leaves. Whoever uses it leaves
    no cycles behind.
    """
    global _pauses, _was_enabled
    with _pauses_lock:
        if _pauses == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _pauses_lock:
            _pauses -= 1
            if _pauses == 0 and _was_enabled:
                gc.enable()


class Stopped(Exception):
    """A limit was reached, or somebody called the check off. The message tells which, as the end of a sentence."""

    def __init__(self, limit: str, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.limit = limit
        self.sentence = sentence
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, str, str]]:
        return Stopped, (self.limit, self.sentence, self.remedy)


def resident_bytes() -> int:
    """What this process holds in memory now; on systems without /proc, the most it ever held."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Budget:
    """The limits of one check. `look` raises `Stopped`, at the latest one look after a limit was reached.

    Memory is measured as the growth of the whole process since the budget was made, not guessed from counts.
    """

    def __init__(self, limits: Limits, report: Callable[[], object] | None = None) -> None:
        """`report` is called by `look`, ten times a second at most."""
        self.limits = limits
        self._report = report
        now = time.monotonic()
        self._bytes_at_first = resident_bytes()
        self._next_measurement = now
        self._next_report = now + SECONDS_PER_REPORT
        self._deadline = now + limits.time_seconds
        self._share = self._deadline

    @property
    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def allow(self, seconds: float) -> None:
        """Let `look` stop after so many seconds from now, though more may be left for others; never past the limit."""
        self._share = min(self._deadline, time.monotonic() + seconds)

    def allow_until(self, moment: float) -> None:
        """The same, by the monotonic clock."""
        self._share = min(self._deadline, moment)

    def look(self) -> None:
        """To be called often: it costs less than a microsecond."""
        if self.limits.cancelled():
            raise Stopped("cancelled", "the check was called off", "check the saved history again")
        now = time.monotonic()
        if now > self._share:
            raise out_of_time(self.limits)
        if now > self._next_measurement:
            self._next_measurement = now + _SECONDS_PER_MEASUREMENT
            if self.grown_mb() > self.limits.memory_mb:
                raise out_of_memory(self.limits)
        if self._report is not None and now > self._next_report:
            self._next_report = now + SECONDS_PER_REPORT
            self._report()

    def each(self, things: Iterable[_T]) -> Iterator[_T]:
        """The things, with a look now and then: for whoever keeps something for each of them."""
        for number, thing in enumerate(things):
            if number % _THINGS_PER_LOOK == 0:
                self.look()
            yield thing

    def grown_mb(self) -> float:
        """What the process holds more than when the budget was made."""
        return (resident_bytes() - self._bytes_at_first) / 2**20


def out_of_time(limits: Limits) -> Stopped:
    return Stopped("time", f"the time limit of {limits.time_seconds:g} s was reached", "raise the time limit")


def out_of_memory(limits: Limits) -> Stopped:
    return Stopped("memory", f"the memory limit of {limits.memory_mb} MB was reached", "raise the memory limit")
