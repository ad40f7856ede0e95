"""What the nemesis does, apart from the threads (or the event loop) that let it. Pure but for the faults themselves.

`Injector.timeline` keeps the time and hands out the life of each injection; both are generators, which yield `Wait` and
`Pause` and are resumed when that is over::

    injector = Injector(spec.nemesis, setting, cluster, history, planned(spec))
    problems = injector.check()              # before anything starts
    injector.timeline(spawn)                 # to be driven; calls spawn("kill 3", life) for each injection
    injector.current()                       # what is broken just now, for people
    problems = injector.clear()              # the end: mends whatever is still broken, once all lives are over

The life of an injection: inject, measure the evidence, wait, heal, measure again. An injection lasts as long as its proof
takes, even if it was planned to be shorter. Where faults overlap so that nothing can be measured, it is tried again while
the injection lasts: its completion, which carries the evidence, comes that much later, and `applied` tells when it came
into effect. Told to stop, a life goes on to its healing at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol, TypeVar

from faults.catalogue import fault_problem, make_fault
from faults.cluster import Cluster, ClusterError, NetworkError
from faults.fault import Evidence, Fault, Ground, Injection, Setting
from faults.schedule import Planned, most_at_once
from harness.conversation import Wait
from harness.cues import Cues
from harness.history import NEMESIS, Event
from harness.spec import NemesisSpec, Stream

MOST_AT_ONCE = 32
"""Injections that may be active at the same time."""

MOST_OF_A_SCRIPT = 250
"""As many in a script, which has an injection for each replica that was hit."""

AGAIN_SECONDS = 0.3
"""How long to wait before a measurement that other faults made impossible is tried again."""

HEALING_PROOF_SECONDS = 3.0
"""How long to go on trying to measure that something was healed."""


class Pause(NamedTuple):
    """Let so much time pass, also when it is time to stop. Resumed with False."""

    seconds: float


Returned = TypeVar("Returned")
Steps = Generator[Wait | Pause, bool, Returned]
"""Yields how long it waits, and is sent whether it is time to stop."""

Spawn = Callable[[str, Steps[None]], None]
"""Let a life of that name begin now, beside whatever else goes on."""


class Record(Protocol):
    """What is known of the history here: a clock, and whom to tell. See `harness.history.History`."""

    def append(self, event: Event) -> Event: ...

    def now(self) -> int:
        """Nanoseconds since the run began."""


class Injector:
    """See the module. `timeline` may be driven once; everything may be called from several threads."""

    def __init__(
        self,
        spec: NemesisSpec,
        setting: Setting,
        cluster: Cluster,
        history: Record,
        planned: Sequence[Planned],
        cues: Cues | None = None,
    ) -> None:
        """With cues everything begins on its cue, and what is named are parts; else at its time."""
        self._spec = spec
        self._setting = setting
        self._history = history
        self.plan = list(planned)
        """Every injection to come, in the order of their times (see `harness.scripted.planned`); after those what was not
        planned, as it came."""
        self._most = MOST_AT_ONCE if spec.streams else MOST_OF_A_SCRIPT
        self._cues = cues
        self._ground = Ground.on(cluster)
        self._lock = threading.Lock()
        """Guards what is below."""
        self._active: dict[int, str] = {}
        self._alive = 0

    def check(self) -> list[str]:
        """Everything that makes these faults impossible here, one sentence each; nothing is touched."""
        problems: list[str | None] = []
        for stream in self._spec.streams:
            problems.append(self._schedule_problem(stream))
            for choice in stream.choices:
                problems.append(fault_problem(choice.fault, choice.options, self._setting))
        if not self._spec.streams:  # a script
            problems += [fault_problem(one.fault, one.options, self._setting) for one in self.plan]
        most = most_at_once(self.plan)
        if most > self._most:
            problems.append(
                f"the faults {self._spec.name!r} would be {most} at the same time, more than {self._most}: "
                "raise `every_seconds` or shorten `for_seconds`"
            )
        return list(dict.fromkeys(problem for problem in problems if problem))

    def _schedule_problem(self, stream: Stream) -> str | None:
        if stream.moment is not None:
            if self._setting.cluster != "simulated":
                return (
                    f"the faults {self._spec.name!r} wait for what a replica does, and no {self._setting.cluster} cluster "
                    "tells of it: use `cluster: simulated`"
                )
        elif stream.at_seconds is None and stream.every_seconds is None:
            return f"the faults {self._spec.name!r} have no schedule: say `every_seconds` or `at_seconds`"
        return None

    def timeline(self, spawn: Spawn) -> Steps[None]:
        """Let every injection of the plan begin at its time, counted from now.

        Raises `BadFault` at once, before it is driven, if `check` would have found a problem.
        """
        faults = [(planned, make_fault(planned.fault, planned.options)) for planned in self.plan]
        return self._keep_time(faults, self._now(), spawn)

    def unplanned(self, planned: Planned, spawn: Spawn) -> Steps[None]:
        """One more injection, to be driven beside the timeline. It joins the plan, so its number must be a new one.

        Raises `BadFault` at once if there is no such fault.
        """
        self.plan.append(planned)
        return self._keep_time([(planned, make_fault(planned.fault, planned.options))], 0.0, spawn)

    def current(self) -> list[str]:
        """Descriptions of what is broken just now, the oldest first."""
        with self._lock:
            return [self._active[number] for number in sorted(self._active)]

    def clear(self) -> list[str]:
        """Mend whatever is still broken, by force, and let nothing be broken any more; sentences about what can't be.

        None means that all is well. Has the cluster's own limits of time, and may be called again.
        """
        return self._ground.close()

    def _now(self) -> float:
        return self._history.now() / 1e9

    def _keep_time(self, faults: Sequence[tuple[Planned, Fault]], began: float, spawn: Spawn) -> Steps[None]:
        """Let each begin at its time, counted from `began`, a time of the run."""
        for planned, fault in faults:
            if (yield from self._due("inject", planned, began + planned.at_seconds)):
                return
            if self._cues is not None:
                fault = make_fault(planned.fault, self._cues.cast(planned.options))
            with self._lock:
                full = self._alive >= self._most
                self._alive += not full
            if full:
                self._record("invoke", "inject", planned)
                self._record("fail", "inject", planned, error=f"{self._most} faults are at work already")
                self._over("inject", planned)
                self._over("heal", planned)
            else:
                spawn(f"{planned.fault} {planned.number}", self._live(planned, fault, began + planned.until_seconds))

    def _live(self, planned: Planned, fault: Fault, until: float) -> Steps[None]:
        """The whole life of one injection."""
        try:
            if (yield Wait(0.0)):
                return
            injection = yield from self._inject(planned, fault, until)
            self._over("inject", planned)
            yield from self._due("heal", planned, until)
            yield from self._heal(planned, fault, injection)
        finally:
            self._over("inject", planned)
            self._over("heal", planned)
            with self._lock:
                self._alive -= 1

    def _due(self, what: str, planned: Planned, moment: float) -> Steps[bool]:
        """Wait until something may begin: on its cue, or at its moment. Returns whether it is time to stop instead."""
        if self._cues is not None:
            return (yield from self._cues.due(what, planned.number))
        return (yield Wait(max(0.0, moment - self._now())))

    def _over(self, what: str, planned: Planned) -> None:
        if self._cues is not None:
            self._cues.over(what, planned.number)

    def _inject(self, planned: Planned, fault: Fault, until: float) -> Steps[Injection | None]:
        """None if it failed, perhaps half way."""
        self._record("invoke", "inject", planned)
        self._set_active(planned, f"{planned.fault}: being injected")
        try:
            injection = fault.inject(self._ground, planned.number, random.Random(planned.seed))
        except Exception as error:
            self._record("fail", "inject", planned, error=_sentence(error))
            return None
        applied = self._history.now()
        self._set_active(planned, f"{planned.fault} {injection.description}")
        self._over("inject", planned)
        evidence = yield from self._measured(lambda: fault.prove(self._ground, injection), Wait(AGAIN_SECONDS), until)
        self._record(
            _type(evidence),
            "inject",
            planned,
            targets=list(injection.targets),
            roles=injection.roles,
            description=injection.description,
            links=[str(link) for link in injection.links],
            evidence=asdict(evidence),
            applied=applied,
        )
        return injection

    def _heal(self, planned: Planned, fault: Fault, injection: Injection | None) -> Steps[None]:
        self._record("invoke", "heal", planned)
        try:
            fault.heal(self._ground, injection or Injection(planned.fault, planned.number, (), "failed"))
        except Exception as error:
            self._record("fail", "heal", planned, error=_sentence(error))
            return
        finally:
            with self._lock:
                self._active.pop(planned.number, None)
        applied = self._history.now()
        if injection is not None and injection.links:  # those are as before; a replica may still be on its way up
            self._over("heal", planned)
        evidence = Evidence(None, "not measured: it was not injected as a whole")
        if injection is not None:
            # Tried on also when the end has come: all others are being healed too, and it gets easier.
            deadline = self._now() + HEALING_PROOF_SECONDS
            evidence = yield from self._measured(
                lambda: fault.prove_healed(self._ground, injection), Pause(AGAIN_SECONDS), deadline
            )
        self._record(_type(evidence), "heal", planned, evidence=asdict(evidence), applied=applied)

    def _measured(self, measure: Callable[[], Evidence], again: Wait | Pause, deadline: float) -> Steps[Evidence]:
        """The evidence; a measurement that fails proves nothing, and says so.

        While other faults keep anything from being measured it is tried `again`, until the deadline or the stop.
        """
        while True:
            try:
                evidence = measure()
            except Exception as error:
                return Evidence(None, f"not measured: {_sentence(error)}")
            if evidence.effective is not None or self._now() + again.seconds > deadline or (yield again):
                return evidence

    def _record(self, kind: str, function: str, planned: Planned, **more: Any) -> None:
        event = {"type": kind, "process": NEMESIS, "f": function, "fault": planned.fault, "number": planned.number}
        self._history.append({**event, **more})

    def _set_active(self, planned: Planned, words: str) -> None:
        with self._lock:
            self._active[planned.number] = words


def _type(evidence: Evidence) -> str:
    return "ok" if evidence.effective else "info"


def _sentence(error: Exception) -> str:
    """The clusters' errors are sentences; anything else is a bug, and told with its kind."""
    return str(error) if isinstance(error, NetworkError | ClusterError) else f"{type(error).__name__}: {error}"
