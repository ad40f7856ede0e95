"""The nemesis: injects and heals faults on a schedule, and writes into the history what came of it.

    nemesis = Nemesis(spec.nemesis, setting, cluster, history, spec.seed, spec.duration_seconds)
    problems = nemesis.check()           # before anything starts
    nemesis.start()                      # when the clients begin
    nemesis.current()                    # what is broken just now, for people
    problems = nemesis.stop_and_heal(30) # at the end, or at any other moment: whatever was broken is mended

What happens when is a pure function of the seed (`nemesis.plan`). One thread keeps the time; each injection has a thread
of its own, which injects, measures the evidence, waits, heals and measures again, so that a proof that takes a second
delays no other fault. An injection lasts as long as its proof takes, even if it was planned to be shorter. Where faults
overlap so that nothing can be measured, it is tried again while the injection lasts: its completion, which carries the
evidence, comes that much later, and `applied` tells when it came into effect.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from faults.board import LinkBoard, ProcessBoard
from faults.catalogue import fault_problem, make_fault
from faults.cluster import Cluster, ClusterError, NetworkError, all_links
from faults.fault import Evidence, Fault, Ground, Injection, Setting
from faults.schedule import Planned, most_at_once, plan
from harness.history import NEMESIS, History
from harness.spec import NemesisSpec

MOST_AT_ONCE = 32
"""Injections that may be active at the same time, and threads that they take."""

AGAIN_SECONDS = 0.3
"""How long to wait before a measurement that other faults made impossible is tried again."""

HEALING_PROOF_SECONDS = 3.0
"""How long to go on trying to measure that something was healed."""


class Nemesis:
    """See the module. `start` and `stop_and_heal` are called by the thread that owns the run, `current` by any."""

    def __init__(
        self,
        spec: NemesisSpec,
        setting: Setting,
        cluster: Cluster,
        history: History,
        seed: int,
        duration_seconds: float,
    ) -> None:
        self._spec = spec
        self._setting = setting
        self._cluster = cluster
        self._history = history
        self.plan: list[Planned] = plan(spec.streams, duration_seconds, seed)
        """Every injection to come, in the order of their times."""
        self._ground = Ground(cluster, LinkBoard(cluster.network), ProcessBoard(cluster))
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Guards the two below."""
        self._active: dict[int, str] = {}
        self._threads: list[threading.Thread] = []
        self._healed = False

    def check(self) -> list[str]:
        """Everything that makes these faults impossible here, one sentence each; nothing is touched."""
        problems: list[str | None] = []
        for stream in self._spec.streams:
            if stream.at_seconds is None and stream.every_seconds is None:
                problems.append(f"the faults {self._spec.name!r} have no schedule: say `every_seconds` or `at_seconds`")
            for choice in stream.choices:
                problems.append(fault_problem(choice.fault, choice.options, self._setting))
        most = most_at_once(self.plan)
        if most > MOST_AT_ONCE:
            problems.append(
                f"the faults {self._spec.name!r} would be {most} at the same time, more than {MOST_AT_ONCE}: "
                "raise `every_seconds` or shorten `for_seconds`"
            )
        return list(dict.fromkeys(problem for problem in problems if problem))

    def start(self) -> None:
        """Begin: the times of the plan count from now. Raises `BadFault` if `check` would have found a problem."""
        faults = [make_fault(planned.fault, planned.options) for planned in self.plan]
        began = time.monotonic()
        self._own("nemesis", self._keep_time, faults, began)

    def current(self) -> list[str]:
        """Descriptions of what is broken just now, the oldest first."""
        with self._lock:
            return [self._active[number] for number in sorted(self._active)]

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
        problems += self._clear()
        self._healed = not problems
        return problems

    def _clear(self) -> list[str]:
        problems = []
        try:
            self._ground.links.close(all_links(self._cluster.replicas))
        except NetworkError as error:
            problems.append(str(error))
        try:
            self._ground.processes.close()
        except ClusterError as error:
            problems.append(str(error))
        return problems

    def _keep_time(self, faults: list[Fault], began: float) -> None:
        for planned, fault in zip(self.plan, faults, strict=True):
            if self._stopping.wait(max(0.0, began + planned.at_seconds - time.monotonic())):
                return
            if len(self._at_work()) > MOST_AT_ONCE:
                self._record("invoke", "inject", planned)
                self._record("fail", "inject", planned, error=f"{MOST_AT_ONCE} faults are at work already")
                continue
            name = f"{planned.fault} {planned.number}"
            self._own(name, self._live, planned, fault, began + planned.until_seconds)

    def _live(self, planned: Planned, fault: Fault, until: float) -> None:
        """The whole life of one injection."""
        if self._stopping.is_set():
            return
        injection = self._inject(planned, fault, until)
        self._stopping.wait(max(0.0, until - time.monotonic()))
        self._heal(planned, fault, injection)

    def _inject(self, planned: Planned, fault: Fault, until: float) -> Injection | None:
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
        evidence = _measured(lambda: fault.prove(self._ground, injection), self._stopping.wait, until)
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

    def _heal(self, planned: Planned, fault: Fault, injection: Injection | None) -> None:
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
        evidence = Evidence(None, "not measured: it was not injected as a whole")
        if injection is not None:
            # Tried on also when the end has come: all others are being healed too, and it gets easier.
            deadline = time.monotonic() + HEALING_PROOF_SECONDS
            pause = threading.Event().wait
            evidence = _measured(lambda: fault.prove_healed(self._ground, injection), pause, deadline)
        self._record(_type(evidence), "heal", planned, evidence=asdict(evidence), applied=applied)

    def _record(self, kind: str, function: str, planned: Planned, **more: Any) -> None:
        event = {"type": kind, "process": NEMESIS, "f": function, "fault": planned.fault, "number": planned.number}
        self._history.append({**event, **more})

    def _set_active(self, planned: Planned, words: str) -> None:
        with self._lock:
            self._active[planned.number] = words

    def _own(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive()] + [thread]
            thread.start()

    def _at_work(self) -> list[threading.Thread]:
        with self._lock:
            return [thread for thread in self._threads if thread.is_alive()]


def _measured(measure: Callable[[], Evidence], wait: Callable[[float], bool], deadline: float) -> Evidence:
    """The evidence; a measurement that fails proves nothing, and says so.

    While other faults keep anything from being measured it is tried again, until the deadline or until `wait` says so.
    """
    while True:
        try:
            evidence = measure()
        except Exception as error:
            return Evidence(None, f"not measured: {_sentence(error)}")
        if evidence.effective is not None or time.monotonic() + AGAIN_SECONDS > deadline or wait(AGAIN_SECONDS):
            return evidence


def _type(evidence: Evidence) -> str:
    return "ok" if evidence.effective else "info"


def _sentence(error: Exception) -> str:
    """The clusters' errors are sentences; anything else is a bug, and told with its kind."""
    return str(error) if isinstance(error, NetworkError | ClusterError) else f"{type(error).__name__}: {error}"
