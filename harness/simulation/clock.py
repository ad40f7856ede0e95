"""A replica's clock on virtual time: what `node.clock.SkewableClock` is on true time, for one thread, and faster."""

from __future__ import annotations

from harness.simulation.loop import SECOND, Loop


class VirtualClock:
    """A clock with an offset and a rate.

    With offset `o` and rate `r` set at true time `t0`, it shows `t0 + o + (t - t0) * r` at true time `t`. It never goes
    back: set into the past, it stands still until the skewed time has caught up with what it has shown.
    """

    def __init__(self, loop: Loop, offset_seconds: float = 0.0, rate: float = 1.0) -> None:
        self._loop = loop
        self._latest = 0.0
        self.set(offset_seconds, rate)

    def set(self, offset_seconds: float, rate: float) -> None:
        """Skew the clock from now on. Raises `ValueError` for a rate that isn't above 0."""
        if rate <= 0:
            raise ValueError(f"the rate of a clock must be above 0, not {rate}")
        if hasattr(self, "rate"):
            self.now()  # what it could have shown until now still counts
        self.offset_seconds = offset_seconds
        self.rate = rate
        # What it shows at true time `t` is `t * slope + start`.
        self._slope = rate / SECOND
        self._start = self._loop.now * (1.0 - rate) / SECOND + offset_seconds

    def restart(self, offset_seconds: float, rate: float) -> None:
        """Forget what it has shown, as the clock of a new process does."""
        self.set(offset_seconds, rate)
        self._latest = 0.0

    def now(self) -> float:
        """Seconds; never less than before."""
        shown = self._loop.now * self._slope + self._start
        if shown > self._latest:
            self._latest = shown
        return self._latest

    def true_ns_until(self, moment: float) -> int:
        """How long, in true time, until `now()` reaches `moment`, if the skew stays as it is; 0 if it has."""
        if self.now() >= moment:
            return 0
        skewed = self._loop.now * self._slope + self._start
        return max(0, int((moment - skewed) / self._slope) + 1)
