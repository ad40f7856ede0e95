"""Key-value stores with append, queues and sets: the fast algorithms against brute force, and what is said of violations."""

from __future__ import annotations

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
from harness.models.counter import Counter as Counting
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import WriteOnce
from harness.models.sets import Set
from tests.support.brute import linearizable, operation
from tests.support.soundness import histories, report

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


def stacked(chance: random.Random, operations: int) -> list[Operation]:
    """What is popped was mostly on top of some order of the operations, or comes in any order."""
    crashed, empty = chance.choice([0, 0.2, 0.4]), chance.choice([0, 0.1, 0.3])
    wrong = chance.choice([0, 0.1, 1])
    made: list[Operation] = []
    for number in range(operations):
        call, returned = times(chance, operations, crashed)
        f = "push" if chance.random() < 0.5 else "pop"
        made.append(operation(number, f, number if f == "push" else None, None, call, returned))
    inside: list[int] = []
    pushed = [one.value for one in made if one.f == "push"]
    for one in sorted(made, key=lambda one: one.call_ns + chance.randint(0, operations)):
        if one.f == "push":
            inside.append(one.value)
        elif one.type == "info":
            if inside and chance.random() < 0.5:
                inside.pop()
        elif inside and chance.random() >= empty:
            one.result = inside.pop(-1 if chance.random() >= wrong else chance.randrange(len(inside)))
            if chance.random() < 0.03:
                one.result = chance.choice([*pushed, 99])
    return from_intervals(made)


def nested(chance: random.Random, operations: int) -> list[Operation]:
    """Every value is pushed and popped, at random times: only what nests, or fails to, matters."""
    made = []
    for number in range(operations // 2 + 2):
        push, pop = sorted(chance.randrange(2 * operations) for _ in range(2))
        long = chance.choice([1, operations // 2])
        made.append(operation(2 * number, "push", number, None, push, push + chance.randint(0, long)))
        made.append(operation(2 * number + 1, "pop", None, number, pop, pop + chance.randint(0, long)))
    return from_intervals(made)


def counted(chance: random.Random, operations: int) -> list[Operation]:
    """Sums are mostly those of some order of the operations."""
    crashed, results = chance.choice([0, 0.2, 0.4]), chance.choice([0, 0.5, 1])
    amounts = chance.choice([[1], [1], [-2], [0, 3], [1, 2, 4, 8], [1, -1]])
    made, total = [], 0
    for number in range(operations):
        call, returned = times(chance, operations, crashed)
        if chance.random() < 0.6:
            made.append(operation(number, "add", chance.choice(amounts), None, call, returned))
        else:
            made.append(operation(number, "read", None, None, call, returned))
    wrong = chance.choice([0, 0.1, 0.3])
    for one in sorted(made, key=lambda one: one.call_ns + chance.randint(0, operations)):
        if one.f == "add" and (one.type == "ok" or chance.random() < 0.5):
            total += one.value
        if one.type == "ok" and (one.f == "read" or chance.random() < results):
            one.result = total + (chance.choice([-1, 1, 2]) if chance.random() < wrong else 0)
    return from_intervals(made)


def logged(chance: random.Random, operations: int) -> list[Operation]:
    """What is read, and the places told, are mostly those of some order of the operations."""
    crashed, places = chance.choice([0, 0.2, 0.4]), chance.choice([0, 0.5, 1])
    made: list[Operation] = []
    for number in range(operations):
        call, returned = times(chance, operations, crashed)
        f = "append" if chance.random() < 0.6 else "read"
        made.append(operation(number, f, number if f == "append" else None, None, call, returned))
    wrong = chance.choice([0, 0.1, 0.2])
    log: list[object] = []
    for one in sorted(made, key=lambda one: one.call_ns + chance.randint(0, operations)):
        if one.f == "append" and (one.type == "ok" or chance.random() < 0.5):
            log.append(one.value)
        if one.type == "ok" and one.f == "read":
            one.result = log[: len(log) - (chance.random() < wrong)]
            if chance.random() < wrong / 2:
                chance.shuffle(one.result)
        elif one.type == "ok" and chance.random() < places:
            one.result = len(log) - 1 + (chance.choice([-1, 1]) if chance.random() < wrong else 0)
    return from_intervals(made)


def locked(chance: random.Random, operations: int) -> list[Operation]:
    """Owners do one thing after the other, mostly; what they are told is mostly true in some order."""
    crashed, tokens = chance.choice([0, 0.15, 0.3]), chance.random() < 0.5
    wrong, shared = chance.choice([0, 0.1, 0.3]), chance.random() < 0.2
    made: list[Operation] = []
    clocks = {f"p{number}": 0 for number in range(chance.randint(1, 3))}
    for number in range(operations):
        owner = chance.choice(list(clocks))
        call = clocks[owner] + chance.randint(1, 4)
        returned = None if chance.random() < crashed else call + chance.randint(0, 4)
        f = chance.choice(["acquire", "release"])
        made.append(operation(owner, f, owner, None, call, returned))
        clocks[owner] = call if shared and chance.random() < 0.3 else (returned or call)
        if returned is None and chance.random() < 0.7:
            clocks[f"q{number}"] = clocks.pop(owner)
    holder, token = None, 0
    for one in sorted(made, key=lambda one: one.call_ns + chance.randint(0, 3)):
        done = holder is None if one.f == "acquire" else holder == one.value
        if one.type == "ok":
            done = done if chance.random() >= wrong else not done
            one.result = done
        elif chance.random() < 0.5:
            done = False
        if done and one.f == "acquire":
            holder, token = one.value, token + (1 if chance.random() >= wrong else -1)
            one.result = token if tokens and one.type == "ok" else one.result
        elif done:
            holder = None
    return from_intervals(made)


def once(chance: random.Random, operations: int) -> list[Operation]:
    made = []
    values = [1, 1, 2] if chance.random() < 0.5 else [1]
    refused, nothing = chance.choice([0.3, 1]), chance.choice([0.2, 0.6])
    for number in range(operations):
        call, returned = times(chance, operations, chance.choice([0, 0.5]))
        f, value = chance.choice(["read", "read", "write"]), chance.choice(values)
        result: object = None
        if returned is not None:
            result = (
                chance.choice([*[None] * int(10 * nothing), *values]) if f == "read" else chance.random() >= refused
            )
        made.append(operation(number, f, value if f == "write" else None, result, call, returned))
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
    "stack": (Stack(), stacked, 0.01),
    "stack, all popped": (Stack(), nested, 0.0),
    "counter": (Counting(), counted, 0.25),
    "lock": (Lock(), locked, 0.15),
    "log": (Log(), logged, 0.0),
    "write-once": (WriteOnce(), once, 0.0),
    "set by element": (Set(), elements, 1.0),
    "growing set": (Set(), growing, 0.0),
}
"""By name: the model, what makes histories, and how many of them at most the fast algorithm may leave to the search."""


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def compare_with_brute_force(case: str, seed: int, wanted: int) -> None:
    model, make, may_be_left = CASES[case]
    chance = random.Random(seed)
    outcomes: Counter[tuple[bool, bool]] = Counter()
    for number in range(wanted):
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
    assert left <= may_be_left * wanted, outcomes
    for truth in (True, False):
        assert outcomes[truth, True] + outcomes[truth, False] > wanted / 20, outcomes
    report(case, wanted, outcomes[True, True] + outcomes[True, False])


@pytest.mark.parametrize("case", CASES)
def test_small_histories_agree_with_brute_force(case: str) -> None:
    compare_with_brute_force(case, 40, 400)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_many_small_histories_agree_with_brute_force(case: str) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_with_brute_force(case, 41, histories(300))


@pytest.mark.parametrize("case", CASES)
def test_findings_prove_what_they_say(case: str) -> None:
    model, make, _ = CASES[case]
    seed, found = 42, 0
    chance = random.Random(seed)
    for number in range(60):
        history = make(chance, 8)
        for finding in Linearizable().check_record(Record(history), model, Limits()).findings:
            found += 1
            indexes = {one["index"] for one in finding.operations}
            proof = [one for one in history if one.index in indexes]
            assert finding.sentence, number
            if finding.anomaly != "no order":
                assert not linearizable(proof, model), f"seed {seed}, history {number}: {finding.sentence}"
    assert found > 10


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
            "out of order",
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
            "value from nowhere",
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
        (
            "stale read",
            [at(1, "add", 1, None, 1, 2), at(2, "read", None, [], 5, 6), at(2, "read", None, [1], 7, 8)],
        ),
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


PUSH_1, PUSH_2 = at(1, "push", 1, None, 1, 2), at(1, "push", 2, None, 3, 4)


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("value from nowhere", [at(2, "pop", None, 9, 5, 6)]),
        ("popped twice", [PUSH_1, at(2, "pop", None, 1, 5, 6), at(3, "pop", None, 1, 5, 7)]),
        ("value from the future", [at(2, "pop", None, 1, 0, 1), at(1, "push", 1, None, 2, 3)]),
        ("out of order", [PUSH_1, PUSH_2, at(2, "pop", None, 1, 5, 6), at(2, "pop", None, 2, 7, 8)]),
        ("lost element", [PUSH_1, PUSH_2, at(2, "pop", None, 1, 5, 6)]),
        ("lost element", [PUSH_1, at(2, "pop", None, None, 5, 6)]),
        ("empty although it was not", [PUSH_1, at(2, "pop", None, None, 5, 6), at(2, "pop", None, 1, 7, 8)]),
    ],
)
def test_anomalies_of_a_stack(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(Stack(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("no such sum", [at(1, "add", 2, None, 1, 2), at(2, "read", None, 3, 3, 4)]),
        ("counter too high", [at(1, "add", 2, None, 1, 2), at(2, "read", None, 4, 3, 4)]),
        ("counter too low", [at(1, "add", 2, None, 1, 2), at(2, "read", None, 0, 3, 4)]),
        ("counter too low", [at(1, "add", 2, 2, 1, 3), at(2, "add", 2, 2, 2, 4)]),
        ("counter too low", [at(1, "add", 2, None, 1, 9), at(2, "read", None, 2, 3, 4), at(2, "read", None, 0, 5, 6)]),
        ("value from the future", [at(2, "read", None, 2, 1, 2), at(1, "add", 2, 2, 3, 4)]),
    ],
)
def test_anomalies_of_a_counter(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(Counting(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("two holders", [at(1, "acquire", "a", 1, 1, 2), at(2, "acquire", "b", 2, 3, 4)]),
        ("released without holding", [at(1, "release", "a", True, 1, 2)]),
        ("acquire refused wrongly", [at(1, "acquire", "a", False, 1, 2)]),
        ("release refused wrongly", [at(1, "acquire", "a", 1, 1, 2), at(1, "release", "a", False, 3, 4)]),
        (
            "fencing token went back",
            [at(1, "acquire", "a", 2, 1, 2), at(1, "release", "a", True, 3, 4), at(2, "acquire", "b", 1, 5, 6)],
        ),
        (
            "fencing token given twice",
            [at(1, "acquire", "a", 2, 1, 2), at(1, "release", "a", True, 3, 4), at(2, "acquire", "b", 2, 5, 6)],
        ),
    ],
)
def test_anomalies_of_a_lock(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(Lock(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("value from nowhere", [at(2, "read", None, [3], 5, 6)]),
        ("appended twice", [at(1, "append", 1, None, 1, 2), at(2, "read", None, [1, 1], 5, 6)]),
        ("lost entry", [at(1, "append", 1, None, 1, 2), at(2, "read", None, [], 5, 6)]),
        (
            "stale read",
            [at(1, "append", 1, None, 1, 2), at(2, "read", None, [], 5, 6), at(2, "read", None, [1], 7, 8)],
        ),
        ("no such place", [at(1, "append", 1, 3, 1, 2)]),
        (
            "logs differ",
            [at(1, "append", 1, 1, 1, 2), at(2, "append", 2, None, 1, 2), at(3, "read", None, [1, 2], 3, 4)],
        ),
        (
            "logs differ",
            [
                at(1, "append", 1, None, 1, 9),
                at(2, "append", 2, None, 1, 9),
                at(3, "read", None, [1], 2, 3),
                at(3, "read", None, [2, 1], 4, 5),
            ],
        ),
        ("out of order", [at(1, "append", 1, 1, 1, 2), at(2, "append", 2, 0, 3, 4)]),
        ("log position taken twice", [at(1, "append", 1, 0, 1, 3), at(2, "append", 2, 0, 1, 4)]),
        (
            "stale read",
            [
                at(1, "append", 1, None, 1, 9),
                at(2, "read", None, [1], 3, 4),
                at(2, "read", None, [], 5, 6),
                at(2, "read", None, [1], 7, 8),
            ],
        ),
    ],
)
def test_anomalies_of_a_log(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(Log(), *history).anomaly == anomaly


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("written twice", [at(1, "write", 1, True, 1, 2), at(2, "write", 2, True, 3, 4)]),
        ("write refused wrongly", [at(1, "write", 1, False, 1, 2)]),
        ("value from nowhere", [at(1, "read", None, 1, 1, 2)]),
        (
            "value changed",
            [at(1, "write", 1, True, 1, 2), at(3, "write", 2, None, 1, None), at(2, "read", None, 2, 3, 4)],
        ),
        ("value from nowhere", [at(1, "write", 1, True, 1, 2), at(2, "read", None, 2, 3, 4)]),
        ("lost write", [at(1, "write", 1, True, 1, 2), at(2, "read", None, None, 3, 4)]),
        ("value from the future", [at(2, "read", None, 1, 1, 2), at(1, "write", 1, True, 3, 4)]),
    ],
)
def test_anomalies_of_a_write_once_register(anomaly: str, history: list[Operation]) -> None:
    assert only_finding(WriteOnce(), *history).anomaly == anomaly


@pytest.mark.parametrize("crashed", [0.0, 0.02])
def test_large_stacks_are_decided_without_a_search(crashed: float) -> None:
    """What was pushed and popped by clients who are always busy; then the two values on top are popped the wrong way."""
    seed = 43
    chance = random.Random(seed)
    inside: list[int] = []
    made: list[Operation] = []
    for number in range(3000):
        call, moment = 10 * number - chance.randint(1, 80), 10 * number
        returned = None if chance.random() < crashed else moment + chance.randint(1, 80)
        push = chance.random() < 0.5
        result = None if push or not inside else inside.pop()
        if push:
            inside.append(number)
        made.append(operation(number, "push" if push else "pop", number if push else None, result, call, returned))
        if returned is None:
            made[-1].result = None
    history = from_intervals(made)
    answer = quick(history, Stack(), budget())
    assert answer is not None and answer.linearizable, f"seed {seed}"
    end = 100_000
    wrong = [
        operation("a", "push", "below", None, end, end + 1),
        operation("a", "push", "above", None, end + 2, end + 3),
        operation("a", "pop", None, "below", end + 4, end + 5),
        operation("a", "pop", None, "above", end + 6, end + 7),
    ]
    answer = quick(from_intervals([*made, *wrong]), Stack(), budget())
    assert answer is not None and answer.anomaly == "out of order", f"seed {seed}"
    assert len(answer.proof) == 4
