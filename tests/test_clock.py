"""The skewable clock, and timers on it."""

from __future__ import annotations

import random
import time

import pytest

from node.clock import SkewableClock, Timers
from tests.support.replica_protocols import FakeTime


def test_it_shows_true_time_until_it_is_skewed() -> None:
    source = FakeTime(100)
    clock = SkewableClock(source)
    source.seconds += 5
    assert clock.now() == 105


def test_an_offset_and_a_rate_count_from_when_they_are_set() -> None:
    source = FakeTime(100)
    clock = SkewableClock(source)
    source.seconds = 110
    clock.set(30, 2)
    assert clock.now() == 140
    source.seconds = 115
    assert clock.now() == 150
    clock.set(50, 1)
    assert clock.now() == 165


def test_it_stands_still_rather_than_go_back() -> None:
    source = FakeTime(100)
    clock = SkewableClock(source)
    clock.set(-10, 1)
    assert clock.now() == 100
    source.seconds = 109
    assert clock.now() == 100
    source.seconds = 111
    assert clock.now() == 101


def test_what_it_could_have_shown_counts_although_nobody_looked() -> None:
    source = FakeTime(100)
    clock = SkewableClock(source)
    clock.set(0, 10)
    source.seconds = 101
    clock.set(0, 1)
    assert clock.now() == 110


def test_it_never_goes_back_whatever_is_set() -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    source = FakeTime()
    clock = SkewableClock(source)
    latest = clock.now()
    for _ in range(5000):
        source.seconds += chance.random()
        if chance.random() < 0.2:
            clock.set(chance.uniform(-20, 20), chance.choice([0.1, 0.5, 1, 2, 10]))
        assert clock.now() >= latest
        latest = clock.now()


def test_true_time_until_a_moment_takes_skew_into_account() -> None:
    source = FakeTime(100)
    clock = SkewableClock(source)
    clock.set(-10, 2)
    # It stands still for 5 s, and then makes 4 s in 2.
    assert clock.true_seconds_until(104) == 7
    source.seconds += 7
    assert clock.now() == 104
    assert clock.true_seconds_until(104) == 0


@pytest.mark.parametrize("rate", [0, -1])
def test_a_clock_that_stands_still_or_runs_backwards_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SkewableClock().set(0, rate)


def test_timers_go_off_in_the_order_in_which_they_are_due() -> None:
    source = FakeTime()
    timers = Timers(SkewableClock(source))
    timers.set("late", 3)
    timers.set("early", 1)
    assert timers.pop_due() is None
    assert timers.true_seconds_until_due() == pytest.approx(1)
    source.seconds += 5
    assert [timers.pop_due(), timers.pop_due(), timers.pop_due()] == ["early", "late", None]
    assert timers.true_seconds_until_due() is None


def test_a_timer_set_again_or_cancelled_does_not_go_off_as_it_was() -> None:
    source = FakeTime()
    timers = Timers(SkewableClock(source))
    timers.set("again", 1)
    timers.set("again", 10)
    timers.set("never", 1)
    timers.cancel("never")
    timers.cancel("unheard of")
    source.seconds += 5
    assert timers.pop_due() is None
    source.seconds += 6
    assert [timers.pop_due(), timers.pop_due()] == ["again", None]


def test_a_fast_clock_makes_timers_go_off_early_and_a_slow_one_late() -> None:
    source = FakeTime()
    clock = SkewableClock(source)
    timers = Timers(clock)
    timers.set("t", 10)
    clock.set(0, 5)
    assert timers.true_seconds_until_due() == pytest.approx(2)
    clock.set(0, 0.5)
    assert timers.true_seconds_until_due() == pytest.approx(20)
    source.seconds += 19
    assert timers.pop_due() is None
    source.seconds += 2
    assert timers.pop_due() == "t"


def test_timers_set_again_and_again_take_no_more_room() -> None:
    timers = Timers(SkewableClock(FakeTime()))
    for _ in range(10_000):
        timers.set("heartbeat", 60)
    assert len(timers._heap) < 100


def test_the_default_source_is_monotonic_time() -> None:
    before = time.monotonic()
    assert before <= SkewableClock().now() <= time.monotonic()
