"""Raft: its rules one by one, then thousands of random mishaps, and proof that those find bugs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from node.flaws import flawed, flaws_of
from node.protocol import Message, Protocol
from node.protocols import PROTOCOLS
from node.protocols.raft import Raft
from node.protocols.raft_log import Log
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.hammer import Broken, Mishaps, hammer, runs_until_caught
from tests.support.raft_witness import Witness
from tests.support.scenes import answered, even, goes_on, held, isolate, messages

HASTY = {
    "heartbeat_seconds": 0.05,
    "election_seconds": 0.2,
    "retry_seconds": 0.1,
    "answer_seconds": 2.0,
    "snapshot_every": 7,
    "window": 3,
}
"""Options that make much happen in little virtual time."""

RESTLESS = {**HASTY, "heartbeat_seconds": 0.03, "election_seconds": 0.05, "snapshot_every": 30, "batch": 1}
"""Options with which there is an election most of the time."""


def network(replicas: int = 3, seed: int = 1, leader: str = "n1", **options: Any) -> FakeNetwork:
    """A cluster under the eyes of a witness, with a leader by arrangement."""
    net = FakeNetwork(Raft, replicas, seed, options)
    Witness(net)
    net.run(0.01)
    stand(net, leader)
    led(net, leader)
    return net


def stand(net: FakeNetwork, replica: str) -> None:
    """Have a replica ask for votes now, as if neither it nor anybody else had heard of a leader for long."""
    for host in net.hosts.values():
        if isinstance(host.protocol, Raft):
            host.protocol.heard_leader_at = None
    net.hosts[replica].handle(lambda: net[replica]._ask_whether_to_stand())


def led(net: FakeNetwork, leader: str, limit: float = 5.0) -> None:
    """Wait until one replica leads and has committed its no-op."""
    assert net.run_until(lambda: net.chiefs() == [leader] and serves(net, leader), limit), net.log()


def serves(net: FakeNetwork, leader: str) -> bool:
    return net[leader].applied >= net[leader].term_begins


def new_leader(net: FakeNetwork, limit: float = 5.0) -> str:
    assert net.run_until(lambda: len(net.chiefs()) == 1 and serves(net, net.chiefs()[0]), limit), net.log()
    return net.chiefs()[0]


# ---- without faults


def test_it_is_known_by_its_name_and_has_a_chief() -> None:
    assert PROTOCOLS["raft"] is Raft
    assert Raft.chief == "leader"


def test_options_that_elect_all_the_time_are_refused() -> None:
    with pytest.raises(ValueError, match="election_seconds must be larger"):
        Raft.Options(heartbeat_seconds=1.0)


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 7])
def test_somebody_leads_and_operations_are_carried_out_everywhere(replicas: int) -> None:
    net = FakeNetwork(Raft, replicas, 1)
    Witness(net)
    leader = new_leader(net)
    assert net.call(leader, "c", 1, "write", "x", 5).type == "ok"
    assert net.call(leader, "c", 2, "cas", "x", [5, 6]).result is True
    assert net.call(leader, "c", 3, "cas", "x", [5, 7]).result is False
    assert net.call(leader, "c", 4, "read", "x").result == 6
    even(net)
    assert all(held(net, name) == 6 for name in net.replicas)
    term = net[leader].term
    net.run(5.0)
    assert net.chiefs() == [leader] and net[leader].term == term, "a leader that works is left alone"


def test_a_follower_refuses_for_certain_and_says_who_leads() -> None:
    net = network()
    for f in ("write", "read"):
        outcome = net.call("n3", "c", 1, f, "x", 5 if f == "write" else None)
        assert (outcome.type, outcome.error, outcome.leader) == ("fail", "not the leader", "n1")


def test_what_is_told_is_on_disk_before() -> None:
    net = FakeNetwork(Raft, 5, 2)
    told = 0

    def spy(source: str, target: str, message: Message) -> None:
        nonlocal told
        records = [json.loads(text) for text in net.hosts[source].durable]
        written = {record["first"] + place for record in records for place in range(len(record.get("entries", ())))}
        if message["type"] == "vote" or (message["type"] == "voted" and message["granted"]):
            voted = source if message["type"] == "vote" else target
            assert {"type": "term", "term": message["term"], "voted": voted} in records
        elif message["type"] == "appended":
            assert set(range(1, message["match"] + 1)) <= written
        elif message["type"] == "append":
            assert set(range(1, message["prev"] + len(message["entries"]) + 1)) <= written
        else:
            return
        told += 1

    net.spies.append(spy)
    clients = Clients(net, 3)
    net.run(2.0)
    net.kill(*net.chiefs())
    net.run(3.0)
    assert clients.count("ok") > 30 and told > 100


def test_a_write_takes_one_message_and_one_answer_for_each_follower() -> None:
    net = network(5, heartbeat_seconds=0.5, election_seconds=1.0)
    net.run(0.2)
    net.sent.clear()
    for sequence in range(1, 11):
        net.call("n1", "c", sequence, "write", "x", sequence)
    net.run(0.05)
    assert (net.sent["append"], net.sent["appended"]) == (40, 40)


def test_requests_that_come_together_share_messages() -> None:
    net = network(5)
    net.sent.clear()
    answers = [net.ask("n1", f"c{number}", 1, "write", f"k{number}", number) for number in range(200)]
    assert all(answered(net, answer).type == "ok" for answer in answers)
    assert net.sent["append"] < 300, "not four messages a request"


def test_reads_that_come_together_share_a_round_and_write_nothing() -> None:
    net = network(5)
    net.call("n1", "w", 1, "write", "x", 5)
    last = net["n1"].log.last
    net.sent.clear()
    answers = [net.ask("n1", f"c{number}", 1, "read", "x") for number in range(100)]
    assert all(answered(net, answer).result == 5 for answer in answers)
    assert net.sent["heartbeat"] < 60 and net["n1"].log.last == last


# ---- elections


def test_when_the_leader_dies_another_leads_and_has_everything() -> None:
    net = network()
    net.call("n1", "c", 1, "write", "x", 5)
    net.kill("n1")
    leader = new_leader(net)
    assert net.call(leader, "c", 2, "read", "x").result == 5
    net.restart("n1")
    even(net)
    assert net.chiefs() == [leader], "the old leader follows"


def test_a_replica_with_a_shorter_log_is_not_elected() -> None:
    net = network(3)
    net.kill("n3")
    net.call("n1", "c", 1, "write", "x", 5)
    net.kill("n1")
    net.restart("n3")
    net.run(0.01)
    stand(net, "n3")
    net.run(0.1)
    assert net["n3"].role == "candidate" and net["n3"].term == 1
    assert new_leader(net) == "n2"


def test_a_replica_that_was_cut_off_does_not_disturb_when_it_returns() -> None:
    net = network(5)
    isolate(net, "n5")
    net.run(10.0)
    assert net["n5"].term == 1, "it asks, and nobody says yes"
    net.heal()
    net.run(2.0)
    assert net.chiefs() == ["n1"] and net["n1"].term == 1


def test_a_replica_that_does_not_hear_the_leader_leaves_it_in_peace() -> None:
    net = network(5)
    net.cut("n1", "n2")
    clients = Clients(net, 3, homes=("n1",))
    net.run(5.0)
    assert net.chiefs() == ["n1"] and net["n1"].term == 1 and clients.count("ok") > 100


@pytest.mark.parametrize("deaf", [True, False])
def test_a_leader_that_is_deaf_or_mute_is_replaced(deaf: bool) -> None:
    net = network(5)
    for peer in ("n2", "n3", "n4", "n5"):
        net.cut(*((peer, "n1") if deaf else ("n1", peer)))
    assert net.run_until(lambda: any(name != "n1" for name in net.chiefs()), 5.0), net.log()
    assert net.run_until(lambda: "n1" not in net.chiefs(), 2.0)
    leader = new_leader(net)
    assert net.call(leader, "c", 1, "write", "x", 5).type == "ok"


def test_a_restart_does_not_forget_a_vote() -> None:
    net = network()
    votes = messages(net, "voted", "n3")
    ask = {"type": "vote", "term": 50, "last_index": 99, "last_term": 49}
    net.transmit("n2", "n3", json.dumps(ask))
    net.run(0.02)
    net.kill("n3")
    net.restart("n3")
    net.run(0.01)
    net.transmit("n1", "n3", json.dumps(ask))
    net.transmit("n2", "n3", json.dumps(ask))
    net.run(0.02)
    assert sorted(vote["granted"] for vote in votes if vote["term"] == 50) == [False, True, True]


def test_a_vote_that_was_not_synced_was_never_given() -> None:
    net = network()
    votes = messages(net, "voted", "n3")
    net.doom("n3", "before sync")
    net.transmit("n2", "n3", json.dumps({"type": "vote", "term": 50, "last_index": 99, "last_term": 49}))
    assert net.run_until(lambda: not net.hosts["n3"].up, 0.1)
    net.restart("n3")
    assert net["n3"].term == 1 and not votes


def test_two_of_five_may_die_and_a_third_stops_it_safely() -> None:
    net = network(5)
    clients = Clients(net, 4)
    for _ in range(2):
        net.kill(*net.chiefs())
        goes_on(net, clients)
    net.kill(*net.chiefs())
    net.run(2.0)
    before = clients.count("ok")
    net.run(2.0)
    assert clients.count("ok") == before, "two of five are no majority"
    net.restart("n1")
    goes_on(net, clients)
    assert not net.witness.broken


# ---- the log


def test_entries_that_were_not_committed_give_way_and_the_old_leader_says_so() -> None:
    net = network(3)
    isolate(net, "n1")
    lost = net.ask("n1", "c", 1, "write", "x", "old")
    assert net.run_until(lambda: net.chiefs() == ["n2"] or net.chiefs() == ["n3"], 5.0)
    leader = new_leader(net)
    assert lost.outcome is None, "nobody can know yet"
    assert net.call(leader, "d", 1, "write", "x", "new").type == "ok"
    net.heal()
    outcome = answered(net, lost)
    assert (outcome.type, outcome.leader) == ("fail", leader), "another entry took its index: now it is certain"
    even(net)
    assert held(net, "n1") == "new"


def test_a_deposed_leader_whose_entry_was_committed_by_the_next_says_ok() -> None:
    net = network(3)
    net.cut("n2", "n1")
    net.cut("n3", "n1")
    proposed = net.ask("n1", "c", 1, "write", "x", "finished by another")
    assert net.run_until(lambda: "n1" not in net.chiefs(), 5.0)
    new_leader(net)
    assert proposed.outcome is None
    net.heal()
    assert answered(net, proposed).type == "ok"


def test_a_client_is_told_at_some_time_that_nobody_knows() -> None:
    net = network(5, answer_seconds=3.0)
    isolate(net, "n1", "n2")
    proposed = net.ask("n1", "c", 1, "write", "x", "stuck")
    read = net.ask("n1", "d", 1, "read", "x")
    assert net.run_until(lambda: net["n1"].role != "leader", 2.0)
    assert answered(net, read).type == "fail", "a read leaves no trace"
    assert answered(net, proposed).type == "info"


@pytest.mark.parametrize("flaws", [[], ["cuts-what-matches"]])
def test_a_late_message_does_not_cut_off_what_came_after(flaws: list[str]) -> None:
    net = FakeNetwork(flawed("raft", flaws), 3, 1, {"heartbeat_seconds": 50.0, "election_seconds": 100.0, "window": 9})
    net.run(0.01)
    stand(net, "n1")
    led(net, "n1")
    seen = messages(net, "append", "n1")
    for number in range(5):
        net.ask("n1", f"c{number}", 1, "write", "x", number)
        net.run(0.0001)
    net.run(0.1)
    assert net["n3"].log.last == 6
    late = next(message for message in seen if message["entries"] and message["prev"] >= net["n3"].applied)
    net.transmit("n1", "n3", json.dumps(late))
    net.run(0.1)
    assert (net["n3"].log.last == 6) == (not flaws)


def test_logs_that_differ_meet_where_they_are_equal() -> None:
    net = network(5, heartbeat_seconds=1.0, election_seconds=100.0, batch=3)
    for leader, friend, following in (("n1", "n2", "n3"), ("n3", "n4", "n5"), ("n5", "n1", "n2")):
        isolate(net, leader, friend)
        for number in range(8):
            net.ask(leader, f"{leader}.{number}", 1, "write", "x", number)
        net.run(0.2)
        net.heal()
        net.kill(leader)
        for _ in range(3):  # who missed a term learns of it first
            if not net.chiefs():
                stand(net, following if leader != "n5" else "n4")
                net.run(0.1)
        net.restart(leader)
    net.run(3.0)
    even(net)


def test_a_replica_that_lags_a_little_is_sent_the_entries_and_one_that_lags_much_a_snapshot() -> None:
    for lag, by_snapshot in ((15, False), (60, True)):
        net = network(3, snapshot_every=20)
        net.kill("n3")
        for sequence in range(1, lag + 1):
            net.call("n1", "c", sequence, "cas", "x", [sequence - 1 or None, sequence])
        net.restart("n3")
        net.run(0.5)
        even(net)
        assert (net.sent["snapshot"] > 0) == by_snapshot and held(net, "n3") == lag
        net.kill("n1", "n2")
        net.restart("n2")
        leader = new_leader(net)
        assert net.call(leader, "c", lag, "cas", "x", [lag - 1, lag]).result is True, "asked again, not done again"


def test_the_journal_and_the_log_are_bounded_and_still_hold_everything() -> None:
    net = network(3, snapshot_every=10)
    for sequence in range(1, 201):
        net.call("n1", "c", sequence, "write", f"k{sequence % 7}", sequence)
    even(net)
    assert all(len(host.durable) <= 30 for host in net.hosts.values())
    assert all(net[name].log.last - net[name].log.base <= 20 for name in net.replicas)
    digest = net["n1"].status()["digest"]
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    leader = new_leader(net)
    assert net.call(leader, "c", 200, "write", "k4", 200).type == "ok"
    even(net)
    assert net["n2"].status()["digest"] == digest


def test_a_log_forgets_its_beginning_and_knows_its_terms() -> None:
    log = Log()
    log.write(1, [[1, "a"], [1, "b"], [2, "c"], [4, "d"]])
    assert [log.term(index) for index in range(6)] == [0, 1, 1, 2, 4, None]
    assert log.first_of_its_term(2) == 1
    log.write(4, [[3, "e"], [3, "f"]])
    assert (log.last, log.last_term, log[4]) == (5, 3, [3, "e"])
    log.cut(3)
    assert [log.term(index) for index in range(2, 6)] == [None, 2, 3, 3] and log.part(4, 9) == [[3, "e"], [3, "f"]]
    assert log.first_of_its_term(5) == 4
    with pytest.raises(KeyError):
        log[3]
    log.restart(9, 5)
    assert (log.base, log.last, log.last_term) == (9, 9, 5)


# ---- clients


def test_a_request_that_is_sent_again_elsewhere_is_carried_out_once() -> None:
    net = network()
    copies = [net.ask("n1", "c", 1, "cas", "x", [None, 1]) for _ in range(3)]
    assert [answered(net, copy).result for copy in copies] == [True] * 3
    even(net)
    assert net.call("n3", "c", 1, "cas", "x", [None, 1]).result is True, "a follower that has applied it knows it, too"
    net.kill("n1")
    leader = new_leader(net)
    assert net.call(leader, "c", 1, "cas", "x", [None, 1]).result is True
    assert net[leader].log.last == 3, "two no-ops and one request"


def test_a_request_older_than_the_last_one_of_its_client_is_unknown_and_not_carried_out() -> None:
    net = network()
    net.call("n1", "c", 1, "write", "x", 1)
    net.call("n1", "c", 2, "write", "x", 2)
    assert net.call("n1", "c", 1, "write", "x", 1).type == "info"
    assert held(net, "n1") == 2


# ---- three rules, with and without them


def deposed_reader(protocol: type[Protocol]) -> Any:
    """What a leader answers that was deposed without knowing it."""
    net = FakeNetwork(protocol, 3, 1, {"election_seconds": 100.0})
    net.run(0.01)
    stand(net, "n1")
    led(net, "n1")
    net.call("n1", "c", 1, "write", "x", "old")
    isolate(net, "n1")
    stand(net, "n2")
    assert net.run_until(lambda: net["n2"].leading and serves(net, "n2"), 2.0)
    net.call("n2", "d", 1, "write", "x", "new")
    read = net.ask("n1", "c", 2, "read", "x")
    net.run(1.0)
    return read.outcome and read.outcome.result


def test_a_deposed_leader_answers_no_read() -> None:
    assert deposed_reader(Raft) is None
    assert deposed_reader(flawed("raft", ["stale-reads"])) == "old"


def figure_eight(protocol: type[Protocol]) -> FakeNetwork:
    """The figure of the paper: an entry of an old term is on a majority of disks, and is overwritten all the same."""
    options = {"election_seconds": 1000.0, "heartbeat_seconds": 900.0, "retry_seconds": 500.0, "batch": 1}
    net = FakeNetwork(protocol, 5, 1, options)
    net.run(0.01)
    stand(net, "n1")
    led(net, "n1")
    net.partition({"n1", "n2"}, {"n3", "n4", "n5"})
    net.ask("n1", "c", 1, "write", "x", "counted")
    net.run(0.1)  # on the disks of n1 and n2
    counted = net["n1"].log.last
    net.kill("n1")
    stand(net, "n5")
    assert net.run_until(lambda: bool(net["n5"].leading), 1.0)
    isolate(net, "n5")
    net.ask("n5", "d", 1, "write", "x", "rival")
    net.run(0.1)  # on the disk of n5 alone
    net.kill("n5")
    net.heal()
    net.restart("n1")
    net.run(0.05)

    def stop_after_the_old_entry(source: str, target: str, message: Message) -> None:
        if message["type"] == "appended" and message["match"] == counted:
            net.cut(target, source)

    net.spies.append(stop_after_the_old_entry)
    net.cut("n1", "n2")
    stand(net, "n1")  # learns of the term that it missed
    net.run(0.1)
    stand(net, "n1")
    assert net.run_until(lambda: bool(net["n1"].leading), 1.0)
    net.ask("n1", "e", 1, "write", "y", 0)
    net.run(0.2)
    assert net["n1"].term == 3 and net["n3"].log.last == net["n4"].log.last == counted
    net.kill("n1")
    net.spies.remove(stop_after_the_old_entry)
    net.heal()
    net.restart("n5")
    net.run(0.05)
    for _ in range(2):
        stand(net, "n5")
        net.run(0.2)
    assert net.chiefs() == ["n5"]
    net.ask("n5", "d", 2, "write", "y", 1)
    net.run(0.2)
    return net


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    net = figure_eight(Raft)
    assert held(net, "n3") == "rival" and not net.witness.broken, "gone, and nobody was told otherwise"
    flawed_net = figure_eight(flawed("raft", ["commits-by-counting"]))
    assert flawed_net.witness.broken[0].law == "an index holds one entry, which a majority has"


def second_vote(protocol: type[Protocol]) -> FakeNetwork:
    """Two candidates in one term; who voted for the first is restarted and asked by the second."""
    net = FakeNetwork(protocol, 3, 1, {"election_seconds": 1000.0, "heartbeat_seconds": 0.1})
    net.run(0.01)
    net.cut("n1", "n2")
    net.cut("n2", "n1")
    net.cut("n3", "n2")
    stand(net, "n2")
    net.run(0.01)
    stand(net, "n1")
    assert net.run_until(lambda: bool(net["n1"].leading), 1.0)
    net.cut("n1", "n3")
    net.kill("n3")
    net.restart("n3")
    net.run(0.02)
    net.cuts.discard(("n3", "n2"))
    net.hosts["n2"].handle(lambda: net["n2"]._stand())
    net.run(0.1)
    return net


def test_a_vote_is_given_once_in_a_term_and_not_once_in_a_life() -> None:
    assert second_vote(Raft).chiefs() == ["n1"]
    net = second_vote(flawed("raft", ["votes-twice"]))
    assert net.chiefs() == ["n1", "n2"] and net["n1"].term == net["n2"].term
    assert "both use it" in net.witness.broken[0].sentence


# ---- at length


class Restless(Mishaps):
    """Elections most of the time, in which voters are restarted and leaders die when they have told one other."""

    def step(self) -> None:
        steps = [self.contest, self.contest, self.contest, self.usurp, self.usurp]
        steps += [self.strand, self.strand, self.restart, self.restart, self.heal, self.storm]
        self.random.choice(steps)()

    def contest(self) -> None:
        self.net.weather = Weather(0.001, 0.05)
        self.net.kill(*self.net.chiefs())
        for name in self.net.replicas:
            if self.random.random() < 0.7:
                self.net.after(self.random.uniform(0.0, 0.3), self._blink(name))

    def _blink(self, name: str) -> Callable[[], None]:
        def blink() -> None:
            self.net.kill(name)
            self.net.restart(name)

        return blink

    def usurp(self) -> None:
        self.strand()
        self.net.run(self.random.choice([0.02, 0.05]))
        self.net.kill(*self.net.chiefs())
        self.net.heal()
        self.net.restart(self.random.choice(self.net.replicas))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_it_stays_linearizable_and_recovers(seed: int) -> None:
    if seed < 6:
        hammer(Raft, seed, 3 + 2 * (seed % 2), HASTY, Witness)
    else:
        hammer(Raft, seed, 3 + 2 * (seed % 2), RESTLESS, Witness, mishaps=Restless)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 20 * block, 10_020 + 20 * block):
        print(f"seed {seed}")
        hammer(Raft, seed, 3 + seed % 3, HASTY, Witness)
        hammer(Raft, seed, 3 + seed % 3, RESTLESS, Witness, mishaps=Restless)


def caught(flaw: str, limit: int, options: dict[str, Any], mishaps: type[Mishaps]) -> int | None:
    protocol = flawed("raft", [flaw])
    runs = runs_until_caught(
        lambda seed: hammer(protocol, seed, 3 + 2 * (seed % 2), options, mishaps=mishaps),
        limit,
    )
    print(f"{flaw}: caught after {runs} runs")
    return runs


FOUND_BY_MISHAPS = {
    "no-log-matching": 10,
    "short-log-wins": 10,
    "stale-reads": 20,
    "majority-off-by-one": 5,
    "snapshot-without-clients": 10,
}
RARE = {"reads-before-its-first-commit": 60, "retries-applied-twice": 60, "cuts-what-matches": 150}
RARE_BUT_IN_ELECTIONS = {"commits-by-counting": 100}
"""Found by the hammer, too, but not in a moment; the tests above play each of them."""
PLAYED = ["votes-twice"]
"""Among random mishaps it takes a thousand runs and more."""


@pytest.mark.parametrize(("flaw", "limit"), FOUND_BY_MISHAPS.items())
def test_the_hammer_finds_this_flaw(flaw: str, limit: int) -> None:
    assert caught(flaw, limit, HASTY, Mishaps) is not None, f"{flaw} went unnoticed in {limit} runs"


@pytest.mark.slow
@pytest.mark.parametrize(("flaw", "limit"), RARE.items())
def test_the_hammer_finds_this_flaw_at_length(flaw: str, limit: int) -> None:
    assert caught(flaw, limit, HASTY, Mishaps) is not None, f"{flaw} went unnoticed in {limit} runs"


@pytest.mark.slow
@pytest.mark.parametrize(("flaw", "limit"), RARE_BUT_IN_ELECTIONS.items())
def test_the_hammer_finds_this_flaw_in_elections(flaw: str, limit: int) -> None:
    assert caught(flaw, limit, RESTLESS, Restless) is not None, f"{flaw} went unnoticed in {limit} runs"


def test_every_flaw_is_looked_for() -> None:
    own = [name for name, place in flaws_of("raft").places.items() if place.startswith("node.flaws.raft:")]
    assert sorted(own) == sorted([*FOUND_BY_MISHAPS, *RARE, *RARE_BUT_IN_ELECTIONS, *PLAYED])


def test_runs_until_caught_takes_only_what_breaks_a_law() -> None:
    def run(seed: int) -> None:
        if seed == 2:
            raise Broken("found")

    assert runs_until_caught(run, 2) is None and runs_until_caught(run, 3) == 3
