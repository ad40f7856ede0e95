"""The exploration itself: hands out runs, gathers what came of them, and knows when it is enough.

Seeds are handed out in order, cell by cell in turn, and what comes back is looked at in the order of the seeds, whoever was
quicker: so with `--runs` the findings are the same on any number of cores.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from harness.errors import BadInput
from harness.explore.coverage import Coverage
from harness.explore.trial import Kind, Seen, Task, Trial, attempt
from harness.explore.workers import Done, Workers
from harness.spec import RunSpec, Verdict

LIMIT_SECONDS = 120.0
"""What one run may take, of true time: the work of some hundred usual ones. Then it counts as one that failed."""

AHEAD_LIMIT = 500
"""How far the runs of a cell may get ahead of one of them that takes long."""

MOST_TOLD = 20
"""Of runs that failed or that nobody could judge, so many are remembered; all are counted."""

GATHER_SECONDS = 0.2

Attempt = Callable[[Sequence[RunSpec], Task], Trial]


class Hands(Protocol):
    """Whoever does the runs; see `harness.explore.workers.Workers`, which is it."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def room(self) -> bool: ...
    def busy(self) -> bool: ...
    def give(self, task: Task) -> None: ...
    def gather(self, timeout_seconds: float) -> list[Done[Task, Trial]]: ...


def processes(job: Callable[[Task], Trial], jobs: int) -> Hands:
    """So many processes."""
    return Workers(job, jobs, LIMIT_SECONDS)


@dataclass(frozen=True)
class Budget:
    """When to stop, if nothing is found. At least one of the first two is given."""

    runs: int | None = None
    """Of each cell."""
    minutes: float | None = None
    """In all."""
    keep_going: bool = False
    """Go on after a cell's first run with a finding."""


@dataclass
class Found:
    """The first finding of its kind in a cell."""

    kind: Kind
    sentence: str
    seed: int
    runs: int = 1
    """How many runs of the cell had one of this kind."""
    folder: str | None = None
    """Where its run was saved."""
    problem: str | None = None
    """Why it could not be saved."""


@dataclass
class CellTally:
    """What is known of one cell."""

    spec: RunSpec
    first_seed: int
    runs: int = 0
    proving: int = 0
    """Runs in which enough operations succeeded to prove anything."""
    found: dict[Kind, Found] = field(default_factory=dict)
    violations: int = 0
    """Runs with any finding."""
    undecided: list[tuple[int, str]] = field(default_factory=list)
    """Seeds of runs that could not be judged, and why; the first `MOST_TOLD`."""
    undecided_total: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    """Seeds of runs that failed, and why; the first `MOST_TOLD`."""
    failed_total: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    """What its runs took, one after the other."""
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def verdict(self) -> Verdict:
        if self.found:
            return "violation"
        return "unknown" if self.undecided_total or self.failed_total or not self.proving else "valid"

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.spec.expect

    @property
    def reason(self) -> str:
        """Why this verdict, in one sentence."""
        if self.found:
            first = next(iter(self.found.values()))
            return f"seed {first.seed}: {first.sentence}"
        if self.failed_total:
            seed, why = self.failed[0]
            return f"{self.failed_total} of {self.runs} runs failed; seed {seed}: {why.strip().splitlines()[-1]}"
        if self.undecided_total:
            seed, why = self.undecided[0]
            return f"{self.undecided_total} of {self.runs} runs could not be judged; seed {seed}: {why}"
        if not self.runs:
            return "no run was done"
        if not self.proving:
            least = self.spec.minimum_operations
            return f"in none of {self.runs} runs did {least} operations succeed: fewer prove nothing"
        return f"no finding in {self.runs:,} runs, {self.virtual_seconds:,.0f} simulated seconds"

    def take(self, seed: int, done: Done[Task, Trial]) -> list[Found]:
        """Count a run in; returns what it has found for the first time."""
        self.runs += 1
        trial = done.result
        if trial is None:
            self.failed_total += 1
            if len(self.failed) < MOST_TOLD:
                self.failed.append((seed, done.problem or "nobody knows why"))
            return []
        self.coverage.add(trial.coverage)
        self.virtual_seconds += trial.virtual_seconds
        self.seconds += trial.seconds
        self.proving += trial.succeeded >= self.spec.minimum_operations
        if trial.findings:
            self.violations += 1
            return self._find(seed, trial.findings)
        if trial.undecided:
            self.undecided_total += 1
            if len(self.undecided) < MOST_TOLD:
                self.undecided.append((seed, trial.undecided[0]))
        return []

    def _find(self, seed: int, findings: Sequence[Seen]) -> list[Found]:
        fresh = []
        for seen in findings:
            if seen.kind in self.found:
                self.found[seen.kind].runs += 1
            else:
                found = self.found[seen.kind] = Found(seen.kind, seen.sentence, seed)
                fresh.append(found)
        return fresh


@dataclass
class _Course:
    """How far a cell is: what was handed out, and what came back out of turn."""

    tally: CellTally
    most_runs: int | None = None
    """Instead of the budget's."""
    handed_out: int = 0
    back: dict[int, Done[Task, Trial]] = field(default_factory=dict)
    over: bool = False

    def next_seed(self) -> int:
        return self.tally.first_seed + self.handed_out

    def in_turn(self) -> Iterator[tuple[int, Done[Task, Trial]]]:
        """What came back and is next in the order of the seeds."""
        while not self.over:
            seed = self.tally.first_seed + self.tally.runs
            if seed not in self.back:
                return
            yield seed, self.back.pop(seed)


class Exploration:
    """Explores cells until the budget is used up, or each has a finding.

    `on_found` is called, in this thread, with every finding that is the first of its kind, with its cell and seed;
    `on_look` several times a second.
    """

    def __init__(
        self,
        cells: Sequence[RunSpec],
        budget: Budget,
        *,
        jobs: int,
        first_seed: int | None = None,
        most_runs: Sequence[int | None] = (),
        attempt: Attempt = attempt,
        hire: Callable[[Callable[[Task], Trial], int], Hands] = processes,
    ) -> None:
        """`first_seed` stands for the cells' own ones, `most_runs` (one for each cell) for the budget's, where it isn't
        None. `attempt` must be a function that a fresh interpreter can import."""
        if not cells:
            raise BadInput("there is no cell to explore: name at least one")
        self.budget = budget
        self.jobs = jobs
        self.cells = [CellTally(cell, cell.seed if first_seed is None else first_seed) for cell in cells]
        self.seconds = 0.0
        """How long it has been going on."""
        self.interrupted = False
        self._attempt = attempt
        self._hire = hire
        limits = most_runs or [None] * len(cells)
        self._courses = [_Course(tally, limit) for tally, limit in zip(self.cells, limits, strict=True)]
        self._turn = 0

    @property
    def runs(self) -> int:
        return sum(cell.runs for cell in self.cells)

    @property
    def virtual_seconds(self) -> float:
        return sum(cell.virtual_seconds for cell in self.cells)

    @property
    def kinds(self) -> Mapping[Kind, int]:
        """Distinct findings of all cells, and how many runs had them."""
        counts: dict[Kind, int] = {}
        for cell in self.cells:
            for kind, found in cell.found.items():
                counts[kind] = counts.get(kind, 0) + found.runs
        return counts

    def go(
        self,
        interrupt: threading.Event,
        on_found: Callable[[CellTally, int, list[Found]], None],
        on_look: Callable[[], None],
    ) -> None:
        """All of it. Setting `interrupt` ends it early; what is under way then is thrown away."""
        began = time.monotonic()
        job = functools.partial(self._attempt, [tally.spec for tally in self.cells])
        with self._hire(job, self.jobs) as workers:
            while not interrupt.is_set():
                self.seconds = time.monotonic() - began
                while workers.room() and (task := self._next()) is not None:
                    workers.give(task)
                if not workers.busy():
                    break
                for done in workers.gather(GATHER_SECONDS):
                    self._courses[done.task.cell].back[done.task.seed] = done
                self._look_at_what_is_back(on_found)
                on_look()
        self.interrupted = interrupt.is_set()
        self.seconds = time.monotonic() - began

    def _next(self) -> Task | None:
        """The next run of the next cell that wants one; None if there is nothing more to do for now."""
        if self.budget.minutes is not None and self.seconds >= self.budget.minutes * 60:
            return None
        for step in range(len(self._courses)):
            number = (self._turn + step) % len(self._courses)
            course = self._courses[number]
            if self._wants_more(course):
                self._turn = number + 1
                task = Task(number, course.next_seed())
                course.handed_out += 1
                return task
        return None

    def _wants_more(self, course: _Course) -> bool:
        if course.over or len(course.back) >= AHEAD_LIMIT:
            return False
        most = self.budget.runs if course.most_runs is None else course.most_runs
        return most is None or course.handed_out < most

    def _look_at_what_is_back(self, on_found: Callable[[CellTally, int, list[Found]], None]) -> None:
        for course in self._courses:
            for seed, done in course.in_turn():
                fresh = course.tally.take(seed, done)
                if fresh:
                    on_found(course.tally, seed, fresh)
                    course.over = not self.budget.keep_going
