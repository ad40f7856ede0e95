"""Paxos of a single decree: the lectures' scenarios one by one, then random mishaps, and proof that those find bugs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import pytest

from node.flaws import flawed, flaws_of
from node.machines.register import WriteOnce
from node.protocol import Message, Protocol
from node.protocols import PROTOCOLS
from node.protocols.paxos import ONE_VALUE, Paxos
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.hammer import Mishaps, finds, hammer
from tests.support.scenes import answered, on_message, read

HASTY = {"retry_seconds": 0.1, "answer_seconds": 2.0, "snapshot_every": 60}


class FreshKeys(Sequence[str]):
    """Three keys, and soon three others: a key is decided once, and then there is little to see."""

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net

    def __len__(self) -> int:
        return 3

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return f"k{int(self.net.now / 0.1)}.{index}"


class Foggy(Mishaps):
    """Mostly slow links, and a majority that is often missed by one."""

    def step(self) -> None:
        super().step()
        self.random.choice([self.storm, self.storm, self.strand, self.cut, self.heal, self.restart])()


def make_clients(net: FakeNetwork) -> Clients:
    return Clients(net, 8, keys=FreshKeys(net), pause_seconds=0.03, patience_seconds=0.4, echoes=0.1)


def run(seed: int, protocol: type[Protocol] = Paxos) -> tuple[FakeNetwork, Clients]:
    return hammer(protocol, seed, 3 + 2 * (seed % 2), HASTY, make_clients=make_clients, mishaps=Foggy, converges=False)


def network(replicas: int = 3, seed: int = 1, **options: Any) -> FakeNetwork:
    net = FakeNetwork(Paxos, replicas, seed, options, machine=WriteOnce)
    net.run(0.01)
    return net


# ---- without faults


def test_it_is_known_by_its_name_and_nobody_is_in_charge() -> None:
    assert PROTOCOLS["paxos"] is Paxos
    assert Paxos.chief is None


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_the_first_value_stays_on_every_replica(replicas: int) -> None:
    net = network(replicas)
    assert read(net, "n1") is None
    assert net.call("n1", "c", 1, "write", "x", 5).result is True
    assert all(read(net, name) == 5 for name in net.replicas)
    assert net.call(net.replicas[-1], "d", 1, "write", "x", 6).result is False
    assert all(read(net, name) == 5 for name in net.replicas)
    assert read(net, "n1", "y") is None
    assert not net.witness.broken


def test_a_key_that_nobody_writes_may_be_read_again_and_again() -> None:
    """At once each time; and each time takes promises, which must not fill the disk."""
    net = network(3, snapshot_every=20, retry_seconds=0.25)
    for _ in range(50):
        began = net.now
        assert read(net, "n1") is None
        assert net.now - began < 0.1
    began = net.now
    assert net.call("n1", "c", 1, "write", "x", 5).result is True
    assert net.now - began < 0.1
    assert all(len(host.durable) <= 25 for host in net.hosts.values())
    assert [read(net, name) for name in net.replicas] == [5] * 3


def test_a_decision_takes_three_messages_for_each_of_the_others_and_their_two_answers() -> None:
    net = network(5)
    net.call("n1", "c", 1, "write", "x", 5)
    net.run(0.1)
    assert dict(net.sent) == {"prepare": 4, "prepare-ok": 4, "accept": 4, "accept-ok": 4, "decide": 4}


def test_the_example_of_the_lectures() -> None:
    """Three replicas, N1 proposes val1: what each of them knows after prepare, and after accept."""
    net = network(3)
    known: list[tuple[Any, ...]] = []

    def look(source: str, target: str, message: Message) -> None:
        known.extend((name, *_known(net, name)) for name in ("n2", "n3"))

    on_message(net, "accept", look)
    answer = net.ask("n1", "c", 1, "write", "x", "val1")
    assert net.run_until(lambda: bool(net.sent["accept-ok"]), 1.0)
    assert all(n_h == (1, 1) for _, n_h, n_a, _ in known if n_a == (0, 0))
    assert _known(net, "n1") == ((1, 1), (1, 1), "val1")
    assert answered(net, answer).result is True


def _known(net: FakeNetwork, replica: str, key: str = "x") -> tuple[Any, ...]:
    """n_h, n_a and v_a."""
    agreement = net[replica].agreements[key]
    return agreement.n_h, agreement.n_a, agreement.v_a and agreement.v_a[2]["value"]


# ---- the lectures' scenarios


def test_the_proposer_dies_after_prepare() -> None:
    net = network()
    on_message(net, "prepare-ok", lambda source, target, message: net.kill("n1"))
    net.ask("n1", "c", 1, "write", "x", "first")
    net.run(0.1)
    assert _known(net, "n2") == ((1, 1), (0, 0), None), "promised to a replica that is no more"
    assert net.call("n2", "d", 1, "write", "x", "second").result is True
    net.restart("n1")
    assert read(net, "n1") == "second"


def test_the_proposer_dies_after_a_majority_accepted_and_before_anyone_knows() -> None:
    net = network()
    on_message(net, "accept-ok", lambda source, target, message: net.kill("n1"))
    first = net.ask("n1", "c", 1, "write", "x", "first")
    net.run(0.05)
    assert net.call("n3", "d", 1, "write", "x", "second").result is False
    assert read(net, "n2") == "first" and first.outcome is None, "it happened, and its client was not told"
    assert net.call("n2", "c", 1, "write", "x", "first").result is True, "asked again, it is still the first's"


def accepted_by_one(net: FakeNetwork) -> None:
    """n1 has its value accepted by itself and by n2 alone, and dies."""

    def strand(source: str, target: str, message: Message) -> None:
        for peer in net.replicas:
            if peer not in ("n1", "n2"):
                net.cut("n1", peer)

    on_message(net, "accept", strand)
    on_message(net, "accept-ok", lambda source, target, message: net.kill("n1"))
    net.ask("n1", "c", 1, "write", "x", "first")
    assert net.run_until(lambda: not net.hosts["n1"].up, 1.0)
    net.heal()


def test_a_value_that_one_replica_accepted_wins_if_the_next_proposer_hears_of_it() -> None:
    net = network(3)
    accepted_by_one(net)
    assert net.call("n3", "d", 1, "write", "x", "second").result is False
    assert read(net, "n2") == "first"


def test_a_value_that_one_replica_accepted_is_void_if_the_next_proposer_does_not_hear_of_it() -> None:
    net = network(5)
    accepted_by_one(net)
    net.kill("n2")
    assert net.call("n3", "d", 1, "write", "x", "second").result is True
    net.restart("n1", "n2")
    assert [read(net, name) for name in net.replicas] == ["second"] * 5


def test_master_and_the_one_that_accepted_die_at_once_and_come_back_after_another_value_won() -> None:
    net = network(5)
    accepted_by_one(net)
    net.kill("n2")
    net.run(1.0)
    assert read(net, "n4") is None, "nothing is chosen"
    net.restart("n1", "n2")
    net.run(2.0)
    assert read(net, "n4") == "first", "who accepted a value finishes it"


def test_an_acceptor_dies_after_it_accepted() -> None:
    net = network()
    on_message(net, "accept-ok", lambda source, target, message: net.kill(source))
    assert net.call("n1", "c", 1, "write", "x", 5).result is True
    net.restart("n2", "n3")
    assert read(net, "n2") == read(net, "n3") == 5


@pytest.mark.parametrize("seed", range(5))
def test_of_many_proposers_at_once_one_wins_and_all_agree(seed: int) -> None:
    net = network(5, seed)
    answers = [net.ask(name, name, 1, "write", "x", name) for name in net.replicas]
    results = [answered(net, answer).result for answer in answers]
    assert sorted(results) == [False] * 4 + [True]
    winner = net.replicas[results.index(True)]
    assert [read(net, name) for name in net.replicas] == [winner] * 5


def rounds(back_off: bool, seed: int) -> tuple[int, bool]:
    """Two proposers at the same time on links that never vary: how often one is rejected in two seconds, and the end."""
    net = FakeNetwork(Paxos, 3, seed, {"back_off": back_off}, WriteOnce, Weather(0.005, 0.005))
    answers = [net.ask(name, name, 1, "write", "x", name) for name in ("n1", "n2")]
    decided = net.run_until(lambda: all(answer.outcome for answer in answers), 2.0)
    return sum(net[name].rejections for name in net.replicas), decided


def test_a_duel_without_back_off_goes_on_and_on_and_with_it_ends() -> None:
    with_it = [rounds(True, seed) for seed in range(4)]
    without = [rounds(False, seed) for seed in range(4)]
    assert all(decided for _, decided in with_it) and max(count for count, _ in with_it) < 20
    assert sum(count for count, _ in without) > 5 * sum(count for count, _ in with_it)


# ---- three rules, with and without them


def one_chosen_value(flaws: list[str], *, amnesia: bool) -> FakeNetwork:
    """n1 and n2 accepted `first`; `second` was then chosen by n3, n4 and n5, and only n3 knows, which died. Now n2 proposes."""
    net = FakeNetwork(flawed("paxos", flaws), 5, 1, {"retry_seconds": 50.0}, machine=WriteOnce)
    net.run(0.01)
    accepted_by_one(net)
    net.cut("n3", "n1")
    net.cut("n3", "n2")
    on_message(net, "decide", lambda source, target, message: net.kill("n3"))
    told = net.ask("n3", "d", 1, "write", "x", "second")
    assert net.run_until(lambda: not net.hosts["n3"].up, 1.0) and told.outcome is None
    net.heal()
    if amnesia:
        net.kill("n4", "n5")
        net.restart("n4", "n5")
    net.ask("n2", "e", 1, "write", "x", "third")
    net.run(0.05)
    net.hosts["n2"].handle(lambda: net["n2"].on_timer("x"))
    net.run(20.0)
    net.restart("n1", "n3")
    net.run(0.1)
    for name in net.replicas:
        net.ask(name, f"reader of {name}", 1, "read", "x")
    net.run(200.0)
    return net


@pytest.mark.parametrize("amnesia", [False, True])
def test_what_is_chosen_stays_chosen(amnesia: bool) -> None:
    net = one_chosen_value([], amnesia=amnesia)
    assert not net.witness.broken and {read(net, name) for name in net.replicas} == {"second"}


@pytest.mark.parametrize("flaw", ["ignores-accepted", "accepted-not-persisted", "lowest-accepted-wins"])
def test_what_is_chosen_does_not_stay_chosen_with_this_flaw(flaw: str) -> None:
    net = one_chosen_value([flaw], amnesia=flaw == "accepted-not-persisted")
    assert net.witness.broken[0].law == ONE_VALUE


# ---- availability


def test_with_two_of_five_away_it_decides_and_with_three_it_waits() -> None:
    net = network(5)
    net.kill("n1", "n2")
    assert net.call("n3", "c", 1, "write", "x", 5).result is True
    net.kill("n3")
    stuck, known = net.ask("n4", "d", 1, "write", "y", 6), net.ask("n4", "e", 1, "read", "x")
    assert answered(net, known).result == 5, "what is decided is known for ever"
    net.run(2.0)
    assert stuck.outcome is None
    net.restart("n1")
    assert answered(net, stuck).result is True


def test_who_waits_too_long_is_told_that_nobody_knows() -> None:
    net = network(3, answer_seconds=1.0)
    net.kill("n2", "n3")
    assert answered(net, net.ask("n1", "c", 1, "write", "x", 5)).type == "info"


def test_the_journal_is_bounded_by_what_is_decided() -> None:
    net = network(3, snapshot_every=10)
    for number in range(50):
        assert net.call("n1", "c", number + 1, "write", f"k{number}", number).result is True
    net.run(0.1)
    assert all(len(host.durable) <= 12 for host in net.hosts.values())
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    assert all(read(net, "n2", f"k{number}") == number for number in range(50))
    assert net.call("n3", "c", 50, "write", "k49", 49).result is True, "asked again"


def test_a_second_change_that_another_machine_would_make_is_refused_for_certain() -> None:
    net = FakeNetwork(Paxos, 3, 1)
    assert net.call("n1", "c", 1, "write", "x", 5).type == "ok"
    assert net.call("n2", "d", 1, "write", "x", 6).type == "fail"
    assert net.call("n2", "d", 2, "cas", "x", [1, 2]).result is False


# ---- at length


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_it_never_decides_twice(seed: int) -> None:
    run(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 25 * block, 10_025 + 25 * block):
        print(f"seed {seed}")
        run(seed)


FOUND = {
    "promise-not-persisted": 10,
    "majority-off-by-one": 10,
    "same-number-twice": 10,
    "accepts-below-promise": 20,
    "answers-before-majority": 60,
    "local-reads": 20,
}
PLAYED = ["ignores-accepted", "accepted-not-persisted", "lowest-accepted-wins"]
"""Rare among random mishaps: the decision spreads within milliseconds. The tests above play them one by one."""


@pytest.mark.parametrize(("flaw", "limit"), FOUND.items())
def test_the_hammer_finds_this_flaw(flaw: str, limit: int) -> None:
    protocol = flawed("paxos", [flaw])
    finds(flaw, limit, lambda seed: run(seed, protocol))


def test_every_flaw_is_looked_for() -> None:
    own = [name for name, place in flaws_of("paxos").places.items() if place.startswith("node.flaws.paxos:")]
    assert sorted(own) == sorted([*FOUND, *PLAYED])
