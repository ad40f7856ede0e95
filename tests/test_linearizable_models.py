"""Key-value stores with append, queues and sets: the fast algorithms against brute force, and what is said of violations."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide, quick
from harness.checkers.operations import Operation, Record, from_intervals
from harness.checkers.result import Finding
from harness.models.kv import KeyValue
from harness.models.model import Model
from harness.models.queue import Queue
from harness.models.sets import Set
from tests.support.brute import linearizable, operation

Make = Callable[[random.Random, int], list[Operation]]


def times(chance: random.Random, operations: int, crashed: float) -> tuple[int, int | None]:
    span = 3 * operations
    call = chance.randrange(span)
    return call, None if chance.random() < crashed else call + chance.randint(0, max(1, span // 3))


def appends(chance: random.Random, operations: int) -> list[Operation]:
    """Strings or arrays; what is read was mostly put together from what was written, in some order."""
    crashed, puts, arrays = chance.choice([0, 0.2, 0.5]), chance.choice([0, 0.15, 0.5]), chance.random() < 0.3
    made, parts = [], []
    for number in range(operations):
        call, returned = times(chance, operations, crashed)
        part = [number] if arrays else f"{number}."
        roll = chance.random()
        if roll < 0.5:
            made.append(operation(number, "put" if chance.random() < puts else "append", part, None, call, returned))
            parts.append(part)
        else:
            made.append(operation(number, "get", None, None, call, returned))
    order = chance.sample(parts, len(parts))
    for one in made:
        if one.f == "get" and one.type == "ok":
            seen = list(order[chance.randint(0, 1) : chance.randint(0, len(order))])
            if chance.random() < 0.1:
                chance.shuffle(seen)
            if chance.random() < 0.05:
                seen.append([99] if arrays else "99.")
            one.result = None if not seen else [item for part in seen for item in part] if arrays else "".join(seen)  # type: ignore[arg-type]
    return from_intervals(made)


def puts(chance: random.Random, operations: int) -> list[Operation]:
    made: list[Operation] = []
    for number in range(operations):
        call, returned = times(chance, operations, 0.2)
        f = chance.choice(["get", "put", "put", "cas"])
        value: object = None if f == "get" else number if f == "put" else [chance.randrange(operations), number]
        result = None if returned is None or f == "put" else chance.choice([None, *range(operations)])
        made.append(
            operation(number, f, value, bool(result) if f == "cas" and returned is not None else result, call, returned)
        )
    return from_intervals(made)


def queued(chance: random.Random, operations: int) -> list[Operation]:
    crashed, empty = chance.choice([0, 0.2, 0.4]), chance.choice([0, 0.3])
    made, put = [], []
    for number in range(operations):
        call, returned = times(chance, operations, crashed)
        if chance.random() < 0.5:
            made.append(operation(number, "enqueue", number, None, call, returned))
            put.append(number)
        else:
            made.append(operation(number, "dequeue", None, None, call, returned))
    order = chance.sample(put, len(put)) if chance.random() < 0.5 else put
    left = list(order)
    for one in sorted(made, key=lambda one: one.call_ns):
        if one.f == "dequeue" and one.type == "ok" and left and chance.random() >= empty:
            one.result = left.pop(0) if chance.random() < 0.95 else chance.choice([*put, 99])
    return from_intervals(made)


def elements(chance: random.Random, operations: int) -> list[Operation]:
    made = []
    for number in range(operations):
        call, returned = times(chance, operations, chance.choice([0, 0.3]))
        f, element = chance.choice(["add", "add", "remove", "contains"]), chance.randint(1, 3)
        result: object = None
        if returned is not None:
            result = chance.random() < 0.6 if f == "contains" else chance.choice([True, True, False, None])
        made.append(operation(number, f, element, result, call, returned))
    return from_intervals(made)


def growing(chance: random.Random, operations: int) -> list[Operation]:
    made, added = [], []
    for number in range(operations):
        call, returned = times(chance, operations, chance.choice([0, 0.3]))
        if chance.random() < 0.5:
            made.append(operation(number, "add", number, None, call, returned))
            added.append(number)
        else:
            made.append(operation(number, "read", None, None, call, returned))
    order = sorted(added, key=lambda number: made[number].call_ns + chance.randint(0, operations))
    for one in made:
        if one.f == "read" and one.type == "ok":
            one.result = order[: chance.randint(0, len(order))]
            if chance.random() < 0.1:
                one.result = [*one.result, chance.choice([*added, 99])]
    return from_intervals(made)


CASES: dict[str, tuple[Model, Make, float]] = {
    "appends": (KeyValue(), appends, 0.0),
    "puts": (KeyValue(), puts, 0.05),
    "queue": (Queue(), queued, 0.01),
    "set by element": (Set(), elements, 1.0),
    "growing set": (Set(), growing, 0.0),
}
"""By name: the model, what makes histories, and how many of them at most the fast algorithm may leave to the search."""


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def compare_with_brute_force(case: str, seed: int, histories: int) -> None:
    model, make, may_be_left = CASES[case]
    chance = random.Random(seed)
    outcomes: Counter[tuple[bool, bool]] = Counter()
    for number in range(histories):
        history = make(chance, chance.randint(1, 8))
        where = f"{case}, seed {seed}, history {number}:\n" + "\n".join(map(str, history))
        truth = linearizable(history, model)
        fast = quick(history, model, budget())
        assert decide(history, model, budget()).linearizable is truth, where
        if fast is not None:
            assert fast.linearizable is truth, f"{fast.sentence}, {where}"
            if fast.proof:
                assert not linearizable(fast.proof, model), f"{fast.sentence}: proves nothing, {where}"
        outcomes[truth, fast is not None] += 1
    left = outcomes[True, False] + outcomes[False, False]
    assert left <= may_be_left * histories, outcomes
    for truth in (True, False):
        assert outcomes[truth, True] + outcomes[truth, False] > histories / 10, outcomes


@pytest.mark.parametrize("case", CASES)
def test_small_histories_agree_with_brute_force(case: str) -> None:
    compare_with_brute_force(case, 40, 1500)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_many_small_histories_agree_with_brute_force(case: str) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_with_brute_force(case, 41, int(os.environ.get("RASHOMON_SOUNDNESS", "2000")))


@pytest.mark.parametrize("case", CASES)
def test_findings_prove_what_they_say(case: str) -> None:
    model, make, _ = CASES[case]
    seed, found = 42, 0
    chance = random.Random(seed)
    for number in range(150):
        history = make(chance, 8)
        for finding in Linearizable().check_record(Record(history), model, Limits()).findings:
            found += 1
            indexes = {one["index"] for one in finding.operations}
            proof = [one for one in history if one.index in indexes]
            assert finding.sentence, number
            if finding.anomaly != "no order":
                assert not linearizable(proof, model), f"seed {seed}, history {number}: {finding.sentence}"
    assert found > 30


def only_finding(model: Model, *history: Operation) -> Finding:
    result = Linearizable().check_record(Record(from_intervals(list(history))), model, Limits())
    assert result.verdict == "violation"
    return result.findings[0]


def at(process: int, f: str, value: object, result: object, call: int, returned: int | None) -> Operation:
    return operation(process, f, value, result, call * 10**9, None if returned is None else returned * 10**9)


ENQUEUE_1, ENQUEUE_2 = at(1, "enqueue", 1, None, 1, 2), at(1, "enqueue", 2, None, 3, 4)


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("value from nowhere", [at(2, "dequeue", None, 9, 5, 6)]),
        ("dequeued twice", [ENQUEUE_1, at(2, "dequeue", None, 1, 5, 6), at(3, "dequeue", None, 1, 5, 7)]),
        ("value from the future", [at(2, "dequeue", None, 1, 0, 1), at(1, "enqueue", 1, None, 2, 3)]),
        (
            "order reversed",
            [ENQUEUE_1, ENQUEUE_2, at(2, "dequeue", None, 2, 5, 6), at(2, "dequeue", None, 1, 7, 8)],
        ),
        ("lost element", [ENQUEUE_1, ENQUEUE_2, at(2, "dequeue", None, 2, 5, 6)]),
        ("lost element", [ENQUEUE_1, at(2, "dequeue", None, None, 5, 6)]),
        (
            "empty although it was not",
            [ENQUEUE_1, at(2, "dequeue", None, None, 5, 6), at(2, "dequeue", None, 1, 7, 8)],
        ),
    ],
)
def test_anomalies_of_a_queue(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(Queue(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("stale read", [at(1, "put", "a", None, 1, 2), at(1, "put", "b", None, 3, 4), at(2, "get", None, "a", 5, 6)]),
        ("value from nowhere", [at(1, "put", "a", None, 1, 2), at(2, "get", None, "ax", 5, 6)]),
        (
            "appended twice",
            [at(1, "append", "a", None, 1, 2), at(1, "append", "b", None, 1, 4), at(2, "get", None, "aba", 5, 6)],
        ),
        (
            "put behind another value",
            [at(1, "append", "a", None, 1, 2), at(1, "put", "b", None, 1, 4), at(2, "get", None, "ab", 5, 6)],
        ),
    ],
)
def test_anomalies_of_a_key(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(KeyValue(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("value from nowhere", [at(2, "read", None, [3], 5, 6)]),
        ("lost element", [at(1, "add", 1, None, 1, 2), at(2, "read", None, [], 5, 6)]),
        ("value from the future", [at(2, "read", None, [1], 1, 2), at(1, "add", 1, None, 3, 4)]),
        (
            "order reversed",
            [
                at(1, "add", 1, None, 1, 9),
                at(2, "add", 2, None, 1, 9),
                at(3, "read", None, [1], 1, 9),
                at(4, "read", None, [2], 1, 9),
            ],
        ),
    ],
)
def test_anomalies_of_a_set(anomaly: str, history: list[Operation]) -> None:
    finding = only_finding(Set(), *history)
    assert finding.anomaly == anomaly
