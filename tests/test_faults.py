"""Every fault: it bites, says so, heals, says so; and does not say so when it is not so."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.catalogue import FAULTS, BadFault, fault_problem, make_fault
from faults.clock_board import Skew
from faults.cluster import CLEAR, Condition, Disk, Link, Mode, Weather, all_links
from faults.fault import Evidence, Injection, Setting
from faults.holds import Hold
from faults.links import links_of
from faults.messages import MOST_TEST_MESSAGES, messages_to_tell
from faults.probing import MOST_PINGS
from node.clock import SkewableClock
from tests.support.fake_cluster import FakeCluster

SETTING = Setting("local", ("n1", "n2", "n3", "n4", "n5"), "multi-paxos", "leader")

EVERY_FAULT: list[tuple[str, dict[str, Any]]] = [
    *(
        ("partition", {"shape": shape, "block": block})
        for shape in ("halves", "random-halves", "isolate", "bridge", "ring", "one-way")
        for block in ("drop", "refuse")
    ),
    ("partition", {"shape": "halves", "clients": True}),
    ("latency", {}),
    ("latency", {"target": "one", "links": "clients"}),
    ("latency", {"target": "one", "links": "both", "latency_ms": 8_000, "jitter_ms": 0}),
    ("slow", {}),
    ("slow", {"rate_bytes_per_second": 1_000, "target": "majority", "links": "both"}),
    ("reset", {}),
    ("kill", {}),
    ("kill", {"target": "all"}),
    ("pause", {"target": "minority"}),
    ("wipe", {"target": "minority"}),
    ("clock", {}),
    ("clock", {"offset_seconds": -3.0, "target": "all"}),
    ("clock", {"offset_seconds": 0.0, "rate": 1.5}),
    ("message-loss", {}),
    ("message-loss", {"share": 1.0, "target": "one", "links": "both"}),
    ("duplicate", {"share": 0.05}),
    ("reorder", {"target": "one", "links": "clients"}),
    ("disk-slow", {"target": "all"}),
    ("disk-full", {}),
    ("sync-fails", {"target": "minority"}),
]
OF_LINKS = ("partition", "latency", "slow", "reset")
OF_MESSAGES = ("message-loss", "duplicate", "reorder")
SIMULATED_ONLY = (*OF_MESSAGES, "disk-slow", "disk-full", "sync-fails")
SIMULATED = replace(SETTING, cluster="simulated")


class Trial:
    """One fault on a cluster of its own."""

    def __init__(self, name: str, replicas: int = 5, seed: int = 1, **options: Any) -> None:
        self.cluster = FakeCluster(replicas)
        self.seconds = 100.0
        """What the clocks go by. Time passes after each change."""
        self.cluster.true_time = lambda: self.seconds
        self.cluster.clocks = {name: SkewableClock(lambda: self.seconds) for name in self.cluster.replicas}
        self.ground = self.cluster.ground()
        self.fault = make_fault(name, options)
        self.seed = seed
        self.injection: Injection | None = None

    def inject(self, number: int = 1) -> Injection:
        self.injection = self.fault.inject(self.ground, number, random.Random(self.seed))
        self.seconds += 1
        return self.injection

    def prove(self) -> Evidence:
        assert self.injection
        return self.fault.prove(self.ground, self.injection)

    def heal(self) -> None:
        assert self.injection
        self.fault.heal(self.ground, self.injection)
        self.seconds += 1

    def prove_healed(self) -> Evidence:
        assert self.injection
        return self.fault.prove_healed(self.ground, self.injection)


@pytest.mark.parametrize(("name", "options"), EVERY_FAULT, ids=str)
def test_it_bites_and_heals_and_proves_both(name: str, options: dict[str, Any]) -> None:
    trial = Trial(name, **options)
    injection = trial.inject()
    assert not trial.cluster.whole()
    assert injection.targets
    assert set(injection.roles) == set(injection.targets)
    evidence = trial.prove()
    assert evidence.effective is True, evidence
    assert evidence.measurements
    assert all(measurement["as_expected"] for measurement in evidence.measurements)
    trial.heal()
    assert trial.cluster.whole()
    evidence = trial.prove_healed()
    assert evidence.effective is True, evidence
    assert evidence.measurements
    trial.heal()
    assert trial.cluster.whole(), "healing twice does no harm"


@pytest.mark.parametrize(("name", "options"), EVERY_FAULT, ids=str)
def test_one_that_does_not_bite_is_not_proved(name: str, options: dict[str, Any]) -> None:
    trial = Trial(name, **options)
    trial.cluster.network.deaf = set(Mode) - {Mode.CLEAR}
    trial.cluster.immortal = set(trial.cluster.replicas)
    trial.cluster.weatherproof = set(trial.cluster.weather)
    trial.inject()
    assert trial.cluster.whole()
    evidence = trial.prove()
    assert evidence.effective is False, evidence
    assert evidence.detail.startswith("0 of "), evidence


@pytest.mark.parametrize(("name", "options"), EVERY_FAULT, ids=str)
def test_one_that_is_still_there_is_not_healed(name: str, options: dict[str, Any]) -> None:
    trial = Trial(name, **options)
    injection = trial.inject()
    put_back = trial.cluster.reality()
    trial.heal()
    put_back()
    trial.seconds += 1
    evidence = trial.prove_healed()
    # Links that are a little late or slow look as on a busy machine: nobody can tell, but nobody says they are mended.
    little = injection.fault == "slow" or (injection.fault == "latency" and options.get("latency_ms") != 8_000)
    assert evidence.effective is (None if little else False), evidence


@pytest.mark.parametrize(("name", "options"), EVERY_FAULT, ids=str)
def test_the_same_seed_hits_the_same_in_the_same_way(name: str, options: dict[str, Any]) -> None:
    first, again = Trial(name, seed=5, **options), Trial(name, seed=5, **options)
    assert first.inject() == again.inject()
    assert first.cluster.network.real == again.cluster.network.real


@pytest.mark.parametrize("name", FAULTS)
def test_an_injection_that_failed_half_way_is_healed_all_the_same(name: str) -> None:
    trial = Trial(name, target="all") if name != "partition" else Trial(name)
    trial.cluster.network.broken = True

    def die(replica: str) -> None:
        if replica == "n2":
            raise RuntimeError("the engine fell over")

    trial.cluster.hooks.update(dict.fromkeys(("kill", "pause", "wipe", "clock", "disk"), die))
    with pytest.raises(Exception, match=r"proxies don't answer|weather doesn't change|engine fell over"):
        trial.inject()
    assert not trial.cluster.whole()
    trial.cluster.hooks.clear()
    trial.cluster.network.broken = False
    trial.fault.heal(trial.ground, Injection(name, 1, (), "failed"))
    assert trial.cluster.whole()


# Overlaps: what another fault spoils proves nothing


def test_links_that_others_hold_too_are_left_out() -> None:
    trial = Trial("partition", shape="halves")
    trial.inject()
    trial.ground.links.claim(2, {Link("n1", "n3"): Condition(Mode.REFUSE)})
    evidence = trial.prove()
    assert evidence.effective is True
    assert "1 left out: another fault holds n1->n3 too" in evidence.detail
    assert "n1->n3" not in {measurement["link"] for measurement in evidence.measurements}
    trial.heal()
    assert trial.cluster.network.real[Link("n1", "n3")] == Condition(Mode.REFUSE)
    healed = trial.prove_healed()
    assert healed.effective is True
    assert "1 left out" in healed.detail


@pytest.mark.parametrize(
    ("name", "options", "other", "effective", "healed"),
    [
        ("partition", {}, Condition(Mode.LATENCY, latency_ms=100), True, True),
        ("partition", {}, Condition(Mode.LATENCY, latency_ms=450), None, None),
        ("partition", {}, Condition(Mode.SLOW, rate_bytes_per_second=4_000), True, True),
        ("partition", {}, Condition(Mode.RESET), True, None),
        ("partition", {}, Condition(Mode.DROP), None, None),
        ("partition", {"block": "refuse"}, Condition(Mode.DROP), True, None),
        ("reset", {}, Condition(Mode.LATENCY, latency_ms=100), True, True),
        ("reset", {}, Condition(Mode.REFUSE), None, None),
        (
            "latency",
            {"latency_ms": 500, "jitter_ms": 0},
            Condition(Mode.LATENCY, "requests", latency_ms=100),
            True,
            True,
        ),
        (
            "latency",
            {"latency_ms": 500, "jitter_ms": 0},
            Condition(Mode.LATENCY, "requests", latency_ms=400),
            None,
            None,
        ),
        ("latency", {}, Condition(Mode.DROP), None, None),
        ("latency", {}, Condition(Mode.SLOW, rate_bytes_per_second=1_000), None, None),
        ("slow", {}, Condition(Mode.LATENCY, latency_ms=100), None, None),
        ("slow", {}, Condition(Mode.RESET), None, None),
    ],
    ids=str,
)
def test_what_can_be_proved_beside_another_fault_on_the_same_links(
    name: str, options: dict[str, Any], other: Condition, effective: bool | None, healed: bool | None
) -> None:
    trial = Trial(name, **options)
    trial.ground.links.claim(2, dict.fromkeys(all_links(trial.cluster.replicas), other))
    trial.inject()
    assert trial.prove().effective is effective
    trial.heal()
    assert trial.prove_healed().effective is healed


CONDITIONS = st.one_of(
    st.builds(
        Condition,
        st.just(Mode.LATENCY),
        st.sampled_from(["requests", "both"]),
        latency_ms=st.sampled_from([1, 20, 50, 90, 100, 300, 490, 600, 5_000]),
    ),
    st.builds(Condition, st.just(Mode.SLOW), rate_bytes_per_second=st.sampled_from([1_000, 2_000, 5_000, 90_000])),
    st.sampled_from([CLEAR, Condition(Mode.RESET), Condition(Mode.DROP), Condition(Mode.REFUSE)]),
)


@pytest.mark.parametrize(("name", "options"), [one for one in EVERY_FAULT if one[0] in OF_LINKS], ids=str)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_overlap_makes_a_proof_say_what_is_not_so(name: str, options: dict[str, Any], data: st.DataObject) -> None:
    trial = Trial(name, replicas=3, **options)
    links = all_links(trial.cluster.replicas)
    board, network = trial.ground.links, trial.cluster.network
    board.claim(2, {link: data.draw(CONDITIONS) for link in links})
    trial.inject()
    in_force = dict(network.real)
    assert trial.prove().effective is not False
    network.real.update({link: board.effective(link, without=1) for link in links})
    assert trial.prove().effective is not True, "the fault does not bite, others only look like it"
    trial.heal()
    assert trial.prove_healed().effective is not False
    network.real.update(in_force)
    if name == "partition" and options.get("block") == "refuse":
        assert trial.prove_healed().effective is not True, "nothing mends a refusal"


def test_links_of_replicas_that_are_not_up_are_left_out() -> None:
    trial = Trial("partition", shape="isolate", target="n1")
    trial.inject()
    trial.ground.processes.claim(2, {"n2": Hold.PAUSED})
    trial.cluster.states["n3"] = "down"
    evidence = trial.prove()
    assert evidence.effective is True
    assert "another fault holds n2" in evidence.detail
    probed = " ".join(measurement["link"] for measurement in evidence.measurements)
    assert "n2" not in probed
    assert "n3" not in probed


@pytest.mark.parametrize("name", OF_LINKS)
def test_with_nothing_left_to_measure_nothing_is_said(name: str) -> None:
    trial = Trial(name)
    trial.inject()
    trial.ground.processes.claim(2, dict.fromkeys(trial.cluster.replicas, Hold.DOWN))
    assert (trial.prove().effective, trial.prove().detail) == (None, "not measured: another fault holds n1")
    trial.heal()
    assert trial.prove_healed().effective is None


def test_a_fault_that_comes_and_goes_during_a_ping_spoils_it() -> None:
    trial = Trial("partition", shape="halves", replicas=2)
    trial.inject()

    def interfere(link: str) -> None:
        trial.cluster.hooks.clear()
        trial.ground.links.claim(2, {Link("n1", "n2"): Condition(Mode.REFUSE)})
        trial.ground.links.release(2)

    trial.cluster.hooks["ping"] = interfere
    evidence = trial.prove()
    assert "another fault touched n1->n2 meanwhile" in evidence.detail
    assert len(evidence.measurements) == 1


@pytest.mark.parametrize("name", ["kill", "pause"])
def test_a_replica_that_was_down_already_proves_nothing(name: str) -> None:
    trial = Trial(name, target="n2")
    trial.ground.processes.claim(7, {"n2": Hold.DOWN})
    trial.inject()
    assert (trial.prove().effective, trial.prove().detail) == (None, "not measured: n2 was down already")
    trial.heal()
    assert trial.cluster.states["n2"] == "down"
    assert (trial.prove_healed().effective, trial.prove_healed().detail) == (
        None,
        "not measured: another fault holds n2",
    )


def test_a_kill_of_a_paused_replica_counts_and_a_pause_that_is_killed_does_not() -> None:
    pause = Trial("pause", target="n2")
    pause.inject(1)
    kill = make_fault("kill", {"target": "n2"})
    injection = kill.inject(pause.ground, 2, random.Random(1))
    assert kill.prove(pause.ground, injection).effective is True
    assert pause.prove().effective is None


def test_a_silent_replica_has_not_come_back() -> None:
    trial = Trial("kill", target="n2")
    trial.inject()
    trial.heal()
    trial.cluster.silent.add("n2")
    assert trial.prove_healed().effective is False


def test_a_partition_that_cuts_more_than_it_should_is_not_proved() -> None:
    trial = Trial("partition", shape="halves")
    trial.inject()
    trial.cluster.network.real[Link("n4", "n5")] = Condition(Mode.DROP)
    evidence = trial.prove()
    assert evidence.effective is False
    assert evidence.detail == "8 of 8 cut links let no ping through; 7 of 8 links beside them did"


@pytest.mark.parametrize("asked", ["drop", "refuse"])
def test_a_black_hole_and_a_refusal_are_not_taken_for_one_another(asked: str) -> None:
    trial = Trial("partition", block=asked)
    injection = trial.inject()
    other = Condition(Mode.REFUSE if asked == "drop" else Mode.DROP)
    trial.cluster.network.real.update(dict.fromkeys(injection.links, other))
    assert trial.prove().effective is False


# The faults of links


def test_links_of_targets() -> None:
    replicas = ("n1", "n2", "n3")
    between = {Link("n1", "n2"), Link("n2", "n1"), Link("n2", "n3"), Link("n3", "n2")}
    assert set(links_of(["n2"], replicas, "replicas")) == between
    assert links_of(["n2"], replicas, "clients") == (Link("client", "n2"),)
    assert set(links_of(["n2"], replicas, "both")) == {*between, Link("client", "n2")}
    assert set(links_of(replicas, replicas, "both")) == set(all_links(replicas))


def test_jitter_is_drawn_for_each_link_and_stays() -> None:
    trial = Trial("latency", latency_ms=100, jitter_ms=40)
    trial.inject()
    conditions = [condition for link, condition in trial.cluster.network.real.items() if link.source != "client"]
    drawn = {condition.latency_ms for condition in conditions}
    assert len(drawn) > 5
    assert all(60 <= latency_ms <= 140 for latency_ms in drawn)
    assert {condition.jitter_ms for condition in conditions} == {0}
    assert {condition.streams for condition in conditions} == {"requests"}


def test_a_latency_that_is_too_short_is_not_proved() -> None:
    trial = Trial("latency", latency_ms=100, jitter_ms=0)
    injection = trial.inject()
    too_short = Condition(Mode.LATENCY, "requests", latency_ms=80)
    trial.cluster.network.real.update(dict.fromkeys(injection.links, too_short))
    assert trial.prove().effective is False


def test_what_cannot_be_measured_is_not_judged() -> None:
    latency = Trial("latency", latency_ms=10, jitter_ms=0)
    latency.inject()
    assert latency.prove() == Evidence(None, "not measured: less than 20 ms can't be told from none")
    slow = Trial("slow", rate_bytes_per_second=50_000)
    slow.inject()
    sentence = "not measured: a ping is too small for 50000 bytes/s, up to 6000 can be proved"
    assert slow.prove() == Evidence(None, sentence)


def test_a_busy_machine_does_not_make_a_healing_look_failed() -> None:
    for latency_ms, healed in ((50, None), (500, True)):
        trial = Trial("latency", latency_ms=latency_ms, jitter_ms=0)
        trial.inject()
        trial.heal()
        trial.cluster.hop_seconds = 0.08
        assert trial.prove_healed().effective is healed
    assert "took 80 ms" not in trial.prove_healed().detail
    trial.cluster.hop_seconds = 0.6
    assert trial.prove_healed().effective is False


def test_of_many_links_a_sample_is_pinged() -> None:
    trial = Trial("latency", replicas=9, latency_ms=500, jitter_ms=0)
    trial.inject()
    assert trial.prove().effective is True
    assert len(trial.cluster.pings) == MOST_PINGS


def test_descriptions_are_for_people() -> None:
    def described(name: str, **options: Any) -> str:
        return Trial(name, **options).inject().description

    assert described("latency", target="n2") == "100 ms +- 50 ms on 8 links of n2"
    assert described("slow", target="n2", links="clients") == "2000 bytes/s on 1 client link of n2"
    assert described("reset", target="n2", links="both") == "on 9 replica and client links of n2"
    assert described("kill", target="leader") == "n1"
    assert described("wipe", target="leader") == "n1"
    assert described("clock", target="n2") == "+5 s on n2"
    assert described("clock", target="n2", offset_seconds=-1.5, rate=0.5) == "-1.5 s, 0.5 times as fast on n2"
    assert described("message-loss", target="n2") == "20% of messages lost on 8 links of n2"
    assert described("duplicate", target="n2", links="clients") == (
        "20% of messages delivered twice within 200 ms on 1 client link of n2"
    )
    assert described("reorder", target="n2", share=0.5) == "50% of messages late by up to 200 ms on 8 links of n2"
    assert described("disk-slow", target="n2") == "100 ms on n2"
    assert described("disk-full", target="n2") == "on n2"
    assert described("partition", shape="one-way", target="n2") == "one-way: nothing from n2, drop"
    trial = Trial("pause", target="leader")
    trial.cluster.roles["n1"] = "follower"
    description = trial.inject().description
    assert description.endswith(" (no leader to be found, so any replica)")


# Wiping


def test_wiping_says_what_was_forgotten() -> None:
    trial = Trial("wipe", target="n2")
    injection = trial.inject()
    assert trial.cluster.states["n2"] == "down" and trial.cluster.stored_bytes["n2"] == 0
    assert injection.details == {"wiped": {"n2": {"bytes_before": 1000, "bytes_after": 0}}}
    (measurement,) = trial.prove().measurements
    assert measurement == {
        "replica": "n2",
        "state": "down",
        "bytes_before": 1000,
        "bytes_after": 0,
        "as_expected": True,
    }


def test_wiping_what_is_empty_proves_nothing() -> None:
    trial = Trial("wipe", target="n2")
    trial.cluster.stored_bytes["n2"] = 0
    trial.inject()
    assert trial.prove() == Evidence(None, "not measured: nobody knows that n2 had stored anything")


def test_a_replica_that_is_being_wiped_is_not_brought_up_by_others() -> None:
    trial = Trial("wipe", target="n2")
    trial.ground.processes.claim(7, {"n2": Hold.DOWN})
    trial.cluster.hooks["wipe"] = lambda replica: trial.ground.processes.release(7)
    trial.inject()
    assert "restart n2" not in trial.cluster.deeds
    assert trial.prove().effective is True
    trial.heal()
    assert trial.cluster.whole()


# Clocks


def test_a_drift_is_proved_as_soon_as_it_can_be_seen() -> None:
    trial = Trial("clock", target="n2", offset_seconds=0, rate=1.02)
    trial.inject()
    assert trial.prove() == Evidence(None, "not measured: it is too early to see whether the clock of n2 was set")
    trial.seconds += 2
    evidence = trial.prove()
    assert evidence.effective is True
    assert evidence.measurements[0]["ahead_seconds"] == 0.06


def test_a_clock_that_is_set_back_must_stand_still() -> None:
    trial = Trial("clock", target="n2", offset_seconds=60)
    trial.inject()
    trial.heal()
    evidence = trial.prove_healed()
    assert evidence.effective is True
    (measurement,) = evidence.measurements
    assert measurement == {"replica": "n2", "ahead_seconds": 59.0, "expected_seconds": 59.0, "as_expected": True}


def test_a_clock_that_takes_its_time_to_be_set_is_not_taken_for_a_wrong_one() -> None:
    trial = Trial("clock", target="n2", offset_seconds=-3.0)

    def dawdle(replica: str) -> None:
        trial.seconds += 0.1

    trial.cluster.hooks["clock"] = dawdle
    trial.inject()
    assert trial.prove().effective is True
    trial.heal()
    assert trial.prove_healed().effective is True


def test_what_a_clock_shows_beside_other_faults() -> None:
    trial = Trial("clock", target="n2")
    trial.inject()
    trial.ground.processes.claim(2, {"n2": Hold.PAUSED})
    assert trial.prove().detail == "not measured: another fault holds n2"
    trial.ground.processes.release(2)
    trial.ground.clocks.claim(3, {"n2": Skew(1.0, 1.0)})
    assert trial.prove().detail == "not measured: another fault skews n2 too"
    trial.ground.clocks.release(3)
    trial.seconds += 2
    assert trial.prove().effective is True


def test_a_clock_of_a_replica_that_is_down_is_skewed_when_it_comes_back() -> None:
    trial = Trial("clock", target="n2")
    trial.ground.processes.claim(2, {"n2": Hold.DOWN})
    trial.inject()
    assert trial.prove().effective is None
    trial.ground.processes.release(2)
    assert trial.prove().effective is True
    trial.heal()
    trial.seconds += 10
    assert trial.cluster.whole()


# Messages and disks


@pytest.mark.parametrize("name", SIMULATED_ONLY)
@pytest.mark.parametrize("kind", ["local", "docker"])
def test_what_would_do_nothing_is_refused_with_what_would(name: str, kind: str) -> None:
    problem = fault_problem(name, {}, replace(SETTING, cluster=kind))
    assert problem is not None
    assert problem.startswith(f"{name}: ")
    assert kind in problem and "use `cluster: simulated`, or the fault" in problem


@pytest.mark.parametrize("name", OF_MESSAGES)
def test_what_messages_suffer_anyway_is_neither_proof_nor_harm(name: str) -> None:
    usual = Weather(lost=0.1, duplicated=0.1, late=0.1, late_ms=10)
    trial = Trial(name)
    trial.cluster.usual = usual
    trial.inject()
    assert trial.prove().effective is True
    trial.heal()
    assert trial.prove_healed().effective is True
    trial = Trial(name)
    trial.cluster.usual = usual
    trial.cluster.weatherproof = set(trial.cluster.weather)
    trial.inject()
    assert trial.prove().effective is False


def test_a_little_more_than_usual_is_not_judged() -> None:
    trial = Trial("message-loss", share=0.01)
    trial.cluster.usual = Weather(lost=0.3)
    trial.inject()
    assert trial.prove() == Evidence(None, "not measured: 30.7% can't be told from the usual 30%")


def test_the_same_kind_of_weather_by_another_fault_proves_nothing_and_another_kind_does_no_harm() -> None:
    trial = Trial("message-loss", target="n2")
    injection = trial.inject()
    trial.ground.weather.claim(2, dict.fromkeys(injection.links, Weather(late=0.5, late_ms=100)))
    assert trial.prove().effective is True
    trial.ground.weather.claim(3, dict.fromkeys(injection.links, Weather(lost=0.05)))
    assert "another fault has messages lost on" in trial.prove().detail
    trial.heal()
    assert trial.prove_healed().effective is None
    trial.ground.weather.release(3)
    assert trial.prove_healed().effective is True


def test_how_many_messages_it_takes() -> None:
    assert messages_to_tell(0.0, 1.0) == 10
    assert messages_to_tell(0.0, 0.2) == 62
    assert messages_to_tell(0.0, 0.01) <= MOST_TEST_MESSAGES, "every share that may be asked for can be proved"
    assert messages_to_tell(0.1, 0.28) > messages_to_tell(0.001, 0.28) > messages_to_tell(0.0, 0.28)


@pytest.mark.parametrize("name", ["disk-full", "sync-fails"])
def test_a_replica_that_a_disk_has_ended_is_up_when_the_disk_is_mended(name: str) -> None:
    trial = Trial(name, target="n2")
    trial.inject()
    trial.cluster.states["n2"] = "down"
    trial.ground.processes.claim(2, {"n2": Hold.PAUSED})
    trial.ground.processes.release(2)
    assert trial.cluster.states["n2"] == "down"
    assert trial.prove().effective is True
    trial.heal()
    assert trial.cluster.whole()
    evidence = trial.prove_healed()
    assert evidence.effective is True
    assert evidence.detail == "1 of 1 disks take what is written; 1 of 1 replicas are up and answer"


def test_a_replica_that_does_not_come_back_after_its_disk_is_not_healed() -> None:
    trial = Trial("disk-full", target="n2")
    trial.inject()
    trial.heal()
    trial.cluster.silent.add("n2")
    assert trial.prove_healed().effective is False
    trial.ground.processes.claim(2, {"n2": Hold.DOWN})
    assert trial.prove_healed() == Evidence(None, "not measured: another fault holds n2")


def test_a_disk_that_others_spoil_too_proves_nothing() -> None:
    trial = Trial("disk-slow", target="n2")
    trial.inject()
    trial.ground.disks.claim(2, {"n2": Disk(full=True)})
    assert trial.prove() == Evidence(None, "not measured: another fault spoils the disk of n2 too")
    trial.heal()
    assert trial.prove_healed().effective is None


def test_a_disk_that_was_slow_already_is_as_slow_as_it_is_asked_to_be() -> None:
    trial = Trial("disk-slow", target="n2")
    trial.ground.disks.claim(2, {"n2": Disk(slow_ms=80)})
    trial.inject()
    trial.ground.disks.release(2)
    assert trial.prove().effective is True
    trial.heal()
    assert trial.prove_healed().effective is True


def test_a_replica_that_may_die_on_its_own_proves_no_kill_and_no_pause() -> None:
    for name in ("kill", "pause"):
        trial = Trial(name, target="n2")
        trial.ground.processes.claim(2, {"n2": Hold.AILING})
        trial.inject()
        trial.cluster.states["n2"] = "down"
        assert trial.prove() == Evidence(None, "not measured: another fault holds n2")


# The catalogue


def test_names_and_summaries() -> None:
    assert tuple(FAULTS) == (*OF_LINKS, "kill", "pause", "wipe", "clock", *SIMULATED_ONLY)
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.summary
        assert fault_problem(name, {}, SIMULATED) is None, "defaults make sense, if the cluster can do it"
        assert (fault_problem(name, {}, SETTING) is not None) == (name in SIMULATED_ONLY)
        assert all(field.description for field in fault.Options.model_fields.values())


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("partitoin", {}, "unknown fault 'partitoin': did you mean 'partition'?"),
        ("zzz", {}, f"unknown fault 'zzz': known are {', '.join(FAULTS)}"),
        ("kill", {"taget": "n1"}, "fault 'kill': unknown option 'taget': did you mean 'target'?"),
        ("kill", {"target": "primary"}, "target 'primary': multi-paxos has no primary: use 'leader'"),
        (
            "partition",
            {"shape": "star"},
            "fault 'partition': option 'shape': Input should be 'halves', 'random-halves', 'isolate', 'bridge', "
            "'ring' or 'one-way', and not 'star'",
        ),
        (
            "latency",
            {"latency_ms": 20, "jitter_ms": 20},
            "fault 'latency': jitter_ms (20) has to be less than latency_ms (20)",
        ),
        (
            "slow",
            {"rate_bytes_per_second": 1500},
            "fault 'slow': option 'rate_bytes_per_second': Input should be a multiple of 1000, and not 1500",
        ),
    ],
)
def test_problems_are_sentences(name: str, options: dict[str, Any], sentence: str) -> None:
    assert fault_problem(name, options, SETTING) == sentence


def test_links_between_replicas_need_two_of_them() -> None:
    single = Setting("local", ("n1",), "multi-paxos", "leader")
    assert fault_problem("reset", {}, single) == (
        "reset on links between replicas needs 2 replicas or more: use `links: clients`"
    )
    assert fault_problem("reset", {"links": "clients"}, single) is None
    assert fault_problem("kill", {}, single) is None


def test_what_cannot_be_made_raises() -> None:
    with pytest.raises(BadFault, match="unknown fault"):
        make_fault("flood", {})


def test_the_fake_is_honest() -> None:
    """The tests above are worth as much as the fake cluster's network."""
    cluster = FakeCluster(2)
    link = Link("n1", "n2")
    outcomes = {}
    for mode in Mode:
        condition = Condition(mode, "requests", latency_ms=30, rate_bytes_per_second=1000)
        cluster.network.apply({link: condition if mode is not Mode.CLEAR else CLEAR})
        outcomes[mode.value] = cluster.ping(link, 0.5).outcome
    assert outcomes == {
        "clear": "ok",
        "latency": "ok",
        "slow": "ok",
        "reset": "closed",
        "drop": "timeout",
        "refuse": "refused",
    }
