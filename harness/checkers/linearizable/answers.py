"""Who judges which key, where, and for how long.

1. What an algorithm that never explodes can answer is answered here and now, all keys one after the other.
2. The searches that are left get half a second together, the smallest first: most need no more.
3. What is still open goes to processes of its own (`crew`), where more than one may work at once; else it is done here.
   Each key has its share of the time that is left, so that a hard one can't take it all, and its share of the memory.
4. Keys whose share of the memory was too small for them are tried once more, one at a time, with the whole.

A user's model is judged in another process from the start, be it only one: there it can be ended although its step never
returns. That needs a class that another process can import; one that was made in a function or a main program is used here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.crew import Crew, Foreign, Job
from harness.checkers.linearizable.decide import Answer, decide, quick
from harness.checkers.linearizable.parts import Part
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.watch import Watch
from harness.checkers.operations import Operation
from harness.models.guarded import Guarded, guarded, watched
from harness.models.model import Model

_SECONDS_FOR_SMALL_ONES = 0.5
_SECONDS_EACH = 0.1
_WORTH_IT_SECONDS = 1.0
"""With less time than this left, no processes are started."""


def judge_parts(parts: Sequence[Part], model: Model, budget: Budget, watch: Watch) -> None:
    """Give every part its answer, or what stopped it."""
    watch.parts(parts)
    try:
        for part in parts:
            part.begun = True
            part.answer = quick(part.operations, model, budget)
            if part.answer is not None:
                watch.ends(part)
    except Stopped as stopped:
        for part in parts:
            if part.answer is None:
                part.stopped = stopped.with_traceback(None)
        return
    waiting = sorted((part for part in parts if part.answer is None), key=lambda part: len(part.operations))
    if not waiting:
        return
    jobs = budget.limits.jobs or processors()
    if is_apart(model):
        with suppress(Foreign):
            _in_processes(waiting, model, jobs, budget, watch)
    elif jobs > 1 and len(waiting) > 1 and sys.executable:
        waiting = _small_ones(waiting, model, budget, watch)
        if len(waiting) > 1 and budget.seconds_left > _WORTH_IT_SECONDS:
            _in_processes(waiting, model, jobs, budget, watch)
    _here(_open(waiting), model, budget, watch)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_apart(model: Model) -> bool:
    """Whether the model is a user's, and can be used in another process as far as can be told from here."""
    if not isinstance(model, Guarded) or not sys.executable:
        return False
    kind = type(model.model)
    return kind.__module__ != "__main__" and "<locals>" not in kind.__qualname__


def _open(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part.answer is None and part.stopped is None]


def _small_ones(parts: Sequence[Part], model: Model, budget: Budget, watch: Watch) -> list[Part]:
    """Search a little; gives what needs more time."""
    end = time.monotonic() + _SECONDS_FOR_SMALL_ONES
    for part in parts:
        left = end - time.monotonic()
        if left <= 0:
            break
        budget.allow(min(left, _SECONDS_EACH))
        _search(part, model, budget, watch)
        if part.stopped is not None and part.stopped.limit == "time":
            part.stopped = None
    return _open(parts)


def _here(parts: Sequence[Part], model: Model, budget: Budget, watch: Watch) -> None:
    for number, part in enumerate(parts):
        budget.allow(max(0.0, budget.seconds_left / (len(parts) - number)))
        _search(part, model, budget, watch)


def _search(part: Part, model: Model, budget: Budget, watch: Watch) -> None:
    part.progress = Progress()
    watch.begins(part)
    try:
        part.answer = decide(part.operations, watched(model, budget), budget, part.progress)
    except Stopped as stopped:
        part.stopped = stopped.with_traceback(None)  # which would keep all that the search held
    watch.ends(part)


def _in_processes(parts: Sequence[Part], model: Model, jobs: int, budget: Budget, watch: Watch) -> None:
    limits = replace(budget.limits, memory_mb=max(16, budget.limits.memory_mb - round(max(0.0, budget.grown_mb()))))
    budget.allow(budget.seconds_left)
    deadline = time.monotonic() + budget.seconds_left
    alone = model.model if isinstance(model, Guarded) else model
    with Crew(jobs) as crew:
        while parts:
            part_of = {Job(_judge, (part.operations, alone)): part for part in parts}
            for job, part in part_of.items():
                part.progress = job.progress
                watch.begins(part)
            try:
                for job in crew.run(list(part_of), limits, deadline, budget.look):
                    part = part_of[job]
                    part.progress, part.stopped = job.progress, job.stopped
                    if job.value is not None:
                        part.answer = _of_here(job.value, part.operations)
                    watch.ends(part)
            except Stopped as stopped:
                for part in _open(parts):
                    part.stopped = stopped
                    watch.ends(part)
                return
            cramped = [part for part in parts if part.stopped is not None and part.stopped.limit == "memory"]
            parts = cramped if min(jobs, len(parts)) > 1 and time.monotonic() < deadline else []
            jobs = 1
            crew.alone()
            for part in parts:
                part.stopped = None


def _judge(budget: Budget, progress: Progress, operations: list[Operation], model: Model) -> Answer:
    """In another process."""
    return decide(operations, watched(guarded(model), budget), budget, progress)


def _of_here(answer: Answer, operations: Sequence[Operation]) -> Answer:
    """The answer of another process, about the operations of this one."""
    ours = {operation.index: operation for operation in operations}

    def same(one: Any) -> Any:
        return ours.get(one.index, one)

    failed_at = None if answer.failed_at is None else same(answer.failed_at)
    return replace(answer, proof=[same(one) for one in answer.proof], failed_at=failed_at)
