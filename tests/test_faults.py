"""Every fault: it bites, says so, heals, says so; and does not say so when it is not so."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.board import Hold
from faults.catalogue import FAULTS, BadFault, fault_problem, make_fault
from faults.cluster import CLEAR, Condition, Link, Mode, all_links
from faults.fault import Evidence, Injection, Setting
from faults.links import links_of
from faults.probing import MOST_PINGS
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
]


class Trial:
    """One fault on a cluster of its own."""

    def __init__(self, name: str, replicas: int = 5, seed: int = 1, **options: Any) -> None:
        self.cluster = FakeCluster(replicas)
        self.ground = self.cluster.ground()
        self.fault = make_fault(name, options)
        self.seed = seed
        self.injection: Injection | None = None

    def inject(self, number: int = 1) -> Injection:
        self.injection = self.fault.inject(self.ground, number, random.Random(self.seed))
        return self.injection

    def prove(self) -> Evidence:
        assert self.injection
        return self.fault.prove(self.ground, self.injection)

    def heal(self) -> None:
        assert self.injection
        self.fault.heal(self.ground, self.injection)

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
    trial.inject()
    assert trial.cluster.whole()
    evidence = trial.prove()
    assert evidence.effective is False, evidence
    assert evidence.detail.startswith("0 of "), evidence


@pytest.mark.parametrize(("name", "options"), EVERY_FAULT, ids=str)
def test_one_that_is_still_there_is_not_healed(name: str, options: dict[str, Any]) -> None:
    trial = Trial(name, **options)
    injection = trial.inject()
    conditions, states = dict(trial.cluster.network.real), dict(trial.cluster.states)
    trial.heal()
    trial.cluster.network.real, trial.cluster.states = conditions, states
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

    trial.cluster.hooks.update(kill=die, pause=die)
    with pytest.raises(Exception, match=r"proxies don't answer|engine fell over"):
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


@pytest.mark.parametrize(("name", "options"), [one for one in EVERY_FAULT if one[0] not in ("kill", "pause")], ids=str)
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


@pytest.mark.parametrize("name", ["partition", "latency", "slow", "reset"])
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
    assert described("partition", shape="one-way", target="n2") == "one-way: nothing from n2, drop"
    trial = Trial("pause", target="leader")
    trial.cluster.roles["n1"] = "follower"
    description = trial.inject().description
    assert description.endswith(" (no leader to be found, so any replica)")


# The catalogue


def test_names_and_summaries() -> None:
    assert list(FAULTS) == ["partition", "latency", "slow", "reset", "kill", "pause"]
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.summary
        assert fault_problem(name, {}, SETTING) is None, "defaults make sense in the default cluster"
        assert all(field.description for field in fault.Options.model_fields.values())


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("partitoin", {}, "unknown fault 'partitoin': did you mean 'partition'?"),
        ("zzz", {}, "unknown fault 'zzz': known are partition, latency, slow, reset, kill, pause"),
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
