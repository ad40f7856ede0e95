"""Quorum: its rules one by one, then random mishaps, and proof that those find bugs."""

from __future__ import annotations

from typing import Any

import pytest

from node.flaws import flawed, flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.quorum import Quorum
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork
from tests.support.hammer import Broken, Mishaps, finds, hammer
from tests.support.scenes import answered, read

HASTY = {"retry_seconds": 0.1, "answer_seconds": 2.0, "snapshot_every": 60}


class Skewed(Mishaps):
    """The usual mishaps, while every replica's clock runs at another speed."""

    def __init__(self, net: FakeNetwork) -> None:
        super().__init__(net)
        for place, host in enumerate(net.hosts.values()):
            host.rate = 1.0 + 0.2 * place


def make_clients(net: FakeNetwork) -> Clients:
    return Clients(net, 5, keys=("x", "y"), pause_seconds=0.04, patience_seconds=0.4, echoes=0.1)


def run(seed: int, protocol: type[Protocol] = Quorum, **options: Any) -> tuple[FakeNetwork, Clients]:
    replicas = 3 + 2 * (seed % 2)
    return hammer(protocol, seed, replicas, HASTY | options, make_clients=make_clients, mishaps=Skewed, converges=False)


def network(replicas: int = 3, seed: int = 1, protocol: type[Protocol] = Quorum, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, seed, options)
    net.run(0.01)
    return net


def test_any_name_that_json_has_may_be_a_clients() -> None:
    assert network().call("n1", "\ud800", 1, "write", "x", 5).type == "ok"


def client_of(net: FakeNetwork, replica: str) -> str:
    """A client whose first request is numbered by this replica."""
    names = (f"c{number}" for number in range(1000))
    return next(name for name in names if net[net.replicas[-1]]._numbers((name, 1)) == replica)


def test_it_is_known_by_its_name_and_nobody_is_in_charge() -> None:
    assert PROTOCOLS["quorum"] is Quorum
    assert Quorum.chief is None


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_what_is_written_anywhere_is_read_everywhere(replicas: int) -> None:
    net = network(replicas)
    assert read(net, "n1") is None
    for sequence, name in enumerate(net.replicas, 1):
        assert net.call(name, "c", sequence, "write", "x", sequence).type == "ok"
        assert [read(net, other) for other in net.replicas] == [sequence] * replicas


def test_what_would_need_agreement_is_refused_for_certain() -> None:
    assert network().call("n1", "c", 1, "cas", "x", [None, 1]).type == "fail"


def test_a_quiet_read_is_one_round_and_a_write_two() -> None:
    net = network(5)
    net.call("n1", client_of(net, "n1"), 1, "write", "x", 5)
    net.run(0.1)
    assert dict(net.sent) == {"ask": 4, "copy": 4, "store": 4, "stored": 4}
    net.sent.clear()
    assert read(net, "n3") == 5
    net.run(0.1)
    assert dict(net.sent) == {"ask": 4, "copy": 4}


def test_it_goes_on_without_a_minority_and_stops_without_a_majority() -> None:
    net = network(5)
    net.call("n1", client_of(net, "n4"), 1, "write", "x", 5)
    net.kill("n1", "n2")
    assert net.call("n3", client_of(net, "n5"), 1, "write", "x", 6).type == "ok"
    assert read(net, "n4") == 6
    net.kill("n3")
    stuck = net.ask("n4", "late", 1, "read", "x")
    net.run(1.0)
    assert stuck.outcome is None
    net.restart("n1")
    assert answered(net, stuck).result == 6


def two_reads(protocol: type[Protocol]) -> tuple[Any, Any]:
    """One that meets a write which only one replica has, and then one that misses that replica and the reader's own."""
    net = network(5, protocol=protocol, retry_seconds=50.0, answer_seconds=100.0)
    net.call("n2", client_of(net, "n2"), 1, "write", "x", "old")
    net.run(0.1)

    def strand(source: str, target: str, message: Any) -> None:
        if source == "n1" and message["type"] == "store":
            net.partition({"n1"}, {"n2", "n3", "n4", "n5"})

    net.spies.append(strand)
    net.ask("n1", client_of(net, "n1"), 1, "write", "x", "new")
    net.run(0.1)
    net.spies.remove(strand)
    net.heal()
    net.partition({"n1", "n2", "n3"}, {"n4", "n5"})
    first = read(net, "n2")
    net.kill("n1", "n2")
    net.heal()
    return first, read(net, "n3")


def test_a_read_that_meets_an_unfinished_write_finishes_it() -> None:
    assert two_reads(Quorum) == ("new", "new")


def test_without_write_back_the_new_value_is_read_before_the_old_one() -> None:
    assert two_reads(flawed("quorum", ["no-write-back"])) == ("new", "old")


def test_a_write_that_is_sent_again_elsewhere_is_done_once() -> None:
    net = network()
    client = client_of(net, "n2")
    copies = [net.ask(name, client, 1, "write", "x", "a") for name in ("n1", "n2", "n3", "n1")]
    assert [answered(net, copy).type for copy in copies] == ["ok"] * 4
    net.call("n3", "d", 1, "write", "x", "b")
    assert net.call("n1", client, 1, "write", "x", "a").type == "ok"
    assert read(net, "n3") == "b"
    net.kill("n2")
    net.restart("n2")
    assert net.call("n3", client, 1, "write", "x", "a").type == "ok"
    assert read(net, "n1") == "b", "what it numbered is on its disk"


def test_a_write_waits_for_the_replica_that_numbers_it_and_its_client_is_told() -> None:
    net = network(3, answer_seconds=1.0)
    client = client_of(net, "n2")
    net.kill("n2")
    outcome = answered(net, net.ask("n1", client, 1, "write", "x", "a"))
    assert outcome.type == "info" and "n2" in str(outcome.error)
    again = net.ask("n1", client, 1, "write", "x", "a")
    net.restart("n2")
    assert answered(net, again).type == "ok"


def test_small_quorums_read_what_is_old() -> None:
    net = network(3, read_quorum=1, write_quorum=1)
    net.partition({"n1"}, {"n2", "n3"})
    assert net.call("n1", client_of(net, "n1"), 1, "write", "x", 5).type == "ok"
    assert net.call("n2", "r", 1, "read", "x").result is None


def test_the_journal_is_bounded_by_keys_and_clients() -> None:
    net = network(3, snapshot_every=20)
    for sequence in range(1, 201):
        net.call("n1", "c", sequence, "write", f"k{sequence % 5}", sequence)
    net.run(0.5)
    assert all(len(host.durable) < 60 for host in net.hosts.values())
    net.kill(*net.replicas)
    net.restart(*net.replicas)
    assert sorted(read(net, "n2", f"k{place}") for place in range(5)) == [196, 197, 198, 199, 200]


# ---- at length


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_it_stays_linearizable(seed: int) -> None:
    run(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 50 * block, 10_050 + 50 * block):
        print(f"seed {seed}")
        run(seed)


def test_read_one_write_all_is_linearizable_too() -> None:
    for seed in range(0, 8, 2):
        print(f"seed {seed}")
        run(seed, read_quorum=1, write_quorum=3)


FOUND = {
    "versions-by-clock": 10,
    "quorums-do-not-overlap": 10,
    "retries-written-twice": 40,
}
PLAYED = ["no-write-back"]
"""Rare among random mishaps, as a reader keeps what it found; a test above plays it."""


@pytest.mark.parametrize(("flaw", "limit"), FOUND.items())
def test_the_hammer_finds_this_flaw(flaw: str, limit: int) -> None:
    protocol = flawed("quorum", [flaw])
    finds(flaw, limit, lambda seed: run(seed, protocol))


def test_small_quorums_are_caught_as_well() -> None:
    with pytest.raises(Broken):
        for seed in range(10):
            run(seed, read_quorum=1, write_quorum=1)


def test_every_flaw_is_looked_for() -> None:
    own = [name for name, place in flaws_of("quorum").places.items() if place.startswith("node.flaws.quorum:")]
    assert sorted(own) == sorted([*FOUND, *PLAYED])
