"""Trials for tests of explorations: what comes of a run follows from its seed, and nothing is simulated.

They live in a module of their own because other processes import them. `Scrambled` does without processes.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Self

from harness.explore.coverage import Coverage
from harness.explore.trial import Kind, Seen, Task, Trial
from harness.explore.workers import QUEUE_LIMIT, Done
from harness.spec import RunSpec

STALE = Kind("linearizable", "stale read")
LOST = Kind("linearizable", "lost write")


def _trial(*kinds: Kind, succeeded: int = 100, undecided: tuple[str, ...] = ()) -> Trial:
    coverage = Coverage()
    coverage.count("operations", "read", "ok", succeeded)
    findings = tuple(Seen(kind, f"there was a {kind.anomaly}.") for kind in kinds)
    return Trial(findings, undecided, coverage, virtual_seconds=2.0, succeeded=succeeded)


def all_is_well(cells: Sequence[RunSpec], task: Task) -> Trial:
    return _trial()


def stale_from_12_on(cells: Sequence[RunSpec], task: Task) -> Trial:
    """Seed 12 takes longer than those after it, which find the same."""
    if task.seed == 12:
        time.sleep(0.1)
    return _trial(*([STALE] if task.seed >= 12 else []), *([LOST] if task.seed % 7 == 0 and task.seed > 12 else []))


def second_cell_is_broken(cells: Sequence[RunSpec], task: Task) -> Trial:
    return _trial(*([LOST] if task.cell == 1 and task.seed >= 3 else []))


def hardly_anything_succeeds(cells: Sequence[RunSpec], task: Task) -> Trial:
    return _trial(succeeded=3)


def third_is_undecided(cells: Sequence[RunSpec], task: Task) -> Trial:
    return _trial(undecided=("linearizable: it took too long",) if task.seed == 3 else ())


def third_raises(cells: Sequence[RunSpec], task: Task) -> Trial:
    if task.seed == 3:
        raise ZeroDivisionError("a protocol divides by zero")
    return _trial()


class Scrambled:
    """Does what `jobs` processes would do, in this one, and gives it back in any order."""

    def __init__(self, job: Callable[[Task], Trial], jobs: int) -> None:
        self._job = job
        self._jobs = jobs
        self._waiting: list[Task] = []
        self._dice = random.Random(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._waiting.clear()

    def room(self) -> bool:
        return len(self._waiting) < self._jobs * QUEUE_LIMIT

    def busy(self) -> bool:
        return bool(self._waiting)

    def give(self, task: Task) -> None:
        assert self.room()
        self._waiting.append(task)

    def gather(self, timeout_seconds: float) -> list[Done[Task, Trial]]:
        task = self._waiting.pop(self._dice.randrange(len(self._waiting)))
        try:
            return [Done(task, self._job(task))]
        except Exception:
            return [Done(task, None, traceback.format_exc())]


def slow(cells: Sequence[RunSpec], task: Task) -> Trial:
    time.sleep(0.05)
    return _trial()
