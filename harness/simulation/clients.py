"""The clients of a simulated run: the workers of `harness.workers`, driven by the event loop instead of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.conversation import Ask
from harness.generator import Pace
from harness.scripted import actors
from harness.simulation.loop import SECOND
from harness.simulation.record import Record
from harness.simulation.world import World
from harness.workers import Client, FinalReads, Shared, Tally, Worker
from harness.workloads.workload import Workload
from node.protocol import Outcome


class Clients:
    """All clients of a run: `start`, then `stop`, then perhaps `ask_finally`. Time passes elsewhere, in the loop."""

    def __init__(self, world: World, workload: Workload, record: Record) -> None:
        spec = world.spec
        self.tally = Tally()
        self._world = world
        self._shared = Shared(
            workload,
            spec.clients,
            world.replicas,
            spec.seed,
            append=record.append,
            now=lambda: world.loop.now / SECOND,
            tally=self.tally,
        )
        self._workers: list[Worker] = []
        self._drivers: list[_Driver] = []

    def start(self) -> None:
        """Let the workload's clients begin, or those of the script."""
        if self._world.spec.script is not None:
            self._drive(actors(self._world.spec.script, self._shared))
            return
        spec = self._shared.spec
        pace = Pace(self._shared.seed, spec.processes, spec.rate_per_second)
        self._drive([Client(self._shared, process, pace) for process in range(spec.processes)])

    def stop(self) -> None:
        """Begin nothing more; what is open goes on, see `busy`."""
        for driver in self._drivers:
            driver.stop()

    @property
    def busy(self) -> bool:
        """Whether anybody has something open."""
        return any(not driver.over for driver in self._drivers)

    def ask_finally(self, timeout_seconds: float) -> FinalReads:
        """Let fresh processes begin with the workload's final operations."""
        reads = FinalReads(self._shared, self._workers, timeout_seconds)
        self._drive(reads.readers)
        return reads

    def _drive(self, workers: Sequence[Worker]) -> None:
        self._workers.extend(workers)
        drivers = [_Driver(self._world, worker) for worker in workers]
        self._drivers.extend(drivers)
        for driver in drivers:
            driver.go_on(None)


class _Driver:
    """Gives one worker what it asks for."""

    def __init__(self, world: World, worker: Worker) -> None:
        self.over = False
        self._world = world
        self._steps = worker.life()
        self._stopping = False
        self._waits = 0
        """Numbers the waits, so that one that was ended early isn't ended again."""
        self._waiting = False

    def go_on(self, answer: Any) -> None:
        try:
            want = self._steps.send(answer)
        except StopIteration:
            self.over = True
            return
        if isinstance(want, Ask):
            self._world.ask(want.replica, want.client, want.number, want.operation, self._hear)
            return
        self._waits += 1
        self._waiting = True
        seconds = 0.0 if self._stopping else want.seconds
        self._world.loop.after(round(seconds * SECOND), self._waited, self._waits)

    def stop(self) -> None:
        self._stopping = True
        if self._waiting:
            self._waited(self._waits)

    def _hear(self, outcome: Outcome) -> None:
        self.go_on(outcome)

    def _waited(self, number: int) -> None:
        if self._waiting and number == self._waits:
            self._waiting = False
            self.go_on(self._stopping)
