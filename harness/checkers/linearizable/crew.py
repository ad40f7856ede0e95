"""Processes that judge keys at the same time, and that can be ended when a step of a model never does.

Each is a fresh interpreter that runs `worker` and hears of nothing but what it is sent: nothing is forked, so that a
program with threads may check histories, and the main module of a program is not run again, so that the ten lines of the
manual work as they stand. They end with the crew, and with this process, however it ends.
"""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from harness.checkers.checker import Limits
from harness.checkers.linearizable.budget import Stopped, out_of_time
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.worker import Call
from harness.models.guarded import ModelError

_GRACE_SECONDS = 0.3
"""How long after its deadline a process is ended that didn't stop by itself."""
_POLL_SECONDS = 0.05


class Foreign(Exception):
    """What was sent can't be used in another process; the message says why."""


@dataclass(eq=False)
class Job:
    """Work for one process: `function(budget, progress, *arguments)`, a function of a module; all can be pickled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    progress: Progress = field(default_factory=Progress)
    value: Any = None
    stopped: Stopped | None = None
    """Why there is no value."""


class Crew:
    """At most so many processes, started as they are needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: list[_Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all()

    def _end_all(self) -> None:
        for member in self._members:
            member.end()
        self._members = []

    def run(self, jobs: Sequence[Job], limits: Limits, deadline: float, look: Callable[[], None]) -> Iterator[Job]:
        """Every job as it ends, with its value or with what stopped it.

        The time until the deadline (of the monotonic clock) and the memory are shared among them. `look` is called now and
        then; what it raises ends everything. Raises `ModelError` for a broken model, `Foreign`, or `RuntimeError` with the
        traceback if a job crashes.
        """
        waiting = deque(jobs)
        size = min(self._size, len(waiting))
        memory_mb = max(16, limits.memory_mb // max(1, size))
        busy: dict[Connection[Any, Any], _Member] = {}
        while waiting or busy:
            while waiting and len(busy) < size:
                member = self._idle(busy)
                left = max(0.0, deadline - time.monotonic())
                share = min(left, left * size / len(waiting))
                member.begin(waiting.popleft(), limits, memory_mb, time.monotonic() + share)
                busy[member.connection] = member
            for ready in wait(list(busy), _POLL_SECONDS):
                assert isinstance(ready, Connection)
                job = busy[ready].hear(limits)
                if job is not None:
                    del busy[ready]
                    yield job
            for member in list(busy.values()):
                if time.monotonic() > member.deadline + _GRACE_SECONDS:
                    member.end()
                    member.job.stopped = out_of_time(limits)
                    del busy[member.connection]
                    yield member.job
            look()

    def alone(self) -> None:
        """One process from now on, which begins with empty hands."""
        self._end_all()
        self._size = 1

    def _idle(self, busy: dict[Connection[Any, Any], _Member]) -> _Member:
        self._members = [member for member in self._members if member.alive]
        idle = next((member for member in self._members if member.connection not in busy), None)
        if idle is None:
            idle = _Member()
            self._members.append(idle)
        return idle


class _Member:
    """One process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from harness.checkers.linearizable.worker import main; main({theirs.fileno()})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        self.alive = True
        self.job = Job(len, ())
        self.deadline = 0.0

    def begin(self, job: Job, limits: Limits, memory_mb: int, deadline: float) -> None:
        self.job, self.deadline = job, deadline
        try:
            arguments = pickle.dumps(job.arguments)
        except Exception as error:  # whatever pickling a user's object raises
            raise Foreign(f"{type(error).__name__}: {error}") from error
        with suppress(BrokenPipeError, ConnectionResetError):  # it died; `hear` will find out
            self.connection.send(Call(job.function, arguments, (limits.time_seconds, memory_mb), deadline))

    def hear(self, limits: Limits) -> Job | None:
        """Take one message; the job, if it is done."""
        job = self.job
        try:
            kind, *told = self.connection.recv()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
            self.end()
            job.stopped = _died(self._process.returncode)
            return job
        if kind == "progress":
            job.progress.explored, job.progress.open_then, job.progress.crashed_then = told
            return None
        if kind == "refused":
            raise ModelError(told[0])
        if kind == "foreign":
            raise Foreign(told[0])
        if kind == "crashed":
            raise RuntimeError(f"in a process of the check:\n{told[0]}")
        if kind == "value":
            job.value = told[0]
        else:
            job.stopped = told[0]
        job.progress = told[1]
        return job

    def end(self) -> None:
        """End the process. Idempotent."""
        if self.alive:
            self.alive = False
            self._process.kill()
            self._process.wait()
            self.connection.close()


def _died(code: int) -> Stopped:
    if code == -9:
        return Stopped(
            "killed",
            "the process that judged it was killed by the system, most likely for want of memory",
            "leave the check more memory, or let it use fewer processes at once",
        )
    return Stopped("crash", f"the process that judged it ended with code {code}", "please report this")
