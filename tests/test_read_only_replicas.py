"""Read-only replicas: how copies learn, how balancers choose, what clients then see; and proof that mistakes show."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.checkers.result import CheckResult
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec
from node.flaws import flawed, flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.read_only_replicas import ReadOnlyReplicas
from tests.support.fake_network import FakeNetwork, Weather
from tests.support.scenes import answered
from tests.support.simulations import simulated_spec

LIMITS = Limits(20.0, 512)


def network(replicas: int = 3, protocol: type[Protocol] = ReadOnlyReplicas, **options: Any) -> FakeNetwork:
    net = FakeNetwork(protocol, replicas, 1, options)
    net.run(0.3)
    return net


def write(net: FakeNetwork, value: Any, at: str = "n1", key: str = "x") -> None:
    assert answered(net, net.ask(at, f"writer at {net.now}", 1, "write", key, value)).type == "ok"


def read(net: FakeNetwork, replica: str, client: str = "reader", key: str = "x") -> Any:
    outcome = answered(net, net.ask(replica, client, net.unique(), "read", key))
    assert outcome.type == "ok", outcome
    return outcome.result


# ---- the origin


def test_it_is_known_by_its_name_and_the_lowest_number_is_the_origin() -> None:
    assert PROTOCOLS["read-only-replicas"] is ReadOnlyReplicas
    assert network().chiefs() == ["n1"]


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_a_change_goes_to_the_origin_wherever_it_is_asked_for_and_reaches_all(replicas: int) -> None:
    net = network(replicas)
    for value, name in enumerate(net.replicas):
        write(net, value, at=name)
    net.run(0.5)
    assert [net[name].number for name in net.replicas] == [replicas] * replicas
    assert [read(net, name) for name in net.replicas] == [replicas - 1] * replicas
    assert not net.witness.broken


def test_a_change_that_is_sent_again_elsewhere_is_done_once() -> None:
    net = network()
    copies = [net.ask(name, "c", 1, "cas", "x", [None, 1]) for name in ("n1", "n2", "n3", "n2")]
    assert [answered(net, copy).result for copy in copies] == [True] * 4
    assert answered(net, net.ask("n3", "c", 0, "write", "x", 7)).type == "info"
    net.kill("n1")
    net.restart("n1")
    assert answered(net, net.ask("n2", "c", 1, "cas", "x", [None, 1])).result is True


def test_while_the_origin_is_down_nothing_changes_and_copies_can_be_read() -> None:
    net = network(answer_seconds=1.0)
    write(net, 5)
    net.run(0.5)
    net.kill("n1")
    assert answered(net, net.ask("n2", "c", 1, "write", "x", 6)).type == "info"
    assert read(net, "n2") == read(net, "n3") == 5
    net.restart("n1")
    write(net, 7, at="n2")
    net.run(0.5)
    assert read(net, "n3") == 7 and not net.witness.broken


# ---- push


def test_a_copy_shows_the_past_until_it_is_pushed_to() -> None:
    net = network(balancer="none", push_seconds=0.5)
    write(net, 1)
    net.run(1.0)
    net.run_until(lambda: len(net["n1"].sent) == 2, 1.0)
    write(net, 2)
    assert (read(net, "n1"), read(net, "n2")) == (2, 1)
    net.run(0.6)
    assert read(net, "n2") == 2


def test_a_copy_that_was_cut_off_is_sent_what_it_missed() -> None:
    net = network(balancer="none")
    net.partition({"n1", "n2"}, {"n3"})
    for value in range(10):
        write(net, value)
    net.run(0.5)
    assert (read(net, "n2"), read(net, "n3")) == (9, None)
    net.heal()
    assert net.run_until(lambda: net["n3"].number == 10, 2.0)
    assert read(net, "n3") == 9 and not net.witness.broken


def test_lost_and_late_updates_are_sent_again_and_taken_in_order() -> None:
    net = network(5)
    net.weather = Weather(loss=0.2, duplication=0.2, straggling=0.2)
    for value in range(30):
        write(net, value, key=f"k{value % 3}")
    net.weather = Weather()
    assert net.run_until(lambda: {net[name].number for name in net.replicas} == {30}, 5.0)
    assert len({net[name].status()["digest"] for name in net.replicas}) == 1 and not net.witness.broken


def test_a_copy_keeps_what_it_has_on_disk_and_a_new_one_is_given_the_state() -> None:
    net = network(balancer="none", compact_every=10)
    for value in range(40):
        write(net, value, key=f"k{value % 3}")
    net.run(1.0)
    assert all(len(host.durable) <= 20 for host in net.hosts.values())
    net.kill("n1", "n2", "n3")
    net.hosts["n3"].durable.clear()
    net.witness.wiped(net.now_ns, "n3")
    net.restart("n2", "n3")
    net.run(0.1)
    assert read(net, "n2", key="k0") == 39 and read(net, "n3", key="k0") is None
    net.restart("n1")
    assert net.run_until(lambda: net["n3"].number == 40, 3.0)
    assert read(net, "n3", key="k0") == 39


# ---- pull


def test_a_fetched_answer_is_used_for_its_time_to_live_and_no_longer() -> None:
    net = network(balancer="none", spread="pull", ttl_seconds=1.0)
    write(net, 1)
    assert read(net, "n2") == 1
    write(net, 2)
    assert (read(net, "n2"), read(net, "n3")) == (1, 2)
    net.run(1.0)
    assert read(net, "n2") == 2


def test_many_who_ask_at_once_are_one_fetch() -> None:
    net = network(balancer="none", spread="pull")
    write(net, 1)
    net.sent.clear()
    answers = [net.ask("n2", f"c{number}", 1, "read", "x") for number in range(5)]
    assert [answered(net, answer).result for answer in answers] == [1] * 5
    assert net.sent["fetch"] == 1


@pytest.mark.parametrize("serve_stale", [False, True])
def test_a_copy_that_cannot_reach_the_origin_refuses_or_serves_what_it_has(serve_stale: bool) -> None:
    net = network(balancer="none", spread="pull", ttl_seconds=0.2, answer_seconds=1.0, serve_stale=serve_stale)
    write(net, 1)
    assert read(net, "n2") == 1
    net.kill("n1")
    net.run(0.5)
    late = answered(net, net.ask("n2", "c", 1, "read", "x"))
    assert (late.type, late.result) == (("ok", 1) if serve_stale else ("fail", None))


# ---- balancers


def test_hardware_sends_each_read_to_the_next_copy() -> None:
    net = network(4)
    write(net, 1)
    net.run(0.5)
    net.sent.clear()
    for _ in range(9):
        assert read(net, "n1") == 1
    assert net.sent["read"] == 9
    assert net["n1"].turn >= 9


def test_hardware_turns_to_another_copy_when_one_is_silent() -> None:
    net = network(3, retry_seconds=0.2)
    write(net, 1)
    net.run(0.5)
    net.kill("n3")
    began = net.now
    assert [read(net, "n1") for _ in range(4)] == [1] * 4
    assert net.now - began < 1.0, "at most one delay for each read that met the dead copy"


def test_a_client_of_dns_stays_with_its_copy_dead_or_alive_until_its_address_is_too_old() -> None:
    net = network(3, balancer="dns", dns_seconds=4.0)
    write(net, 1)
    net.run(0.5)
    assert read(net, "n1", "c") == 1
    home = net["n1"].addresses["c"].replica
    net.kill(home)
    waiting = net.ask("n1", "c", 2, "read", "x")
    net.run(2.0)
    assert waiting.outcome is None and home not in net["n1"].detector.alive()
    assert read(net, "n1", "newcomer") == 1
    assert answered(net, waiting).result == 1
    assert net["n1"].addresses["c"].replica != home


def test_without_copies_the_origin_answers() -> None:
    net = network(3)
    write(net, 1)
    net.kill("n2", "n3")
    net.run(2.0)
    assert read(net, "n1") == 1


# ---- what clients see


def run(seed: int = 1, **changes: Any) -> tuple[RunSpec, Simulated]:
    options, flaws, together = changes.pop("options", {}), changes.pop("flaws", []), changes.pop("together", 6)
    spec = simulated_spec(
        seed=seed,
        protocol={"name": "read-only-replicas", "options": options, "flaws": flaws},
        workload={"name": "register", "options": {"cas": 0, "read": 7, "processes_per_key": together}},
        **{"duration_seconds": 3.0, "clients": {"processes": 6, "rate_per_second": 100}, **changes},
    )
    return spec, simulate(spec, statuses=False)


def judged(checker: str, spec: RunSpec, simulated: Simulated) -> CheckResult:
    result: CheckResult = CHECKERS[checker]().check(spec, simulated.events, LIMITS)
    return result


SPREADS: list[dict[str, Any]] = [
    {"spread": "push", "balancer": "hardware"},
    {"spread": "push", "balancer": "dns", "dns_seconds": 0.7},
    {"spread": "pull", "balancer": "hardware"},
    {"spread": "pull", "balancer": "none"},
]


@pytest.mark.parametrize("options", SPREADS, ids=lambda options: " ".join(map(str, options.values())))
def test_reads_are_stale_and_not_linearizable_and_no_law_is_broken(options: dict[str, Any]) -> None:
    spec, simulated = run(options=options)
    assert judged("linearizable", spec, simulated).verdict == "violation"
    stale = judged("staleness", spec, simulated)
    assert stale.verdict == "valid" and stale.statistics["stale"] > 20
    assert not simulated.broken and simulated.stalled is None


def test_one_balancer_lets_time_go_back_and_the_other_less_so() -> None:
    back = {
        balancer: judged("staleness", *run(options={"balancer": balancer, "push_seconds": 0.2})).statistics[
            "back_in_time"
        ]
        for balancer in ("hardware", "dns")
    }
    assert back["dns"] <= back["hardware"]


def test_with_push_a_calm_cluster_is_behind_by_one_period_and_the_way() -> None:
    spec, simulated = run(options={"push_seconds": 0.3}, checks={"staleness_limit_ms": 320})
    stale = judged("staleness", spec, simulated)
    assert stale.verdict == "valid" and 100 < stale.statistics["most_ms"] <= 320


ROUGH: dict[str, Any] = {
    "name": "rough",
    "streams": [
        {"choices": [{"fault": "kill", "options": {"target": "one"}, "for_seconds": 0.5}], "every_seconds": 0.9},
        {"choices": [{"fault": "partition", "for_seconds": 0.6}], "every_seconds": 1.1, "first_seconds": 0.5},
        {"choices": [{"fault": "pause", "options": {"target": "one"}, "for_seconds": 0.7}], "every_seconds": 0.8},
        {"choices": [{"fault": "latency", "options": {"latency_ms": 300}, "for_seconds": 0.6}], "every_seconds": 1.3},
    ],
}

HURRIED = {"processes": 9, "rate_per_second": 150, "timeout_seconds": 0.6}


def bounded(seed: int) -> int:
    """A rough run in which nothing that is read was overwritten for longer than the time to live; how many were stale."""
    options = {"spread": "pull", "ttl_seconds": 0.3, "retry_seconds": 0.1}
    lossy = {"delay_ms": 5, "jitter_ms": 20, "lost": 0.02, "late": 0.05, "late_ms": 500}
    limit = {"staleness_limit_ms": 301}
    spec, simulated = run(
        seed, options=options, nemesis=ROUGH, simulation=lossy, checks=limit, replicas=3 + seed % 2, clients=HURRIED
    )
    stale = judged("staleness", spec, simulated)
    assert stale.verdict == "valid" and not simulated.broken, f"seed {seed}: {stale.sentence}"
    return int(stale.statistics["stale"])


def test_time_to_live_bounds_staleness_whatever_happens() -> None:
    assert sum(bounded(seed) for seed in range(3)) > 20


@pytest.mark.slow
def test_time_to_live_bounds_staleness_at_length() -> None:
    assert sum(bounded(seed) for seed in range(100, 130)) > 200


def test_who_asks_when_an_answer_was_long_on_its_way_waits_for_a_newer_one() -> None:
    net = network(3, balancer="none", spread="pull", ttl_seconds=0.5, retry_seconds=5.0)
    write(net, "old")
    net.weather = Weather(shortest_seconds=0.4, longest_seconds=0.4)
    early = net.ask("n2", "early", 1, "read", "x")
    net.run(1.15)  # at 0.4 s it is there and asks the origin, which answers at 0.8 s; the answer arrives at 1.2 s
    net.weather = Weather()
    write(net, "new")
    late = net.ask("n2", "late", 1, "read", "x")
    assert (answered(net, early).result, answered(net, late).result) == ("old", "new")


# ---- mistakes


def found(flaw: str) -> str | None:
    """What is found in a run of the flaw, by the checker of staleness or by a law."""
    options = {"spread": "pull"} if flaw == "time-to-live-never-ends" else {}
    lossy = {"delay_ms": 1, "lost": 0.05, "overtaking": 0.2}
    limit = {"staleness_limit_ms": 1500}
    spec, simulated = run(flaws=[flaw], together=1, options=options, simulation=lossy, checks=limit)
    if simulated.broken:
        return simulated.broken[0].law
    stale = judged("staleness", spec, simulated)
    return stale.findings[0].anomaly if stale.findings else None


FOUND = {
    "time-to-live-never-ends": "stale read",
    "copies-skip-gaps": "replicas that have as many updates are equal",
    "copies-take-writes": "an update's number names one update",
    "no-idempotence": "a request is carried out once",
}


@pytest.mark.parametrize("flaw", FOUND)
def test_a_mistake_is_found(flaw: str) -> None:
    assert found(flaw) == FOUND[flaw]


def test_every_mistake_is_looked_for() -> None:
    own = [name for name, place in flaws_of("read-only-replicas").places.items() if ".host:" not in place]
    assert sorted(FOUND) == sorted(own)
    assert all(issubclass(flawed("read-only-replicas", [flaw]), ReadOnlyReplicas) for flaw in FOUND)
