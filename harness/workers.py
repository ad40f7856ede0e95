"""The workers: what the clients of a run do, apart from the threads (or the event loop) that let them do it. Pure.

Every worker is a process, and another one when that is retired; its life is a conversation (`harness.conversation`)::

    shared = Shared(workload, spec, replicas, seed, append=history.append, now=time.monotonic, tally=Tally())
    worker = Client(shared, process=3, pace=Pace(seed, spec.processes, spec.rate_per_second))
    worker.life()      # yields Ask and Wait, and records every invocation and completion by `append`

It asks whom the last answer hinted at, else the next replica in turn; in the mode `pinned` it stays with its own, and
repeats only what may have been lost. After failures it waits a little, longer each time, so that a cluster that is down
isn't hammered. A process whose operation has an unknown outcome is retired, since it can't know what it has done, and
the worker goes on as the next process.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.conversation import Route, Steps, Wait, carry_out
from harness.generator import Pace, draw, first_fresh, successor, worker_of
from harness.history import Event
from harness.spec import ClientsSpec
from harness.workloads.workload import FinalOperation, Memory, Workload
from node.machine import Operation
from node.protocol import Outcome

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


@dataclass
class Shared:
    """What all workers of a run have in common."""

    workload: Workload
    spec: ClientsSpec
    replicas: tuple[str, ...]
    seed: int
    append: Callable[[Event], Event]
    """Records an event as `History.append` does: it comes back with `time`, or without if nothing is recorded any more."""
    now: Callable[[], float]
    """Seconds, on the clock that `Wait` goes by."""
    tally: Tally


class Worker(ABC):
    """One process after the other. `life` may be driven once."""

    def __init__(self, shared: Shared, process: int, moves: bool) -> None:
        self.shared = shared
        self.process = process
        """The process that it is now."""
        self.name = f"client-{process}"
        self.touched: dict[str, int] = {}
        """Every key that it operated on, and when it last did."""
        self._number = 0
        self._memory: Memory = {}
        place = worker_of(process, shared.spec.processes)
        self.route = Route(shared.replicas, place, moves, draw(shared.seed, "backoff", process))

    @abstractmethod
    def life(self) -> Steps[None]:
        """All that it does."""

    def planned(self) -> Operation:
        workload = self.shared.workload
        return workload.bind(workload.plan(self.process, self._number), self._memory)

    def perform(self, operation: Operation) -> Steps[Outcome | None]:
        """Carry out one operation and record it; None if the history takes no more events."""
        shared = self.shared
        event = {"process": self.process, **operation}
        invoked = shared.append({"type": "invoke", **event, "replica": self.route.replica})
        if "time" not in invoked:
            return None
        called: int = invoked["time"]
        self.touched[operation["key"]] = called
        number, self._number = self._number, self._number + 1
        tried = yield from carry_out(self.route, shared.spec.attempts, f"p{self.process}", number, operation)
        outcome = tried.outcome
        completion = {"type": outcome.type, **event, "replica": tried.replica}
        if outcome.type != "ok":
            completion["error"] = outcome.error
        elif outcome.result is not None or operation["f"] == "read":
            completion["result"] = outcome.result
        if tried.attempts > 1:
            completion["attempts"] = tried.attempts
        completed = shared.append(completion)
        if "time" not in completed:
            return None
        shared.tally.add(outcome.type, called, completed["time"])
        if outcome.type == "ok":
            shared.workload.observe(operation, outcome.result, self._memory)
        elif outcome.type == "info":
            self.become(successor(self.process, shared.spec.processes))
        return outcome

    def become(self, process: int) -> None:
        """Go on as another process, which remembers nothing."""
        self.process = process
        self._number = 0
        self._memory = {}


class Client(Worker):
    """Works through the workload's plan, at its pace, until it is told to stop."""

    def __init__(self, shared: Shared, process: int, pace: Pace) -> None:
        super().__init__(shared, process, moves=shared.spec.mode == "leader")
        self._pace = pace

    def life(self) -> Steps[None]:
        now = self.shared.now
        worker, turn, began = self.process, -1, now()
        while True:
            next_turn = self._pace.next_turn(worker, turn, now() - began)
            turn = next_turn.number
            wait_seconds = max(0.0, next_turn.seconds - (now() - began), self.route.pause_seconds())
            if (yield Wait(wait_seconds)):
                return
            if (yield from self.perform(self.planned())) is None:
                return


class FinalReader(Worker):
    """Asks what is left of the tasks, each operation until it comes back ok."""

    def __init__(self, shared: Shared, process: int, tasks: deque[FinalOperation], until: float) -> None:
        super().__init__(shared, process, moves=True)
        self._tasks = tasks
        self._until = until
        self.unanswered = 0

    def life(self) -> Steps[None]:
        while True:
            try:
                task = self._tasks.popleft()  # one call, which threads can't tear apart
            except IndexError:
                return
            if not (yield from self._ask(task)):
                self.unanswered += 1

    def _ask(self, task: FinalOperation) -> Steps[bool]:
        self.route.start_at(task.replica)
        for _ in range(_FINAL_TRIES):
            if self.shared.now() > self._until or (yield Wait(self.route.pause_seconds())):
                return False
            outcome = yield from self.perform(task.operation)
            if outcome is None or outcome.type == "ok":
                return outcome is not None
        return False


class FinalReads:
    """The workload's final operations, shared out to fresh processes when everything is healed."""

    def __init__(self, shared: Shared, earlier: Iterable[Worker], timeout_seconds: float) -> None:
        """`earlier` are the workers so far, whose keys are asked for; from now on there are `timeout_seconds`."""
        workers = list(earlier)
        operations = shared.workload.final_operations(_touched(workers), shared.replicas)
        self._tasks = deque(operations)
        fresh = first_fresh(max(worker.process for worker in workers) + 1, shared.spec.processes)
        until = shared.now() + timeout_seconds
        self.readers: Sequence[FinalReader] = [
            FinalReader(shared, fresh + number, self._tasks, until)
            for number in range(min(shared.spec.processes, len(operations)))
        ]

    @property
    def unanswered(self) -> int:
        """How many operations have not been answered, once the readers are through."""
        return len(self._tasks) + sum(reader.unanswered for reader in self.readers)


def _touched(workers: Iterable[Worker]) -> list[str]:
    """Every key that somebody operated on, the latest last."""
    latest: dict[str, int] = {}
    for worker in workers:
        for key, called in worker.touched.items():
            latest[key] = max(called, latest.get(key, 0))
    return sorted(latest, key=lambda key: (latest[key], key))
