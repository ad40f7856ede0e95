"""One simulated run, from the first instant to the last reads.

    simulated = simulate(spec)
    again = simulate(spec, trace=True)       # the same run, event by event, with every step of it

What happens follows from the spec alone: no file, no thread, no clock and no chance but those of the spec's seed. The
phases are those of a real run (`harness.work`): the cluster comes up and elects whoever is in charge; clients and nemesis
work; everything is healed; the cluster answers again; fresh processes read what it has kept. Between healing and recovery
lies one phase more, for liveness: all but a majority, drawn by the seed, are killed, and the majority has to answer.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from faults.fault import Setting
from faults.parallel import in_turn
from faults.schedule import Planned
from harness.checkers.inside import BROKEN, PROGRESS, STALLED, WITNESS
from harness.cluster.simulated import SimulatedCluster
from harness.errors import BadInput, RunFailed
from harness.history import FINAL_READS, HARNESS, WORK_OVER, Event
from harness.injecting import Injector
from harness.scripted import planned
from harness.simulation.clients import Clients
from harness.simulation.laws import Broken
from harness.simulation.loop import MILLISECOND, SECOND, TooManyEvents
from harness.simulation.nemesis import Nemesis
from harness.simulation.network import Edits
from harness.simulation.record import Record
from harness.simulation.trace import Step, Trace
from harness.simulation.world import World
from harness.spec import RunSpec
from harness.workloads import make_workload

HEALTHY_SECONDS = 20.0
"""How long the cluster may take to elect whoever is in charge, in virtual time."""
HEALING_SECONDS = 30.0
LIVENESS_GRACE_SECONDS = 1.0
"""An operation shows that a majority makes progress if it began so long after the others were killed."""
SAMPLE_SECONDS = 0.5
WATCH_SECONDS = 0.1

Watch = Callable[[Mapping[str, int], Sequence[str], float], bool]
"""Is told how a run is getting on (operations by outcome, what is broken, virtual seconds of work left), some times a
second of virtual time, and says whether to break it off."""

_STATUS_FIELDS = ("role", "leader", "term", "commit_index", "log_index")


@dataclass(frozen=True)
class Stalled:
    """No operation succeeded though a majority was up and connected: a liveness finding."""

    sentence: str
    """`no progress for 60 s with n1, n2, n3 connected`"""
    time_ns: int
    """When the wait began."""
    replicas: tuple[str, ...]


@dataclass
class Simulated:
    """All that a simulated run leaves. Times are nanoseconds of virtual time since the run began."""

    events: list[Event]
    """The history, as `harness.history` would have written it."""
    statuses: list[dict[str, Any]]
    """Samples of what each replica says of itself, as in statuses.jsonl."""
    broken: list[Broken]
    """The laws of the protocol that were broken."""
    stalled: Stalled | None
    trace: list[Step] | None
    """Every step, if asked for."""
    logs: dict[str, list[str]]
    """What each replica wrote into its log."""
    coverage: dict[str, Counter[str]]
    """What happened how often: `sent`, `lost`, `late` and `duplicated` messages by type; `replicas`: lives, deaths of
    their own, messages and timers handled; `elections`: how often whoever is in charge was seen to change."""
    plan: list[Planned]
    """The injections that were planned."""
    virtual_seconds: float
    """How much time passed, setting up included."""
    loop_events: int
    seconds: dict[str, float | None] = field(default_factory=dict)
    """How long, in virtual time: `setup`, `work`, `recovery`; as in results.json."""


def simulate(
    spec: RunSpec,
    *,
    trace: bool = False,
    edits: Edits | None = None,
    stop_at_broken: bool = False,
    statuses: bool = True,
    until_ns: int | None = None,
    watch: Watch | None = None,
    sample_seconds: float = SAMPLE_SECONDS,
) -> Simulated:
    """Run the spec on a simulated cluster.

    `trace` records every step. `edits` give single messages another fate than what was drawn, on top of those of the
    spec's script. With `stop_at_broken` nothing happens any more
    once a law is broken. Without `statuses` the replicas' statuses are not sampled, which is a little faster; else they
    are every `sample_seconds`. `until_ns` breaks the run off at that time, and `watch` may do so too; they change nothing
    else about it.

    Raises `BadInput` for what can't be simulated, and `RunFailed` if the cluster doesn't come up.
    """
    with in_turn(), seldom_collected():
        return _Run(spec, trace, edits, stop_at_broken, statuses, until_ns, watch, sample_seconds).live()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage less often: what a run makes mostly stays to its end, and to look at it again and again takes time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _BrokenOff(Exception):
    """The loop was stopped: nothing more happens in this run."""


class _Run:
    """The life of one run."""

    def __init__(
        self,
        spec: RunSpec,
        trace: bool,
        edits: Edits | None,
        stop_at_broken: bool,
        statuses: bool,
        until_ns: int | None,
        watch: Watch | None,
        sample_seconds: float,
    ) -> None:
        self.spec = spec
        self.world = World(spec, trace=Trace() if trace else None, edits=edits, stop_at_broken=stop_at_broken)
        self.world.on_broken = self._on_broken
        self.loop = self.world.loop
        self.cluster = SimulatedCluster(self.world)
        self.record = Record(self.world)
        self.clients = Clients(self.world, make_workload(spec), self.record)
        setting = Setting("simulated", self.world.replicas, spec.protocol.name, self.cluster.chief)
        injector = Injector(spec.nemesis, setting, self.cluster, self.record, planned(spec))
        if problems := injector.check():
            raise BadInput("; ".join(problems))
        self.nemesis = Nemesis(injector, self.world)
        self.samples: list[dict[str, Any]] = []
        self.seconds: dict[str, float | None] = {"setup": None, "work": None, "recovery": None}
        self.stalled: Stalled | None = None
        self.elections = 0
        self._sampling = statuses
        self._until_ns = until_ns
        self._watch = watch
        self._sample_seconds = sample_seconds
        self._in_charge: str | None = None

    def live(self) -> Simulated:
        try:
            self._set_up()
            self._work()
            self._wind_up()
        except _BrokenOff:
            pass
        except TooManyEvents as error:
            raise RunFailed(str(error)) from error
        world = self.world
        return Simulated(
            events=self.record.events,
            statuses=self.samples,
            broken=list(world.witness.broken),
            stalled=self.stalled,
            trace=None if world.trace is None else list(world.trace.steps),
            logs={replica: host.lines for replica, host in world.hosts.items()},
            coverage=self._coverage(),
            plan=self.nemesis.plan,
            virtual_seconds=self.loop.now / SECOND,
            loop_events=self.loop.events,
            seconds=self.seconds,
        )

    # ---- phases

    def _set_up(self) -> None:
        for host in self.world.hosts.values():
            host.start()
        healthy = self._pass(HEALTHY_SECONDS, self._is_healthy, every_ms=20)
        if not healthy:
            deaths = "; ".join(self.cluster.deaths())
            why = deaths or f"no replica became {self.cluster.chief}"
            raise RunFailed(f"the simulated cluster was not healthy within {HEALTHY_SECONDS:g} s: {why}")
        self.seconds["setup"] = self.loop.now / SECOND
        self.world.begin()

    def _is_healthy(self) -> bool:
        statuses = [self.cluster.status(replica) for replica in self.cluster.replicas]
        chief = self.cluster.chief
        return None not in statuses and (chief is None or chief in [status["role"] for status in statuses if status])

    def _work(self) -> None:
        self._sample()
        if self._watch is not None:
            self._look()
        if self._until_ns is not None:
            self.loop.after(self._until_ns, self._break_off)
        self.clients.start()
        self.nemesis.start()
        self._pass(self.spec.duration_seconds)
        self.seconds["work"] = self.spec.duration_seconds

    def _wind_up(self) -> None:
        """Heal, demand progress of a majority, see the cluster recover, stop the clients, and read what is left."""
        self.nemesis.stop()
        self._pass(HEALING_SECONDS, lambda: not self.nemesis.busy, every_ms=1)
        self._demand_progress()
        for problem in self.nemesis.clear():
            self.record.note(f"not healed: {problem}")
        # A script says all that is to be asked: whether the cluster recovers is not.
        recovered = self.spec.script is not None or self._await_recovery()
        self.clients.stop()
        patience = self.spec.clients.timeout_seconds * 2 + 2.0
        self._pass(patience, lambda: not self.clients.busy, every_ms=1)
        self.record.note(WORK_OVER)
        if recovered and self.spec.script is None:
            self._ask_finally()
        self._sample()
        witness = self.world.witness
        laws = f"{len(witness.broken)} times a law" if witness.broken else "no law"
        self._tell(WITNESS, witness.void or f"{laws} of {self.spec.protocol.name} was broken")

    def _demand_progress(self) -> None:
        """Kill all but a majority, if the protocol says that it suffices; whoever is left has to answer in time."""
        limit_seconds = self.spec.simulation.liveness_seconds
        replicas = self.world.replicas
        if not limit_seconds:
            return
        if len(replicas) < 3:
            words = "1 replica" if len(replicas) == 1 else f"{len(replicas)} replicas"
            self._tell(PROGRESS, f"not asked for: of {words} none may fail")
            return
        enough = len(replicas) // 2 + 1 if self.world.protocol.progresses_with == "majority" else len(replicas)
        drawn = self.world.chance.stream("liveness").sample(replicas, enough)
        left = tuple(replica for replica in replicas if replica in drawn)
        gone = [replica for replica in replicas if replica not in drawn]
        began = self.record.now()
        self.world.network.clear_up()
        for replica in gone:
            self.cluster.kill(replica)
        tally = self.clients.tally
        # Not of the first moment: who has just been killed may have had a hand in that.
        tally.watch_for_recovery(began + round(LIVENESS_GRACE_SECONDS * SECOND))
        answered = self._pass(limit_seconds, lambda: tally.recovered is not None, every_ms=10)
        if answered:
            seconds = (self.record.now() - began) / SECOND
            self._tell(PROGRESS, f"{', '.join(left)} alone answered after {seconds:.2f} s", left)
        elif self._asked_late(began, left):
            sentence = f"no progress for {limit_seconds:g} s with {', '.join(left)} connected"
            self.stalled = Stalled(sentence, began, left)
            self._tell(STALLED, sentence, left)
        tally.recovered = None

    def _asked_late(self, began: int, left: Sequence[str]) -> bool:
        """Whether a script has each of them asked in the second half of the wait: where nobody asks, nobody is stuck."""
        if self.spec.script is None:
            return True
        late = began + round(self.spec.simulation.liveness_seconds * SECOND / 2)
        operations = (event for event in self.record.events if isinstance(event["process"], int))
        return set(left) <= {event["replica"] for event in operations if event["time"] >= late}

    def _await_recovery(self) -> bool:
        healed, limit_seconds, tally = self.record.now(), self.spec.recovery_seconds, self.clients.tally
        tally.watch_for_recovery(healed)
        recovered = self._pass(limit_seconds, lambda: tally.recovered is not None, every_ms=10)
        if tally.recovered is not None:
            self.seconds["recovery"] = round((tally.recovered - healed) / SECOND, 3)
        else:
            self.record.note(
                f"no recovery: no operation succeeded within {limit_seconds:g} s after everything was healed"
            )
        return recovered

    def _ask_finally(self) -> None:
        self.record.note(FINAL_READS)
        limit_seconds = self.spec.recovery_seconds
        reads = self.clients.ask_finally(limit_seconds)
        patience = limit_seconds + self.spec.clients.timeout_seconds * 2 * self.spec.clients.attempts + 2.0
        self._pass(patience, lambda: not self.clients.busy, every_ms=1)
        if reads.unanswered:
            self.record.note(f"{reads.unanswered} of the last operations were not answered within {limit_seconds:g} s")

    # ---- what goes on beside

    def _on_broken(self, broken: Broken) -> None:
        early = {} if self.world.begun else {"early": True}
        self._tell(BROKEN, broken.sentence, broken.replicas, law=broken.law, **early)

    def _pass(self, seconds: float, until: Callable[[], bool] | None = None, every_ms: int = 1) -> bool:
        """Let time pass; with a condition, until it holds, which is asked every so often. Tells whether it does.

        Raises `_BrokenOff` once the loop is stopped.
        """
        end = self.loop.now + round(seconds * SECOND)
        step = seconds * SECOND if until is None else every_ms * MILLISECOND
        while until is None or not until():
            if self.loop.now >= end:
                return False
            self.loop.run(min(end, self.loop.now + round(step)))
            if self.loop.stopped:
                raise _BrokenOff
        return True

    def _tell(self, what: str, text: str, replicas: Sequence[str] = (), **more: Any) -> None:
        """Write down what was seen from within; see `harness.checkers.inside`."""
        event = {"type": "info", "process": HARNESS, "f": what, "value": text, **more}
        self.record.append({**event, "replicas": list(replicas)})

    def _look(self) -> None:
        assert self._watch is not None
        left = self.spec.duration_seconds - self.record.now() / SECOND
        if self._watch(self.clients.tally.counts(), self.nemesis.current(), max(0.0, left)):
            self.loop.stopped = True
        self.loop.after(round(WATCH_SECONDS * SECOND), self._look)

    def _break_off(self) -> None:
        self.loop.stopped = True

    def _sample(self) -> None:
        for sentence in self.cluster.deaths():
            self.record.note(sentence)
        self.loop.after(round(self._sample_seconds * SECOND), self._sample)
        for replica in self.world.replicas if self._sampling else ():
            state, status = self.cluster.state(replica), self.cluster.status(replica) or {}
            known = {name: status.get(name) for name in _STATUS_FIELDS}
            self.samples.append({"time": self.record.now(), "replica": replica, "state": state, **known})
            if status.get("role") == self.cluster.chief is not None and self._in_charge != replica:
                self.elections += self._in_charge is not None
                self._in_charge = replica

    def _coverage(self) -> dict[str, Counter[str]]:
        hosts = self.world.hosts.values()
        lives = sum(host.incarnation for host in hosts)
        replicas = {"lives": lives, "deaths": sum(len(host.mourned) for host in hosts)}
        replicas["handled"] = sum(host.handled for host in hosts)
        elections = Counter({"seen": self.elections})
        return {**self.world.network.counts(), "replicas": Counter(replicas), "elections": elections}
