"""The host of a simulated replica keeps what `node.protocol` promises a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from faults.cluster import ClusterError, Disk
from harness.cluster.simulated import SimulatedCluster
from harness.simulation.laws import Witness
from harness.simulation.loop import MILLISECOND
from harness.simulation.trace import Trace
from harness.simulation.world import World
from node.invariants import Answers
from node.machine import Operation
from node.protocol import Message, Outcome, Protocol, Record, Request, Status
from tests.support.simulations import simulated_spec

SYNC_MS = 10


class Scribe(Protocol):
    """Writes down every request, tells everybody of it, and answers with how many it has written."""

    name = "scribe"
    promises = "nothing"

    def recover(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.heard: list[Any] = []
        self.rung: list[str] = []
        for name in ("late", "soon"):
            self.io.set_timer(name, {"soon": 100.0, "late": 200.0}[name])

    def on_request(self, request: Request) -> None:
        match request.operation["key"]:
            case "raise":
                raise RuntimeError("out of ink")
            case "silent":
                self.io.reply(request, Outcome.ok("nothing written"))
                return
            case "soon":
                self.io.set_timer("soon", 0.004)
                self.io.set_timer("late", 0.006)
                self.io.set_timer("cancelled", 0.005)
                self.io.cancel_timer("cancelled")
        record = {"value": request.operation["value"]}
        self.records.append(record)
        self.io.append(record)
        for peer in self.io.peers:
            self.io.send(peer, {"type": "news", "value": record["value"]})
        self.io.reply(request, Outcome.ok(len(self.records)))
        record["value"] = "changed after it was handed over"

    def on_message(self, sender: str, message: Message) -> None:
        self.heard.append((sender, message["value"]))

    def on_timer(self, name: str) -> None:
        self.rung.append(name)

    def status(self) -> Status:
        return {
            "role": "replica",
            "leader": None,
            "term": None,
            "log_index": len(self.records),
            "commit_index": len(self.records),
            "digest": "",
        }


class Lab:
    """Two scribes, and what clients were told: when, in milliseconds, and what."""

    def __init__(self, protocol: str = f"{__name__}:Scribe", **simulation: Any) -> None:
        plain = {"sync_ms": SYNC_MS, "delay_ms": 1.0, "jitter_ms": 0.0}
        spec = simulated_spec(replicas=2, protocol={"name": protocol}, simulation={**plain, **simulation})
        self.world = World(spec, trace=Trace())
        self.cluster = SimulatedCluster(self.world)
        self.told: list[tuple[float, Outcome]] = []
        self._asked = 0
        for host in self.world.hosts.values():
            host.start()

    def __getitem__(self, replica: str) -> Any:
        return self.world.hosts[replica].protocol

    def ask(self, value: Any, key: str = "x", replica: str = "n1") -> None:
        operation: Operation = {"f": "write", "key": key, "value": value}
        self._asked += 1
        self.world.ask(replica, "c", self._asked, operation, self._tell)

    def _tell(self, outcome: Outcome) -> None:
        self.told.append((self.world.loop.now / MILLISECOND, outcome))

    def run(self, milliseconds: float) -> None:
        self.world.loop.run(self.world.loop.now + round(milliseconds * MILLISECOND))

    def steps(self, what: str) -> list[dict[str, Any]]:
        assert self.world.trace is not None
        return [step for step in self.world.trace.steps if step["what"] == what]

    @property
    def durable(self) -> list[Any]:
        return [record["value"] for record in self.world.hosts["n1"].disk.records()]


def test_nothing_leaves_before_it_is_durable() -> None:
    lab = Lab()
    lab.ask("a")
    lab.run(4)
    assert (lab.durable, lab["n2"].heard, lab.told) == ([], [], [])
    lab.run(30)
    assert lab.durable == ["a"]
    assert lab["n2"].heard == [("n1", "a")]
    [(time, outcome)] = lab.told
    assert outcome == Outcome.ok(1)
    assert 1 + SYNC_MS / 2 + 1 <= time <= 1 + SYNC_MS * 1.5 + 1


def test_what_gathers_during_a_sync_is_synced_as_one() -> None:
    lab = Lab()
    lab.ask("a")
    lab.run(2)
    for value in "bcde":
        lab.ask(value)
    lab.run(60)
    assert lab.durable == list("abcde")
    assert [step["replica"] for step in lab.steps("sync")] == ["n1", "n1"]
    assert len({time for time, _ in lab.told}) == 2


def test_an_answer_that_needs_no_sync_waits_for_the_one_before_it() -> None:
    lab = Lab()
    lab.ask("a")
    lab.run(2)
    lab.ask(None, key="silent")
    lab.run(2)
    assert lab.told == []
    lab.run(60)
    assert [outcome.result for _, outcome in lab.told] == [1, "nothing written"]


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_during_a_sync_loses_the_output_and_tears_the_write(seed: int) -> None:
    lab = Lab()
    lab.world.chance.seed = seed
    lab.ask("a")
    lab.run(3)
    lab.cluster.kill("n1")
    assert lab.cluster.state("n1") == "down"
    assert lab.durable in ([], ["a"])
    lab.run(100)
    assert [outcome.type for _, outcome in lab.told] == ["info"]
    assert lab["n2"].heard in ([], [("n1", "a")] if lab.durable else [])
    lab.cluster.restart("n1")
    assert [record["value"] for record in lab["n1"].records] == lab.durable


def test_what_a_kill_tears_is_sometimes_nothing_and_sometimes_all() -> None:
    kept = set()
    for seed in range(12):
        lab = Lab()
        lab.world.chance.seed = seed
        lab.ask("a")
        lab.run(3)
        lab.cluster.kill("n1")
        kept.add(len(lab.durable))
    assert kept == {0, 1}


def test_a_killed_replica_forgets_what_was_in_its_memory() -> None:
    lab = Lab()
    lab.ask("a", key="soon")
    lab.run(50)
    lab.ask("b", replica="n2")
    lab.cluster.kill("n1")
    lab.run(50)
    lab.cluster.restart("n1")
    lab.run(50)
    assert lab["n1"].rung == [] and lab["n1"].heard == []
    assert lab.world.hosts["n1"].incarnation == 2
    assert [step["incarnation"] for step in lab.steps("start") if step["replica"] == "n1"] == [1, 2]


def test_timers_ring_in_their_order_and_cancelled_ones_never() -> None:
    lab = Lab(sync_ms=0.1)
    lab.ask("a", key="soon")
    lab.run(4.9)
    assert lab["n1"].rung == []
    lab.run(0.3)
    assert lab["n1"].rung == ["soon"]
    lab.run(50)
    assert lab["n1"].rung == ["soon", "late"]


def test_timers_that_are_due_during_a_sync_ring_before_anything_else_the_longest_overdue_first() -> None:
    lab = Lab(sync_ms=20)
    lab.ask("a", key="soon")
    lab.run(60)
    assert lab["n1"].rung == ["soon", "late"]


def test_timers_go_by_the_replicas_own_clock() -> None:
    fast, slow = Lab(sync_ms=0.1), Lab(sync_ms=0.1)
    fast.cluster.set_clock("n1", 0.0, 2.0)
    slow.cluster.set_clock("n1", 0.0, 0.5)
    for lab in (fast, slow):
        lab.ask("a", key="soon")
        lab.run(3.5)
    assert (fast["n1"].rung, slow["n1"].rung) == (["soon"], [])
    slow.run(6)
    assert slow["n1"].rung == ["soon"]


def test_a_clock_that_is_set_forward_makes_timers_due() -> None:
    lab = Lab()
    lab.cluster.set_clock("n1", 150.0, 1.0)
    lab.run(1)
    assert lab["n1"].rung == ["soon"]
    reading = lab.cluster.clock("n1")
    assert reading is not None and reading.shown_seconds - reading.true_seconds == pytest.approx(150.0)


def test_a_clock_is_true_again_after_a_restart() -> None:
    lab = Lab()
    lab.cluster.set_clock("n1", 50.0, 3.0)
    lab.run(1_000)
    lab.cluster.kill("n1")
    lab.cluster.restart("n1")
    for _ in range(2):
        reading = lab.cluster.clock("n1")
        assert reading is not None and reading.shown_seconds == pytest.approx(reading.true_seconds)
        lab.run(1_000)


def test_a_paused_replica_goes_on_as_if_no_time_had_passed() -> None:
    lab = Lab()
    lab.ask("a")
    lab.run(3)
    lab.cluster.pause("n1")
    lab.ask("b")
    lab.run(500)
    assert (lab.cluster.state("n1"), lab.cluster.status("n1")) == ("paused", None)
    assert lab.told == [] and lab.durable == []
    lab.cluster.resume("n1")
    lab.run(50)
    assert lab.durable == ["a", "b"]
    assert [outcome.result for _, outcome in lab.told] == [1, 2]


def test_a_handler_that_raises_ends_the_replica_before_anything_gets_out() -> None:
    lab = Lab()
    lab.ask("a")
    lab.ask(None, key="raise")
    lab.run(50)
    assert lab.cluster.state("n1") == "down"
    assert [outcome.type for _, outcome in lab.told] == ["ok", "info"]
    assert lab.cluster.deaths() == ["n1 died on its own: a handler of the protocol raised RuntimeError: out of ink"]
    assert lab.cluster.deaths() == []


@pytest.mark.parametrize("disk", [Disk(full=True), Disk(sync_fails=True)])
def test_a_replica_whose_disk_takes_no_more_ends_itself(disk: Disk) -> None:
    lab = Lab()
    lab.cluster.set_disk("n1", disk)
    lab.ask("a")
    lab.run(50)
    assert lab.cluster.state("n1") == "down"
    assert [outcome.type for _, outcome in lab.told] == ["info"]
    assert lab["n2"].heard == []
    assert "cannot write the journal" in lab.cluster.deaths()[0]
    assert lab.cluster.probe_disk("n1").outcome == ("full" if disk.full else "failed")


def test_a_slow_disk_takes_its_time() -> None:
    lab = Lab()
    lab.cluster.set_disk("n1", Disk(slow_ms=200))
    lab.ask("a")
    lab.run(190)
    assert lab.told == []
    lab.run(50)
    assert [outcome.type for _, outcome in lab.told] == ["ok"]
    assert lab.cluster.probe_disk("n1").seconds == pytest.approx(0.21)
    assert lab.cluster.probe_disk("n2").seconds == pytest.approx(0.01)


def test_a_wiped_replica_comes_back_empty() -> None:
    lab = Lab()
    lab.ask("a")
    lab.run(50)
    wiped = lab.cluster.wipe("n1")
    assert (wiped.bytes_before, wiped.bytes_after) == (len('{"value":"a"}'), 0)
    assert lab.cluster.state("n1") == "down"
    lab.cluster.restart("n1")
    assert lab["n1"].records == []


class Broken(Scribe):
    """Can't read what it wrote."""

    name = "broken"

    def recover(self, records: Sequence[Record]) -> None:
        if records:
            raise ValueError("illegible")
        super().recover(records)


def test_a_replica_that_does_not_come_back_says_why() -> None:
    lab = Lab(f"{__name__}:Broken")
    lab.ask("a")
    lab.run(50)
    lab.cluster.kill("n1")
    with pytest.raises(ClusterError, match="n1 did not start: a handler of the protocol raised ValueError: illegible"):
        lab.cluster.restart("n1")
    assert lab.cluster.state("n1") == "down"


def test_a_request_to_a_replica_that_is_down_is_cut_as_behind_a_proxy() -> None:
    lab = Lab()
    lab.cluster.kill("n1")
    lab.ask("a")
    lab.run(50)
    [(_, outcome)] = lab.told
    assert outcome == Outcome.info("connection closed before the answer")


def test_a_request_that_the_machine_does_not_know_is_refused() -> None:
    lab = Lab()
    lab.ask("a", key="")
    lab.run(50)
    [(_, outcome)] = lab.told
    assert outcome.type == "fail" and "kv needs a key" in str(outcome.error)


def test_a_client_that_waited_too_long_hears_nothing_more() -> None:
    lab = Lab()
    lab.cluster.pause("n1")
    lab.ask("a")
    lab.run(2_100)
    lab.cluster.resume("n1")
    lab.run(100)
    [(time, outcome)] = lab.told
    assert outcome == Outcome.info("no answer within 2 s") and time == 2_000
    assert lab.durable == ["a"]


def test_the_witness_hears_of_a_turn_when_it_is_durable_and_before_its_output_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = Lab()
    heard: list[tuple[str, int]] = []

    def told(self: Witness, time_ns: int, replica: str, claims: Any) -> None:
        heard.append((replica, len(lab.durable)))

    monkeypatch.setattr(Witness, "told", told)
    monkeypatch.setattr(Scribe, "invariants", lambda self: [Answers("an answer is right")])
    lab.ask("a")
    lab.run(3)
    assert heard == []
    lab.run(50)
    assert heard[0] == ("n1", 1)
    order = [step["what"] for step in lab.world.trace.steps if step["what"] in ("sync", "send", "reply")]  # type: ignore[union-attr]
    assert order.index("sync") < order.index("reply")
