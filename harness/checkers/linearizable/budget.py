"""How long and how large a check may grow: looked at inside every loop that can be long."""

from __future__ import annotations

import gc
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.checkers.checker import Limits

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = resource.getpagesize()
_LOOKS_PER_MEASUREMENT = 16
"""A look at the clock is cheap, one at the memory costs some ten microseconds."""


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

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._began = time.monotonic()
        self._bytes_at_first = resident_bytes()
        self._looks = 0
        self._deadline = self._began + limits.time_seconds
        self._share = self._deadline

    @property
    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def allow(self, seconds: float) -> None:
        """Let `look` stop after so many seconds from now, though more may be left for others; never past the limit."""
        self._share = min(self._deadline, time.monotonic() + seconds)

    def look(self) -> None:
        if self.limits.cancelled():
            raise Stopped("cancelled", "the check was called off", "check the saved history again")
        if time.monotonic() > self._share:
            raise Stopped(
                "time",
                f"the time limit of {self.limits.time_seconds:g} s was reached",
                "raise the time limit",
            )
        self._looks += 1
        if self._looks % _LOOKS_PER_MEASUREMENT == 0:
            self._measure()

    def _measure(self) -> None:
        grown_mb = (resident_bytes() - self._bytes_at_first) / 2**20
        if grown_mb > self.limits.memory_mb:
            raise Stopped(
                "memory",
                f"the memory limit of {self.limits.memory_mb} MB was reached",
                "raise the memory limit",
            )
