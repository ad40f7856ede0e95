"""Who does what when, on a fake clock: these are numbers, nothing sleeps."""

from __future__ import annotations

from itertools import pairwise

import pytest

from harness.generator import Pace, draw, first_fresh, generation, successor, worker_of


def simulate(pace: Pace, worker: int, until: float, operation_seconds: float = 0.0) -> list[float]:
    """When the worker begins its operations, each of which keeps it busy for a while."""
    now, last, begun = 0.0, -1, []
    while True:
        turn = pace.next_turn(worker, last, now)
        if turn.seconds >= until:
            return begun
        assert turn.number > last
        assert turn.seconds >= now
        last = turn.number
        begun.append(turn.seconds)
        now = turn.seconds + operation_seconds


def test_a_process_tells_its_worker_and_its_generation() -> None:
    process = 3
    for generation_ in range(4):
        assert worker_of(process, 10) == 3
        assert generation(process, 10) == generation_
        process = successor(process, 10)
    assert process == 43


@pytest.mark.parametrize(("taken", "fresh"), [(10, 10), (11, 20), (1, 10), (44, 50)])
def test_a_fresh_row_begins_behind_all_numbers_taken(taken: int, fresh: int) -> None:
    assert first_fresh(taken, 10) == fresh


def test_draws_follow_from_seed_and_names_alone() -> None:
    assert draw(1, "a", 2).random() == draw(1, "a", 2).random()
    others = {draw(seed, name, number).random() for seed in range(3) for name in "ab" for number in range(3)}
    assert len(others) == 18


@pytest.mark.parametrize("rate", [1.0, 40.0, 1000.0])
@pytest.mark.parametrize("workers", [1, 7, 20])
def test_all_together_keep_the_rate(rate: float, workers: int) -> None:
    seconds = max(10.0, 20 * workers / rate)
    pace = Pace(5, workers, rate)
    count = sum(len(simulate(pace, worker, seconds)) for worker in range(workers))
    assert abs(count - rate * seconds) <= workers


def test_turns_are_spread_evenly_over_the_workers() -> None:
    pace = Pace(1, 10, 100.0)
    turns = sorted(turn for worker in range(10) for turn in simulate(pace, worker, 20.0))
    per_second = [sum(second <= turn < second + 1 for turn in turns) for second in range(20)]
    assert all(90 <= count <= 110 for count in per_second[1:])


def test_workers_do_not_march_in_step() -> None:
    pace = Pace(1, 2, 2.0)
    gaps = [b - a for a, b in zip(simulate(pace, 0, 40.0), simulate(pace, 1, 40.0), strict=False)]
    assert len({round(gap, 6) for gap in gaps}) == len(gaps)


def test_the_same_seed_gives_the_same_turns_and_another_one_others() -> None:
    assert simulate(Pace(1, 3, 30.0), 2, 5.0) == simulate(Pace(1, 3, 30.0), 2, 5.0)
    assert simulate(Pace(1, 3, 30.0), 2, 5.0) != simulate(Pace(2, 3, 30.0), 2, 5.0)


def test_a_worker_that_was_busy_skips_turns_and_never_floods() -> None:
    pace = Pace(3, 4, 40.0)  # a turn each 0.1 s
    assert pace.next_turn(1, 2, 60.0).seconds >= 60.0
    begun = simulate(pace, 1, 30.0, operation_seconds=0.35)
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert min(gaps) >= 0.35
    assert len(begun) >= 30.0 / 0.52


def test_an_idle_worker_misses_no_turn() -> None:
    for seed in range(5):
        pace = Pace(seed, 4, 40.0)
        number = -1
        for expected in range(300):
            number = pace.next_turn(2, number, pace.turn(2, number).seconds if number >= 0 else 0.0).number
            assert number == expected, f"seed {seed}"


def test_no_limit_means_at_once() -> None:
    turn = Pace(1, 4, 0.0).next_turn(2, 6, 12.5)
    assert turn == (7, 12.5)
