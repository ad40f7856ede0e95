"""The shapes of partitions, for every size of cluster."""

from __future__ import annotations

import random

import pytest

from faults.cluster import CLIENT, Condition, Link, Mode, all_links
from faults.fault import Injection, Setting
from faults.partitions import Partition, PartitionOptions, around_bridge, between, ring_neighbours, split
from tests.support.fake_cluster import FakeCluster

SIZES = range(2, 10)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"n{number}" for number in range(1, count + 1))


def inject(count: int, seed: int, **options: object) -> tuple[FakeCluster, Injection]:
    cluster = FakeCluster(count)
    partition = Partition(PartitionOptions.model_validate(options))
    return cluster, partition.inject(cluster.ground(), 1, random.Random(seed))


def problem(count: int, chief: str | None = "leader", **options: object) -> str | None:
    partition = Partition(PartitionOptions.model_validate(options))
    return partition.applies_to(Setting("local", names(count), "some-protocol", chief))


def islands(cluster: FakeCluster) -> list[set[str]]:
    """Groups of replicas that reach one another over links that are open in both directions."""
    left, groups = list(cluster.replicas), []
    while left:
        group, frontier = set(), [left[0]]
        while frontier:
            replica = frontier.pop()
            group.add(replica)
            left.remove(replica)
            frontier += [other for other in left if other not in frontier and sees(cluster, replica, other)]
        groups.append(group)
    return groups


def sees(cluster: FakeCluster, one: str, other: str) -> bool:
    cut = cluster.network.not_clear()
    return one == other or (Link(one, other) not in cut and Link(other, one) not in cut)


@pytest.mark.parametrize("count", SIZES)
def test_halves_are_the_first_half_by_number_and_the_rest(count: int) -> None:
    cluster, injection = inject(count, 1, shape="halves")
    assert islands(cluster) == [set(names(count)[: count // 2]), set(names(count)[count // 2 :])]
    assert injection.targets == names(count)[: count // 2]
    assert set(injection.links) == set(cluster.network.not_clear())


@pytest.mark.parametrize("count", SIZES)
def test_random_halves_have_the_sizes_of_halves_and_come_out_differently(count: int) -> None:
    drawn = set()
    for seed in range(40):
        cluster, injection = inject(count, seed, shape="random-halves")
        assert sorted(len(group) for group in islands(cluster)) == sorted([count // 2, count - count // 2])
        drawn.add(injection.targets)
    assert len(drawn) > 1


@pytest.mark.parametrize("count", SIZES)
def test_isolated_replicas_are_each_alone(count: int) -> None:
    cluster, injection = inject(count, 3, shape="isolate", target="one")
    assert {1, count - 1} == {len(group) for group in islands(cluster)}
    assert set(injection.targets) in islands(cluster)
    cluster, injection = inject(count, 3, shape="isolate", target="all")
    assert islands(cluster) == [{name} for name in names(count)]
    assert injection.targets == names(count)


@pytest.mark.parametrize("count", range(3, 10))
def test_a_bridge_joins_two_halves_that_do_not_see_each_other(count: int) -> None:
    for seed in range(10):
        cluster, injection = inject(count, seed, shape="bridge")
        bridges = [name for name in names(count) if all(sees(cluster, name, other) for other in names(count))]
        assert len(bridges) == 1
        assert bridges[0] not in injection.targets
        sides = [{o for o in names(count) if o != bridges[0] and sees(cluster, name, o)} for name in injection.targets]
        assert sorted({len(side) for side in sides}) in ([(count - 1) // 2], [(count - 1) // 2, count // 2])
        assert {frozenset(side) for side in sides} == {frozenset(sides[0]), frozenset(injection.targets) - sides[0]}


@pytest.mark.parametrize("count", range(3, 26))
def test_in_a_ring_everybody_sees_a_majority_and_no_two_the_same(count: int) -> None:
    majority = count // 2 + 1
    seen = ring_neighbours(names(count))
    assert all(name in seen[name] and all(name in seen[other] for other in seen[name]) for name in seen)
    assert len({frozenset(view) for view in seen.values()}) == count
    sizes = sorted(len(view) for view in seen.values())
    assert sizes[0] == majority
    # One replica sees one more where the pairs across the ring can't come out even: an odd number, an even majority.
    assert sizes == [majority] * count or (count % 2 and majority % 2 == 0 and sizes[-2:] == [majority, majority + 1])


@pytest.mark.parametrize("count", range(3, 10))
def test_the_ring_that_is_cut_is_the_ring_that_was_drawn(count: int) -> None:
    for seed in range(10):
        cluster, injection = inject(count, seed, shape="ring")
        order = injection.description.removeprefix("ring: around ").removesuffix(", drop").split()
        for name, view in ring_neighbours(order).items():
            assert {other for other in names(count) if sees(cluster, name, other)} == view


@pytest.mark.parametrize("count", SIZES)
def test_one_way_cuts_one_direction_only(count: int) -> None:
    cluster, _ = inject(count, 1, shape="one-way", target="n2")
    assert set(cluster.network.not_clear()) == {Link("n2", other) for other in names(count) if other != "n2"}
    cluster, _ = inject(count, 1, shape="one-way", target="n2", direction="incoming")
    assert set(cluster.network.not_clear()) == {Link(other, "n2") for other in names(count) if other != "n2"}


@pytest.mark.parametrize("shape", ["halves", "random-halves", "isolate", "bridge", "ring", "one-way"])
def test_clients_reach_everybody_unless_asked_for(shape: str) -> None:
    cluster, _ = inject(5, 1, shape=shape)
    assert cluster.network.not_clear()
    assert not [link for link in cluster.network.not_clear() if link.source == CLIENT]


def test_clients_are_cut_off_from_the_smaller_side() -> None:
    cluster, _ = inject(5, 1, shape="halves", clients=True, block="refuse")
    assert {link for link in cluster.network.not_clear() if link.source == CLIENT} == {
        Link(CLIENT, "n1"),
        Link(CLIENT, "n2"),
    }
    assert set(cluster.network.not_clear().values()) == {Condition(Mode.REFUSE)}
    cluster, injection = inject(4, 1, shape="isolate", clients=True)
    assert Link(CLIENT, injection.targets[0]) in cluster.network.not_clear()


def test_targets_of_a_partition_are_found_by_role() -> None:
    _, injection = inject(5, 1, shape="isolate", target="leader")
    assert injection.targets == ("n1",)
    assert injection.roles == {"n1": "leader"}
    assert injection.description == "isolate: n1 | n2 n3 n4 n5, drop"


@pytest.mark.parametrize("shape", ["halves", "random-halves", "isolate", "bridge", "ring", "one-way"])
def test_too_small_a_cluster_is_refused_with_what_would_do(shape: str) -> None:
    fewest = 3 if shape in ("bridge", "ring") else 2
    assert problem(fewest - 1, shape=shape) == (
        f"partition {shape!r} needs {fewest} replicas or more, here are {fewest - 1}: use more replicas"
    )
    assert problem(fewest, shape=shape) is None


def test_impossible_options_are_refused() -> None:
    assert problem(5, shape="ring", clients=True) == (
        "partition 'ring' has no side for the clients: leave `clients` out, or use shape 'isolate'"
    )
    assert "use 'leader'" in str(problem(5, shape="isolate", target="primary"))
    assert problem(5, shape="halves", target="primary") is None, "halves have no target"


def test_the_helpers_keep_everybody() -> None:
    for count in SIZES:
        assert [*split(names(count))[0], *split(names(count))[1]] == list(names(count))
        one, middle, other = around_bridge(names(count))
        assert sorted([*one, *middle, *other]) == sorted(names(count))
        assert len(between([[name] for name in names(count)])) == len(all_links(names(count))) - count
