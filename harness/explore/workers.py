"""Processes that work through tasks on all cores.

    with Workers(job, size=4, limit_seconds=60) as workers:
        while workers.room():
            workers.give(task)
        for done in workers.gather(0.2):
            ...

A worker is a fresh interpreter (`spawn`), with a queue of at most `QUEUE_LIMIT` tasks: its pipe. A task that takes longer
than `limit_seconds` is given up with its process, and a process that dies takes one task with it; both come back as a
`Done` with a problem, and another process takes the place. A worker ignores Ctrl-C, which is its owner's affair, and
ends itself as soon as its owner is gone, however that came.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from harness.errors import RunFailed

Task = TypeVar("Task")
Result = TypeVar("Result")

QUEUE_LIMIT = 2
"""Tasks in the hands of one worker: the one it is at, and the next, so that it never waits for its owner."""

DEATHS_LIMIT = 3
"""So many processes in a row that die without a single result: something is wrong with all of them."""

START_LIMIT_SECONDS = 120.0
"""What a process may take until it is ready, on a machine that has much else to do."""

_READY = "ready"
_GOODBYE_SECONDS = 5.0


@dataclass(frozen=True)
class Done(Generic[Task, Result]):
    """What came of a task: a result, or a problem in words."""

    task: Task
    result: Result | None = None
    problem: str | None = None


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    pipe: Connection
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False
    since: float = field(default_factory=time.monotonic)
    """When it began what it is at (starting, to begin with), on the monotonic clock."""


class Workers(Generic[Task, Result]):
    """`job` is a function that a fresh interpreter can import, or a `functools.partial` of one."""

    def __init__(self, job: Callable[[Task], Result], size: int, limit_seconds: float) -> None:
        self._job = job
        self._size = size
        self._limit_seconds = limit_seconds
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Task]] = []
        self._deaths = 0

    def __enter__(self) -> Self:
        try:
            for _ in range(self._size):
                self._workers.append(self._start())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def room(self) -> bool:
        """Whether a task can be given."""
        return any(len(worker.tasks) < QUEUE_LIMIT for worker in self._workers)

    def busy(self) -> bool:
        """Whether a task was given that hasn't come back."""
        return any(worker.tasks for worker in self._workers)

    def give(self, task: Task) -> None:
        """Hand a task to whoever has least to do. Only when there is `room`."""
        worker = min(self._workers, key=lambda one: len(one.tasks))
        assert len(worker.tasks) < QUEUE_LIMIT
        self._hand(worker, task)

    def gather(self, timeout_seconds: float) -> list[Done[Task, Result]]:
        """What has been done, after waiting for the first of it for at most `timeout_seconds`.

        Raises `RunFailed` if one process after the other dies before it has done anything.
        """
        done: list[Done[Task, Result]] = []
        ready = wait([worker.pipe for worker in self._workers], timeout_seconds)
        for place, worker in enumerate(self._workers):
            if worker.pipe in ready:
                done.extend(self._receive(place, worker))
            elif worker.tasks and time.monotonic() - worker.since > self._limit_of(worker):
                done.append(self._replace(place, worker, f"it did not end within {self._limit_of(worker):g} s"))
        return done

    def _limit_of(self, worker: _Worker[Task]) -> float:
        return self._limit_seconds if worker.ready else START_LIMIT_SECONDS

    def close(self) -> None:
        """End all processes, whatever they are at. Idempotent."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(_GOODBYE_SECONDS)
            worker.pipe.close()
        self._workers.clear()

    def _start(self) -> _Worker[Task]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._job, theirs), daemon=True, name="explore")
        with _interrupts_held_back():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _hand(self, worker: _Worker[Task], task: Task) -> None:
        if worker.ready and not worker.tasks:
            worker.since = time.monotonic()
        worker.tasks.append(task)
        with suppress(OSError):  # if it has died, `gather` will notice, and give its tasks to the next one
            worker.pipe.send(task)

    def _receive(self, place: int, worker: _Worker[Task]) -> list[Done[Task, Result]]:
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(_GOODBYE_SECONDS)
            self._deaths += 1
            problem = f"its process died ({_told(worker.process.exitcode)})"
            if self._deaths >= DEATHS_LIMIT:
                raise RunFailed(
                    f"{self._deaths} processes in a row died before they had done anything ({problem}): "
                    "is there enough memory for them? Try fewer with --jobs"
                ) from None
            return [self._replace(place, worker, problem)] if worker.tasks else self._just_replace(place, worker)
        worker.since = time.monotonic()
        if answer == _READY:
            worker.ready = True
            return []
        self._deaths = 0
        result, problem = answer
        return [Done(worker.tasks.popleft(), result, problem)]

    def _just_replace(self, place: int, worker: _Worker[Task]) -> list[Done[Task, Result]]:
        worker.pipe.close()
        self._workers[place] = self._start()
        return []

    def _replace(self, place: int, worker: _Worker[Task], problem: str) -> Done[Task, Result]:
        """Give up a process and the task that it was at; another one goes on with the rest."""
        worker.process.kill()
        worker.process.join(_GOODBYE_SECONDS)
        given_up = worker.tasks.popleft()
        self._just_replace(place, worker)
        for task in worker.tasks:
            self._hand(self._workers[place], task)
        return Done(given_up, None, problem)


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"exit code {code}"


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes that are started now begin with Ctrl-C held back: it would end them during their imports."""
    resource_tracker.ensure_running()  # who starts it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(job: Callable[[Any], Any], pipe: Connection) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_owner, daemon=True).start()
    pipe.send(_READY)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            result, problem = job(task), None
        except Exception:
            result, problem = None, traceback.format_exc()
        pipe.send((result, problem))


def _end_with_owner() -> None:
    owner = multiprocessing.parent_process()
    assert owner is not None
    owner.join()
    os._exit(1)
