"""What is injected when, from the seed alone."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from faults.schedule import LEAST_SECONDS, SPREAD, Planned, most_at_once, plan, subseed
from harness.spec import Choice, Stream

EPSILON = 0.002


def stream(*faults: str, for_seconds: float = 3.0, **fields: Any) -> Stream:
    return Stream(choices=[Choice(fault=fault, for_seconds=for_seconds) for fault in faults], **fields)


def without_number(planned: Planned) -> dict[str, Any]:
    return {**planned.as_json(), "number": None}


STREAMS = st.lists(
    st.builds(
        lambda faults, every, first, length, at: stream(
            *faults, for_seconds=length, every_seconds=every, first_seconds=first, at_seconds=at
        ),
        st.lists(st.sampled_from(["kill", "pause", "partition"]), min_size=1, max_size=3),
        st.floats(0.5, 20),
        st.floats(0, 30),
        st.floats(0.1, 10),
        st.none() | st.lists(st.floats(0, 40), max_size=5),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.floats(0.5, 60), st.integers(0, 2**32))
def test_every_plan_is_in_order_numbered_and_within_the_run(streams: list[Stream], length: float, seed: int) -> None:
    planned = plan(streams, length, seed)
    assert planned == plan(streams, length, seed)
    assert [one.number for one in planned] == list(range(1, len(planned) + 1))
    assert [one.at_seconds for one in planned] == sorted(one.at_seconds for one in planned)
    for one in planned:
        assert 0 <= one.at_seconds < one.until_seconds <= length + EPSILON
    assert len({one.seed for one in planned}) == len(planned)


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.lists(st.sampled_from(["reset", "slow"]), min_size=1, max_size=2), st.integers(0, 99), st.data())
def test_a_stream_more_changes_nothing_about_the_others(
    streams: list[Stream], faults: list[str], seed: int, data: st.DataObject
) -> None:
    before = [without_number(one) for one in plan(streams, 40, seed)]
    place = data.draw(st.integers(0, len(streams)))
    more = [*streams[:place], stream(*faults), *streams[place:]]
    after = [without_number(one) for one in plan(more, 40, seed)]
    assert [one for one in after if one["fault"] not in ("reset", "slow")] == before
    assert len(after) > len(before)


def test_other_seeds_give_other_plans_and_longer_runs_only_add() -> None:
    streams = [stream("kill", "pause", every_seconds=3)]
    assert plan(streams, 60, 1) != plan(streams, 60, 2)
    short, long = plan(streams, 30, 1), plan(streams, 60, 1)
    assert len(long) > len(short)
    assert short[:-1] == long[: len(short) - 1]


def test_intervals_are_drawn_around_what_was_asked_for() -> None:
    times = [one.at_seconds for one in plan([stream("kill", every_seconds=5, first_seconds=2)], 1000, 3)]
    assert times[0] == 2
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(5 * (1 - SPREAD) - EPSILON <= gap <= 5 * (1 + SPREAD) + EPSILON for gap in gaps)
    assert min(gaps) < 4.3
    assert max(gaps) > 5.7
    assert 4.8 < sum(gaps) / len(gaps) < 5.2


def test_fixed_times_are_kept_and_sorted() -> None:
    planned = plan([stream("kill", for_seconds=2, at_seconds=[7.5, 0, 3])], 20, 1)
    assert [(one.at_seconds, one.until_seconds) for one in planned] == [(0, 2), (3, 5), (7.5, 9.5)]


def test_no_schedule_no_injection() -> None:
    assert plan([stream("kill", every_seconds=None)], 20, 1) == []
    assert plan([], 20, 1) == []


def test_the_end_cuts_injections_short_but_not_to_nothing() -> None:
    length = 10.0
    at = [5.0, 8.0, length - LEAST_SECONDS, length - LEAST_SECONDS + 0.1, length, length + 5]
    planned = plan([stream("kill", for_seconds=4, at_seconds=at)], length, 1)
    assert [(one.at_seconds, one.until_seconds) for one in planned] == [(5, 9), (8, 10), (9, 10)]
    brief = plan([stream("kill", for_seconds=0.2, at_seconds=at)], length, 1)
    assert [one.at_seconds for one in brief] == [5, 8, 9, 9.1], "what was meant to be brief fits in"


def test_choices_are_drawn_by_weight() -> None:
    choices = [Choice(fault="kill", weight=3), Choice(fault="pause", weight=1)]
    counts = Counter(one.fault for one in plan([Stream(choices=choices, every_seconds=1)], 2000, 5))
    assert 0.7 < counts["kill"] / counts.total() < 0.8


def test_options_are_handed_on_as_they_are() -> None:
    choice = Choice(fault="kill", options={"target": "leader"})
    assert plan([Stream(choices=[choice])], 5, 1)[0].options == {"target": "leader"}


def test_how_many_are_active_at_once() -> None:
    assert most_at_once([]) == 0
    assert most_at_once(plan([stream("kill", for_seconds=1, at_seconds=[0, 1, 2])], 20, 1)) == 1
    overlapping = [stream("kill", for_seconds=4, at_seconds=[0, 1, 2]), stream("pause", for_seconds=9, at_seconds=[3])]
    assert most_at_once(plan(overlapping, 20, 1)) == 4


def test_subseeds_are_the_same_on_every_machine() -> None:
    assert subseed(1, "kill 1", "times") == 32394488895348
    assert subseed(1, "a", "b") != subseed(1, "b", "a") != subseed(2, "b", "a")
