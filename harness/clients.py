"""The clients: processes that carry out a workload, one operation at a time each, and record what they saw.

Every worker is a thread with a process of its own. Its operations are sent up to `attempts` times with the same
`(client, sequence)`, so that a replica can tell a repetition from a new wish, and the outcome follows strictly from what
was learned:

- `ok` if any attempt came back ok;
- `fail` only if every attempt certainly did nothing: the connection was refused, or the replica itself said so;
- `info` otherwise, also if a later attempt failed definitely: the one that was lost may still take effect. The process is
  retired then, since it can't know what it has done, and the worker goes on as the next process.

In the mode `leader` a worker asks whom the last answer hinted at, else the next replica in turn; in the mode `pinned` it
stays with its own, and repeats only what may have been lost. After failures a worker waits a little, longer each time, so
that a cluster that is down isn't hammered.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from harness.generator import Pace, draw, first_fresh, successor, worker_of
from harness.history import History
from harness.replica_session import ReplicaSession
from harness.spec import ClientsSpec
from harness.workloads.workload import FinalOperation, Memory, Workload
from node.machine import Operation
from node.protocol import Outcome

_log = logging.getLogger(__name__)

_BACKOFF_SECONDS = (0.05, 0.25)
"""The wait after the first failure in a row, doubled with each further one up to the second figure."""
_FINAL_TRIES = 10
"""How often a final operation is begun anew until it comes back ok."""


class Tally:
    """Counts of outcomes so far, and when operations succeeded. Safe to use from many threads.

    Times are nanoseconds since the run began.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.first_ok: int | None = None
        """When the first operation came back ok."""
        self.latest_return: int | None = None
        """When the latest operation came back."""
        self.recovered: int | None = None
        """When the first operation came back ok that was called after the time given to `watch_for_recovery`."""
        self._healed: int | None = None

    def add(self, outcome: str, called: int, returned: int) -> None:
        with self._lock:
            self._counts[outcome] += 1
            self.latest_return = returned
            if outcome == "ok":
                self.first_ok = returned if self.first_ok is None else self.first_ok
                if self.recovered is None and self._healed is not None and called > self._healed:
                    self.recovered = returned

    def watch_for_recovery(self, healed: int) -> None:
        """From now on look for an operation that was called after `healed` and succeeds."""
        with self._lock:
            self._healed = healed

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {outcome: self._counts[outcome] for outcome in ("ok", "fail", "info")}


class Route:
    """Whom a worker asks, and how long it waits before."""

    def __init__(self, replicas: Sequence[str], place: int, moves: bool, chance: random.Random) -> None:
        self._replicas = replicas
        self._place = place % len(replicas)
        self._chance = chance
        self.moves = moves
        """Whether it may leave its replica."""
        self._failures = 0
        self._hinted = False

    @property
    def replica(self) -> str:
        return self._replicas[self._place]

    def start_at(self, replica: str) -> None:
        self._place = self._replicas.index(replica)

    def learn(self, outcome: Outcome) -> None:
        """Take the answer of the present replica into account."""
        if outcome.type == "ok":
            self._failures = 0
            return
        self._failures += 1
        self._hinted = False
        if not self.moves:
            return
        hint = outcome.leader
        if hint is not None and hint in self._replicas and hint != self.replica:
            self._hinted = True
            self.start_at(hint)
        else:
            self._place = (self._place + 1) % len(self._replicas)

    def pause_seconds(self) -> float:
        """How long to wait before the next attempt: not at all after a success or a first hint, which is no trouble."""
        if self._failures == 0 or (self._failures == 1 and self._hinted):
            return 0.0
        first, longest = _BACKOFF_SECONDS
        return min(longest, first * 2.0 ** min(self._failures - 1, 8)) * self._chance.uniform(0.5, 1.0)


class Tried(NamedTuple):
    """What came of one operation after all its attempts."""

    outcome: Outcome
    replica: str
    """Whom it was sent to last."""
    attempts: int


class Attempts:
    """Carries out one operation after the other, each by as many attempts as it may take."""

    def __init__(self, session: ReplicaSession, route: Route, limit: int, stopped: threading.Event) -> None:
        self._session = session
        self._route = route
        self._limit = limit
        self._stopped = stopped

    def carry_out(self, process: int, number: int, operation: Operation) -> Tried:
        client = f"p{process}"
        unknown: Outcome | None = None
        for attempt in range(1, self._limit + 1):
            replica = self._route.replica
            outcome = self._session.ask(replica, client, number, operation)
            self._route.learn(outcome)
            if outcome.type == "ok":
                return Tried(outcome, replica, attempt)
            if outcome.type == "info":
                unknown = outcome
            if unknown is None and not self._route.moves:
                break  # the same replica would say the same again
            if attempt < self._limit and self._stopped.wait(self._route.pause_seconds()):
                break
        return Tried(unknown or outcome, replica, attempt)


@dataclass
class Shared:
    """What all workers have in common."""

    workload: Workload
    spec: ClientsSpec
    addresses: Mapping[str, str]
    run: str
    seed: int
    history: History
    tally: Tally
    stopped: threading.Event


class _Worker:
    """One thread's processes, one after the other."""

    def __init__(self, shared: Shared, process: int, moves: bool) -> None:
        self.shared = shared
        self.process = process
        self.touched: dict[str, int] = {}
        """Every key that it operated on, and when it last did."""
        self.error: BaseException | None = None
        workers = shared.spec.processes
        self._number = 0
        self._memory: Memory = {}
        self._session = ReplicaSession(shared.addresses, shared.run, shared.spec.timeout_seconds)
        place = worker_of(process, workers)
        self.route = Route(tuple(shared.addresses), place, moves, draw(shared.seed, "backoff", process))
        self._attempts = Attempts(self._session, self.route, shared.spec.attempts, shared.stopped)
        self.thread = threading.Thread(target=self._run, name=f"client-{process}", daemon=True)

    def work(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            _log.exception("the client thread %s crashed", self.thread.name)
            self.error = error
        finally:
            self._session.close()

    def planned(self) -> Operation:
        workload = self.shared.workload
        return workload.bind(workload.plan(self.process, self._number), self._memory)

    def perform(self, operation: Operation) -> Outcome | None:
        """Carry out one operation and record it; None if the history takes no more events."""
        shared, process, number = self.shared, self.process, self._number
        event = {"process": process, **operation}
        invoked = shared.history.append({"type": "invoke", **event, "replica": self.route.replica})
        if "time" not in invoked:
            return None
        called: int = invoked["time"]
        self.touched[operation["key"]] = called
        self._number += 1
        tried = self._attempts.carry_out(process, number, operation)
        outcome = tried.outcome
        completion = {"type": outcome.type, **event, "replica": tried.replica}
        if outcome.type != "ok":
            completion["error"] = outcome.error
        elif outcome.result is not None or operation["f"] == "read":
            completion["result"] = outcome.result
        if tried.attempts > 1:
            completion["attempts"] = tried.attempts
        completed = shared.history.append(completion)
        if "time" not in completed:
            return None
        shared.tally.add(outcome.type, called, completed["time"])
        if outcome.type == "ok":
            shared.workload.observe(operation, outcome.result, self._memory)
        elif outcome.type == "info":
            self._retire()
        return outcome

    def _retire(self) -> None:
        self.process = successor(self.process, self.shared.spec.processes)
        self._number = 0
        self._memory = {}


class _Client(_Worker):
    """Works through the workload's plan, at its pace."""

    def __init__(self, shared: Shared, process: int, pace: Pace) -> None:
        super().__init__(shared, process, moves=shared.spec.mode == "leader")
        self._pace = pace

    def work(self) -> None:
        worker, turn, stopped = self.process, -1, self.shared.stopped
        began = time.monotonic()
        while True:
            next_turn = self._pace.next_turn(worker, turn, time.monotonic() - began)
            turn = next_turn.number
            wait_seconds = max(next_turn.seconds - (time.monotonic() - began), self.route.pause_seconds())
            if stopped.wait(wait_seconds) if wait_seconds > 0 else stopped.is_set():
                return
            if self.perform(self.planned()) is None:
                return


class _FinalReader(_Worker):
    """Asks what is left in the queue, each operation until it comes back ok."""

    def __init__(self, shared: Shared, process: int, tasks: queue.SimpleQueue[FinalOperation], until: float) -> None:
        super().__init__(shared, process, moves=True)
        self._tasks = tasks
        self._until = until
        self.unanswered = 0

    def work(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if not self._ask(task):
                self.unanswered += 1

    def _ask(self, task: FinalOperation) -> bool:
        self.route.start_at(task.replica)
        for _ in range(_FINAL_TRIES):
            if time.monotonic() > self._until or self.shared.stopped.wait(self.route.pause_seconds()):
                return False
            outcome = self.perform(task.operation)
            if outcome is None or outcome.type == "ok":
                return outcome is not None
        return False


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
    ) -> None:
        self.tally = Tally()
        self._shared = Shared(workload, spec, addresses, run, seed, history, self.tally, threading.Event())
        pace = Pace(seed, spec.processes, spec.rate_per_second)
        self._workers: list[_Worker] = [_Client(self._shared, process, pace) for process in range(spec.processes)]

    @property
    def error(self) -> BaseException | None:
        """What made a worker crash, if one did: a bug of the harness, and the end of the run."""
        return next((worker.error for worker in self._workers if worker.error), None)

    def start(self) -> None:
        for worker in self._workers:
            worker.thread.start()

    def begin_nothing_more(self) -> None:
        """Let every worker end after what it has open; doesn't wait."""
        self._shared.stopped.set()

    def stop(self) -> list[str]:
        """Begin nothing more and wait for what is open; returns the names of threads that didn't end in time.

        Takes as long as an attempt may take. A thread that is left alone can do no harm to the history: it records
        the end of its operation or, once the history is closed, nothing.
        """
        self.begin_nothing_more()
        return _join(self._workers, self._shared.spec.timeout_seconds * 2 + 2.0)

    def ask_finally(self, timeout_seconds: float, interrupt: threading.Event) -> int:
        """The workload's final operations, by fresh processes; returns how many were not answered in time."""
        shared = self._shared
        keys = self._touched()
        operations = shared.workload.final_operations(keys, tuple(shared.addresses))
        tasks: queue.SimpleQueue[FinalOperation] = queue.SimpleQueue()
        for operation in operations:
            tasks.put(operation)
        fresh = first_fresh(max(worker.process for worker in self._workers) + 1, shared.spec.processes)
        again = replace(shared, stopped=interrupt)
        until = time.monotonic() + timeout_seconds
        readers = [
            _FinalReader(again, fresh + number, tasks, until)
            for number in range(min(shared.spec.processes, len(operations)))
        ]
        self._workers.extend(readers)
        for reader in readers:
            reader.thread.start()
        _join(readers, timeout_seconds + shared.spec.timeout_seconds * 2 * shared.spec.attempts + 2.0)
        return tasks.qsize() + sum(reader.unanswered for reader in readers)

    def _touched(self) -> list[str]:
        latest: dict[str, int] = {}
        for worker in self._workers:
            for key, called in worker.touched.items():
                latest[key] = max(called, latest.get(key, 0))
        return sorted(latest, key=lambda key: (latest[key], key))


def _join(workers: Sequence[_Worker], timeout_seconds: float) -> list[str]:
    until = time.monotonic() + timeout_seconds
    for worker in workers:
        if worker.thread.is_alive():
            worker.thread.join(max(0.0, until - time.monotonic()))
    return [worker.thread.name for worker in workers if worker.thread.is_alive()]
