"""The ground that a simulated run stands on: time, chance, clocks, disks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.cluster import Disk
from faults.parallel import in_parallel, in_turn
from harness.simulation.chance import Chance
from harness.simulation.clock import VirtualClock
from harness.simulation.copies import copy, decode, encode
from harness.simulation.disk import SyncFailed, VirtualDisk
from harness.simulation.loop import SECOND, Loop, TooManyEvents
from node.clock import SkewableClock

# Time


def test_events_happen_in_the_order_of_their_times_and_then_of_asking() -> None:
    loop, seen = Loop(), []
    for name, delay in (("late", 5), ("first", 1), ("second", 1), ("at once", 0)):
        loop.after(delay, seen.append, name)
    loop.at(-3, seen.append, "of the past")
    loop.run(10)
    assert seen == ["at once", "of the past", "first", "second", "late"]
    assert loop.now == 10


def test_time_passes_as_far_as_asked_and_what_is_due_then_happens() -> None:
    loop, seen = Loop(), []
    for number in range(5):
        loop.at(number * 100, seen.append, number)
    loop.run(200)
    assert (loop.now, seen) == (200, [0, 1, 2])
    loop.run(350)
    assert (loop.now, seen) == (350, [0, 1, 2, 3])


def test_a_stopped_loop_lets_nothing_more_happen() -> None:
    loop, seen = Loop(), []
    loop.at(5, seen.append, 1)
    loop.stopped = True
    loop.run(100)
    assert (loop.now, seen) == (0, [])


def test_replicas_that_answer_each_other_for_ever_come_to_an_end() -> None:
    loop = Loop(most_events=100)

    def again() -> None:
        loop.after(0, again)

    again()
    with pytest.raises(TooManyEvents, match="100 events within"):
        loop.run(SECOND)


# Chance


def test_sources_of_chance_go_by_their_names_and_not_by_who_came_first() -> None:
    one, other = Chance(7), Chance(7)
    other.stream("clients").random()
    assert one.stream("faults").random() == other.stream("faults").random()
    assert one.draw("late", "n1", 3) == other.draw("late", "n1", 3)
    assert one.draw("late", "n1", 3) != one.draw("late", "n1", 4) != Chance(8).draw("late", "n1", 4)
    assert 0.0 <= min(one.draw(n) for n in range(1_000)) < 0.01 < 0.99 < max(one.draw(n) for n in range(1_000)) < 1.0


def test_in_turn_nothing_is_done_by_threads_and_the_first_error_comes_last() -> None:
    seen: list[int] = []

    def step(number: int) -> int:
        seen.append(number)
        if number in (2, 3):
            raise ValueError(f"number {number}")
        return number

    with in_turn(), pytest.raises(ValueError, match="number 2"):
        in_parallel(step, [1, 2, 3, 4])
    assert seen == [1, 2, 3, 4]


# Copies


def test_a_copy_is_what_the_replicas_own_encoder_would_have_made() -> None:
    value = {"ballot": (1, 2), "entries": [[3, None]], "text": "naïve"}
    assert copy(value) == {"ballot": [1, 2], "entries": [[3, None]], "text": "naïve"}
    assert decode(encode({1: "a number as a key"})) == {"1": "a number as a key"}
    with pytest.raises(TypeError):
        encode({"a set": {1}})


# Clocks


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-5, 5), st.floats(0.1, 4)), max_size=8))
@settings(deadline=None)
def test_a_virtual_clock_shows_what_a_replicas_clock_would(skews: list[tuple[int, float, float]]) -> None:
    loop = Loop()
    virtual, real = VirtualClock(loop), SkewableClock(lambda: loop.now / SECOND)
    for seconds, offset, rate in skews:
        loop.run(loop.now + seconds * SECOND // 3)
        assert virtual.now() == pytest.approx(real.now(), abs=1e-6)
        virtual.set(offset, rate)
        real.set(offset, rate)
        assert virtual.now() == pytest.approx(real.now(), abs=1e-6)
        moment = real.now() + 1.5
        assert virtual.true_ns_until(moment) / SECOND == pytest.approx(real.true_seconds_until(moment), abs=1e-5)


def test_when_a_virtual_clock_says_so_the_moment_has_come() -> None:
    chance = random.Random(5)
    for _ in range(200):
        loop = Loop()
        loop.run(chance.randrange(10**12))
        clock = VirtualClock(loop, chance.uniform(-3, 3), chance.uniform(0.01, 5))
        moment = clock.now() + chance.uniform(0, 100)
        loop.run(loop.now + clock.true_ns_until(moment))
        assert clock.now() >= moment


def test_a_clock_can_not_stand_still_for_ever() -> None:
    with pytest.raises(ValueError, match="above 0"):
        VirtualClock(Loop()).set(0.0, 0.0)


def test_a_restarted_clock_runs_as_it_is_told_and_has_forgotten_what_it_showed() -> None:
    loop = Loop()
    clock = VirtualClock(loop, 100.0, 1.0)
    assert clock.now() == 100.0
    clock.restart(-3.0, 2.0)
    assert clock.now() == 0.0, "never less than nothing"
    loop.run(5 * SECOND)
    assert clock.now() == pytest.approx(7.0)
    assert clock.true_ns_until(9.0) == pytest.approx(SECOND, rel=1e-6)


# Disks


def disk_with(*texts: str) -> VirtualDisk:
    disk = VirtualDisk()
    for text in texts:
        disk.append({"text": text})
    return disk


def texts_on(disk: VirtualDisk) -> list[str]:
    return [record["text"] for record in disk.records()]


def test_what_is_synced_stays_and_what_is_not_is_gone() -> None:
    disk = disk_with("a", "b")
    assert disk.dirty
    disk.sync()
    assert not disk.dirty
    disk.append({"text": "c"})
    disk.tear(0.0)
    assert texts_on(disk) == ["a", "b"]


@pytest.mark.parametrize(("share", "kept"), [(0.0, []), (0.5, ["a", "b"]), (1.0, ["a", "b", "c", "d"])])
def test_a_torn_write_keeps_the_first_records(share: float, kept: list[str]) -> None:
    disk = disk_with("a", "b", "c", "d")
    disk.tear(share)
    assert texts_on(disk) == kept
    assert not disk.dirty


@pytest.mark.parametrize(("share", "kept"), [(0.0, ["old"]), (0.9, ["old"]), (1.0, ["new", "newer"])])
def test_a_journal_is_replaced_as_a_whole_or_not_at_all(share: float, kept: list[str]) -> None:
    disk = disk_with("old")
    disk.sync()
    disk.append({"text": "forgotten"})
    disk.compact([{"text": "new"}])
    disk.append({"text": "newer"})
    disk.tear(share)
    assert texts_on(disk) == kept


@pytest.mark.parametrize(
    ("state", "outcome", "words"), [(Disk(full=True), "full", "no space"), (Disk(sync_fails=True), "failed", "error")]
)
def test_a_disk_that_takes_no_more_says_so_at_the_sync(state: Disk, outcome: str, words: str) -> None:
    disk = disk_with("a")
    disk.state = state
    assert disk.outcome == outcome
    with pytest.raises(SyncFailed, match=words):
        disk.sync()


def test_what_was_appended_can_be_changed_afterwards() -> None:
    disk, record = VirtualDisk(), {"text": "as it was"}
    disk.append(record)
    record["text"] = "changed"
    disk.sync()
    disk.records()[0]["text"] = "changed too"
    assert texts_on(disk) == ["as it was"]
    disk.wipe()
    assert texts_on(disk) == []
