"""Two-phase commit: all or nothing, and blocking; then random mishaps, and proof that those find bugs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.simulation.simulate import simulate
from node.flaws import flawed, flaws_of
from node.machines import MACHINES
from node.protocol import Outcome, Protocol
from node.protocols import PROTOCOLS
from node.protocols.two_phase_commit import TwoPhaseCommit
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.hammer import Mishaps, finds, hammer
from tests.support.scenes import answered
from tests.support.simulations import simulated_spec

LIMITS = Limits(20.0, 512)
KILL_THE_LEADER = {
    "choices": [{"fault": "kill", "options": {"target": "leader"}, "for_seconds": 3.0}],
    "every_seconds": None,
    "at_seconds": [1.0],
}
HASTY = {"retry_seconds": 0.05, "vote_seconds": 0.2, "compact_every": 40}


def network(replicas: int = 3, seed: int = 1, protocol: type[Protocol] = TwoPhaseCommit, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, seed, options)
    net.run(0.01)
    return net


def read(net: FakeNetwork, replica: str, key: str = "x") -> Outcome:
    return net.call(replica, f"reader of {replica} at {net.now}", 1, "read", key)


def kill_at(net: FakeNetwork, victim: str, source: str, type: str) -> None:
    """Kill the victim when this replica has sent the first message of this type."""

    def watch(sender: str, target: str, message: Any) -> None:
        if sender == source and message["type"] == type:
            net.spies.remove(watch)
            net.after(0.0, lambda: net.kill(victim))

    net.spies.append(watch)


# ---- all or nothing


def test_it_is_known_by_its_name_and_the_lowest_number_leads() -> None:
    assert PROTOCOLS["two-phase-commit"] is TwoPhaseCommit
    assert network(5).chiefs() == ["n1"]


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_what_is_committed_is_read_everywhere(replicas: int) -> None:
    net = network(replicas)
    for value in range(5):
        assert net.call("n1", "c", value, "write", "x", value).type == "ok"
        assert [read(net, name).result for name in net.replicas] == [value] * replicas
    assert net.call("n1", "c", 9, "cas", "x", [4, 5]).result is True
    assert not net.witness.broken


def test_an_operation_takes_three_messages_for_each_other_replica() -> None:
    net = network(5)
    net.call("n1", "c", 1, "write", "x", 5)
    net.run(0.1)
    assert dict(net.sent) == {"prepare": 4, "vote": 4, "decide": 4}


def test_who_does_not_lead_refuses_a_change_and_names_the_leader() -> None:
    outcome = network().call("n2", "c", 1, "write", "x", 5)
    assert outcome.type == "fail" and outcome.leader == "n1"


def test_one_dead_replica_is_enough_to_abort_and_everybody_goes_on_to_read() -> None:
    net = network()
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    net.kill("n3")
    outcome = answered(net, net.ask("n1", "c", 2, "write", "x", "new"))
    assert outcome.type == "fail" and "no vote of n3" in str(outcome.error)
    assert [read(net, name).result for name in ("n1", "n2")] == ["old", "old"]
    again = answered(net, net.ask("n1", "c", 2, "write", "x", "new"))
    assert again.type == "fail" and "aborted" in str(again.error), "an aborted request stays aborted"
    net.restart("n3")
    net.run(0.2)
    assert net.call("n1", "c", 3, "write", "x", "newer").type == "ok"
    assert [read(net, name).result for name in net.replicas] == ["newer"] * 3


def test_who_waits_behind_an_aborted_operation_is_refused_along_with_it() -> None:
    net = network()
    net.kill("n3")
    answers = [net.ask("n1", f"c{number}", 1, "write", "x", number) for number in range(5)]
    assert [answered(net, answer).type for answer in answers] == ["fail"] * 5
    net.kill("n1")
    net.restart("n1", "n3")
    net.run(0.2)
    again = [answered(net, net.ask("n1", f"c{number}", 1, "write", "x", number)).type for number in range(5)]
    assert again == ["fail"] * 5, "that it was refused is on the leader's disk"
    assert read(net, "n3").result is None


def test_the_last_of_several_requests_of_a_client_that_were_aborted_stays_so() -> None:
    net = network()
    net.kill("n3")
    both = [net.ask("n1", "c", number, "write", "x", number) for number in (1, 2)]
    assert [answered(net, answer).type for answer in both] == ["fail", "fail"]
    net.restart("n3")
    net.run(0.5)
    again = net.call("n1", "c", 2, "write", "x", 2)
    assert (again.type, again.error) == ("fail", "it was aborted")
    assert read(net, "n1").result is None


def test_a_request_that_a_later_one_has_overtaken_is_not_carried_out() -> None:
    """The table of clients would go back, and the later one could be carried out twice."""
    net = FakeNetwork(TwoPhaseCommit, 3, 1, machine=MACHINES["counter"])
    net.weather = Weather(shortest_seconds=0.001, longest_seconds=0.001)
    net.run(0.01)
    first = net.ask("n1", "other", 1, "add", "x", 100)
    net.run(0.0011)  # its round is under way
    later = net.ask("n1", "c", 2, "add", "x", 1)
    net.run(0.0001)
    overtaken = net.ask("n1", "c", 1, "add", "x", 10)
    assert [answered(net, answer).result for answer in (first, later)] == [100, 101]
    assert answered(net, overtaken).type == "info"
    assert net.call("n1", "c", 2, "add", "x", 1).result == 101
    assert net.call("n1", "reader", 1, "read", "x").result == 101


def test_a_lost_message_is_sent_again_and_aborts_nothing() -> None:
    net = network()
    net.weather = Weather(loss=0.3)
    outcomes = [answered(net, net.ask("n1", "c", number, "write", "x", number)).type for number in range(20)]
    assert outcomes.count("ok") >= 15


def test_a_request_that_comes_again_is_answered_and_not_done_again() -> None:
    net = network()
    copies = [net.ask("n1", "c", 1, "cas", "x", [None, 1]) for _ in range(3)]
    assert [answered(net, copy).result for copy in copies] == [True] * 3
    net.call("n1", "d", 1, "write", "x", None)
    assert net.call("n1", "c", 1, "cas", "x", [None, 1]).result is True
    assert read(net, "n2").result is None
    assert net.call("n1", "c", 0, "write", "x", 7).type == "info"


# ---- blocking


def test_when_the_leader_dies_after_the_votes_all_wait_and_nothing_wrong_is_said() -> None:
    net = network()
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    kill_at(net, "n1", "n2", "vote")
    write = net.ask("n1", "c", 2, "write", "x", "new")
    net.run(1.0)
    assert not net.hosts["n1"].up and write.outcome is None
    assert [net[name].status()["details"]["in_doubt"] for name in ("n2", "n3")] == [2, 2]
    for name in ("n2", "n3"):
        refused = read(net, name)
        assert refused.type == "fail" and "in doubt" in str(refused.error)
        assert net.call(name, "d", 1, "write", "x", "other").type == "fail"
    net.run(30.0)
    assert read(net, "n2").type == "fail", "no time is long enough to decide alone"
    net.restart("n1")
    net.run(0.5)
    assert [read(net, name).result for name in net.replicas] == ["old"] * 3, "what was not decided is aborted"
    assert net.call("n1", "c", 2, "write", "x", "new").type == "fail"
    assert not net.witness.broken


def test_who_missed_the_decision_waits_with_its_reads_until_it_is_told() -> None:
    net = network(retry_seconds=0.1, vote_seconds=2.0)

    def cut(source: str, target: str, message: Any) -> None:
        if message["type"] == "decide":
            net.cut("n1", "n3")

    net.spies.append(cut)
    assert net.call("n1", "c", 1, "write", "x", "new").type == "ok"
    waiting = net.ask("n3", "r", 1, "read", "x")
    net.run(1.0)
    assert waiting.outcome is None, "it may have been acknowledged, and it was"
    assert read(net, "n2").result == "new"
    net.spies.clear()
    net.heal()
    assert answered(net, waiting).result == "new"


def test_a_prepared_operation_survives_the_death_of_all_others_than_its_leader() -> None:
    net = network()
    net.cut("n1", "n2")
    net.cut("n1", "n3")
    net.ask("n1", "c", 1, "write", "x", 5)
    net.run(0.05)
    net.heal()
    kill_at(net, "n2", "n2", "vote")
    kill_at(net, "n3", "n3", "vote")
    net.run(0.3)
    net.restart("n2", "n3")
    net.run(0.5)
    assert not net.witness.broken
    assert len({read(net, name).result for name in net.replicas}) == 1


def test_a_dead_leader_shows_as_an_outage_and_not_as_a_violation() -> None:
    spec = simulated_spec(
        protocol={"name": "two-phase-commit"},
        workload={"name": "register", "options": {"read": 0}},
        nemesis={"name": "blocking", "streams": [KILL_THE_LEADER]},
        duration_seconds=6.0,
    )
    simulated = simulate(spec, statuses=False)
    assert CHECKERS["linearizable"]().check(spec, simulated.events, LIMITS).verdict == "valid"
    available = CHECKERS["availability"]().check(spec, simulated.events, LIMITS)
    assert available.verdict == "valid" and available.statistics["longest_unavailable_seconds"] >= 3.0
    assert not simulated.broken and simulated.stalled is None


# ---- disks


def test_the_journal_is_compacted_and_still_holds_everything() -> None:
    net = network(3, compact_every=20)
    for sequence in range(1, 101):
        assert net.call("n1", "c", sequence, "write", f"k{sequence % 7}", sequence).type == "ok"
    net.run(0.5)
    assert all(len(host.durable) <= 40 for host in net.hosts.values())
    before = [net[name].status()["digest"] for name in net.replicas]
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    net.run(0.5)
    assert [net[name].status()["digest"] for name in net.replicas] == before
    assert net.call("n1", "c", 100, "write", "k2", 100).type == "ok"
    assert net["n1"].last == 100


def test_a_replica_that_lost_its_disk_is_given_the_state() -> None:
    net = network()
    for value in range(5):
        net.call("n1", "c", value, "write", "x", value)
    net.kill("n2")
    net.hosts["n2"].durable.clear()
    net.restart("n2")
    assert net.call("n1", "c", 7, "write", "y", 7).type == "ok"
    net.run(0.2)
    assert read(net, "n2").result == 4 and read(net, "n2", "y").result == 7


def test_voting_faster_than_one_asks_again_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="vote_seconds must be larger than retry_seconds"):
        TwoPhaseCommit.Options(retry_seconds=1.0)


# ---- at length


def make_clients(net: FakeNetwork) -> Clients:
    return Clients(net, 5, keys=("x", "y"), pause_seconds=0.04, patience_seconds=0.4, echoes=0.1)


class Gentle(Mishaps):
    """Mishaps that are soon over: two-phase commit needs everybody to get anything done."""

    def step(self) -> None:
        super().step()
        if self.random.random() < 0.5:
            self.net.run(self.random.choice([0.02, 0.1, 0.3]))
            self.net.heal_everything()


def run(seed: int, protocol: type[Protocol] = TwoPhaseCommit, **options: Any) -> tuple[FakeNetwork, Clients]:
    return hammer(protocol, seed, 3 + 2 * (seed % 2), HASTY | options, make_clients=make_clients, mishaps=Gentle)


def test_whatever_happens_it_stays_linearizable() -> None:
    acknowledged = 0
    for seed in range(4):
        print(f"seed {seed}")
        acknowledged += run(seed)[1].count("ok")
    assert acknowledged > 100


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 30 * block, 10_030 + 30 * block):
        print(f"seed {seed}")
        run(seed)


FOUND = {
    "commits-without-all": 5,
    "forgets-prepared": 10,
    "decides-alone": 5,
    "reads-in-doubt": 10,
    "no-idempotence": 5,
}


@pytest.mark.parametrize(("flaw", "limit"), FOUND.items())
def test_the_hammer_finds_this_flaw(flaw: str, limit: int) -> None:
    protocol = flawed("two-phase-commit", [flaw])
    finds(flaw, limit, lambda seed: run(seed, protocol))


def test_every_flaw_is_looked_for() -> None:
    places = flaws_of("two-phase-commit").places
    assert sorted(FOUND) == sorted(name for name, place in places.items() if ".two_phase_commit:" in place)
