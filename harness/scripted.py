"""Scripts: runs whose operations and faults are written down one by one (`harness.spec.ScriptSpec`), not drawn.

A script is what is left of a simulated run when it is shrunk. The same script can be played on real replicas: its faults
and operations at the same times, or each on its cue (`harness.cues`); what becomes of single messages can't be arranged
there.
"""

from __future__ import annotations

from collections.abc import Sequence

from faults.schedule import Planned, plan
from harness.conversation import Steps, Wait
from harness.cues import Cues
from harness.generator import worker_of
from harness.spec import RunSpec, ScriptedOperation, ScriptSpec
from harness.workers import Shared, Worker
from node.machine import Operation


def planned(spec: RunSpec) -> list[Planned]:
    """Every injection of the run, by time: those of its script if it has one, else those that its seed draws."""
    if spec.script is None:
        return plan(spec.nemesis.streams, spec.duration_seconds, spec.seed)
    faults = sorted(spec.script.faults, key=lambda one: one.at_seconds)
    return [
        Planned(one.at_seconds, one.until_seconds, one.fault, dict(one.options), number, one.seed)
        for number, one in enumerate(faults, 1)
    ]


Part = Sequence[tuple[int, ScriptedOperation]]
"""Operations with their numbers in the script."""


def actors(script: ScriptSpec, shared: Shared, cues: Cues | None = None) -> list[Actor]:
    """A worker for each row of processes of the script; see `harness.generator`."""
    parts: dict[int, list[tuple[int, ScriptedOperation]]] = {}
    for number, one in enumerate(script.in_order(), 1):
        parts.setdefault(worker_of(one.process, shared.spec.processes), []).append((number, one))
    return [Actor(shared, worker, part, cues) for worker, part in sorted(parts.items())]


class Actor(Worker):
    """One worker of a script: carries out its part, as the processes that the script names.

    Where the outcome of an operation is unknown, what the script has for the same process after it is left out.
    """

    def __init__(self, shared: Shared, worker: int, part: Part, cues: Cues | None) -> None:
        super().__init__(shared, worker, moves=shared.spec.mode == "leader")
        self._part = part
        self._cues = cues

    def life(self) -> Steps[None]:
        began = self.shared.now()
        retired: set[int] = set()
        for number, one in self._part:
            if one.process in retired and self._cues is not None:
                self._over(number)
                continue
            if (yield from self._due(number, began + one.at_seconds)):
                return
            if one.process in retired:
                continue
            if one.process != self.process:
                self.become(one.process)
            replica = one.replica if self._cues is None else self._cues.player(one.replica)
            if replica in self.shared.replicas:
                self.route.start_at(replica)
            operation: Operation = {"f": one.f, "key": one.key, "value": one.value}
            if self._cues is not None:
                self._cues.over("ask", number)
            outcome = yield from self.perform(operation)
            self._over(number)
            if outcome is None:
                return
            if outcome.type == "info":
                retired.add(one.process)

    def _due(self, number: int, moment: float) -> Steps[bool]:
        """Wait until the operation may begin. Returns whether it is time to stop instead."""
        if self._cues is not None:
            return (yield from self._cues.due("ask", number))
        # As a client does it, so that the same draws are made.
        wait_seconds = max(0.0, moment - self.shared.now(), self.route.pause_seconds())
        return bool((yield Wait(wait_seconds)))

    def _over(self, number: int) -> None:
        if self._cues is not None:
            self._cues.over("ask", number)
            self._cues.over("answer", number)
