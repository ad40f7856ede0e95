"""Leased primary: what the lease allows and forbids; then random mishaps on clocks that differ, and proof they find bugs."""

from __future__ import annotations

from typing import Any

import pytest

from node.flaws import flawed, flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.leased_primary import LeasedPrimary
from tests.support.fake_clients import Clients
from tests.support.fake_network import FakeNetwork
from tests.support.hammer import Broken, Mishaps, finds, hammer, runs_until_caught
from tests.support.raft_witness import Witness

HASTY = {
    "heartbeat_seconds": 0.05,
    "election_seconds": 0.1,
    "lease_seconds": 0.4,
    "max_drift": 0.2,
    "retry_seconds": 0.1,
    "answer_seconds": 2.0,
    "snapshot_every": 50,
}


class Drifting(Mishaps):
    """The usual mishaps on clocks that differ as much as is allowed; and often a primary that is cut off under load."""

    drift = 0.19

    def __init__(self, net: FakeNetwork) -> None:
        super().__init__(net)
        for host in net.hosts.values():
            host.rate = 1.0 + self.random.choice([-self.drift, 0.0, self.drift])

    def step(self) -> None:
        if self.random.random() < 0.4:
            self.maroon()
        else:
            super().step()

    def maroon(self) -> None:
        """Cut whoever is in charge off from all others, for about as long as a lease."""
        chiefs = self.net.chiefs()
        self.net.heal()
        self.net.calm() if hasattr(self.net, "calm") else None
        for chief in chiefs:
            self.net.partition({chief}, set(self.net.replicas) - {chief})
        self.net.run(self.random.uniform(0.3, 1.2))
        self.net.restart(*self.net.replicas)
        if self.random.random() < 0.5:
            self.net.heal()


class Racing(Drifting):
    """Clocks far beyond what is allowed."""

    drift = 0.6


def make_clients(net: FakeNetwork) -> Clients:
    return Clients(net, 6, keys=("x", "y"), pause_seconds=0.02, patience_seconds=0.3, echoes=0.05)


def run(
    seed: int, protocol: type[Protocol] = LeasedPrimary, mishaps: type[Mishaps] = Drifting
) -> tuple[FakeNetwork, Clients]:
    replicas = 3 + 2 * (seed % 2)
    witness = Witness if protocol is LeasedPrimary and mishaps is Drifting else None
    return hammer(protocol, seed, replicas, HASTY, witness, make_clients=make_clients, mishaps=mishaps)


def network(replicas: int = 3, seed: int = 1, protocol: type[Protocol] = LeasedPrimary, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, seed, options)
    assert net.run_until(lambda: len(net.chiefs()) == 1 and net[net.chiefs()[0]]._has_lease(), 5.0), net.log()
    net.run(0.5)
    return net


def test_it_is_known_by_its_name_and_has_a_chief() -> None:
    assert PROTOCOLS["leased-primary"] is LeasedPrimary
    assert LeasedPrimary.chief == "primary"


def test_a_lease_that_cannot_be_renewed_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="lease_seconds must be larger"):
        LeasedPrimary.Options(lease_seconds=0.05)


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_operations_are_carried_out_everywhere(replicas: int) -> None:
    net = network(replicas)
    primary = net.chiefs()[0]
    assert net.call(primary, "c", 1, "write", "x", 5).type == "ok"
    assert net.call(primary, "c", 2, "cas", "x", [5, 6]).result is True
    assert net.call(primary, "c", 3, "read", "x").result == 6
    net.run(0.5)
    assert len({net[name].status()["digest"] for name in net.replicas}) == 1 and not net.witness.broken


def test_a_read_under_the_lease_asks_nobody() -> None:
    net = network(5)
    primary = net.chiefs()[0]
    net.partition({primary}, set(net.replicas) - {primary})
    net.sent.clear()
    assert net.call(primary, "c", 1, "read", "x").type == "ok", "cut off, and still primary"
    assert not net.sent["append"]


def test_a_primary_that_is_cut_off_serves_until_its_lease_ends_and_no_other_is_named_before() -> None:
    net = network(5)
    old = net.chiefs()[0]
    cut_at = net.now
    net.partition({old}, set(net.replicas) - {old})
    assert net.run_until(lambda: not net[old]._has_lease(), 2.0)
    assert 0.8 < net.now - cut_at <= 1.0
    assert net.chiefs() in ([old], [])
    read = net.ask(old, "c", 1, "read", "x")
    assert net.run_until(lambda: any(name != old for name in net.chiefs()), 3.0), net.log()
    assert net.now - cut_at > 1.1, "who granted waits for longer"
    assert read.outcome is None or read.outcome.type == "fail"


def test_who_was_restarted_votes_for_nobody_until_a_lease_must_have_ended() -> None:
    net = network(3)
    old = net.chiefs()[0]
    others = [name for name in net.replicas if name != old]
    net.partition({old}, set(others))
    killed_at = net.now
    net.kill(*others)
    net.restart(*others)
    assert net.run_until(lambda: any(name != old for name in net.chiefs()), 4.0), net.log()
    assert net.now - killed_at > 1.2


def stale_read(protocol: type[Protocol], granter: float, primary: float, *, amnesia: bool = False) -> Any:
    """What a primary that is cut off answers after another was named; None if it doesn't.

    With `amnesia` the others forget what they granted: they are restarted.
    """
    net = network(3, protocol=protocol, max_drift=0.2, election_seconds=0.2)
    old = net.chiefs()[0]
    net.call(old, "c", 1, "write", "x", "old")
    for name, host in net.hosts.items():
        shown = host.now()
        host.rate = primary if name == old else granter
        shift = shown - net.now * host.rate
        host.now = lambda host=host, shift=shift: net.now * host.rate + shift  # type: ignore[method-assign,misc]
    net.run(0.4)
    net.partition({old}, set(net.replicas) - {old})
    if amnesia:
        others = [name for name in net.replicas if name != old]
        net.kill(*others)
        net.restart(*others)
    assert net.run_until(lambda: any(name != old for name in net.chiefs()), 9.0), net.log()
    new = next(name for name in net.chiefs() if name != old)
    assert net.call(new, "d", 1, "write", "x", "new").type == "ok"
    answer = net.ask(old, "e", 1, "read", "x")
    net.run(0.05)
    return answer.outcome.result if answer.outcome and answer.outcome.type == "ok" else None


def test_clocks_within_the_bound_do_no_harm_and_beyond_it_they_do() -> None:
    assert stale_read(LeasedPrimary, 1.0, 1.0) is None
    assert stale_read(LeasedPrimary, 1.2, 0.8) is None
    assert stale_read(LeasedPrimary, 2.5, 0.8) == "old"


@pytest.mark.parametrize(
    ("flaw", "granter", "primary"),
    [("ignores-drift", 1.2, 0.8), ("new-primary-does-not-wait", 1.0, 1.0), ("serves-after-expiry", 1.0, 1.0)],
)
def test_what_each_rule_of_the_lease_is_for(flaw: str, granter: float, primary: float) -> None:
    assert stale_read(flawed("leased-primary", [flaw]), granter, primary) == "old"


@pytest.mark.parametrize("flaws", [[], ["forgets-grants"]])
def test_who_forgets_in_a_restart_what_it_granted_must_wait(flaws: list[str]) -> None:
    assert stale_read(flawed("leased-primary", flaws), 1.0, 1.0, amnesia=True) == ("old" if flaws else None)


@pytest.mark.parametrize("flaws", [[], ["no-fencing"]])
def test_a_late_message_of_an_earlier_reign_undoes_nothing(flaws: list[str]) -> None:
    net = network(3, protocol=flawed("leased-primary", flaws))
    old = net.chiefs()[0]
    others = [name for name in net.replicas if name != old]
    late: list[Any] = []
    net.spies.append(lambda source, target, message: late.append((source, target, message)))
    net.partition({old}, set(others))
    for number in range(2):  # the first would stand where the next reign's no-op does
        net.ask(old, f"c{number}", 1, "write", "x", "of the earlier reign")
        net.run(0.02)
    appends = [(target, message) for source, target, message in late if source == old and message["type"] == "append"]
    assert net.run_until(lambda: any(name in others for name in net.chiefs()), 5.0), net.log()
    new = next(name for name in net.chiefs() if name in others)
    backup = next(name for name in others if name != new)
    assert net.call(new, "d", 1, "write", "x", "acknowledged").type == "ok"
    net.kill(new)
    net.spies.clear()
    message = [message for target, message in appends if target == backup][1]
    net.hosts[backup].handle(lambda: net[backup].on_message(old, message))
    net.heal()
    assert net.run_until(lambda: net.chiefs() != [] and net[net.chiefs()[0]]._has_lease(), 9.0), net.log()
    result = net.call(net.chiefs()[0], "e", 1, "read", "x").result
    assert (result == "acknowledged") is (not flaws)


# ---- at length


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_it_stays_linearizable_while_clocks_keep_within_the_bound(seed: int) -> None:
    run(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_whatever_happens_at_length(block: int) -> None:
    for seed in range(10_000 + 10 * block, 10_010 + 10 * block):
        print(f"seed {seed}")
        run(seed)


@pytest.mark.slow
def test_clocks_beyond_the_bound_are_found_out() -> None:
    assert runs_until_caught(lambda seed: run(seed, mishaps=Racing), 30) is not None


FOUND = {"serves-after-expiry": 20}
RARE = {"new-primary-does-not-wait": 30}
PLAYED = ["ignores-drift", "forgets-grants", "no-fencing"]
"""Rare among random mishaps: each needs several at the right moments. The tests above play them one by one."""


@pytest.mark.parametrize(
    ("flaw", "limit"), [*FOUND.items(), *(pytest.param(*rare, marks=pytest.mark.slow) for rare in RARE.items())]
)
def test_the_hammer_finds_this_flaw(flaw: str, limit: int) -> None:
    protocol = flawed("leased-primary", [flaw])
    finds(flaw, limit, lambda seed: run(seed, protocol))


def test_every_flaw_is_looked_for() -> None:
    places = flaws_of("leased-primary").places
    own = [name for name, place in places.items() if place.startswith("node.flaws.leased_primary:")]
    assert sorted(own) == sorted([*FOUND, *RARE, *PLAYED])


def test_what_the_hammer_raises_is_a_broken_law() -> None:
    assert issubclass(Broken, AssertionError)
