"""Who is hit."""

from __future__ import annotations

import random

import pytest

from faults.fault import Setting
from faults.targets import TARGETS, choose, target_problem, term_order
from tests.support.fake_cluster import FakeCluster


def setting(count: int = 5, chief: str | None = "leader") -> Setting:
    return Setting("local", tuple(f"n{number}" for number in range(1, count + 1)), "some-protocol", chief)


def pick(target: str, cluster: FakeCluster, seed: int = 0) -> tuple[str, ...]:
    return choose(target, cluster, random.Random(seed)).replicas


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1, {"one": 1, "majority": 1, "all": 1}),
        (2, {"one": 1, "majority": 2, "all": 2}),
        (3, {"one": 1, "minority": 1, "majority": 2, "all": 3}),
        (4, {"one": 1, "minority": 1, "majority": 3, "all": 4}),
        (5, {"one": 1, "minority": 2, "majority": 3, "all": 5}),
        (9, {"one": 1, "minority": 4, "majority": 5, "all": 9}),
    ],
)
def test_sizes(count: int, sizes: dict[str, int]) -> None:
    cluster = FakeCluster(count)
    for target, size in sizes.items():
        for seed in range(10):
            chosen = pick(target, cluster, seed)
            assert len(set(chosen)) == size
            assert list(chosen) == sorted(chosen)


def test_a_name_is_itself() -> None:
    assert pick("n3", FakeCluster(5)) == ("n3",)


@pytest.mark.parametrize("target", ["one", "minority", "majority"])
def test_chance_reaches_everybody_and_does_not_depend_on_the_cluster(target: str) -> None:
    healthy, ill = FakeCluster(5), FakeCluster(5)
    ill.states.update(n1="down", n2="paused")
    chosen = [pick(target, healthy, seed) for seed in range(60)]
    assert {name for names in chosen for name in names} == set(healthy.replicas)
    assert [pick(target, ill, seed) for seed in range(60)] == chosen


def test_the_chief_and_its_followers() -> None:
    for chief in ("leader", "primary"):
        cluster = FakeCluster(5, chief=chief, leader="n4")
        hit = choose(chief, cluster, random.Random(1))
        assert (hit.replicas, hit.roles, hit.note) == (("n4",), {"n4": chief}, "")
        followers = {pick("follower", cluster, seed) for seed in range(60)}
        assert followers == {("n1",), ("n2",), ("n3",), ("n5",)}


def test_of_several_leaders_the_one_with_the_highest_term_is_hit() -> None:
    cluster = FakeCluster(5, leader="n1")
    cluster.roles["n3"] = "leader"
    cluster.terms.update(n1="9.n1", n3="10.n3")
    hit = choose("leader", cluster, random.Random(1))
    assert hit.replicas == ("n3",)
    assert hit.note == "2 said they were the leader: n1 (term 9.n1), n3 (term 10.n3)"


def test_without_a_leader_anybody_is_hit_and_the_note_says_so() -> None:
    cluster = FakeCluster(5, leader="n2")
    cluster.states["n2"] = "down"
    hits = [choose("leader", cluster, random.Random(seed)) for seed in range(60)]
    assert {hit.replicas[0] for hit in hits} == set(cluster.replicas)
    assert {hit.note for hit in hits} == {"no leader to be found, so any replica"}


def test_a_replica_that_does_not_answer_is_no_follower() -> None:
    cluster = FakeCluster(3, leader="n1")
    cluster.silent.add("n2")
    assert {pick("follower", cluster, seed) for seed in range(20)} == {("n3",)}


def test_without_a_follower_that_answers_whoever_is_in_charge_is_spared() -> None:
    cluster = FakeCluster(3, leader="n1")
    cluster.states.update(n2="down", n3="down")
    hits = [choose("follower", cluster, random.Random(seed)) for seed in range(20)]
    assert {hit.replicas for hit in hits} == {("n2",), ("n3",)}
    assert {hit.note for hit in hits} == {"no follower answers, so any replica that doesn't say it is in charge"}


def test_terms_are_compared_as_numbers() -> None:
    assert term_order("10.n1") > term_order("9.n5")
    assert term_order("(3, n2)") > term_order("(3, n1)")
    assert term_order(7) > term_order(None)


def test_every_word_is_accepted_where_it_makes_sense() -> None:
    for target in [*TARGETS, "n1", "n5"]:
        assert (target_problem(target, setting()) is None) == (target != "primary")


@pytest.mark.parametrize(
    ("target", "where", "sentence"),
    [
        ("leader", setting(chief="primary"), "target 'leader': some-protocol has no leader: use 'primary'"),
        (
            "follower",
            setting(chief=None),
            "target 'follower': in some-protocol no replica is in charge: use 'one' or a replica's name",
        ),
        ("laeder", setting(), "unknown target 'laeder' (the replicas are n1 to n5): did you mean 'leader'?"),
        ("n6", setting(), "unknown target 'n6' (the replicas are n1 to n5): did you mean 'n5'?"),
        (
            "minority",
            setting(2),
            "target 'minority': of 2 replicas no minority can fail: use 'one', or 3 replicas or more",
        ),
        (
            "follower",
            setting(1),
            "target 'follower': a single replica follows nobody: use 'one', or 2 replicas or more",
        ),
    ],
)
def test_sentences(target: str, where: Setting, sentence: str) -> None:
    assert target_problem(target, where) == sentence
