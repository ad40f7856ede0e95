"""The hunt itself: explores all cases side by side, and looks closer at what was found."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from harness.explore.explore import Attempt, Budget, CellTally, Exploration, Found, Hands, processes
from harness.explore.trial import Task, Trial
from harness.explore.trial import attempt as explore_once
from harness.explore.workers import Workers
from harness.hunt.catalogue import Case, place
from harness.hunt.proof import Proof, Question, prove
from harness.spec import RunSpec

HARMLESS_SHARE = 0.1
"""Runs with a flaw that is harmless, of those that a correct protocol gets: it is one more way of being correct."""

PROOF_LIMIT_SECONDS = 600.0
"""What a closer look may take, on a machine that has much else to do; then it is done without."""

GATHER_SECONDS = 0.2


def attempt(cells: Sequence[RunSpec], task: Task) -> Trial:
    """As `harness.explore.trial.attempt`, with `seconds` of the processor's time: whatever else the machine is at."""
    began = time.process_time()
    trial = explore_once([place(cells[task.cell], task.seed)], Task(0, task.seed))
    return dataclasses.replace(trial, seconds=time.process_time() - began)


class Hunt:
    """Goes through cases until the budget is used up; a case that has a finding is over.

    `on_found` is called, in this thread, with a case's tally and what its run showed; `on_look` several times a second.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        budget: Budget,
        *,
        jobs: int,
        first_seed: int | None = None,
        attempt: Attempt = attempt,
        hire: Callable[[Callable[[Task], Trial], int], Hands] = processes,
    ) -> None:
        self.cases = list(cases)
        self.jobs = jobs
        harmless = None if budget.runs is None else max(1, round(budget.runs * HARMLESS_SHARE))
        self.exploration = Exploration(
            [case.spec for case in cases],
            budget,
            jobs=jobs,
            first_seed=first_seed,
            most_runs=[harmless if case.sort == "harmless" else None for case in cases],
            attempt=attempt,
            hire=hire,
        )
        self.proofs: dict[int, Proof] = {}
        """By number of the case."""
        self.looked_at: int | None = None
        """How many findings have been looked at closely; None as long as it hasn't begun."""

    @property
    def tallies(self) -> list[CellTally]:
        return self.exploration.cells

    def go(
        self,
        interrupt: threading.Event,
        on_found: Callable[[int, int, list[Found]], None],
        on_look: Callable[[], None],
    ) -> None:
        """Explore. `on_found` gets the number of the case, the seed, and what was found."""
        numbers = {id(tally): number for number, tally in enumerate(self.tallies)}
        self.exploration.go(interrupt, lambda tally, seed, fresh: on_found(numbers[id(tally)], seed, fresh), on_look)

    def look_closer(self, interrupt: threading.Event, shrink_seconds: float, on_look: Callable[[], None]) -> None:
        """Ask of every finding what it took; `interrupt` leaves the rest without an answer."""
        questions = [
            Question(number, case.spec, first.seed, first.kind, shrink_seconds)
            for number, (case, tally) in enumerate(zip(self.cases, self.tallies, strict=True))
            if (first := _first(tally)) is not None
        ]
        self.looked_at = 0
        waiting = iter(questions)
        with Workers[Question, Proof](prove, self.jobs, PROOF_LIMIT_SECONDS + shrink_seconds) as workers:
            while not interrupt.is_set():
                while workers.room() and (question := next(waiting, None)) is not None:
                    workers.give(question)
                if not workers.busy():
                    return
                for done in workers.gather(GATHER_SECONDS):
                    self.looked_at += 1
                    if done.result is not None:
                        self.proofs[done.task.number] = done.result
                on_look()


def _first(tally: CellTally) -> Found | None:
    return next(iter(tally.found.values()), None)
