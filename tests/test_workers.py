"""Workers on a virtual clock: the same lives that threads lead, driven by hand. Rules of outcomes are in test_clients."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from harness.audit import audit
from harness.conversation import Ask, Route, Tried, Wait, carry_out
from harness.generator import Pace
from harness.history import Event
from harness.spec import ClientsSpec
from harness.workers import Client, FinalReads, Shared, Tally, Worker
from harness.workloads.register import Register, RegisterOptions
from node.machine import Operation
from node.protocol import Outcome

WRITE: Operation = {"f": "write", "key": "x", "value": 1}
Service = Callable[[Ask], tuple[float, Outcome]]
"""How long it takes to answer, and what."""


class World:
    """Virtual time, in which workers live until nothing is left to happen or the time is up."""

    def __init__(self, service: Service, stop_at: float = 10.0, **spec: Any) -> None:
        self.seconds = 0.0
        self.events: list[Event] = []
        self.asked: list[tuple[float, Ask]] = []
        self.closed = False
        self._service = service
        self._stop_at = stop_at
        fields = {"processes": 4, "rate_per_second": 20.0, "timeout_seconds": 0.5, **spec}
        self.spec = ClientsSpec(**fields)
        self.tally = Tally()
        workload = Register(RegisterOptions(operations_per_key=20), self.spec.processes, 1)
        replicas = ("n1", "n2", "n3")
        self.shared = Shared(workload, self.spec, replicas, 1, self.append, lambda: self.seconds, self.tally)
        pace = Pace(1, self.spec.processes, self.spec.rate_per_second)
        self.clients: list[Worker] = [Client(self.shared, process, pace) for process in range(self.spec.processes)]

    def append(self, event: Event) -> Event:
        if self.closed:
            return event
        self.events.append({"index": len(self.events), "time": int(self.seconds * 1e9), **event})
        return self.events[-1]

    def run(self, workers: list[Worker]) -> None:
        lives = [worker.life() for worker in workers]
        queue: list[tuple[float, int, int, Any]] = [(self.seconds, place, place, None) for place in range(len(lives))]
        count = len(queue)
        while queue:
            self.seconds, _, place, answer = heapq.heappop(queue)
            try:
                step = lives[place].send(answer if answer is not Wait else self.seconds >= self._stop_at)
            except StopIteration:
                continue
            if isinstance(step, Ask):
                self.asked.append((self.seconds, step))
                took, reply = self._service(step)
                answer = reply
            else:
                took, answer = max(0.0, min(step.seconds, self._stop_at - self.seconds)), Wait
            count += 1
            heapq.heappush(queue, (self.seconds + took, count, place, answer))


def ok(ask: Ask) -> tuple[float, Outcome]:
    return 0.01, Outcome.ok(None if ask.operation["f"] != "cas" else True)


def moody(seed: int) -> Service:
    chance = random.Random(seed)
    outcomes = [Outcome.ok(None), Outcome.fail("no", "n2"), Outcome.info("perhaps"), Outcome.fail("no")]
    return lambda ask: (chance.uniform(0.001, 0.3), chance.choices(outcomes, [5, 2, 1, 1])[0])


def test_a_conversation_says_what_it_wants() -> None:
    steps = carry_out(Route(("n1", "n2"), 0, True, random.Random(1)), 3, "p5", 8, WRITE)
    assert next(steps) == Ask("n1", "p5", 8, WRITE)
    wait = steps.send(Outcome.info("no answer"))
    assert isinstance(wait, Wait) and 0.025 <= wait.seconds <= 0.05
    assert steps.send(False) == Ask("n2", "p5", 8, WRITE)
    try:
        steps.send(Outcome.ok(7))
    except StopIteration as end:
        assert end.value == Tried(Outcome.ok(7), "n2", 2)
    else:
        raise AssertionError("it goes on after it has its answer")


def test_clients_keep_their_pace_in_virtual_time() -> None:
    world = World(ok)
    world.run(world.clients)
    assert audit(world.events) == []
    assert world.seconds == 10.0
    assert 190 <= world.tally.counts()["ok"] <= 201
    begun = [event["time"] / 1e9 for event in world.events if event["type"] == "invoke"]
    for second in range(10):
        assert 14 <= sum(second <= time < second + 1 for time in begun) <= 26


def test_the_same_world_twice_makes_the_same_history() -> None:
    one, other = (World(moody(7)) for _ in range(2))
    one.run(one.clients)
    other.run(other.clients)
    assert audit(one.events) == []
    assert one.events == other.events
    assert {event["type"] for event in one.events} == {"invoke", "ok", "fail", "info"}
    another = World(moody(8))
    another.run(another.clients)
    assert another.events != one.events


def test_processes_retire_when_nothing_is_known() -> None:
    world = World(lambda ask: (0.5, Outcome.info("no answer within 0.5 s")), attempts=1)
    world.run(world.clients)
    assert audit(world.events) == []
    invoked = [event["process"] for event in world.events if event["type"] == "invoke"]
    assert len(set(invoked)) == len(invoked) > 40
    assert {ask.number for _, ask in world.asked} == {0}


def test_nothing_is_asked_that_is_not_on_record() -> None:
    world = World(ok)
    world.closed = True
    world.run(world.clients)
    assert world.asked == [] and world.events == []
    assert world.seconds < 1.0, "and nobody goes on"


def test_final_reads_share_the_keys_and_count_what_is_left() -> None:
    world = World(ok)
    world.run(world.clients)
    world._stop_at = 100.0
    final = FinalReads(world.shared, world.clients, 5.0)
    before = len(world.events)
    world.run(list(final.readers))
    assert final.unanswered == 0
    assert audit(world.events) == []
    told = [event for event in world.events[before:] if event["type"] == "ok"]
    keys = {event["key"] for event in world.events[:before]}
    assert {(event["key"], event["replica"]) for event in told} == {(key, f"n{n}") for key in keys for n in (1, 2, 3)}
    assert min(event["process"] for event in told) >= world.spec.processes


def test_final_reads_give_up_in_time() -> None:
    world = World(lambda ask: (0.5, Outcome.info("no answer within 0.5 s")), stop_at=2.0)
    world.run(world.clients)
    world._stop_at = 100.0
    began = world.seconds
    final = FinalReads(world.shared, world.clients, 3.0)
    world.run(list(final.readers))
    asked = {event["key"] for event in world.events}
    assert final.unanswered == 3 * len(asked)
    # The last operation was begun in time, and took three attempts with a wait after each.
    assert world.seconds - began <= 3.0 + 3 * (0.5 + 0.25)
