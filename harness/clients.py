"""The clients of a run on real replicas: a thread for each worker, which drives its conversation over HTTP.

What the workers do, and what they may say came of it, is in `harness.workers` and `harness.conversation`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from harness.conversation import Ask, Returned, Steps
from harness.cues import Cues
from harness.generator import Pace
from harness.history import History
from harness.replica_session import ReplicaSession
from harness.scripted import actors
from harness.spec import ClientsSpec, ScriptSpec
from harness.workers import Client, FinalReads, Shared, Tally, Worker
from harness.workloads.workload import Workload
from node.protocol import Outcome

_log = logging.getLogger(__name__)


def converse(steps: Steps[Returned], session: ReplicaSession, stopped: threading.Event) -> Returned:
    """Drive a conversation in real time, to its end. Once `stopped` is set every `Wait` is over at once, and says so."""
    answer: Outcome | bool | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            value: Returned = end.value
            return value
        if isinstance(step, Ask):
            answer = session.ask(*step)
        else:
            answer = stopped.wait(step.seconds) if step.seconds > 0 else stopped.is_set()


class _WorkerThread:
    """One worker at work."""

    def __init__(self, worker: Worker, session: ReplicaSession, stopped: threading.Event) -> None:
        self.worker = worker
        self.error: BaseException | None = None
        self._session = session
        self._stopped = stopped
        self.thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def _run(self) -> None:
        try:
            converse(self.worker.life(), self._session, self._stopped)
        except BaseException as error:
            _log.exception("the client thread %s crashed", self.thread.name)
            self.error = error
        finally:
            self._session.close()


class Clients:
    """All clients of a run. `start`, then `stop`, then perhaps `ask_finally`."""

    def __init__(
        self,
        workload: Workload,
        spec: ClientsSpec,
        addresses: Mapping[str, str],
        run: str,
        seed: int,
        history: History,
        script: ScriptSpec | None = None,
        cues: Cues | None = None,
    ) -> None:
        """With a script its processes carry out their parts, on their cues if there are any; without, all processes work
        through the workload's plan."""
        self.tally = Tally()
        self._spec = spec
        self._addresses = addresses
        self._run = run
        self._stopped = threading.Event()
        self._shared = Shared(workload, spec, tuple(addresses), seed, history.append, time.monotonic, self.tally)
        pace = Pace(seed, spec.processes, spec.rate_per_second)
        workers: Sequence[Worker] = [Client(self._shared, process, pace) for process in range(spec.processes)]
        if script is not None:
            workers = actors(script, self._shared, cues)
        self._threads = [self._thread(worker, self._stopped) for worker in workers]

    @property
    def error(self) -> BaseException | None:
        """What made a worker crash, if one did: a bug of the harness, and the end of the run."""
        return next((thread.error for thread in self._threads if thread.error), None)

    def start(self) -> None:
        for thread in self._threads:
            thread.thread.start()

    def begin_nothing_more(self) -> None:
        """Let every worker end after what it has open; doesn't wait."""
        self._stopped.set()

    def stop(self) -> list[str]:
        """Begin nothing more and wait for what is open; returns the names of threads that didn't end in time.

        Takes as long as an attempt may take. A thread that is left alone can do no harm to the history: it records
        the end of its operation or, once the history is closed, nothing.
        """
        self.begin_nothing_more()
        return _join(self._threads, self._spec.timeout_seconds * 2 + 2.0)

    def ask_finally(self, timeout_seconds: float, interrupt: threading.Event) -> int:
        """The workload's final operations, by fresh processes; returns how many were not answered in time."""
        final = FinalReads(self._shared, [thread.worker for thread in self._threads], timeout_seconds)
        readers = [self._thread(reader, interrupt) for reader in final.readers]
        self._threads.extend(readers)
        for reader in readers:
            reader.thread.start()
        _join(readers, timeout_seconds + self._spec.timeout_seconds * 2 * self._spec.attempts + 2.0)
        return final.unanswered

    def _thread(self, worker: Worker, stopped: threading.Event) -> _WorkerThread:
        session = ReplicaSession(self._addresses, self._run, self._spec.timeout_seconds)
        return _WorkerThread(worker, session, stopped)


def _join(threads: Sequence[_WorkerThread], timeout_seconds: float) -> list[str]:
    until = time.monotonic() + timeout_seconds
    for thread in threads:
        if thread.thread.is_alive():
            thread.thread.join(max(0.0, until - time.monotonic()))
    return [thread.worker.name for thread in threads if thread.thread.is_alive()]
