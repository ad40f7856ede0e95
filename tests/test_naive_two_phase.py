"""Naive two-phase agreement: right while all is well, and how two coordinators, or a dead one, break it."""

from __future__ import annotations

from typing import Any

import pytest

from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.naive_two_phase import ONE_VALUE, NaiveTwoPhase
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.hammer import Broken, Mishaps, hammer, runs_until_caught
from tests.support.scenes import answered

HASTY = {"heartbeat_seconds": 0.05, "suspect_seconds": 0.3, "answer_seconds": 2.0, "compact_every": 40}


def network(replicas: int = 3, seed: int = 1, **options: Any) -> FakeNetwork:
    net = FakeNetwork(NaiveTwoPhase, replicas, seed, options)
    net.run(0.01)
    return net


def read(net: FakeNetwork, replica: str, key: str = "x") -> Any:
    outcome = net.call(replica, f"reader of {replica} at {net.now}", 1, "read", key)
    assert outcome.type == "ok", outcome
    return outcome.result


# ---- while all is well


def test_it_is_known_by_its_name_and_the_lowest_number_coordinates() -> None:
    assert PROTOCOLS["naive-two-phase"] is NaiveTwoPhase
    assert network(5).chiefs() == ["n1"]


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_what_is_committed_is_in_the_same_slot_everywhere(replicas: int) -> None:
    net = network(replicas)
    for value in range(5):
        assert net.call("n1", "c", value, "write", "x", value).type == "ok"
    assert net.call("n1", "c", 9, "cas", "x", [4, 5]).result is True
    net.run(1.0)
    assert [net[name].applied for name in net.replicas] == [6] * replicas
    assert len({net[name].status()["digest"] for name in net.replicas}) == 1
    assert read(net, "n1") == 5 and not net.witness.broken


def test_an_operation_takes_three_messages_for_each_other_replica() -> None:
    net = network(5)
    net.call("n1", "c", 1, "write", "x", 5)
    net.run(0.1)
    assert {type: count for type, count in net.sent.items() if type != "heartbeat"} == {
        "value": 4,
        "ack": 4,
        "commit": 4,
    }


def test_who_does_not_coordinate_says_who_does() -> None:
    outcome = network().call("n2", "c", 1, "write", "x", 5)
    assert outcome.type == "fail" and outcome.leader == "n1"


def test_a_request_that_comes_again_is_answered_and_not_done_again() -> None:
    net = network()
    copies = [net.ask("n1", "c", 1, "cas", "x", [None, 1]) for _ in range(3)]
    assert [answered(net, copy).result for copy in copies] == [True] * 3
    assert net.call("n1", "c", 1, "cas", "x", [None, 1]).result is True
    assert net.call("n1", "c", 0, "write", "x", 7).type == "info"


def test_lost_messages_are_sent_again_and_who_missed_something_is_given_the_state() -> None:
    net = network(5)
    net.weather = Weather(loss=0.1)
    for number in range(30):
        assert answered(net, net.ask("n1", "c", number, "write", "x", number)).type == "ok"
    net.weather = Weather()
    assert net.run_until(lambda: len({net[name].applied for name in net.replicas}) == 1, 3.0)
    assert not net.witness.broken


def test_the_dead_backup_that_comes_back_is_given_the_state() -> None:
    net = network()
    net.kill("n3")
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    net.restart("n3")
    assert net.run_until(lambda: net["n3"].applied == 1, 2.0)
    assert not net.witness.broken


def test_without_a_majority_a_client_is_told_that_it_is_not_known() -> None:
    net = network(answer_seconds=0.5)
    net.kill("n2", "n3")
    assert answered(net, net.ask("n1", "c", 1, "write", "x", 5)).type == "info"


def test_the_journal_is_compacted_and_still_holds_everything() -> None:
    net = network(3, compact_every=20)
    for sequence in range(1, 101):
        assert net.call("n1", "c", sequence, "write", f"k{sequence % 7}", sequence).type == "ok"
    net.run(0.5)
    assert all(len(host.durable) <= 50 for host in net.hosts.values())
    before = {net[name].status()["digest"] for name in net.replicas}
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    assert {net[name].status()["digest"] for name in net.replicas} == before and len(before) == 1


# ---- why it isn't enough


def test_two_coordinators_fill_one_slot_with_two_values() -> None:
    net = network()
    net.partition({"n1"}, {"n2"})
    assert net.run_until(lambda: net.chiefs() == ["n1", "n2"], 3.0)
    # n3 acks the value of n1 and then that of n2, before it hears of either's commit: both replace nothing by something.
    both = [net.ask(name, f"client of {name}", 1, "cas", "x", [None, f"of {name}"]) for name in ("n1", "n2")]
    assert [answered(net, answer, lawful=False).result for answer in both] == [True, True]
    net.run(0.1)
    assert net.witness.broken[0].law == ONE_VALUE


def test_what_a_dying_coordinator_acknowledged_is_forgotten() -> None:
    net = network()

    def die(source: str, target: str, message: Any) -> None:
        if message["type"] == "commit":
            net.cut("n1", target)

    net.spies.append(die)
    assert net.call("n1", "c", 1, "write", "x", "acknowledged").type == "ok"
    net.kill("n1")
    assert net["n2"].acked[1][2]["value"] == "acknowledged", "it is on the disk of n2, which doesn't look"
    assert net.run_until(lambda: net.chiefs() == ["n2"], 3.0)
    assert read(net, "n2") is None
    assert net.witness.broken[0].law == ONE_VALUE


def test_a_coordinator_that_slept_and_is_behind_is_given_the_state() -> None:
    net = network()
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    net.pause("n1")
    assert net.run_until(lambda: "n2" in net.chiefs(), 3.0)
    assert net.call("n2", "d", 1, "write", "x", "new").type == "ok"
    net.resume("n1")
    told_late = answered(net, net.ask("n1", "c", 2, "cas", "x", ["old", "older"]))
    assert told_late.result is not True, "it is sent the state before it gets a majority"


# ---- at length


def make_clients(net: FakeNetwork) -> Clients:
    return Clients(net, 5, keys=("x", "y"), pause_seconds=0.04, patience_seconds=0.4, echoes=0.1)


class Weathered(Mishaps):
    """Only what it promises to survive: messages that are late, lost or repeated, and backups that stand still."""

    def step(self) -> None:
        self.random.choice([self.storm, self.calm, self.doze])()

    def doze(self) -> None:
        self.net.pause(self.net.replicas[-1])
        self.net.run(0.15)
        self.net.resume(self.net.replicas[-1])


def run(seed: int, mishaps: type[Mishaps], protocol: type[Protocol] = NaiveTwoPhase, **options: Any) -> None:
    patient = {"suspect_seconds": 5.0, "answer_seconds": 10.0} if mishaps is Weathered else {}
    everything = HASTY | patient | options
    hammer(protocol, seed, 3 + 2 * (seed % 2), everything, make_clients=make_clients, mishaps=mishaps, converges=False)


def test_with_one_coordinator_and_no_failure_it_is_linearizable() -> None:
    for seed in range(5):
        print(f"seed {seed}")
        run(seed, Weathered)


@pytest.mark.slow
def test_with_one_coordinator_and_no_failure_at_length() -> None:
    for seed in range(1_000, 1_030):
        print(f"seed {seed}")
        run(seed, Weathered)


def test_random_mishaps_break_it_soon() -> None:
    runs = runs_until_caught(lambda seed: run(seed, Mishaps), 5)
    assert runs is not None


def test_with_everybody_as_coordinator_no_mishap_is_needed() -> None:
    with pytest.raises(Broken):
        for seed in range(3):
            run(seed, Weathered, coordinators="all")
