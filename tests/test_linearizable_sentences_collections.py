"""What is said of sets, logs, queues, stacks and counters is true of what is shown, and whoever is named is shown."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.operations import Operation, Record, from_intervals
from harness.checkers.result import Finding
from harness.checking import check
from harness.models import MODELS
from tests.support.brute import linearizable

FAILS = "fail"


def row(
    f: str, value: Any, result: Any, call: float, returned: float | None, kind: str | None = None
) -> dict[str, Any]:
    kinds = {} if kind is None else {"type": kind}
    return {"f": f, "value": value, "result": result, "call": call, "return": returned, **kinds}


def findings(model: str, *rows: dict[str, Any]) -> list[Finding]:
    """Of rows that are told as those of processes 1, 2 and so on."""
    result = check([{"process": number, **one} for number, one in enumerate(rows, start=1)], model)
    assert result.verdict == "violation"
    for finding in result.findings:
        assert named(finding) <= shown(finding), finding.sentence
    return result.findings


def named(finding: Finding) -> set[int]:
    return {int(number) for number in re.findall(r"\bp(\d+)\b", finding.sentence)}


def shown(finding: Finding) -> set[int]:
    return {one["process"] for one in finding.operations}


TOLD: dict[str, tuple[str, list[dict[str, Any]], list[tuple[str, str, set[int]]]]] = {
    "set: an add finds nothing missing": (
        "set",
        [row("add", 2, None, 0, 1), row("read", None, [3], 2, 3), row("read", None, [2, 3], 4, 5)],
        [
            ("value from nowhere", "p2 read 3 in the set at 3.000 s, but nobody ever added it", {2}),
            (
                "stale read",
                "p1's add of 2 was acknowledged at 1.000 s, but p2 did not find it (2.000 s to 3.000 s)",
                {1, 2},
            ),
        ],
    ),
    "set: what is missing as well is lost": (
        "set",
        [row("add", 2, None, 0, 1), row("read", None, [3], 2, 3)],
        [
            ("lost element", "p1's add of 2 was acknowledged at 1.000 s, but p2 did not find it", {1, 2}),
            ("value from nowhere", "nobody ever added it", {2}),
        ],
    ),
    "set: two reads that differ by what nobody added": (
        "set",
        [
            row("add", 2, None, 0, 1),
            row("read", None, [2], 2, 3),
            row("read", None, [3], 4, 5),
            row("read", None, [2, 3], 6, 7),
        ],
        [
            ("value from nowhere", "p3 read 3 in the set at 5.000 s, but nobody ever added it", {3}),
            ("stale read", "p1's add of 2 was acknowledged at 1.000 s, but p3 did not find it", {1, 3}),
        ],
    ),
    "log: one other append": (
        "log",
        [row("append", "a", 2, 0, 1), row("append", "b", None, 0, 1)],
        [
            (
                "no such place",
                'p1\'s append of "a" was given place 2 by 1.000 s, but only 1 other append had been called by then',
                {1, 2},
            )
        ],
    ),
    "log: no other append": (
        "log",
        [row("append", "a", 2, 0, 1)],
        [("no such place", "but no other append had been called by then", {1})],
    ),
    "log: a place that was read": (
        "log",
        [row("append", "a", None, 0, None), row("append", "b", 0, 0, 1), row("read", None, ["a"], 2, 3)],
        [
            (
                "log position taken twice",
                'p2\'s append of "b" was given place 0 of the log by 1.000 s, but p3 read "a", appended by p1, there at '
                "3.000 s",
                {1, 2, 3},
            )
        ],
    ),
    "log: read before it was appended": (
        "log",
        [row("read", None, ["a"], 0, 1), row("append", "a", None, 2, 3)],
        [
            (
                "value from the future",
                'p1 read 1 value by 1.000 s, but p2\'s append of "a" (at place 0 in what p1 read) was called only at 2.000 s',
                {1, 2},
            )
        ],
    ),
    "log: too many for their places": (
        "log",
        [row("append", "a", None, 0, 1), row("append", "b", 0, 2, 3)],
        [
            (
                "lost entry",
                'p1\'s append of "a" was acknowledged at 1.000 s, but p2\'s append of "b" was given place 0, which was called '
                "after that and leaves no room for it",
                {1, 2},
            )
        ],
    ),
    "log: equal values, too many for their places": (
        "log",
        [row("append", "a", None, 0, 1), row("append", "a", 0, 2, 3)],
        [
            (
                "lost entry",
                'before it began, at 2.000 s, there had been acknowledged p1\'s append of "a" by 1.000 s',
                {1, 2},
            )
        ],
    ),
    "set: an add that found it there brings nothing": (
        "set",
        [row("add", 1, False, 0, 4), row("contains", 1, True, 2, 5)],
        [
            ("value from nowhere", "but nobody ever added 1", {1}),
            ("value from nowhere", "nobody ever added 1: p1's add of 1 found it there already", {1, 2}),
        ],
    ),
    "set: an add that was told nothing found nothing missing": (
        "set",
        [row("add", 2, None, 0, 1), row("remove", 2, None, 2, 3), row("contains", 2, True, 4, 5)],
        [("resurrected element", "but p2 removed 2 by 3.000 s, and nobody can have added it again since", {1, 2, 3})],
    ),
    "log: equal values, told and read": (
        "log",
        [
            row("append", 1, None, 0, 1),
            row("append", 1, None, 0, 1),
            row("append", 2, 0, 0, 1),
            row("read", None, [1, 1], 2, 3),
        ],
        [
            (
                "logs differ",
                "p3's append of 2 was given place 0 by 1.000 s, but p4 read 1 there (2.000 s to 3.000 s)",
                {3, 4},
            )
        ],
    ),
    "log: equal values, a read that nothing gives": (
        "log",
        [
            row("append", 1, None, 0, 1),
            row("append", 1, None, 0, 1),
            row("append", 2, 0, 0, 1),
            row("read", None, [1, 1, 2], 2, 3),
        ],
        [
            (
                "no order",
                "p4 read [1, 1, 2] (2.000 s to 3.000 s), but no order of these gives that: p1 appended",
                {1, 2, 3, 4},
            )
        ],
    ),
    "queue: found empty before it was taken": (
        "queue",
        [
            row("enqueue", 1, None, 0, 1),
            row("enqueue", 1, None, 0, 1),
            row("dequeue", None, None, 2, 3),
            row("dequeue", None, 1, 4, 5),
        ],
        [("empty although it was not", "p3 found the queue empty (2.000 s to 3.000 s), but all that time", {2, 3})],
    ),
    "set: what was added only after it was read": (
        "set",
        [
            row("read", None, [2], 0, 5),
            row("add", 3, None, 2, 3),
            row("read", None, [], 6, 10),
            row("add", 2, None, 19, 23),
        ],
        [
            ("lost element", "p2's add of 3 was acknowledged at 3.000 s, but p3 did not find it", {2, 3}),
            ("value from the future", "p1 read 2 by 5.000 s, but p4 began to add 2 only at 19.000 s", {1, 4}),
        ],
    ),
    "counter: nobody had begun to add": (
        "counter",
        [row("read", None, -1, 0, 1), row("read", None, 1, 2, 3), row("add", -1, None, 4, 5)],
        [
            ("no such sum", "p1 read -1 at 1.000 s, but nobody had begun to add anything by then", {1}),
            ("no such sum", "p2 read 1 at 3.000 s, which no number of adds of -1 can make", {2, 3}),
        ],
    ),
    "counter: an add counts itself": (
        "counter",
        [row("add", 2, 0, 0, 1)],
        [("no such sum", "which no number of adds of 2, its own among them, can make", {1})],
    ),
    "counter: only those that had returned were acknowledged": (
        "counter",
        [row("add", 2, None, 1, 2), row("add", 2, 2, 4, 7), row("add", 2, 4, 6, 8)],
        [
            (
                "counter too low",
                "p1's add of 2, from the beginning, had been acknowledged by 6.000 s, and p2 was told the sum 2 right after "
                "its add, but p3 was told the sum 4 right after its add then, which leaves one of them out",
                {1, 2, 3},
            )
        ],
    ),
    "queue: nobody is known to have taken it": (
        "queue",
        [row("enqueue", 1, None, 0, 1), row("dequeue", None, None, 2, 3), row("dequeue", None, None, 4, None)],
        [("lost element", "nobody is known to have dequeued 1, but p2 found the queue empty", {1, 2})],
    ),
    "stack: nobody is known to have taken it": (
        "stack",
        [row("push", 1, None, 0, 1), row("pop", None, None, 2, 3), row("pop", None, None, 4, None)],
        [("lost element", "nobody is known to have popped 1, but p2 found the stack empty", {1, 2})],
    ),
    "queue: a failed enqueue": (
        "queue",
        [row("enqueue", 1, None, 0, 1, FAILS), row("dequeue", None, 1, 2, 3)],
        [
            (
                "failed write seen",
                "p2 dequeued 1 by 3.000 s, but p1's enqueue of 1 had been answered with a failure",
                {1, 2},
            )
        ],
    ),
    "queue: a failed enqueue, beside one that did not fail": (
        "queue",
        [
            row("enqueue", 1, None, 0, 1),
            row("enqueue", 1, None, 2, 3, FAILS),
            row("dequeue", None, 1, 4, 5),
            row("dequeue", None, 1, 6, 7),
        ],
        [("failed write seen", "not counting p2's enqueue of 1, which was answered with a failure", {1, 2, 3, 4})],
    ),
    "stack: a failed push": (
        "stack",
        [row("push", 1, None, 0, 1, FAILS), row("pop", None, 1, 2, 3)],
        [("failed write seen", "p2 popped 1 by 3.000 s, but p1's push of 1 had been answered with a failure", {1, 2})],
    ),
    "set: a failed add": (
        "set",
        [row("add", 1, None, 0, 1, FAILS), row("read", None, [1], 2, 3)],
        [("failed write seen", "p2 read 1 by 3.000 s, but p1's add of 1 had been answered with a failure", {1, 2})],
    ),
    "set: an add that failed only later": (
        "set",
        [row("contains", 1, True, 0, 1), row("add", 1, None, 2, 3, FAILS)],
        [("value from the future", "but p2 began to add 1 only at 2.000 s, and that failed", {1, 2})],
    ),
    "log: a failed append": (
        "log",
        [row("append", 1, None, 0, 1, FAILS), row("read", None, [1], 2, 3)],
        [("failed write seen", "p2 read 1 by 3.000 s, but p1's append of 1 had been answered with a failure", {1, 2})],
    ),
    "log: a failed append that took a place": (
        "log",
        [row("append", 1, None, 0, 1, FAILS), row("append", 2, 1, 2, 3)],
        [("failed write seen", "no other append had been called by then, not counting p1's append of 1", {1, 2})],
    ),
    "counter: a failed add": (
        "counter",
        [row("add", 1, None, 0, 1, FAILS), row("read", None, 1, 2, 3)],
        [
            (
                "failed write seen",
                "nobody had begun to add anything by then, not counting p1's add of 1, which was answered with a failure",
                {1, 2},
            )
        ],
    ),
    "counter: a failed add that is not enough": (
        "counter",
        [row("add", 1, None, 0, 1, FAILS), row("read", None, 2, 2, 3)],
        [
            (
                "counter too high",
                "nobody had begun to add anything by then, not counting p1's add of 1, which was answered with a failure",
                {1, 2},
            )
        ],
    ),
}
"""By name: the model, the rows, and of each finding its name, some words, and who is shown."""


@pytest.mark.parametrize("name", TOLD)
def test_a_finding_says_what_is_true(name: str) -> None:
    model, rows, wanted = TOLD[name]
    told = findings(model, *rows)
    assert [finding.anomaly for finding in told] == [anomaly for anomaly, _, _ in wanted], told
    for finding, (_, words, processes) in zip(told, wanted, strict=True):
        assert words in finding.sentence
        assert shown(finding) == processes, finding.sentence


def _asked(chance: random.Random, model: str, number: int, count: int) -> tuple[str, Any, Any]:
    """A function, a value and any result."""
    puts = chance.random() < 0.5
    fresh = chance.choice([number, 1, 2])
    some = chance.sample(range(1, count + 1), chance.randint(0, 2))
    if model == "counter":
        amount = chance.choice([1, 1, 2, -1])
        return ("add", amount, chance.choice([None, 1, 2])) if puts else ("read", None, chance.randint(-1, 4))
    if model == "log":
        return ("append", fresh, chance.choice([None, 0, 1])) if puts else ("read", None, some)
    if model == "set":
        f = chance.choice(["add", "remove", "contains"]) if puts else chance.choice(["add", "read"])
        result = some if f == "read" else chance.random() < 0.5 if f == "contains" else None
        return f, None if f == "read" else fresh, result
    put, take = ("enqueue", "dequeue") if model == "queue" else ("push", "pop")
    return (put, fresh, None) if puts else (take, None, chance.choice([None, *range(1, count + 1)]))


def any_record(chance: random.Random, model: str) -> Record:
    """A few operations that overlap, crash and fail, with any answers."""
    count = chance.randint(2, 6)
    made = []
    for number in range(1, count + 1):
        f, value, result = _asked(chance, model, number, count)
        call, roll = chance.randrange(12), chance.random()
        kind = "info" if roll < 0.15 else "fail" if roll < 0.3 else "ok"
        returned = None if kind == "info" else call + chance.randint(1, 5)
        result = result if kind == "ok" else None
        made.append(Operation(number, f, "x", value, result, kind, call, returned, None, 0, 0, None))  # type: ignore[arg-type]
    operations = from_intervals(made)
    return Record([one for one in operations if one.type != "fail"], [one for one in operations if one.type == "fail"])


def drawn(finding: Finding, operations: Sequence[Operation]) -> list[Operation]:
    indexes = {one["index"] for one in finding.operations}
    return [one for one in operations if one.index in indexes]


@pytest.mark.parametrize("model", ["set", "log", "queue", "stack", "counter"])
def test_whoever_is_named_is_shown_and_what_is_shown_contradicts_itself(model: str) -> None:
    seed, told = 71, 0
    chance, machine = random.Random(seed), MODELS[model]()
    for number in range(80):
        record = any_record(chance, model)
        for finding in Linearizable().check_record(record, machine, Limits()).findings:
            where = f"{model}, seed {seed}, history {number}: {finding.sentence}"
            told += 1
            assert named(finding) <= shown(finding), where
            assert not linearizable(drawn(finding, record.operations), machine), where
            assert finding.minimal, where
            assert "unknown time" not in finding.sentence, where
            if finding.anomaly == "failed write seen":
                assert any(one["type"] == "fail" for one in finding.operations), where
    assert told > 30
