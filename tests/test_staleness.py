"""The checker `staleness`: never more than is true, nor less than can be; and what it measures of small stories."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.spec import ChecksSpec, Named, ProtocolSpec, RunSpec

MS = 1_000_000


def spec(limit_ms: float | None = None) -> RunSpec:
    return RunSpec(
        campaign="test",
        cell="test",
        seed=1,
        protocol=ProtocolSpec(name="any"),
        machine="kv",
        workload=Named(name="register"),
        checks=ChecksSpec(staleness_limit_ms=limit_ms),
    )


@dataclass
class Op:
    """An operation, its times in milliseconds; without an end its outcome is unknown."""

    process: int
    f: str
    value: Any
    begin: float
    end: float | None
    result: Any = None
    type: str = "ok"


def events_of(*operations: Op) -> list[Event]:
    moments: list[tuple[float, int, Event]] = []
    for one in operations:
        asked = None if one.f == "read" else one.value
        common: Event = {"process": one.process, "f": one.f, "key": "x"}
        moments.append((one.begin, 0, {**common, "type": "invoke", "value": asked}))
        if one.end is not None:
            result = one.value if one.f == "read" else one.result
            moments.append((one.end, 1, {**common, "type": one.type, "value": asked, "result": result}))
    moments.sort(key=lambda moment: moment[:2])
    return [{**event, "index": n, "time": round(at * MS)} for n, (at, _, event) in enumerate(moments)]


def judged(*operations: Op, limit_ms: float | None = None) -> CheckResult:
    result: CheckResult = CHECKERS["staleness"]().check(spec(limit_ms), events_of(*operations), Limits())
    return result


def figures(*operations: Op) -> tuple[Any, ...]:
    told = judged(*operations).statistics
    return tuple(told[name] for name in ("stale", "back_in_time", "missed_own", "most_ms", "at_most_ms"))


WRITE_1, WRITE_2 = Op(1, "write", 1, 0, 10), Op(1, "write", 2, 20, 30)


# ---- small stories


def test_who_reads_the_latest_value_is_not_stale() -> None:
    assert figures(WRITE_1, WRITE_2, Op(2, "read", 2, 40, 50))[:4] == (0, 0, 0, 0)


def test_a_read_is_stale_from_when_the_next_write_had_returned() -> None:
    assert figures(WRITE_1, WRITE_2, Op(2, "read", 1, 100, 110)) == (1, 0, 0, 70.0, 90.0)


def test_a_read_that_was_called_while_the_next_write_was_open_is_not_certainly_stale() -> None:
    assert figures(WRITE_1, WRITE_2, Op(2, "read", 1, 25, 60)) == (0, 0, 0, 0, 40.0)


def test_a_write_that_was_open_together_with_another_does_not_certainly_overwrite_it() -> None:
    assert figures(WRITE_1, Op(3, "write", 2, 5, 30), Op(2, "read", 1, 100, 110))[0] == 0
    assert figures(WRITE_1, Op(3, "write", 2, 11, 30), Op(2, "read", 1, 100, 110))[0] == 1


def test_a_write_of_unknown_outcome_overwrites_only_once_it_was_seen() -> None:
    unknown = Op(3, "write", 2, 20, None)
    assert figures(WRITE_1, unknown, Op(2, "read", 1, 100, 110))[0] == 0
    assert figures(WRITE_1, unknown, Op(4, "read", 2, 40, 50), Op(2, "read", 1, 100, 110))[::3] == (1, 50.0)


def test_what_a_compare_and_set_replaced_is_overwritten() -> None:
    swap = Op(3, "cas", [1, 2], 5, 30, True)
    assert figures(WRITE_1, swap, Op(2, "read", 1, 100, 110))[::3] == (1, 70.0)
    refused = Op(3, "cas", [7, 2], 15, 30, False)
    assert figures(WRITE_1, refused, Op(2, "read", 1, 100, 110))[0] == 0


def test_nothing_is_older_than_anything() -> None:
    assert figures(WRITE_1, Op(2, "read", None, 100, 110)) == (1, 0, 0, 90.0, 110.0)
    assert figures(Op(2, "read", None, 100, 110))[:4] == (0, 0, 0, 0)


def test_a_client_that_reads_the_new_value_and_then_the_old_one_went_back_in_time() -> None:
    seen = [Op(2, "read", 2, 40, 50), Op(2, "read", 1, 60, 70), Op(3, "read", 1, 60, 70)]
    assert figures(WRITE_1, WRITE_2, *seen)[:3] == (2, 1, 0)
    assert figures(WRITE_1, WRITE_2, *seen[:2], Op(2, "read", 2, 80, 90))[:3] == (1, 1, 0)


def test_a_client_that_does_not_find_what_it_wrote_misses_its_own_write() -> None:
    assert figures(WRITE_1, WRITE_2, Op(1, "read", 1, 40, 50))[:3] == (1, 0, 1)
    assert figures(WRITE_1, Op(1, "read", None, 40, 50))[:3] == (1, 0, 1)
    found = [Op(1, "read", 2, 35, 40), Op(1, "read", 1, 45, 50)]
    assert figures(WRITE_1, WRITE_2, *found)[:3] == (1, 1, 1)


# ---- what it accuses


def test_stale_reads_are_measured_and_not_accused_but_beyond_a_limit() -> None:
    story = (WRITE_1, WRITE_2, Op(2, "read", 1, 100, 110))
    assert judged(*story).verdict == judged(*story, limit_ms=70).verdict == "valid"
    beyond = judged(*story, limit_ms=69)
    assert beyond.verdict == "violation" and [one.anomaly for one in beyond.findings] == ["stale read"]
    assert [one["value"] for one in beyond.findings[0].operations] == [1, 2, None]
    assert "overwritten by 0.030 s, when p1 had written 2: that is 70.0 ms" in beyond.findings[0].sentence


@pytest.mark.parametrize(
    ("story", "anomaly"),
    [
        ([WRITE_1, Op(2, "read", 5, 20, 30)], "value from nowhere"),
        ([Op(1, "write", 5, 0, 10, type="fail"), Op(2, "read", 5, 20, 30)], "failed write seen"),
        ([Op(2, "read", 5, 20, 30), Op(1, "write", 5, 40, 50)], "value from the future"),
    ],
)
def test_what_no_copy_may_show_is_a_violation(story: list[Op], anomaly: str) -> None:
    result = judged(*story)
    assert result.verdict == "violation" and [one.anomaly for one in result.findings] == [anomaly]


@pytest.mark.parametrize(
    "story",
    [
        [],
        [WRITE_1],
        [WRITE_1, Op(3, "write", 1, 20, 30), Op(2, "read", 1, 40, 50)],
        [WRITE_1, Op(3, "write", None, 20, 30), Op(2, "read", 1, 40, 50)],
        [WRITE_1, Op(3, "append", 4, 20, 30), Op(2, "read", 1, 40, 50)],
    ],
    ids=["empty", "no reads", "written twice", "null", "append"],
)
def test_what_can_not_be_measured_is_unknown(story: list[Op]) -> None:
    assert judged(*story).verdict == "unknown"


# ---- against the truth


def truth(chance: random.Random) -> tuple[list[Op], list[tuple[float, float]]]:
    """A history of one origin and late copies; and for each read how stale it was at least and at most, in truth."""
    writes: list[tuple[float, Op]] = []
    operations: list[Op] = []
    for process in range(3):
        now = chance.uniform(0, 20)
        for number in range(chance.randrange(1, 4)):
            begin, end = now, now + chance.uniform(1, 40)
            effect = chance.uniform(begin, end)
            operation = Op(process, "write", 10 * process + number, begin, end)
            if chance.random() < 0.2:  # unknown: perhaps much later, perhaps never
                operation.end = None
                effect = chance.choice([effect, begin + chance.uniform(0, 150), float("inf")])
            operations.append(operation)
            writes.append((effect, operation))
            now = end + chance.uniform(0, 20)
            if operation.end is None:
                break
    writes.sort(key=lambda one: one[0])
    stale: list[tuple[float, float]] = []
    for process in range(3, 6):
        now = chance.uniform(0, 50)
        for _ in range(3):
            begin, end = now, now + chance.uniform(0.5, 30)
            shown_at = chance.uniform(begin, end) - chance.choice([0.0, chance.uniform(0, 80)])
            past = [one for one in writes if one[0] <= shown_at]
            later = [one for one in writes if one[0] > shown_at]
            operations.append(Op(process, "read", past[-1][1].value if past else None, begin, end))
            overwritten = later[0][0] if later else float("inf")
            stale.append((max(0.0, begin - overwritten), max(0.0, end - overwritten)))
            now = end + chance.uniform(0, 20)
    return operations, stale


def test_no_more_is_certain_than_is_true_and_no_less_is_possible() -> None:
    informative = 0
    for seed in range(1_500):
        operations, stale = truth(random.Random(f"staleness/{seed}"))
        told = judged(*operations)
        assert told.verdict == "valid", f"seed {seed}: {told.sentence}"
        assert told.statistics["most_ms"] <= max(one for one, _ in stale) + 0.1, f"seed {seed}"
        assert told.statistics["at_most_ms"] >= max(other for _, other in stale) - 0.1, f"seed {seed}"
        assert told.statistics["stale"] <= sum(one > 0 for one, _ in stale), f"seed {seed}"
        informative += told.statistics["stale"] > 0
    assert informative > 500
