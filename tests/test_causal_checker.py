"""The checkers `causal` and `convergent`: small stories, and that they agree with brute force in both directions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pytest

from harness.checkers import CHECKERS
from harness.checkers.checker import Limits
from harness.checkers.result import CheckResult
from harness.history import FINAL_READS, HARNESS, Event
from harness.spec import Named, ProtocolSpec, RunSpec

SPEC = RunSpec(
    campaign="test", cell="test", seed=1, protocol=ProtocolSpec(name="any"), machine="kv", workload=Named(name="any")
)


class Op(NamedTuple):
    """What a process did: `w` a value to a key, `r` one from it."""

    process: int
    f: str
    key: str
    value: Any
    type: str = "ok"


def events_of(operations: Iterable[Op]) -> list[Event]:
    """One after the other."""
    events: list[Event] = []
    for one in operations:
        f, asked = ("write", one.value) if one.f == "w" else ("read", None)
        common: Event = {"process": one.process, "f": f, "key": one.key}
        events.append({**common, "type": "invoke", "value": asked})
        result = None if one.f == "w" else one.value
        events.append({**common, "type": one.type, "value": asked, "result": result})
    return [{**event, "index": place, "time": place * 1_000_000} for place, event in enumerate(events)]


def judged(checker: str, events: list[Event]) -> CheckResult:
    result: CheckResult = CHECKERS[checker]().check(SPEC, events, Limits())
    return result


def story(text: str) -> list[Op]:
    """`1wx5 2rx5 2ry-`: process 1 writes 5 to x, process 2 reads it, and finds nothing in y."""
    parts = [(int(word[0]), word[1], word[2], word[3:]) for word in text.split()]
    return [Op(process, f, key, None if value == "-" else int(value)) for process, f, key, value in parts]


def verdict(checker: str, text: str) -> str:
    return judged(checker, events_of(story(text))).verdict


# ---- small stories

GOOD = {
    "nothing in common": "1wx1 2wy2 3rx1 3ry- 4ry2 4rx-",
    "stale": "1wx1 1wx2 2rx1 2rx1 2rx2",
    "concurrent, in either order": "1wx1 2wx2 3rx1 4rx2",
    "question and answer": "1wx1 2rx1 2wy2 3rx1 3ry2 3rx1",
}
DISAGREE = {
    "of two writes each prefers another": "1wx1 2wx2 3rx1 3rx2 4rx2 4rx1",
    "each overwrites the other's": "1wx1 2wx2 1rx2 2rx1",
}
BROKEN = {
    "answer without question": "1wx1 2rx1 2wy2 3ry2 3rx-",
    "own write not there": "1wx1 1rx-",
    "back in time": "1wx1 1wx2 2rx2 2rx1",
    "what its cause had replaced": "1wx1 2rx1 2wx2 3rx2 3wy3 4ry3 4rx1",
    "over three keys": "1wx1 1wy2 2ry2 2wz3 3rz3 3rx-",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed(name: str) -> None:
    assert verdict("causal", GOOD[name]) == verdict("convergent", GOOD[name]) == "valid"


@pytest.mark.parametrize("name", DISAGREE)
def test_replicas_that_disagree_keep_causality(name: str) -> None:
    assert verdict("causal", DISAGREE[name]) == "valid"
    result = judged("convergent", events_of(story(DISAGREE[name])))
    assert [one.anomaly for one in result.findings] == ["replicas disagree"]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_causality(name: str) -> None:
    result = judged("causal", events_of(story(BROKEN[name])))
    assert [one.anomaly for one in result.findings] == ["overwritten in its past"]
    assert verdict("convergent", BROKEN[name]) == "violation"


def test_a_finding_tells_the_chain_of_causes() -> None:
    result = judged("causal", events_of(story("1wx1 9wv7 2rx1 2rv7 2rw- 2wy2 3ry2 3rv- 3rx-")))
    finding = next(one for one in result.findings if one.key == "x")
    assert finding.sentence == (
        "p1 wrote 1 to x; p2 read 1 in x and then wrote 2 to y; p3 read 2 in y, and so knew of 1 when it found nothing in x "
        "at 0.016 s"
    )
    assert [(one["process"], one["f"]) for one in finding.operations] == [
        (1, "write"),
        (2, "read"),
        (2, "write"),
        (3, "read"),
        (3, "read"),
    ]


def test_what_a_compare_and_set_found_counts_as_read() -> None:
    events = events_of(story("1wx1 1wx2"))
    swap: Event = {"process": 2, "f": "cas", "key": "x", "index": 4, "time": 4_000_000}
    events += [
        {**swap, "type": "invoke", "value": [1, 3]},
        {**swap, "type": "ok", "value": [1, 3], "result": True, "index": 5, "time": 5_000_000},
    ]
    later = [{**one, "index": 6 + n, "time": (6 + n) * 1_000_000} for n, one in enumerate(events_of(story("2rx1")))]
    assert judged("causal", events).verdict == "valid"
    assert judged("causal", [*events, *later]).verdict == "violation"


@pytest.mark.parametrize(
    ("operations", "anomaly"),
    [
        (story("2rx5"), "value from nowhere"),
        ([Op(1, "w", "x", 5, "fail"), Op(2, "r", "x", 5)], "failed write seen"),
        (story("2rx5 1wx5"), "value from the future"),
    ],
)
def test_what_nobody_had_written(operations: list[Op], anomaly: str) -> None:
    assert [one.anomaly for one in judged("causal", events_of(operations)).findings] == [anomaly]


def test_what_is_its_own_cause() -> None:
    """Two processes that read each other's write before either had returned."""
    kinds: list[tuple[int, str, str, str, Any]] = [
        (1, "invoke", "read", "x", None),
        (2, "invoke", "read", "y", None),
        (3, "invoke", "write", "x", 1),
        (4, "invoke", "write", "y", 2),
        (1, "ok", "read", "x", 1),
        (2, "ok", "read", "y", 2),
        (1, "invoke", "write", "y", 2),
        (2, "invoke", "write", "x", 1),
        (1, "ok", "write", "y", None),
        (2, "ok", "write", "x", None),
    ]
    events: list[Event] = [
        {"process": p, "type": kind, "f": f, "key": key, "value": value, "result": value, "index": n, "time": n}
        for n, (p, kind, f, key, value) in enumerate(kinds)
        if p < 3
    ]
    # Without processes 3 and 4 each value was written only after it was read: that alone is impossible.
    assert {one.anomaly for one in judged("causal", events).findings} == {"value from the future"}


def test_a_write_of_unknown_outcome_counts_once_it_was_read_and_binds_nothing_else() -> None:
    unseen = [Op(1, "w", "x", 5, "info"), *story("2rx-")]
    assert judged("causal", events_of(unseen)).verdict == "valid"
    seen = [Op(1, "w", "x", 5, "info"), *story("2rx5 2rx-")]
    assert judged("causal", events_of(seen)).verdict == "violation"


def test_final_reads_are_sessions_of_their_own() -> None:
    events = events_of(story("1wx1 1wx2 2rx2 2rx1"))
    assert judged("causal", events).verdict == "violation"
    note: Event = {"process": HARNESS, "type": "info", "f": "note", "value": FINAL_READS, "time": events[4]["time"]}
    assert judged("causal", [*events[:4], note, *events[4:]]).verdict == "valid"


@pytest.mark.parametrize("text", ["", "1wx1", "1wx1 2wx1 3rx1"], ids=["empty", "no reads", "written twice"])
def test_what_can_not_be_judged_is_unknown(text: str) -> None:
    assert verdict("causal", text) == verdict("convergent", text) == "unknown"


# ---- against brute force


def closure(operations: Sequence[Op]) -> list[list[bool]]:
    """Which is a cause of which: order of processes, who reads whom, and what follows from these."""
    count = len(operations)
    before = [[False] * count for _ in range(count)]
    for one, other in itertools.combinations(range(count), 2):
        before[one][other] |= operations[one].process == operations[other].process
    for one, other in itertools.permutations(range(count), 2):
        same = operations[one].key == operations[other].key and operations[one].value == operations[other].value
        before[one][other] |= operations[one].f == "w" and operations[other].f == "r" and same
    for middle, one, other in itertools.product(range(count), repeat=3):
        before[one][other] |= before[one][middle] and before[middle][other]
    return before


def explained(read: Op, order: Sequence[Op]) -> bool:
    """Whether the read returns the last one of these writes."""
    return (order[-1].value if order else None) == read.value


def is_causal(operations: Sequence[Op]) -> bool:
    """Whether for each read some order of the writes among its causes, which keeps causes, ends with what it returned."""
    before = closure(operations)
    for place, read in enumerate(operations):
        if read.f == "w":
            continue
        past = [n for n, one in enumerate(operations) if before[n][place] and one.f == "w" and one.key == read.key]
        orders = (
            order
            for order in itertools.permutations(past)
            if not any(before[late][early] for early, late in itertools.combinations(order, 2))
        )
        if not any(explained(read, [operations[n] for n in order]) for order in orders):
            return False
    return True


def is_convergent(operations: Sequence[Op]) -> bool:
    """Whether one order of all writes, which keeps causes, explains every read by the writes among its causes."""
    before = closure(operations)
    writes = [n for n, one in enumerate(operations) if one.f == "w"]
    for order in itertools.permutations(writes):
        if any(before[late][early] for early, late in itertools.combinations(order, 2)):
            continue
        if all(
            explained(read, [operations[n] for n in order if before[n][place] and operations[n].key == read.key])
            for place, read in enumerate(operations)
            if read.f == "r"
        ):
            return True
    return False


def drawn(chance: random.Random) -> list[Op]:
    """A small history; reads return something that was written before, or nothing."""
    operations: list[Op] = []
    for number in range(chance.randrange(3, 9)):
        process, key = chance.randrange(3), chance.choice("xy")
        written = [one.value for one in operations if one.f == "w" and one.key == key]
        few = sum(one.f == "w" for one in operations) < 5
        if few and chance.random() < 0.45:
            operations.append(Op(process, "w", key, number))
        else:
            operations.append(Op(process, "r", key, chance.choice([None, *written, *written])))
    return operations


def agree(seeds: Iterable[int]) -> dict[str, int]:
    """Compare with brute force; returns how often each was violated."""
    broken = {"causal": 0, "convergent": 0}
    for seed in seeds:
        operations = drawn(random.Random(f"causal/{seed}"))
        if all(one.f == "w" for one in operations):
            continue
        for checker, truth in (("causal", is_causal), ("convergent", is_convergent)):
            expected = "valid" if truth(operations) else "violation"
            broken[checker] += expected == "violation"
            result = judged(checker, events_of(operations))
            assert result.verdict == expected, f"seed {seed}, {checker}: {operations}"
            for finding in result.findings:
                proves_it(checker, operations, finding.operations, seed)
    return broken


def proves_it(checker: str, operations: Sequence[Op], proof: list[dict[str, Any]], seed: int) -> None:
    """What a finding shows is not in order by itself, and is in order if any of it is left out."""
    shown = [operations[one["index"] // 2] for one in proof]
    truth = is_causal if checker == "causal" else is_convergent
    assert not truth(shown), f"seed {seed}, {checker}: {shown} is no proof"
    for place, one in enumerate(shown):
        rest = shown[:place] + shown[place + 1 :]
        orphans = one.f == "w" and any(other.f == "r" and other.value == one.value for other in rest)
        assert orphans or truth(rest), f"seed {seed}, {checker}: {shown} without {one}"


def test_they_agree_with_brute_force_and_every_finding_is_a_small_proof() -> None:
    broken = agree(range(700))
    assert broken["causal"] > 100 and broken["convergent"] > broken["causal"]


@pytest.mark.slow
def test_they_agree_with_brute_force_at_length() -> None:
    agree(range(10_000, 16_000))


# ---- what it costs


def test_long_histories_are_judged_in_one_pass() -> None:
    """Ten thousand operations of one register that is always up to date, and one read of the past at the end."""
    chance = random.Random(1)
    operations: list[Op] = []
    held: dict[str, int] = {}
    for number in range(10_000):
        process, key = chance.randrange(20), chance.choice("uvwxyz")
        if chance.random() < 0.3:
            held[key] = number
            operations.append(Op(process, "w", key, number))
        else:
            operations.append(Op(process, "r", key, held.get(key)))
    assert judged("convergent", events_of(operations)).verdict == "valid"
    first = next(one for one in operations if one.f == "w")
    late = judged("causal", events_of([*operations, first._replace(process=0, f="r")]))
    assert late.verdict == "violation" and len(late.findings[0].operations) <= 6
