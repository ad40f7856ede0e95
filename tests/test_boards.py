"""The boards: overlapping claims give the strongest, releasing restores, and failures are mended later."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.board import DiskBoard, LinkBoard, WeatherBoard, strongest
from faults.clock_board import ClockBoard, Skew
from faults.cluster import (
    CALM,
    CLEAR,
    ClusterError,
    Condition,
    Disk,
    Link,
    Mode,
    NetworkError,
    Weather,
    all_links,
)
from faults.holds import Hold, ProcessBoard
from node.clock import SkewableClock
from tests.support.fake_cluster import FakeCluster

N1, N2, N3 = "n1", "n2", "n3"
LINKS = all_links((N1, N2))
LIMIT_SECONDS = 10.0

CONDITIONS = st.one_of(
    st.builds(
        Condition,
        st.just(Mode.LATENCY),
        st.sampled_from(["requests", "responses", "both"]),
        latency_ms=st.integers(1, 500),
        jitter_ms=st.integers(0, 50),
    ),
    st.builds(Condition, st.just(Mode.SLOW), rate_bytes_per_second=st.integers(1, 9).map(lambda k: k * 1000)),
    st.builds(Condition, st.just(Mode.DROP), st.sampled_from(["requests", "responses", "both"])),
    st.just(Condition(Mode.RESET)),
    st.just(Condition(Mode.REFUSE)),
)
CLAIMS = st.tuples(st.integers(1, 4), st.dictionaries(st.sampled_from(LINKS), CONDITIONS, min_size=1))
STEPS = st.lists(st.one_of(CLAIMS, st.integers(1, 4)), max_size=20)
"""Claims of injections 1 to 4, and (a bare number) releases."""


@given(STEPS, st.lists(st.booleans(), min_size=20, max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_network_is_always_what_all_claims_together_say(steps: list[object], broken: list[bool]) -> None:
    """Also after calls during which the network was broken: the next one that works puts everything right."""
    network = FakeCluster(2).network
    board = LinkBoard(network)
    claims: dict[int, dict[Link, Condition]] = {}
    for step, network.broken in zip(steps, broken, strict=False):
        try:
            if isinstance(step, tuple):
                claims.setdefault(step[0], {}).update(step[1])
                board.claim(*step)
            else:
                assert isinstance(step, int)
                claims.pop(step, None)
                board.release(step)
        except NetworkError:
            assert network.broken
            continue
        expected = {link: strongest(c[link] for c in claims.values() if link in c) for link in LINKS}
        assert {link: board.effective(link) for link in LINKS} == expected
        if not network.broken:
            assert network.real == expected
    network.broken = False
    for number in list(claims):
        board.release(number)
    board.close(LINKS)
    assert not network.not_clear()


@given(st.lists(CONDITIONS, min_size=1, max_size=5))
def test_the_strongest_does_not_depend_on_the_order_and_is_no_weaker_than_any(conditions: list[Condition]) -> None:
    result = strongest(conditions)
    assert strongest(reversed(conditions)) == result
    order = list(Mode)
    assert result.mode is max((condition.mode for condition in conditions), key=order.index)
    rivals = [condition for condition in conditions if condition.mode is result.mode]
    assert result.latency_ms == max(condition.latency_ms for condition in rivals)
    assert result.rate_bytes_per_second == min(condition.rate_bytes_per_second for condition in rivals)
    streams = {condition.streams for condition in rivals}
    assert result.streams == (streams.pop() if len(streams) == 1 else "both")


def test_two_black_holes_of_one_direction_each_are_one_of_both() -> None:
    assert strongest([Condition(Mode.DROP, "requests"), Condition(Mode.DROP, "responses")]) == Condition(Mode.DROP)
    assert strongest([]) == CLEAR


def test_only_differences_are_applied() -> None:
    network = FakeCluster(3).network
    board = LinkBoard(network)
    one, other = Link(N1, N2), Link(N2, N1)
    board.claim(1, {one: Condition(Mode.DROP)})
    board.claim(2, {one: Condition(Mode.LATENCY, latency_ms=5), other: Condition(Mode.DROP)})
    board.claim(3, {other: Condition(Mode.DROP)})
    board.release(1)
    board.release(1)
    board.release(2)
    board.release(3)
    assert network.applied == [
        {one: Condition(Mode.DROP)},
        {other: Condition(Mode.DROP)},
        {one: Condition(Mode.LATENCY, latency_ms=5)},
        {one: CLEAR},
        {other: CLEAR},
    ]


def test_stamps_tell_who_claims_and_that_something_happened() -> None:
    board = LinkBoard(FakeCluster(3).network)
    link, elsewhere = Link(N1, N2), Link(N2, N3)
    before, far = board.stamp(link), board.stamp(elsewhere)
    assert before.claimants == frozenset()
    board.claim(7, {link: Condition(Mode.RESET)})
    assert board.stamp(link).claimants == {7}
    board.release(7)
    assert board.stamp(link).claimants == frozenset()
    assert board.stamp(link) != before, "what came and went in between is seen"
    assert board.stamp(elsewhere) == far


def test_a_closed_board_is_clear_and_takes_no_claims() -> None:
    network = FakeCluster(2).network
    board = LinkBoard(network)
    board.claim(1, {LINKS[0]: Condition(Mode.DROP)})
    network.broken = True
    with pytest.raises(NetworkError):
        board.close(LINKS)
    network.broken = False
    board.close(LINKS)
    assert not network.not_clear()
    with pytest.raises(NetworkError, match="over"):
        board.claim(2, {LINKS[0]: Condition(Mode.DROP)})
    board.release(1)
    assert not network.not_clear()


PROCESS_STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 4), st.dictionaries(st.sampled_from([N1, N2]), st.sampled_from(Hold), min_size=1)),
        st.integers(1, 4),
    ),
    max_size=20,
)


@given(PROCESS_STEPS)
@settings(max_examples=60, deadline=None)
def test_replicas_are_always_what_all_holds_together_say(steps: list[object]) -> None:
    cluster = FakeCluster(2)
    board = ProcessBoard(cluster)
    claims: dict[int, dict[str, Hold]] = {}
    for step in steps:
        before = dict(cluster.states)
        if isinstance(step, tuple):
            claims.setdefault(step[0], {}).update(step[1])
            board.claim(*step)
        else:
            assert isinstance(step, int)
            claims.pop(step, None)
            board.release(step)
        for replica in cluster.replicas:
            holds = {held[replica] for held in claims.values() if replica in held}
            stays_down = Hold.AILING in holds and before[replica] == "down"
            expected = "down" if Hold.DOWN in holds or stays_down else "paused" if Hold.PAUSED in holds else "up"
            assert cluster.states[replica] == expected
            assert board.stamp(replica).claimants == {number for number, held in claims.items() if replica in held}
            assert not board.stamp(replica).busy
    for number in list(claims):
        board.release(number)
    assert cluster.whole()


def test_a_kill_of_a_paused_replica_that_is_healed_first() -> None:
    cluster = FakeCluster(3)
    board = ProcessBoard(cluster)
    board.claim(1, {N1: Hold.PAUSED})
    board.claim(2, {N1: Hold.DOWN})
    board.release(2)
    board.release(1)
    assert cluster.deeds == ["pause n1", "kill n1", "restart n1", "pause n1", "resume n1"]


def test_only_the_last_one_who_holds_a_replica_down_restarts_it() -> None:
    cluster = FakeCluster(3)
    board = ProcessBoard(cluster)
    board.claim(1, {N1: Hold.DOWN})
    board.claim(2, {N1: Hold.DOWN, N2: Hold.DOWN})
    board.release(1)
    assert cluster.states == {N1: "down", N2: "down", N3: "up"}
    board.release(2)
    assert sorted(cluster.deeds) == ["kill n1", "kill n2", "restart n1", "restart n2"]


def test_a_replica_that_cannot_come_back_does_not_keep_the_others_from_it() -> None:
    cluster = FakeCluster(3)
    board = ProcessBoard(cluster)
    board.claim(1, dict.fromkeys(cluster.replicas, Hold.DOWN))
    cluster.silent.add(N1)
    with pytest.raises(ClusterError, match="n1 did not answer"):
        board.release(1)
    assert cluster.states == {N1: "down", N2: "up", N3: "up"}
    with pytest.raises(ClusterError, match="n1 did not answer"):
        board.close()
    cluster.silent.clear()
    board.close()
    assert cluster.whole()


def test_closing_brings_up_what_died_on_its_own_and_takes_no_claims() -> None:
    cluster = FakeCluster(3)
    board = ProcessBoard(cluster)
    cluster.states[N2] = "down"
    board.claim(1, {N1: Hold.PAUSED})
    board.close()
    assert cluster.whole()
    with pytest.raises(ClusterError, match="over"):
        board.claim(2, {N1: Hold.DOWN})
    board.release(1)
    assert cluster.whole()


def test_a_replica_is_busy_while_it_is_being_changed_and_others_are_not_kept_waiting() -> None:
    cluster = FakeCluster(3)
    board = ProcessBoard(cluster)
    reached, go_on = threading.Event(), threading.Event()

    def stall(replica: str) -> None:
        if replica == N1:
            reached.set()
            assert go_on.wait(LIMIT_SECONDS)

    cluster.hooks["kill"] = stall
    killer = threading.Thread(target=board.claim, args=(1, {N1: Hold.DOWN}))
    killer.start()
    try:
        assert reached.wait(LIMIT_SECONDS)
        during = board.stamp(N1)
        assert during.busy
        board.claim(2, {N2: Hold.DOWN})
        assert cluster.states == {N1: "up", N2: "down", N3: "up"}
    finally:
        go_on.set()
        killer.join(LIMIT_SECONDS)
    assert not killer.is_alive()
    assert cluster.states[N1] == "down"
    after = board.stamp(N1)
    assert not after.busy
    assert after.version != during.version


def test_a_replica_that_dies_while_it_ails_is_brought_up_when_it_ails_no_more() -> None:
    cluster = FakeCluster(2)
    revived: list[str] = []
    board = ProcessBoard(cluster, revived.append)
    board.claim(1, {N1: Hold.AILING, N2: Hold.AILING})
    cluster.states[N1] = "down"
    board.claim(2, {N1: Hold.PAUSED})
    board.release(2)
    board.claim(3, {N1: Hold.DOWN})
    board.release(3)
    assert cluster.states == {N1: "down", N2: "up"}
    assert revived == []
    board.release(1)
    assert cluster.states == {N1: "up", N2: "up"}
    assert revived == [N1]


# Weather and disks


def test_the_worst_of_all_weathers_is_in_force() -> None:
    cluster = FakeCluster(2)
    board = WeatherBoard(cluster)
    link, other = LINKS[:2]
    board.claim(1, {link: Weather(lost=0.1, late=0.3, late_ms=20), other: Weather(lost=0.5)})
    board.claim(2, {link: Weather(lost=0.2, duplicated=0.1)})
    assert cluster.weather[link] == board.effective(link) == Weather(0.2, 0.1, 0.3, 20)
    assert board.effective(link, without=1) == Weather(0.2, 0.1)
    assert board.rivals(link, 1, "lost") == {2} and board.rivals(link, 1, "late") == frozenset()
    board.release(1)
    assert cluster.weather[link] == Weather(0.2, 0.1) and cluster.weather[other] == CALM
    board.close()
    assert cluster.whole()
    with pytest.raises(ClusterError, match="over"):
        board.claim(3, {link: Weather(lost=0.1)})


def test_the_faults_of_a_disk_add_up() -> None:
    cluster = FakeCluster(2)
    board = DiskBoard(cluster)
    board.claim(1, {N1: Disk(slow_ms=10)})
    board.claim(2, {N1: Disk(full=True)})
    board.claim(3, {N1: Disk(slow_ms=50, sync_fails=True)})
    assert cluster.disks[N1] == Disk(50, True, True)
    board.release(3)
    assert cluster.disks[N1] == Disk(10, True, False)
    board.release(1)
    board.release(2)
    assert cluster.whole()


def test_a_cluster_without_weather_and_disks_is_never_asked_for_them() -> None:
    cluster = FakeCluster(2)
    ground = cluster.ground()

    def refuse(*_: object) -> None:
        raise ClusterError("a fake cluster can't do that")

    cluster.set_weather = cluster.set_disk = cluster.set_clock = refuse  # type: ignore[method-assign, assignment]
    assert ground.close() == []


# Clocks


class Clocked:
    """A cluster whose time stands still unless it is told to pass."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(2)
        self.seconds = 100.0
        self.cluster.true_time = lambda: self.seconds
        self.cluster.clocks = {replica: SkewableClock(lambda: self.seconds + 7.0) for replica in (N1, N2)}
        self.board = ClockBoard(self.cluster)

    def ahead(self, replica: str = N1) -> float:
        """How far the clock is ahead of one that was never touched; as the board has it too."""
        self.agree(replica)
        return self.cluster.clocks[replica].now() - self.seconds - 7.0

    def agree(self, replica: str) -> None:
        course = self.board.course(replica)
        assert course is not None
        assert course.shows(self.seconds) == pytest.approx(self.cluster.clocks[replica].now())


def test_skews_add_up_and_go_away() -> None:
    world = Clocked()
    world.board.claim(1, {N1: Skew(5.0, 1.0)})
    assert world.ahead() == 5.0
    world.seconds += 1
    world.board.claim(2, {N1: Skew(1.0, 2.0)})
    assert world.ahead() == 6.0
    world.seconds += 3
    assert world.ahead() == 9.0
    world.board.release(1)
    assert world.ahead() == 9.0, "a clock that is set back stands still"
    world.seconds += 10
    assert world.ahead() == 11.0
    world.board.release(2)
    world.seconds += 12
    assert world.ahead() == 0.0
    assert world.board.course(N2) is None and world.cluster.whole()


def test_a_clock_knows_what_it_would_have_shown() -> None:
    world = Clocked()
    world.board.claim(1, {N1: Skew(0.0, 3.0)})
    world.seconds += 2
    world.board.release(1)
    world.seconds += 2
    course = world.board.course(N1)
    assert course is not None
    assert course.would_have_shown(world.seconds) == 7.0 + 100.0 + 4 * 3.0
    assert course.shows(world.seconds) == 7.0 + 100.0 + 2 * 3.0, "it stands still"


def test_a_clock_is_set_again_after_a_restart_and_set_right_after_a_pause() -> None:
    world = Clocked()
    ground = world.cluster.ground()
    world.board = ground.clocks
    ground.clocks.claim(1, {N1: Skew(5.0, 1.0), N2: Skew(5.0, 1.0)})
    ground.processes.claim(2, {N1: Hold.DOWN, N2: Hold.PAUSED})
    ground.processes.release(2)
    assert world.ahead(N1) == world.ahead(N2) == 5.0
    ground.processes.claim(3, {N2: Hold.PAUSED})
    ground.clocks.release(1)
    assert ground.clocks.course(N2) is None
    assert world.cluster.clocks[N2].offset_seconds == 5.0
    ground.processes.release(3)
    world.seconds += 6
    assert world.ahead(N1) == world.ahead(N2) == 0.0


def test_a_closed_board_makes_clocks_true_and_takes_no_claims() -> None:
    world = Clocked()
    world.board.claim(1, {N1: Skew(5.0, 1.0), N2: Skew(0.0, 1.5)})
    world.cluster.states[N1] = "down"
    world.board.close()
    assert world.cluster.clocks[N2].rate == 1
    with pytest.raises(ClusterError, match="over"):
        world.board.claim(2, {N1: Skew(1.0, 1.0)})
