"""What each process does next, and when. Pure: nothing here sleeps, reads a clock or remembers.

**Who.** Worker w of C begins as process w. A process whose operation has an unknown outcome is retired, and its worker
goes on as process + C; so a process's number tells its worker (`process % C`) and its generation (`process // C`).

**What.** Process p's n-th operation follows from (seed, p, n) alone: `draw(seed, p, n)` is the source of its chance.
That is why a repeated run has the same sequence of operations for each process, however its faults and its network
interleave them.

**When.** `Pace` cuts time into turns, the same for every run of a seed. Each worker has a turn of its own in every
interval of C / rate seconds; the workers' turns are spread evenly over the interval and jittered, so that they neither
march in step nor come in bursts. A worker that was busy through some of its turns skips them: catching up would turn
every outage into a flood afterwards.
"""

from __future__ import annotations

import hashlib
import random
import threading
from typing import NamedTuple

_brief = threading.local()

_JITTER = 0.25
"""How far a turn may lie from its place, as a part of the interval."""


def draw(seed: int, *names: int | str) -> random.Random:
    """A source of chance that follows from the seed and the names: other names, other draws."""
    return random.Random("/".join(map(str, (seed, *names))))


def draw_briefly(seed: int, *names: int | str) -> random.Random:
    """As `draw`, in half the time; but the source is good only until this thread asks for the next one."""
    source: random.Random | None = getattr(_brief, "source", None)
    if source is None:
        source = _brief.source = random.Random(0)
    source.seed("/".join(map(str, (seed, *names))))
    return source


def draw_number(seed: int, *names: object) -> float:
    """A number from 0 up to 1 that follows from the seed and the names: a tenth of the work of a source."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) / 2**48


def worker_of(process: int, workers: int) -> int:
    return process % workers


def generation(process: int, workers: int) -> int:
    """How many processes its worker was before this one."""
    return process // workers


def successor(process: int, workers: int) -> int:
    """Who takes the place of a process that is retired."""
    return process + workers


def first_fresh(processes: int, workers: int) -> int:
    """The smallest number for a new row of workers, when the numbers below `processes` may be taken."""
    return -(-processes // workers) * workers


class Turn(NamedTuple):
    number: int
    seconds: float
    """When it is, in seconds since the clients began."""


class Pace:
    """When each worker may begin its operations, at `rate_per_second` of all together; 0 is as fast as it can."""

    def __init__(self, seed: int, workers: int, rate_per_second: float) -> None:
        self._seed = seed
        self._workers = workers
        self._interval = workers / rate_per_second if rate_per_second else 0.0

    def turn(self, worker: int, number: int) -> Turn:
        """The worker's turn of that number: 0, 1, ..."""
        jitter = _JITTER * (2.0 * draw_number(self._seed, "pace", worker, number) - 1.0)
        place = number + worker / self._workers + jitter
        return Turn(number, max(0.0, place * self._interval))

    def next_turn(self, worker: int, last: int, now: float) -> Turn:
        """The first turn after the turn numbered `last` (-1: there was none) that isn't over at `now`."""
        if not self._interval:
            return Turn(last + 1, now)
        # No turn before this one can still lie ahead, jitter included.
        number = max(last + 1, int(now / self._interval - worker / self._workers - _JITTER))
        while (turn := self.turn(worker, number)).seconds < now:
            number += 1
        return turn
