"""The nemesis of a simulated run: what `harness.injecting` does, driven by the event loop instead of threads."""

from __future__ import annotations

from faults.schedule import Planned
from harness.conversation import Wait
from harness.injecting import Injector, Steps
from harness.simulation.loop import SECOND, Loop
from harness.simulation.moments import Moments
from harness.simulation.world import World


class Nemesis:
    """Injects and heals on the schedule of its injector. Time passes elsewhere, in the loop."""

    def __init__(self, injector: Injector, world: World) -> None:
        spec = world.spec
        self._injector = injector
        self._world = world
        self._loop = world.loop
        streams = spec.nemesis.streams if spec.script is None else ()
        self._moments = Moments(streams, spec.duration_seconds, spec.seed)
        self._lives: list[_Life] = []
        self._stopping = False

    @property
    def plan(self) -> list[Planned]:
        return self._injector.plan

    def start(self) -> None:
        self._spawn("nemesis", self._injector.timeline(self._spawn))
        if self._moments:
            self._world.on_moment = self._on_moment

    def stop(self) -> None:
        """Inject no more, and let everything be healed; that may take as long as its proof, see `busy`."""
        self._stopping = True
        self._world.on_moment = None
        for life in list(self._lives):
            life.stop()

    @property
    def busy(self) -> bool:
        """Whether anything is injected, or being healed."""
        return any(not life.over for life in self._lives)

    def current(self) -> list[str]:
        """Descriptions of what is broken just now, the oldest first."""
        return self._injector.current()

    def clear(self) -> list[str]:
        """Mend by force what is still broken; sentences about what can't be."""
        return self._injector.clear()

    def _on_moment(self, what: str, kind: str, doer: str, peer: str) -> None:
        for planned in self._moments.taken(what, kind, doer, peer, self._world.time_ns, len(self.plan) + 1):
            self._spawn("moment", self._injector.unplanned(planned, self._spawn))

    def _spawn(self, name: str, steps: Steps[None]) -> None:
        life = _Life(self._loop, steps, self._stopping)
        self._lives = [known for known in self._lives if not known.over] + [life]
        life.begin()


class _Life:
    """Lets one generator have its time."""

    def __init__(self, loop: Loop, steps: Steps[None], stopping: bool) -> None:
        self.over = False
        self._loop = loop
        self._steps = steps
        self._stopping = stopping
        self._number = 0
        """Numbers the waits, so that one that was ended early isn't ended again."""
        self._may_end_early = False

    def begin(self) -> None:
        self._go_on(None)

    def stop(self) -> None:
        self._stopping = True
        if self._may_end_early:
            self._waited(self._number)

    def _go_on(self, told: bool | None) -> None:
        try:
            want = self._steps.send(told)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration:
            self.over = True
            return
        self._number += 1
        self._may_end_early = isinstance(want, Wait)
        seconds = 0.0 if self._may_end_early and self._stopping else want.seconds
        self._loop.after(round(seconds * SECOND), self._waited, self._number)

    def _waited(self, number: int) -> None:
        if self.over or number != self._number:
            return
        told, self._may_end_early = self._may_end_early and self._stopping, False
        self._number += 1
        self._go_on(told)
