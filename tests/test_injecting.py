"""The nemesis in virtual time: many faults of every kind over one another, on an honest cluster and a deaf one."""

from __future__ import annotations

import heapq
import random
from typing import Any

import pytest

from faults.board import CALM
from faults.catalogue import FAULTS
from faults.fault import Setting
from faults.parallel import in_turn
from faults.schedule import plan
from harness.audit import audit
from harness.conversation import Wait
from harness.history import Event
from harness.injecting import HEALING_PROOF_SECONDS, Injector, Steps
from harness.spec import Choice, NemesisSpec, Stream
from node.clock import SkewableClock
from tests.support.fake_cluster import FakeCluster

SECONDS = 60.0


class World:
    """A cluster, an injector and time; the replicas whose disks take nothing more die, sooner or later."""

    def __init__(self, seed: int, *streams: Stream, duration_seconds: float = SECONDS) -> None:
        self.seconds = 0.0
        self.stopping = False
        self.events: list[Event] = []
        self.cluster = FakeCluster(5)
        self.cluster.true_time = lambda: self.seconds
        self.cluster.clocks = {name: SkewableClock(lambda: self.seconds) for name in self.cluster.replicas}
        self._dice = random.Random(seed)
        self._count = 0
        self._queue: list[tuple[float, int, str, Steps[None], Wait | Any]] = []
        self.begun: list[str] = []
        setting = Setting("simulated", self.cluster.replicas, "some-protocol", "leader")
        spec = NemesisSpec(name="trial", streams=list(streams))
        planned = plan(spec.streams, duration_seconds, seed)
        self.injector = Injector(spec, setting, self.cluster, self, planned)

    def append(self, event: Event) -> Event:
        self.events.append({"index": len(self.events), "time": self.now(), **event})
        return self.events[-1]

    def now(self) -> int:
        return round(self.seconds * 1e9)

    def spawn(self, name: str, life: Steps[None]) -> None:
        self.begun.append(name)
        self._go_on(name, life, None)

    def run(self, until: float = float("inf")) -> None:
        """Let time pass until nothing is left to happen, or so far."""
        while self._queue and self._queue[0][0] <= until:
            self.seconds, _, name, life, step = heapq.heappop(self._queue)
            self._let_die()
            self._go_on(name, life, step)
        self.seconds = max(self.seconds, min(until, self.seconds + 1))

    def stop(self) -> None:
        self.stopping = True
        self._queue = [
            (self.seconds if isinstance(step, Wait) else at, count, name, life, step)
            for at, count, name, life, step in self._queue
        ]
        heapq.heapify(self._queue)

    def _go_on(self, name: str, life: Steps[None], step: Any) -> None:
        try:
            wanted = next(life) if step is None else life.send(self.stopping and isinstance(step, Wait))
        except StopIteration:
            return
        self._count += 1
        early = self.stopping and isinstance(wanted, Wait)
        at = self.seconds if early else self.seconds + wanted.seconds
        heapq.heappush(self._queue, (at, self._count, name, life, wanted))

    def _let_die(self) -> None:
        for replica, disk in self.cluster.disks.items():
            if (disk.full or disk.sync_fails) and self.cluster.states[replica] == "up" and self._dice.random() < 0.5:
                self.cluster.states[replica] = "down"


def storm(count: int) -> list[Stream]:
    """Streams of all faults, so dense that some twenty are in effect at once."""
    choices = [
        Choice(fault="partition", options={"shape": shape}, for_seconds=6.0)
        for shape in ("halves", "bridge", "ring", "one-way", "isolate")
    ]
    choices += [Choice(fault=fault, for_seconds=6.0) for fault in FAULTS if fault != "partition"]
    choices += [Choice(fault="clock", options={"offset_seconds": -2.0, "rate": 1.2}, for_seconds=6.0)]
    return [Stream(choices=choices, every_seconds=2.0, first_seconds=0.1 * k) for k in range(count)]


@pytest.fixture(autouse=True)
def one_after_the_other() -> Any:
    with in_turn():
        yield


@pytest.mark.parametrize(("seed", "streams"), [(0, 1), (1, 1), (0, 2), (1, 2), (0, 6), (1, 6)])
def test_a_storm_of_all_faults_leaves_a_whole_cluster_and_no_wrong_word(seed: int, streams: int) -> None:
    world = World(seed, *storm(streams))
    assert world.injector.check() == []
    world.spawn("nemesis", world.injector.timeline(world.spawn))
    world.run()
    assert audit(world.events) == []
    assert world.seconds <= SECONDS + HEALING_PROOF_SECONDS + 1
    assert world.injector.current() == []
    told = [event for event in world.events if event["type"] != "invoke"]
    assert not [event for event in told if event["type"] == "fail"]
    assert len(told) == 2 * len(world.injector.plan) > 20 * streams
    wrong = [event for event in told if event["evidence"]["effective"] is False]
    assert not wrong, "an honest cluster never makes an overlap look like a fault that did not bite"
    assert world.cluster.whole(), "also before it is cleared by force"
    assert world.injector.clear() == []
    assert world.cluster.whole()
    if streams == 1:
        proved = {event["fault"] for event in told if event["type"] == "ok" and event["f"] == "inject"}
        assert len(proved) >= 8


def test_the_same_seed_writes_the_same_history() -> None:
    histories = []
    for seed in (3, 3, 4):
        world = World(seed, *storm(2))
        world.spawn("nemesis", world.injector.timeline(world.spawn))
        world.run()
        histories.append(world.events)
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.parametrize("at_seconds", [0.0, 0.35, 7.0, 31.9])
def test_told_to_stop_everything_is_healed_at_once(at_seconds: float) -> None:
    world = World(1, *storm(3))
    world.spawn("nemesis", world.injector.timeline(world.spawn))
    world.run(at_seconds)
    began = world.seconds
    count = len(world.begun)
    world.stop()
    world.run()
    assert len(world.begun) == count, "nothing more is injected"
    assert world.seconds <= began + HEALING_PROOF_SECONDS + 1
    assert world.cluster.whole()
    assert audit(world.events) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_an_idle_fault_is_told_from_one_that_works(fault: str) -> None:
    """On a cluster that does nothing of what it is told, no injection of any kind is proved."""
    world = World(2, Stream(choices=[Choice(fault=fault, for_seconds=3.0)], every_seconds=5.0))
    cluster = world.cluster
    cluster.immortal, cluster.weatherproof = set(cluster.replicas), set(cluster.weather)
    cluster.network.deaf = {condition.mode for condition in _conditions(fault)}
    world.spawn("nemesis", world.injector.timeline(world.spawn))
    world.run()
    injected = [event for event in world.events if event["type"] != "invoke" and event["f"] == "inject"]
    assert len(injected) > 5
    assert {event["evidence"]["effective"] for event in injected} == {False}
    assert set(cluster.weather.values()) == {CALM}


def _conditions(fault: str) -> list[Any]:
    """What a fault puts links into."""
    world = World(2, Stream(choices=[Choice(fault=fault, for_seconds=3.0)], at_seconds=[0.0]))
    world.spawn("nemesis", world.injector.timeline(world.spawn))
    world.run(1.0)
    return list(world.cluster.network.not_clear().values())
