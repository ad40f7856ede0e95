"""Primary-backup: the cases of the lectures, and what it promises under crashes and breaks under partitions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from harness.campaign import Overrides, load_campaign
from harness.checkers.checker import Limits, judge
from harness.checkers.marks import Marks
from harness.explore.trial import judged
from harness.simulation.simulate import simulate
from harness.spec import RunSpec
from node.machine import Machine
from node.machines.kv import KeyValue
from node.machines.mailbox import Mailbox
from node.protocol import Message, Outcome, Request
from node.protocols import PROTOCOLS
from node.protocols.log_shipping import LogShipping
from node.protocols.primary_backup import PrimaryBackup, View
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.rough import HASTY
from tests.support.scenes import held
from tests.support.simulations import simulated_spec
from tests.support.tiny_checker import unexplained

ROUGH = Weather(longest_seconds=0.02, loss=0.02, duplication=0.05, straggling=0.01)


def network(
    replicas: int = 3,
    seed: int = 1,
    weather: Weather | None = None,
    protocol: type[PrimaryBackup] = PrimaryBackup,
    machine: type[Machine] = KeyValue,
    **options: Any,
) -> FakeNetwork:
    """A cluster in which n1 is primary and everybody else its backup."""
    net = FakeNetwork(protocol, replicas, seed, options, machine)
    settled(net, "n1")
    net.weather = weather or net.weather
    return net


def rules(net: FakeNetwork, primary: str, members: set[str]) -> bool:
    ruler = net[primary]
    whole = ruler.role == "primary" and set(ruler.view.members) == members
    return whole and ruler._acknowledged() == ruler.applied


def settled(net: FakeNetwork, primary: str, *others: str) -> None:
    """Wait until the primary's set is whole: all replicas that are up, or those named."""
    members = {primary, *others} if others else {name for name, host in net.hosts.items() if host.up}
    assert net.run_until(lambda: rules(net, primary, members), 10.0), net.log()


def recovered(net: FakeNetwork) -> None:
    """Wait, after everything was healed, until one primary rules all and all are equal."""

    def one_rules() -> bool:
        chiefs = net.chiefs()
        return len(chiefs) == 1 and rules(net, chiefs[0], set(net.replicas)) and len(digests(net)) == 1

    assert net.run_until(one_rules, 10.0), net.log()


def digests(net: FakeNetwork) -> set[str]:
    return {net[name].status()["digest"] for name in net.replicas}


# ---- without faults


def test_it_is_known_by_its_name_and_has_a_chief() -> None:
    assert PROTOCOLS["primary-backup"] is PrimaryBackup
    assert PrimaryBackup.chief == "primary"


@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_the_lowest_numbered_replica_is_the_first_primary(replicas: int) -> None:
    net = network(replicas)
    assert net.chiefs() == ["n1"]
    net.run(5.0)
    assert net.chiefs() == ["n1"] and net["n1"].view.number == 1


def test_an_acknowledged_write_is_on_the_disk_of_every_replica() -> None:
    net = network(5)
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    for host in net.hosts.values():
        assert any('"entry"' in text for text in host.durable)
    assert [held(net, name) for name in net.replicas] == [5] * 5
    assert net.call("n1", "c", 2, "cas", "x", [5, 6]).result is True
    assert net.call("n1", "c", 3, "cas", "x", [5, 7]).result is False
    assert net.call("n1", "c", 4, "read", "x").result == 6


def test_a_backup_says_that_it_is_not_the_primary_and_who_is() -> None:
    outcome = network().call("n3", "c", 1, "write", "x", 5)
    assert (outcome.type, outcome.error, outcome.leader) == ("fail", "not the primary", "n1")


def test_a_backup_is_sent_the_effect_and_not_the_operation() -> None:
    net = network()
    seen: list[Message] = []
    net.spies.append(lambda source, target, message: seen.append(message))
    net.call("n1", "c", 1, "cas", "x", [None, 3])
    entries = [entry for message in seen if message["type"] == "update" for entry in message["entries"]]
    assert entries and all(entry == ["c", 1, True, ["x", 3]] for entry in entries)


def test_a_backup_may_be_sent_the_operation_instead_and_carries_it_out_itself() -> None:
    net = network(ship="operations")
    seen: list[Message] = []
    net.spies.append(lambda source, target, message: seen.append(message))
    assert net.call("n1", "c", 1, "cas", "x", [None, 3]).result is True
    entries = [entry for message in seen if message["type"] == "update" for entry in message["entries"]]
    assert entries and all(entry == ["c", 1, {"f": "cas", "key": "x", "value": [None, 3]}] for entry in entries)
    assert [held(net, name) for name in net.replicas] == [3] * 3
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    settled(net, "n1")
    assert net.call("n1", "c", 1, "cas", "x", [None, 3]).result is True, "the journal gives back its result as well"
    assert held(net, "n1") == 3 and len(digests(net)) == 1


def test_without_acknowledgement_of_all_nobody_is_answered() -> None:
    net = network()
    net.cut("n1", "n3")
    answer = net.ask("n1", "c", 1, "write", "x", 5)
    net.run(0.3)
    assert answer.outcome is None and held(net, "n2") == 5
    net.heal()
    assert net.run_until(lambda: answer.outcome is not None, 1.0)


def test_a_read_does_not_show_a_write_that_can_still_be_lost() -> None:
    net = network()
    net.partition(["n1"], ["n2", "n3"])
    write = net.ask("n1", "c", 1, "write", "x", 5)
    net.run(0.1)
    read = net.ask("n1", "d", 1, "read", "x")
    net.run(0.2)
    assert held(net, "n1") == 5 and write.outcome is None and read.outcome is None
    net.kill("n1")
    settled(net, "n2")
    assert net.call("n2", "d", 2, "read", "x").result is None


def test_lost_repeated_and_late_messages_are_made_good() -> None:
    net = network(3, weather=Weather(longest_seconds=0.05, loss=0.1, duplication=0.3, straggling=0.1))
    clients = Clients(net, 4, keys=("x", "y"))
    net.run(10.0)
    clients.stop()
    net.heal_everything()
    net.run(3.0)
    assert clients.count("ok") > 100 and not unexplained(clients.told)
    assert len(digests(net)) == 1


# ---- the lectures' cases


def test_did_it_happen_no_the_effect_never_left_the_primary() -> None:
    net = network()
    net.partition(["n1"], ["n2", "n3"])
    first = net.ask("n1", "c", 1, "cas", "x", [None, 5])
    net.run(0.1)
    assert held(net, "n1") == 5
    net.kill("n1")
    net.heal()
    settled(net, "n2")
    assert first.outcome is None and held(net, "n2") is None
    assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True


def test_happened_twice_no_the_next_primary_remembers_the_result() -> None:
    net = network()
    net.spies.append(lambda source, target, message: net.cut("n2", "n1") if message["type"] == "update" else None)
    first = net.ask("n1", "c", 1, "cas", "x", [None, 5])
    net.run(0.1)
    net.kill("n1")
    net.spies.clear()
    net.heal()
    settled(net, "n2")
    assert first.outcome is None and held(net, "n2") == 5
    assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True, "a second execution would say false"
    applied = net["n2"].applied
    assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True
    assert net["n2"].applied == applied


def test_an_answer_that_was_lost_with_the_primary_is_given_once_more() -> None:
    net = network()
    assert net.call("n1", "c", 1, "cas", "x", [None, 5]).result is True
    net.call("n1", "d", 1, "write", "x", 6)
    net.kill("n1")
    settled(net, "n2")
    assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True
    assert held(net, "n2") == held(net, "n3") == 6


@pytest.mark.parametrize("ship", ["state", "operations"])
def test_what_only_one_of_the_backups_has_is_kept_or_lost_by_all(ship: str) -> None:
    for knows, successor_has_it in (("n2", True), ("n3", False)):
        net = network(ship=ship)
        net.cut("n1", "n3" if knows == "n2" else "n2")
        first = net.ask("n1", "c", 1, "cas", "x", [None, 5])
        net.run(0.1)
        assert held(net, knows) == 5 and first.outcome is None
        net.kill("n1")
        net.heal()
        settled(net, "n2")
        assert held(net, "n2") == held(net, "n3") == (5 if successor_has_it else None)
        assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True
        assert held(net, "n2") == held(net, "n3") == 5


def test_a_request_older_than_the_last_one_of_its_client_is_not_executed() -> None:
    net = network()
    assert net.call("n1", "c", 1, "write", "x", 1).type == "ok"
    assert net.call("n1", "c", 2, "write", "x", 2).type == "ok"
    assert net.call("n1", "c", 1, "write", "x", 1).type == "info"
    assert held(net, "n1") == 2


def test_a_late_copy_of_a_compare_and_set_that_failed_does_nothing() -> None:
    net = network()
    assert net.call("n1", "c", 1, "cas", "x", [1, 2]).result is False
    net.call("n1", "d", 1, "write", "x", 1)
    net.kill("n1")
    settled(net, "n2")
    assert net.call("n2", "c", 1, "cas", "x", [1, 2]).result is False
    assert held(net, "n2") == 1


def test_a_silent_backup_is_left_out_and_comes_back_with_the_state() -> None:
    net = network()
    net.kill("n3")
    answer = net.ask("n1", "c", 1, "write", "x", 5)
    settled(net, "n1", "n2")
    assert net.run_until(lambda: answer.outcome is not None, 1.0)
    assert answer.outcome is not None and answer.outcome.type == "ok"
    net.restart("n3")
    settled(net, "n1")
    assert held(net, "n3") == 5 and net["n3"].role == "backup"


def test_the_old_primary_with_the_lowest_number_comes_back_as_a_backup() -> None:
    net = network()
    net.kill("n1")
    settled(net, "n2")
    net.call("n2", "c", 1, "write", "x", 7)
    net.restart("n1")
    settled(net, "n2")
    assert net.chiefs() == ["n2"] and held(net, "n1") == 7
    net.kill("n2")
    settled(net, "n1")
    assert net.call("n1", "c", 2, "read", "x").result == 7


def test_a_primary_that_restarts_before_anybody_missed_it_is_replaced() -> None:
    net = network()
    net.call("n1", "c", 1, "write", "x", 7)
    net.kill("n1")
    net.restart("n1")
    settled(net, "n2")
    assert net.call("n2", "c", 2, "read", "x").result == 7


@pytest.mark.parametrize("victim", ["n1", "n3"])
def test_whoever_dies_holds_up_everybody_until_the_failure_detector_knows(victim: str) -> None:
    net = network(suspect_seconds=1.0, heartbeat_seconds=0.1)
    net.kill(victim)
    died = net.now
    successor = "n2" if victim == "n1" else "n1"
    while net.call(successor, "c", 1, "write", "x", 5).type != "ok":
        assert net.now < died + 3.0
    assert 0.9 <= net.now - died <= 1.3


def test_after_a_crash_of_all_nobody_rules_until_the_last_one_to_rule_is_back() -> None:
    net = network()
    net.kill("n1")
    settled(net, "n2")
    net.call("n2", "c", 1, "write", "x", 1)
    net.kill("n2")
    settled(net, "n3")
    net.call("n3", "c", 2, "write", "x", 2)
    net.kill("n3")
    net.restart("n1", "n2")
    net.run(5.0)
    assert net.chiefs() == [], "n1 and n2 can't know what n3 did alone"
    net.restart("n3")
    settled(net, "n3")
    assert net.call("n3", "c", 3, "read", "x").result == 2
    assert len(digests(net)) == 1


def test_one_way_cuts_do_not_stop_the_service() -> None:
    net = network(5)
    net.cut("n1", "n4")
    clients = Clients(net, 3)
    net.run(10.0)
    assert clients.count("ok") > 200
    assert net.chiefs() == ["n1"] and "n4" not in net["n1"].view.members


# ---- two levels of consistency


def mail(net: FakeNetwork, replica: str) -> Any:
    return net[replica].machine.execute({"f": "list", "key": "ann", "value": None}).result


def test_a_lazy_function_is_answered_at_once_and_shipped_later() -> None:
    net = network(machine=Mailbox)
    assert net.call("n1", "c", 1, "send", "ann", "m1").type == "ok"
    net.partition(["n1"], ["n2", "n3"])
    assert net.call("n1", "d", 1, "mark", "ann", "m1").result is True
    send = net.ask("n1", "c", 2, "send", "ann", "m2")
    net.run(0.1)
    assert send.outcome is None and mail(net, "n2") == [["m1", False]]
    net.heal()
    assert net.run_until(lambda: send.outcome is not None, 1.0)
    assert mail(net, "n2") == mail(net, "n3") == [["m1", True], ["m2", False]], "the mark travelled with the mail"
    assert net.call("n1", "d", 2, "mark", "ann", "m2").result is True
    assert net.run_until(lambda: mail(net, "n3")[1] == ["m2", True], 0.5), "and alone if nothing else travels"


def test_a_mark_can_be_lost_with_the_primary_and_a_mail_cannot() -> None:
    net = network(machine=Mailbox)
    assert net.call("n1", "c", 1, "send", "ann", "m1").type == "ok"
    assert net.call("n1", "d", 1, "mark", "ann", "m1").result is True
    net.kill("n1")
    settled(net, "n2")
    assert net.call("n2", "c", 2, "list", "ann").result == [["m1", False]]
    assert not net.witness.broken, net.witness.broken


def test_a_mark_of_a_mail_that_can_still_be_lost_is_not_answered() -> None:
    net = network(machine=Mailbox)
    net.partition(["n1"], ["n2", "n3"])
    send = net.ask("n1", "c", 1, "send", "ann", "m1")
    net.run(0.05)
    mark = net.ask("n1", "d", 1, "mark", "ann", "m1")
    net.run(0.1)
    assert send.outcome is None and mark.outcome is None
    net.heal()
    assert net.run_until(lambda: mark.outcome is not None, 1.0)
    assert mark.outcome is not None and mark.outcome.result is True


def test_under_crashes_mail_is_never_lost_and_marks_may_be() -> None:
    kills = {"choices": [{"fault": "kill", "options": {"target": "primary"}, "for_seconds": 0.6}], "every_seconds": 1.2}
    forgotten = 0
    for seed in range(4):
        spec = simulated_spec(
            seed=seed,
            protocol={"name": "primary-backup", "options": {"ship_seconds": 1.0, **HASTY["primary-backup"]}},
            machine="mailbox",
            workload={"name": "mailbox", "options": {"send": 1, "mark": 6, "list": 6}},
            clients={"processes": 6, "rate_per_second": 90, "attempts": 10},
            nemesis={"name": "kills", "streams": [{**kills, "first_seconds": 0.5}]},
            duration_seconds=6.0,
        )
        simulated = simulate(spec, statuses=False)
        assert judged(spec, simulated) == ((), ()), f"seed {seed}"
        forgotten += judge(Marks(), spec, simulated.events, Limits()).statistics["lagging"]
    assert forgotten > 0, "lists that show as unread what was marked"


# ---- where it fails


def test_a_hot_standby_answers_reads_and_nothing_else() -> None:
    net = network(reads="any")
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    assert [net.call(name, "d", 1, "read").result for name in net.replicas] == [5, 5, 5]
    assert net.call("n2", "e", 1, "write", "x", 6).error == "not the primary"
    net.partition(["n3"], ["n1", "n2"])
    net.kill("n3")
    net.restart("n3")
    assert net.call("n3", "d", 2, "read").type == "fail", "who is outside answers nobody"


def test_reads_of_hot_standbys_see_the_new_value_and_then_the_old_one() -> None:
    net = network(reads="any")
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    net.cut("n1", "n3")
    write = net.ask("n1", "c", 2, "write", "x", "new")
    net.run(0.05)
    assert net.call("n2", "d", 1, "read").result == "new"
    assert net.call("n3", "d", 2, "read").result == "old"
    assert write.outcome is None


def split(seed: int, **options: Any) -> tuple[FakeNetwork, Clients]:
    """Clients on both sides of a partition that isolates the primary for a while."""
    net = network(5, seed, **options)
    clients = Clients(net, 6, homes=("n1", "n2"), pause_seconds=0.02)
    net.run(1.0)
    net.partition(["n1"], ["n2", "n3", "n4", "n5"])
    net.run(2.0)
    assert net.chiefs() == ["n1", "n2"], "both sides have a primary"
    return net, clients


def test_a_partition_makes_two_primaries_and_both_acknowledge() -> None:
    net, clients = split(seed=3)
    assert net.call("n1", "left", 1, "write", "z", "left").type == "ok"
    assert net.call("n2", "right", 1, "write", "z", "right").type == "ok"
    assert net.call("n1", "left", 2, "read", "z").result == "left"
    assert unexplained(clients.told) == ["x"]


@pytest.mark.parametrize("seed", range(5))
def test_when_two_primaries_meet_the_higher_view_stays_and_the_other_is_overwritten(seed: int) -> None:
    print(f"seed {seed}")
    net, clients = split(seed)
    net.call("n1", "left", 1, "write", "z", "left")
    net.call("n2", "right", 1, "write", "z", "right")
    winner = max(("n1", "n2"), key=lambda name: net[name].view.rank)
    clients.stop()
    net.heal()
    settled(net, winner)
    assert net.chiefs() == [winner] and len(digests(net)) == 1
    assert held(net, "n5", "z") == {"n1": "left", "n2": "right"}[winner]


def test_an_operation_that_was_open_when_a_primary_gave_up_is_unknown() -> None:
    net = network(3)
    net.pause("n1")
    answer = net.ask("n1", "c", 1, "write", "x", 5)
    net.run(2.0)
    assert net.chiefs()[-1] == "n2"
    net.resume("n1")
    assert net.run_until(lambda: answer.outcome is not None, 5.0)
    assert answer.outcome is not None and answer.outcome.type == "info"
    settled(net, "n2")


def lost_writes(seed: int, acknowledge: str) -> list[str]:
    """The keys, each written once at a hundred writes a second, whose acknowledged value died with the primary."""
    net = network(3, seed, acknowledge=acknowledge)
    answers = {}
    for number in range(net.random.randint(50, 150)):
        answers[f"k{number}"] = net.ask("n1", f"c{number}", 1, "write", f"k{number}", number)
        net.run(0.01)
    net.kill("n1")
    settled(net, "n2")
    acknowledged = [key for key, answer in answers.items() if answer.outcome and answer.outcome.type == "ok"]
    return [key for key in acknowledged if held(net, "n2", key) is None]


def test_asynchronous_replication_loses_acknowledged_writes_and_synchronous_does_not() -> None:
    seeds = range(10)
    runs_with_losses = sum(bool(lost_writes(seed, "none")) for seed in seeds)
    assert runs_with_losses >= 8
    assert not any(lost_writes(seed, "all") for seed in seeds)


def test_a_backup_that_is_sent_little_is_not_left_out() -> None:
    net = network(3, acknowledge="none", ship_seconds=2.0)
    for number in range(30):
        net.call("n1", f"c{number}", 1, "write", "x", number)
        net.run(0.1)
    assert net["n1"].view.number == 1


def test_a_long_backlog_arrives_however_often_it_is_lost() -> None:
    net = network(2, acknowledge="none", ship_seconds=60.0, suspect_seconds=2.0)
    for number in range(700):
        net.ask("n1", f"c{number}", 1, "write", f"k{number}", number)
    net.run(0.5)
    net.cut("n1", "n2")
    net["n1"]._ship(700)
    net.run(0.3)
    net.heal()
    assert net.run_until(lambda: net["n2"].applied == 700, 2.0)
    assert net["n1"].view.number == 1


def test_asynchronous_replication_ships_in_the_background() -> None:
    net = network(3, acknowledge="none")
    net.partition(["n1"], ["n2", "n3"])
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    assert held(net, "n2") is None
    net.heal()
    assert net.run_until(lambda: held(net, "n2") == held(net, "n3") == 5, 1.0)


# ---- at length


class Unexplained(AssertionError):
    """What the clients saw is not linearizable."""


# A failure detector that is right: nothing is lost for so long, or so late, that somebody alive is suspected.
RIGHT = Weather(longest_seconds=0.02, duplication=0.05, straggling=0.05)


def check_crashes(seed: int, replicas: int, protocol: type[PrimaryBackup] = PrimaryBackup, **options: Any) -> int:
    """Kills and restarts, also at the worst instants, of any replicas; at the end all must be well.

    Returns the number of operations that succeeded.
    """
    print(f"seed {seed}, {replicas} replicas")
    net = network(replicas, seed, RIGHT, protocol, **options)
    clients = Clients(net, 4, keys=("x", "y"), pause_seconds=0.08, echoes=0.1)
    chance = random.Random(f"crashes/{seed}")
    for _ in range(5):
        net.run(chance.uniform(0.1, 0.8))
        for victim in chance.sample(net.replicas, chance.randint(1, replicas)):
            if chance.random() < 0.5:
                net.kill(victim)
            else:
                net.doom(victim, chance.choice(["before sync", "after sync"]))
        net.run(chance.choice([0.05, 0.3, 1.5]))
        net.restart(*chance.sample(net.replicas, replicas))
    net.heal_everything()
    clients.stop()
    recovered(net)
    assert net.run_until(lambda: clients.open == 0, 8.0)
    if unexplained(clients.told):
        raise Unexplained(net.log())
    return clients.count("ok")


def test_under_crashes_it_is_linearizable() -> None:
    assert sum(check_crashes(seed, 3 + 2 * (seed % 2)) for seed in range(10)) > 250


def test_under_crashes_it_is_linearizable_also_when_it_ships_operations() -> None:
    assert sum(check_crashes(seed, 3, ship="operations") for seed in range(4)) > 80


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_under_crashes_it_is_linearizable_at_length(block: int) -> None:
    for seed in range(1_000 + 50 * block, 1_050 + 50 * block):
        check_crashes(seed, 2 + seed % 4, ship=("state", "operations")[seed % 2])


class Forgetful(PrimaryBackup):
    def _execute(self, request: Request) -> Outcome:
        self.clients.pop(request.client, None)
        return super()._execute(request)


class ReadsTooEarly(PrimaryBackup):
    def on_request(self, request: Request) -> None:
        if self.role == "primary" and request.operation["f"] == "read":
            self.io.reply(request, self._execute(request))
        else:
            super().on_request(request)


class TrustsItsDisk(PrimaryBackup):
    def _revive(self) -> None:
        if self.view.number > 0 and not self.detector.alive():
            self._take_over("nobody is there")
        super()._revive()


class WaitsForNobody(PrimaryBackup):
    def _acknowledged(self) -> int:
        return self.applied


@pytest.mark.parametrize(
    ("protocol", "limit"),
    [
        (Forgetful, 20),
        pytest.param(ReadsTooEarly, 100, marks=pytest.mark.slow),
        (TrustsItsDisk, 20),
        (WaitsForNobody, 20),
    ],
)
def test_the_crashes_find_this_bug(protocol: type[PrimaryBackup], limit: int) -> None:
    for seed in range(limit):
        try:
            check_crashes(seed, 3, protocol)
        except Unexplained:
            print(f"{protocol.__name__}: caught after {seed + 1} runs")
            return
    pytest.fail(f"{protocol.__name__} went unnoticed in {limit} runs")


@pytest.mark.parametrize("seed", range(6))
def test_after_any_mishap_it_answers_again_within_bounded_time(seed: int) -> None:
    print(f"seed {seed}")
    net = network(5, seed, ROUGH)
    clients = Clients(net, 4)
    chance = random.Random(f"mishaps/{seed}")
    for _ in range(4):
        shuffled = chance.sample(net.replicas, 5)
        cut = chance.randint(1, 4)
        net.partition(shuffled[:cut], shuffled[cut:])
        net.cut(*chance.sample(net.replicas, 2))
        net.pause(chance.choice(net.replicas))
        net.run(chance.uniform(0.3, 2.0))
        net.kill(chance.choice(net.replicas))
        net.heal()
        net.resume(*net.replicas)
        net.run(chance.uniform(0.1, 1.0))
        net.restart(*net.replicas)
    net.heal_everything()
    healed = clients.count("ok")
    assert net.run_until(lambda: clients.count("ok") > healed + 20, 8.0), "no progress in eight seconds"
    clients.stop()
    assert net.run_until(lambda: clients.open == 0, 8.0)
    recovered(net)


def test_the_journal_is_compacted_and_still_holds_everything() -> None:
    net = network(3, compact_every=20)
    for sequence in range(1, 101):
        assert net.call("n1", "c", sequence, "write", f"k{sequence % 7}", sequence).type == "ok"
    net.run(1.0)
    assert all(len(host.durable) <= 50 for host in net.hosts.values())
    before = digests(net)
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    settled(net, "n1")
    assert digests(net) == before
    assert net.call("n1", "c", 100, "write", "k2", 100).type == "ok"
    assert net["n1"].applied == 100


def test_suspecting_faster_than_hearts_beat_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="suspect_seconds must be larger than heartbeat_seconds"):
        PrimaryBackup.Options(heartbeat_seconds=1.0)


def test_a_replica_that_lost_the_primacy_never_sends_a_client_to_itself() -> None:
    net = network()
    net.kill("n1")
    net.restart("n1")
    assert net.call("n1", "c", 1, "read").leader is None
    settled(net, "n2")
    assert net.call("n1", "c", 1, "read").leader == "n2"


def test_views_are_ordered_by_number_and_then_by_primary() -> None:
    assert View(2, "n1", 2, ()).rank > View(1, "n9", 1, ()).rank
    assert View(2, "n10", 2, ()).rank > View(2, "n9", 2, ()).rank
    assert View(0, "", 0, ()).rank < View(0, "n1", 0, ()).rank


# ---- the campaign


CELLS = load_campaign(
    Path(__file__).parents[1] / "campaigns" / "primary-backup.yaml",
    Overrides(cluster="simulated", duration_seconds=12.0),
)

TOLD = {
    "no-idempotence": "counter too high",
    "acknowledge=none), register, kill": "lost write",
    "acknowledge=none), mailbox, kill": "lost mail",
    "reads=any": "stale read",
    "partition": "resurrected value",
}
"""By a part of the cell's name: what some finding of it is called."""


@pytest.mark.slow
@pytest.mark.parametrize("spec", CELLS, ids=lambda spec: spec.cell)
def test_the_campaign_shows_what_it_says(spec: RunSpec) -> None:
    findings, undecided = judged(spec, simulate(spec, statuses=False))
    assert not undecided
    assert bool(findings) == (spec.expect == "violation")
    anomalies = {finding.kind.anomaly for finding in findings}
    for part, anomaly in TOLD.items():
        assert part not in spec.cell or anomaly in anomalies


# ---- messages from before a crash


class Late:
    """Holds back the first message of a kind from one replica to another."""

    def __init__(self, net: FakeNetwork, source: str, target: str, kind: str) -> None:
        self.held: list[tuple[str, str, str]] = []
        self._deliver, self._wanted = net._deliver, (source, target, kind)
        net._deliver = self._hold  # type: ignore[method-assign]

    def _hold(self, source: str, target: str, text: str) -> None:
        if (source, target, json.loads(text)["type"]) == self._wanted and not self.held:
            self.held.append((source, target, text))
        else:
            self._deliver(source, target, text)

    def arrive(self) -> None:
        self._deliver(*self.held[0])


@pytest.mark.parametrize("protocol", [PrimaryBackup, LogShipping])
def test_a_state_from_before_a_crash_makes_nobody_a_member(protocol: type[PrimaryBackup]) -> None:
    net = FakeNetwork(protocol, 3, 1)
    settled(net, "n1")
    assert net.call("n1", "c", 1, "write", "x", "old").type == "ok"
    net.kill("n3")
    settled(net, "n1")
    state = Late(net, "n1", "n3", "state")
    net.restart("n3")
    assert net.run_until(lambda: bool(state.held), 2.0)
    net.kill("n3")
    settled(net, "n1")
    assert net.call("n1", "c", 2, "write", "x", "new").type == "ok"
    net.kill("n1", "n2")
    net.restart("n3")
    net.run(0.05)
    state.arrive()
    net.run(3.0)
    assert net["n3"].role == "joining", "n1 and n2 may have gone on without it, and have"
    net.restart("n1", "n2")
    assert net.run_until(lambda: bool(net.chiefs()), 5.0)
    assert net.call(net.chiefs()[0], "reader", 1, "read", "x").result == "new"
    assert not net.witness.broken


@pytest.mark.parametrize("protocol", [PrimaryBackup, LogShipping])
def test_a_heartbeat_from_before_a_crash_says_nothing_of_today(protocol: type[PrimaryBackup]) -> None:
    net = FakeNetwork(protocol, 2, 1)
    settled(net, "n1")
    net.kill("n1", "n2")
    net.run(1.0)
    heartbeat = Late(net, "n1", "n2", "heartbeat")
    net.restart("n1", "n2")
    settled(net, "n1")
    net.kill("n2")
    settled(net, "n1")
    assert net.call("n1", "c", 1, "write", "x", "new").type == "ok"
    net.kill("n1")
    net.restart("n2")
    net.run(0.5)
    heartbeat.arrive()
    net.run(3.0)
    assert net["n2"].role == "joining", "n1 may have gone on alone, and has"
    assert not net.witness.broken
