"""The nemesis of a run on real replicas: injects and heals faults on a schedule.

    nemesis = Nemesis(spec.nemesis, setting, cluster, history, planned(spec))
    problems = nemesis.check()           # before anything starts
    nemesis.start()                      # when the clients begin
    nemesis.current()                    # what is broken just now, for people
    problems = nemesis.stop_and_heal(30) # at the end, or at any other moment: whatever was broken is mended

What it does is in `harness.injecting`. Here are the threads that let it: one keeps the time, and each injection has one
of its own, so that a proof that takes a second delays no other fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from faults.cluster import Cluster
from faults.fault import Setting
from faults.schedule import Planned
from harness.conversation import Wait
from harness.cues import Cues
from harness.history import History
from harness.injecting import MOST_AT_ONCE, Injector, Steps
from harness.spec import NemesisSpec

__all__ = ["MOST_AT_ONCE", "Nemesis"]


class Nemesis:
    """See the module. `start` and `stop_and_heal` are called by the thread that owns the run, `current` by any."""

    def __init__(
        self,
        spec: NemesisSpec,
        setting: Setting,
        cluster: Cluster,
        history: History,
        planned: Sequence[Planned],
        cues: Cues | None = None,
    ) -> None:
        self._injector = Injector(spec, setting, cluster, history, planned, cues)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Guards the list of threads."""
        self._threads: list[threading.Thread] = []
        self._healed = False

    @property
    def plan(self) -> list[Planned]:
        return self._injector.plan

    def check(self) -> list[str]:
        """Everything that makes these faults impossible here, one sentence each; nothing is touched."""
        return self._injector.check()

    def start(self) -> None:
        """Begin: the times of the plan count from now. Raises `BadFault` if `check` would have found a problem."""
        self._spawn("nemesis", self._injector.timeline(self._spawn))

    def current(self) -> list[str]:
        """Descriptions of what is broken just now, the oldest first."""
        return self._injector.current()

    def stop_and_heal(self, timeout_seconds: float) -> list[str]:
        """Inject no more, heal what is active with its evidence, then clear every link and bring every replica up.

        Returns sentences about what could not be mended; none means that all is well. The clearing comes after
        `timeout_seconds` at the latest, also if some healing is still under way by then, and has the cluster's own limits.
        May be called at any time (also before `start`), and again after it was interrupted or failed.
        """
        self._stopping.set()
        deadline = time.monotonic() + timeout_seconds
        # The thread that keeps the time may start one more while it is waited for: so look again after each.
        while (alive := self._at_work()) and (left := deadline - time.monotonic()) > 0:
            alive[0].join(left)
        if self._healed:
            return []
        late = ", ".join(thread.name for thread in self._at_work())
        problems = [f"not healed within {timeout_seconds:g} s, and cleared by force: {late}"] if late else []
        problems += self._injector.clear()
        self._healed = not problems
        return problems

    def _spawn(self, name: str, life: Steps[None]) -> None:
        thread = threading.Thread(target=self._drive, args=(life,), name=name, daemon=True)
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive()] + [thread]
            thread.start()

    def _drive(self, life: Steps[None]) -> None:
        for_ever = threading.Event()
        try:
            step = next(life)
            while True:
                stopping = self._stopping if isinstance(step, Wait) else for_ever
                step = life.send(stopping.wait(step.seconds))
        except StopIteration:
            return

    def _at_work(self) -> list[threading.Thread]:
        with self._lock:
            return [thread for thread in self._threads if thread.is_alive()]
