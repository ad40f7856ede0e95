"""What goes on while the cluster is up: clients and nemesis at work, healing, recovery, and the last reads.

The clients go on while everything is healed and until an operation that was begun after the healing succeeds: that is
how long the cluster took to recover. Then they are stopped, and fresh ones read what the cluster has kept; not so in a
run that is cut short, where everything ends as soon as it is healed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from faults.cluster import ClusterError
from faults.fault import Setting
from harness.clients import Clients
from harness.cluster import Cluster
from harness.cues import Cues
from harness.errors import BadInput, RunFailed
from harness.history import FINAL_READS, WORK_OVER, History
from harness.nemesis import Nemesis
from harness.scripted import planned
from harness.spec import RunSpec
from harness.statuses import Statuses
from harness.workloads.workload import Workload

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_HEALING_SECONDS = 30.0


class Progress(Protocol):
    """Whoever shows how a run is getting on. Called from the run's own thread; what it raises is logged, no more."""

    def phase(self, name: str) -> None:
        """A phase begins: `setting up`, `working`, `healing`, `recovering`, `final reads`, `stopping`, `checking` or
        `reporting`."""

    def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
        """Some times a second while clients work: operations so far by outcome, what is broken just now, time left."""


class Work:
    """Clients, nemesis and sampling of one run, on a cluster that has been provisioned for it."""

    def __init__(
        self,
        spec: RunSpec,
        workload: Workload,
        cluster: Cluster,
        run_id: str,
        history: History,
        folder: Path,
        progress: Progress,
        interrupt: threading.Event,
    ) -> None:
        """Raises `BadInput` if the faults are impossible in this setting. Nothing is started yet."""
        self.seconds: dict[str, float | None] = {"work": None, "recovery": None}
        self._spec = spec
        self._history = history
        self._progress = progress
        self._interrupt = interrupt
        addresses = {replica: cluster.address(replica) for replica in cluster.replicas}
        self._cues = _cues(spec, cluster)
        self._clients = Clients(workload, spec.clients, addresses, run_id, spec.seed, history, spec.script, self._cues)
        self._statuses = Statuses(cluster, history, folder / "statuses.jsonl")
        setting = Setting(spec.cluster, cluster.replicas, spec.protocol.name, cluster.chief)
        self._nemesis = Nemesis(spec.nemesis, setting, cluster, history, planned(spec), self._cues)
        if problems := self._nemesis.check():
            raise BadInput("; ".join(problems))
        self.tally = self._clients.tally

    def go(self) -> None:
        """All of it; afterwards nothing is broken and nothing is at work, whatever happened.

        Raises `RunFailed` if the history could not be written.
        """
        with ExitStack() as cleanup:  # for whatever goes wrong below; otherwise it finds nothing left to do
            cleanup.callback(self._statuses.stop)
            cleanup.callback(self._clients.stop)
            cleanup.callback(self._nemesis.stop_and_heal, _HEALING_SECONDS)
            self._history.begin()
            self._statuses.start()
            self._clients.start()
            self._nemesis.start()
            show(self._progress, "working")
            began = time.monotonic()
            self._watch(self._spec.duration_seconds, self._cues.all_over if self._cues is not None else lambda: False)
            self.seconds["work"] = round(time.monotonic() - began, 3)
            self._wind_up()
        if self._history.error:
            raise RunFailed(self._history.error)
        if self._clients.error:
            raise RuntimeError("a client crashed") from self._clients.error

    def _broken_off(self) -> bool:
        """Whether the run can't or shall not go on."""
        return bool(self._interrupt.is_set() or self._history.error or self._clients.error)

    def _watch(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Wait, showing progress. True as soon as `until` holds; False when the time is up or the run is broken off."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._broken_off():
            if until():
                return True
            tick(self._progress, self.tally.counts(), self._nemesis.current(), left)
            self._interrupt.wait(min(left, _TICK_SECONDS))
        return until()

    def _wind_up(self) -> None:
        """Heal, see the cluster recover, stop the clients, and read what is left."""
        if self._broken_off():
            self._clients.begin_nothing_more()
        show(self._progress, "healing")
        for problem in self._nemesis.stop_and_heal(_HEALING_SECONDS):
            self._history.note(f"not healed: {problem}")
        # A script says all that is to be asked: whether the cluster recovers is not.
        recovered = not self._broken_off() and (self._spec.script is not None or self._await_recovery())
        for name in self._clients.stop():
            self._history.note(f"the thread {name} did not end in time")
        self._history.note(WORK_OVER)
        if recovered and not self._broken_off() and self._spec.script is None:
            self._ask_finally()

    def _await_recovery(self) -> bool:
        show(self._progress, "recovering")
        healed, limit_seconds = self._history.now(), self._spec.recovery_seconds
        self.tally.watch_for_recovery(healed)
        recovered = self._watch(limit_seconds, lambda: self.tally.recovered is not None)
        if self.tally.recovered is not None:
            self.seconds["recovery"] = round((self.tally.recovered - healed) / 1e9, 3)
        elif not self._broken_off():
            self._history.note(
                f"no recovery: no operation succeeded within {limit_seconds:g} s after everything was healed"
            )
        return recovered

    def _ask_finally(self) -> None:
        show(self._progress, "final reads")
        self._history.note(FINAL_READS)
        limit_seconds = self._spec.recovery_seconds
        unanswered = self._clients.ask_finally(limit_seconds, self._interrupt)
        if unanswered:
            self._history.note(f"{unanswered} of the last operations were not answered within {limit_seconds:g} s")


def _cues(spec: RunSpec, cluster: Cluster) -> Cues | None:
    """What waits for what, in a script that says so."""

    def in_charge() -> list[str]:
        return [replica for replica in cluster.replicas if _role(cluster, replica) == cluster.chief is not None]

    if spec.script is None or not spec.script.cues:
        return None
    return Cues(spec.script.cues, cluster.replicas, time.monotonic, in_charge)


def _role(cluster: Cluster, replica: str) -> str | None:
    with suppress(ClusterError):
        if cluster.state(replica) == "up":
            return (cluster.status(replica) or {}).get("role")
    return None


def tick(progress: Progress, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
    """Show how far the clients are; like `show`, whatever becomes of it."""
    try:
        progress.tick(outcomes, faults, seconds_left)
    except Exception:
        _log.exception("progress can't be shown")


def show(progress: Progress, phase: str) -> None:
    """Tell that a phase begins. A terminal that is gone is no reason to lose a run."""
    _log.info("%s", phase)
    try:
        progress.phase(phase)
    except Exception:
        _log.exception("progress can't be shown")
