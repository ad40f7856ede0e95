"""Multi-Paxos: the lectures' scenarios one by one, then thousands of random mishaps, and proof that those find bugs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.protocol import Message, Outcome, Request
from node.protocols import PROTOCOLS
from node.protocols.multi_paxos import Accepted, Ballot, Decree, MultiPaxos
from tests.support.fake_clients import Clients
from tests.support.fake_network import Answer, FakeNetwork
from tests.support.hammer import Broken, hammer, runs_until_caught
from tests.support.paxos_witness import Witness
from tests.support.scenes import answered, even, goes_on, held, isolate, on_message

HASTY = {
    "heartbeat_seconds": 0.05,
    "suspect_seconds": 0.2,
    "retry_seconds": 0.1,
    "answer_seconds": 2.0,
    "snapshot_every": 7,
    "window": 3,
}
"""Options that make much happen in little virtual time."""


def network(replicas: int = 3, seed: int = 1, **options: Any) -> FakeNetwork:
    """A cluster under the eyes of a witness, which n1 leads."""
    net = FakeNetwork(MultiPaxos, replicas, seed, options)
    if replicas > 1:  # where one replica decides alone, there are no messages to see it by
        Witness(net)
    led(net, "n1")
    net.run(0.5)
    return net


def led(net: FakeNetwork, leader: str, limit: float = 5.0) -> None:
    """Wait until one replica leads and has finished what it inherited."""
    assert net.run_until(lambda: net.chiefs() == [leader] and not net[leader].proposals, limit), net.log()


# ---- without faults


def test_it_is_known_by_its_name_and_has_a_chief() -> None:
    assert PROTOCOLS["multi-paxos"] is MultiPaxos
    assert MultiPaxos.chief == "leader"


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 7])
def test_the_lowest_numbered_replica_leads_and_operations_are_carried_out_everywhere(replicas: int) -> None:
    net = network(replicas)
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    assert net.call("n1", "c", 2, "cas", "x", [5, 6]).result is True
    assert net.call("n1", "c", 3, "cas", "x", [5, 7]).result is False
    assert net.call("n1", "c", 4, "read", "x").result == 6
    even(net)
    assert all(held(net, name) == 6 for name in net.replicas)
    net.run(5.0)
    assert net.chiefs() == ["n1"] and net["n1"].ballot[0] == 1, "a leader that works is left alone"


def test_a_follower_refuses_for_certain_and_says_who_leads() -> None:
    net = network()
    outcome = net.call("n3", "c", 1, "write", "x", 5)
    assert (outcome.type, outcome.error, outcome.leader) == ("fail", "not the leader", "n1")
    assert net["n3"].status()["leader"] == "n1"


def test_what_is_told_is_on_disk_before() -> None:
    net = network(5, snapshot_every=1_000)
    told = 0

    def spy(source: str, target: str, message: Message) -> None:
        nonlocal told
        records = [json.loads(text) for text in net.hosts[source].durable]
        if message["type"] in ("promise", "prepare"):
            assert any(record["type"] == "promise" and record["ballot"] >= message["ballot"] for record in records)
        elif message["type"] in ("accepted", "accept"):
            slots = message["slots"] if "slots" in message else [slot for slot, _ in message["entries"]]
            on_disk = {record["slot"] for record in records if record["type"] == "accepted"}
            assert on_disk.issuperset(slots)
        else:
            return
        told += 1

    net.spies.append(spy)
    clients = Clients(net, 3)
    net.run(1.0)
    net.kill("n1")
    net.run(2.0)
    assert clients.count("ok") > 30 and told > 100


def test_requests_that_come_together_share_decrees() -> None:
    net = network(5)
    net.sent.clear()
    answers = [net.ask("n1", f"c{number}", 1, "write", f"k{number}", number) for number in range(200)]
    assert all(answered(net, answer).type == "ok" for answer in answers)
    assert net["n1"].applied < 60
    assert net.sent["accept"] < 240, "four messages a decree, not four a request"


def test_several_slots_are_in_flight() -> None:
    net = network(3, window=4)
    net.cut("n2", "n1")
    net.cut("n3", "n1")
    for number in range(10):
        net.ask("n1", f"c{number}", 1, "write", "x", number)
        net.run(0.01)
    assert len(net["n1"].proposals) == 4 and len(net["n1"].queue) == 6
    assert sorted(net["n2"].accepted) == [1, 2, 3, 4]
    net.heal()
    even(net)
    assert net.run_until(lambda: net["n3"].applied == 5 and held(net, "n3") == 9, 2.0), "the six share one decree"


# ---- the lectures' scenarios


def test_the_proposer_dies_after_prepare() -> None:
    net = FakeNetwork(MultiPaxos, 3, 1)
    Witness(net)
    on_message(net, "prepare", lambda source, target, message: net.after(0.02, lambda: net.kill(source)))
    assert net.run_until(lambda: not net.hosts["n1"].up, 2.0)
    assert net["n2"].promised == net["n3"].promised == (1, 1), "promised to a replica that is no more"
    led(net, "n2")
    assert net["n2"].ballot > (1, 1)
    assert net.call("n2", "c", 1, "write", "x", 5).type == "ok"
    net.restart("n1")
    led(net, "n1")
    assert net["n1"].ballot > (2, 2), "a ballot is never used twice"
    assert net.call("n1", "c", 2, "read", "x").result == 5


def test_the_proposer_dies_after_a_majority_accepted_and_before_anyone_knows() -> None:
    net = network()
    on_message(net, "accepted", lambda source, target, message: net.kill("n1"))
    first = net.ask("n1", "c", 1, "cas", "x", [None, 5])
    led(net, "n2")
    assert first.outcome is None
    even(net)
    assert held(net, "n2") == held(net, "n3") == 5, "it was chosen: the next leader has to finish it"
    assert net.call("n2", "c", 1, "cas", "x", [None, 5]).result is True, "asked again, it is not done again"
    assert net["n2"].clients["c"] == [1, True]


def test_a_client_asks_the_next_leader_whether_its_operation_was_carried_out() -> None:
    net = network()
    isolate(net, "n1")
    lost = net.ask("n1", "lost", 1, "cas", "x", [None, "lost"])
    net.run(0.05)
    net.kill("n1")
    net.heal()
    assert net.run_until(lambda: net["n2"].leading, 5.0)
    twice = [net.ask(name, "lost", 1, "cas", "x", [None, "lost"]) for name in ("n2", "n2", "n2")]
    assert [answered(net, one).result for one in twice] == [True] * 3, "it was not; now it is, once"
    assert lost.outcome is None
    net.kill("n2")
    net.restart("n1")
    led(net, "n1")
    assert net.call("n1", "lost", 1, "cas", "x", [None, "lost"]).result is True
    assert net.call("n1", "other", 1, "cas", "x", [None, "other"]).result is False
    even(net)
    assert net["n1"].clients == {"lost": [1, True], "other": [1, False]}


def accepted_by_one(net: FakeNetwork) -> Answer:
    """n1 proposes for slot 1, only n2 hears it, and n1 dies."""
    for peer in net["n1"].io.peers:
        if peer != "n2":
            net.cut("n1", peer)
    net.cut("n2", "n1")
    answer = net.ask("n1", "c", 1, "write", "x", "first")
    assert net.run_until(lambda: 1 in net["n2"].accepted, 0.2)
    net.kill("n1")
    net.heal()
    return answer


def test_a_decree_that_one_replica_accepted_and_the_next_leader_hears_of_is_finished() -> None:
    net = network(3)
    answer = accepted_by_one(net)
    led(net, "n2")
    assert net.call("n2", "d", 1, "read", "x").result == "first"
    assert answer.outcome is None, "it happened, and its client was not told"


def test_a_decree_that_one_replica_accepted_and_the_next_leader_does_not_hear_of_is_void() -> None:
    net = network(5)
    accepted_by_one(net)
    net.kill("n2")
    led(net, "n3")
    assert net.call("n3", "d", 1, "write", "x", "second").type == "ok"
    net.restart("n1", "n2")
    led(net, "n1")
    even(net)
    assert net.call("n1", "e", 1, "read", "x").result == "second"
    assert net["n1"].log[1][0][0] == "d", "the slot that was meant for the first"


def test_master_and_the_one_that_accepted_die_at_once_and_their_decree_may_come_back_before_another_is_chosen() -> None:
    net = network(5)
    accepted_by_one(net)
    net.kill("n2")
    led(net, "n3")
    net.kill("n3")
    net.restart("n1", "n2", "n3")
    led(net, "n1")
    even(net)
    assert held(net, "n5") == "first"


def test_an_acceptor_dies_after_it_accepted() -> None:
    net = network()
    on_message(net, "accepted", lambda source, target, message: net.kill(source))
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    assert net.call("n1", "c", 2, "write", "x", 6).type == "ok"
    net.restart("n2", "n3")
    net.run(0.1)
    even(net)
    assert held(net, "n2") == held(net, "n3") == 6


def test_two_proposers_only_the_higher_ballot_goes_on() -> None:
    net = network()
    isolate(net, "n1")
    net.run(0.2)
    lost = net.ask("n1", "c", 1, "write", "x", "old")
    net["n1"].detector.suspect_seconds = 60.0
    assert net.run_until(lambda: net.chiefs() == ["n1", "n2"], 3.0), "the old leader doesn't know"
    assert net.call("n2", "d", 1, "write", "x", "new").type == "ok"
    net["n1"].detector.suspect_seconds = 0.75
    net.heal()
    assert answered(net, lost).type == "fail", "another decree took its slot: now it is certain"
    led(net, "n1")
    assert net.call("n1", "d", 2, "read", "x").result == "new"


def test_an_old_leader_answers_no_read_from_what_it_remembers() -> None:
    net = network()
    net.call("n1", "c", 1, "write", "x", "old")
    net.pause("n1")
    assert net.run_until(lambda: "n2" in net.chiefs(), 3.0)
    net.call("n2", "d", 1, "write", "x", "new")
    assert net["n1"].role == "leader"
    isolate(net, "n1")
    net.resume("n1")
    read = net.ask("n1", "c", 2, "read", "x")
    net.run(0.3)
    assert read.outcome is None or read.outcome.type == "fail"
    net.heal()
    assert answered(net, net.ask("n2", "c", 2, "read", "x")).result in ("new", None)
    led(net, "n1")
    assert net.call("n1", "e", 1, "read", "x").result == "new"


def test_a_gap_is_filled_with_a_no_op() -> None:
    net = network(3)
    net.cut("n1", "n2")
    net.cut("n1", "n3")
    gone = net.ask("n1", "c", 1, "write", "x", "gone")
    net.run(0.02)
    net.heal()
    net.cut("n2", "n1")
    kept = net.ask("n1", "d", 1, "write", "y", "kept")
    assert net.run_until(lambda: 2 in net["n2"].accepted, 0.1) and 1 not in net["n2"].accepted
    net.kill("n1")
    net.heal()
    led(net, "n2")
    even(net)
    assert net["n2"].log[1] == [] and net["n2"].log[2][0][0] == "d"
    assert held(net, "n3", "x") is None and held(net, "n3", "y") == "kept"
    assert gone.outcome is None and kept.outcome is None
    assert net.call("n2", "c", 1, "write", "x", "gone").type == "ok", "asked again, it is done after all"


def test_a_restart_does_not_forget_a_promise() -> None:
    net = network()
    net.transmit("n2", "n3", json.dumps({"type": "prepare", "ballot": [50, 2]}))
    assert net.run_until(lambda: net["n3"].promised == (50, 2), 0.1)
    net.run(0.01)
    net.kill("n3")
    net.restart("n3")
    seen: list[Message] = []
    net.spies.append(lambda source, target, message: seen.append(message) if source == "n3" else None)
    accept = {"type": "accept", "ballot": [49, 1], "entries": [[1, [["c", 1, {"f": "read", "key": "x"}]]]], "commit": 0}
    net.transmit("n1", "n3", json.dumps(accept))
    net.transmit("n1", "n3", json.dumps({"type": "prepare", "ballot": [49, 1]}))
    net.run(0.02)
    assert [message for message in seen if message["type"] != "heartbeat"] == [{"type": "nack", "ballot": [50, 2]}] * 2
    assert not net["n3"].accepted


def test_a_promise_that_was_not_synced_was_never_given() -> None:
    net = network()
    net.doom("n3", "before sync")
    seen: list[Message] = []
    net.spies.append(lambda source, target, message: seen.append(message) if source == "n3" else None)
    net.transmit("n2", "n3", json.dumps({"type": "prepare", "ballot": [50, 2]}))
    assert net.run_until(lambda: not net.hosts["n3"].up, 0.1)
    net.restart("n3")
    assert net["n3"].promised == (1, 1)
    assert not [message for message in seen if message["type"] == "promise"]


def test_the_same_proposal_twice_is_written_once_and_acknowledged_twice() -> None:
    net = network(snapshot_every=100)
    net.cut("n1", "n3")
    accept = {"type": "accept", "ballot": [1, 1], "entries": [[1, []]], "commit": 0}
    seen: list[Message] = []
    net.spies.append(lambda source, target, message: seen.append(message) if source == "n3" else None)
    net.heal()
    for _ in range(2):
        net.transmit("n1", "n3", json.dumps(accept))
        net.run(0.05)
    assert [message["slots"] for message in seen if message["type"] == "accepted"] == [[1], [1]]
    assert sum('"accepted"' in text for text in net.hosts["n3"].durable) == 1


# ---- clients


def test_a_request_that_is_sent_again_elsewhere_is_carried_out_once() -> None:
    net = network()
    assert net.call("n1", "c", 1, "cas", "x", [None, 1]).result is True
    assert net.call("n1", "c", 1, "cas", "x", [None, 1]).result is True
    even(net)
    assert net.call("n3", "c", 1, "cas", "x", [None, 1]).result is True, "a follower that has applied it knows it, too"
    net.kill("n1")
    led(net, "n2")
    assert net.call("n2", "c", 1, "cas", "x", [None, 1]).result is True
    assert net["n2"].applied == 1


def test_two_copies_that_arrive_before_the_first_is_decided_share_its_answer() -> None:
    net = network()
    copies = [net.ask("n1", "c", 1, "cas", "x", [None, 1]) for _ in range(3)]
    assert [answered(net, copy).result for copy in copies] == [True] * 3
    assert net["n1"].applied == 1


def test_a_request_older_than_the_last_one_of_its_client_is_unknown_and_not_carried_out() -> None:
    net = network()
    net.call("n1", "c", 1, "write", "x", 1)
    net.call("n1", "c", 2, "write", "x", 2)
    assert net.call("n1", "c", 1, "write", "x", 1).type == "info"
    assert held(net, "n1") == 2


def test_a_leader_without_a_majority_resigns_and_then_refuses_for_certain() -> None:
    net = network(5, answer_seconds=3.0)
    isolate(net, "n1", "n2")
    proposed = net.ask("n1", "c", 1, "write", "x", "stuck")
    assert net.run_until(lambda: net["n1"].role != "leader", 2.0)
    net.run(0.1)
    assert net.call("n1", "d", 1, "write", "x", "refused").type == "fail"
    assert proposed.outcome is None, "nobody can know what comes of it"
    assert answered(net, proposed).type == "info", "at some time its client must be told so"
    led(net, "n3")
    net.heal()
    led(net, "n1")
    even(net)


def test_a_deposed_leader_that_proposed_a_request_learns_what_came_of_it() -> None:
    net = network(3)
    net.cut("n2", "n1")
    net.cut("n3", "n1")
    proposed = net.ask("n1", "c", 1, "write", "x", "finished by another")
    led(net, "n2")
    assert proposed.outcome is None
    net.heal()
    assert answered(net, proposed).type == "ok"
    assert held(net, "n2") == "finished by another"


# ---- who leads


def test_the_lowest_numbered_replica_takes_the_lead_back_when_it_returns() -> None:
    net = network(5)
    net.kill("n1")
    led(net, "n2")
    net.call("n2", "c", 1, "write", "x", 5)
    net.restart("n1")
    led(net, "n1")
    assert net.call("n1", "c", 2, "read", "x").result == 5


@pytest.mark.parametrize("deaf", [True, False])
def test_a_leader_that_is_deaf_or_mute_is_replaced_and_does_not_disturb(deaf: bool) -> None:
    net = network(5)
    for peer in ("n2", "n3", "n4", "n5"):
        net.cut(*((peer, "n1") if deaf else ("n1", peer)))
    led(net, "n2")
    clients = Clients(net, 3, homes=("n2",))
    net.run(5.0)
    assert net.chiefs() == ["n2"] and clients.count("ok") > 150
    assert net["n2"].ballot[0] == 2, "nobody stood against it"


def test_a_replica_that_does_not_hear_the_leader_leaves_it_in_peace() -> None:
    net = network(5)
    net.cut("n1", "n2")
    net.cut("n2", "n1")
    clients = Clients(net, 3, homes=("n1",))
    net.run(5.0)
    assert net.chiefs() == ["n1"] and net["n1"].ballot[0] == 1 and clients.count("ok") > 150
    assert net["n2"].applied > 100, "it learns from the others meanwhile"
    assert net.call("n2", "z", 1, "write", "x", 1).leader == "n1"


def test_a_ring_in_which_everybody_hears_two_neighbours_has_one_leader() -> None:
    net = network(5)
    names = net.replicas
    for place, name in enumerate(names):
        for far in (names[(place + 2) % 5], names[(place + 3) % 5]):
            net.cut(name, far)
    net.run(3.0)
    clients = Clients(net, 3, homes=("n1",))
    net.run(3.0)
    assert net.chiefs() == ["n1"] and clients.count("ok") > 100


def test_after_the_leader_died_requests_are_answered_again_within_two_seconds() -> None:
    net = network(5)
    clients = Clients(net, 4)
    net.run(1.0)
    for victim in ("n1", "n2"):
        net.kill(victim)
        goes_on(net, clients)
    net.kill("n3")
    net.run(2.0)
    before = clients.count("ok")
    net.run(2.0)
    assert clients.count("ok") == before, "two of five are no majority"
    net.restart("n2")
    goes_on(net, clients)


# ---- catching up


def test_a_replica_that_lags_a_little_is_sent_the_decrees() -> None:
    net = network(3, snapshot_every=100)
    net.kill("n3")
    for sequence in range(1, 90):
        net.call("n1", "c", sequence, "write", "x", sequence)
    net.restart("n3")
    net.run(0.5)
    even(net)
    assert net.sent["decrees"] and not net.sent["snapshot"]
    net.kill(*net.replicas)
    net.restart("n3")
    assert held(net, "n3") == 89, "what it was told is on its disk"


def test_a_replica_that_lags_much_is_sent_a_snapshot_with_the_table_of_clients() -> None:
    net = network(3, snapshot_every=10)
    net.kill("n3")
    for sequence in range(1, 101):
        net.call("n1", "c", sequence, "cas", "x", [sequence - 1 or None, sequence])
    net.restart("n3")
    net.run(0.5)
    even(net)
    assert net.sent["snapshot"] >= 1 and held(net, "n3") == 100
    net.kill("n1", "n2")
    net.restart("n2")
    led(net, "n2")
    assert net.call("n3", "c", 100, "cas", "x", [99, 100]).result is True


def test_the_journal_and_the_log_are_bounded_and_still_hold_everything() -> None:
    net = network(3, snapshot_every=10)
    for sequence in range(1, 201):
        net.call("n1", "c", sequence, "write", f"k{sequence % 7}", sequence)
    even(net)
    assert all(len(host.durable) <= 30 for host in net.hosts.values())
    assert all(len(net[name].log) <= 20 for name in net.replicas)
    digest = net["n1"].status()["digest"]
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    led(net, "n1")
    assert net.call("n1", "c", 200, "write", "k4", 200).type == "ok"
    even(net)
    assert net["n2"].status()["digest"] == digest


def test_an_acceptor_accepts_nothing_far_beyond_what_it_knows() -> None:
    net = network(3, window=2)
    entries = [[slot, []] for slot in range(1, 40)]
    net.transmit("n1", "n3", json.dumps({"type": "accept", "ballot": [1, 1], "entries": entries, "commit": 0}))
    net.run(0.01)
    assert max(net["n3"].accepted) == 16


# ---- at length


def hammered(seed: int, replicas: int, protocol: type[MultiPaxos] = MultiPaxos) -> None:
    """One run of random mishaps, under the eyes of a witness. Raises `Broken` if not all is well."""
    witnesses: list[Witness] = []
    net, _ = hammer(protocol, seed, replicas, HASTY, lambda net: witnesses.append(Witness(net)))
    missing = [slot for slot in range(1, net["n1"].applied + 1) if slot not in witnesses[0].chosen]
    if missing:
        raise Broken(f"slots {missing} were applied and not chosen")


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_it_stays_linearizable_and_recovers(seed: int) -> None:
    hammered(seed, 3 + 2 * (seed % 2))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 20 * block, 10_020 + 20 * block):
        print(f"seed {seed}")
        hammered(seed, 3 + seed % 3)


class ForgetsPromises(MultiPaxos):
    def _promise(self, ballot: Ballot) -> None:
        self.promised = ballot


class ForgetsAccepted(MultiPaxos):
    def _accept(self, ballot: Ballot, slot: int, decree: Decree) -> None:
        self.promised = ballot
        self.accepted[slot] = Accepted(ballot, decree)


class DecidesByMinority(MultiPaxos):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.quorum -= 1


class AcceptsLowerBallots(MultiPaxos):
    def _on_accept(self, sender: str, message: Message) -> None:
        promised = self.promised
        self.promised = min(promised, (message["ballot"][0], message["ballot"][1]))
        super()._on_accept(sender, message)
        self.promised = max(promised, self.promised)


class IgnoresWhatWasAccepted(MultiPaxos):
    def _inheritance(self, promises: Any) -> list[tuple[int, Decree]]:
        return []


class TrustsTheLowestBallot(MultiPaxos):
    def _inheritance(self, promises: Any) -> list[tuple[int, Decree]]:
        upside_down = [
            {"accepted": [[slot, [-ballot[0], -ballot[1]], decree] for slot, ballot, decree in promise["accepted"]]}
            for promise in promises
        ]
        return super()._inheritance(upside_down)


class BelievesInAnyCommit(MultiPaxos):
    def _on_commit(self, sender: str, message: Message) -> None:
        for slot in range(self.applied + 1, message["commit"] + 1):
            if slot in self.accepted:
                self.chosen.setdefault(slot, self.accepted[slot].decree)
        super()._on_commit(sender, message)


class LeadsBeforeItCaughtUp(MultiPaxos):
    def _lead_if_promised(self) -> None:
        for promise in self.candidacy.promises.values() if self.candidacy else ():
            promise["applied"] = 0
        super()._lead_if_promised()


class CarriesOutTwice(MultiPaxos):
    def _is_repeated(self, client: str, sequence: int) -> bool:
        return False


class SaysFailWhenItDoesNotKnow(MultiPaxos):
    def _step_down(self, reason: str) -> None:
        super()._step_down(reason)
        for id in list(self.waiting):
            self.waiting.turn_away(id, "not the leader")


class ReadsLocally(MultiPaxos):
    def on_request(self, request: Request) -> None:
        if self.leading and request.operation["f"] == "read":
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        else:
            super().on_request(request)


class SnapshotsWithoutTheUndecided(MultiPaxos):
    def _compact(self) -> None:
        self.io.compact([self._snapshot(), {"type": "promise", "ballot": self.promised}])
        self.snapshot_at = self.applied


@pytest.mark.parametrize(
    ("protocol", "limit"),
    [
        pytest.param(ForgetsPromises, 100, marks=pytest.mark.slow),
        (ForgetsAccepted, 20),
        (DecidesByMinority, 10),
        pytest.param(AcceptsLowerBallots, 50, marks=pytest.mark.slow),
        (IgnoresWhatWasAccepted, 10),
        pytest.param(TrustsTheLowestBallot, 60, marks=pytest.mark.slow),
        pytest.param(BelievesInAnyCommit, 30, marks=pytest.mark.slow),
        (LeadsBeforeItCaughtUp, 50),
        (CarriesOutTwice, 60),
        pytest.param(SaysFailWhenItDoesNotKnow, 30, marks=pytest.mark.slow),
        pytest.param(ReadsLocally, 300, marks=pytest.mark.slow),
        (SnapshotsWithoutTheUndecided, 20),
    ],
)
def test_the_hammer_finds_this_bug(protocol: type[MultiPaxos], limit: int) -> None:
    runs = runs_until_caught(lambda seed: hammered(seed, 3 + 2 * (seed % 2), protocol), limit)
    print(f"{protocol.__name__}: caught after {runs} runs")
    assert runs is not None, f"{protocol.__name__} went unnoticed in {limit} runs"
