"""Keys that are appended to, with ambiguous values: the search that knows what will be read, against brute force."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import foresight as module
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.checkers.linearizable.foresight import Foresight, foresight
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.search import decide as search
from harness.checkers.linearizable.witness import replay
from harness.checkers.operations import Operation, from_intervals
from harness.models.kv import KeyValue
from harness.models.values import canonical
from tests.support.brute import linearizable, operation
from tests.support.soundness import histories


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def told(history: list[Operation]) -> str:
    return "\n".join(str(one) for one in history)


def drawn(chance: random.Random, operations: int, initial: Any, arrays: bool) -> list[Operation]:
    """Operations on one key, each at a moment of its interval; now and then somebody sees something else."""
    tokens: list[Any] = [[1], [2], [1, 2], []] if arrays else ["a", "b", "ab", ""]
    weights = [4, 4, 2, chance.choice([0, 1])]
    functions = chance.choice([["append", "get"], ["append", "get", "put"], ["append", "get", "put", "cas", "delete"]])
    span = chance.choice([2, 4]) * operations
    asked = []
    for _ in range(operations):
        call = chance.randrange(span)
        returned = call + chance.randint(0, span // 2)
        asked.append((chance.uniform(call, returned), call, returned, chance.choice(functions)))
    held, made, seen = initial, [], [initial]
    for number, (_, call, returned, f) in enumerate(sorted(asked, key=lambda one: one[0])):
        token, result = chance.choices(tokens, weights)[0], None
        value = None if f in ("get", "delete") else token
        crashed = chance.random() < 0.2
        before = held
        if f == "cas":
            value = [held if chance.random() < 0.8 else chance.choice(seen), token]
            result = canonical(value[0]) == canonical(held)
            held = token if result else held
        elif f == "get":
            result = held
        elif f == "put" or (f == "append" and held is None):
            held = token
        elif f == "append":
            held = held + token
        else:
            held = initial
        seen.append(held)
        if crashed and chance.random() < 0.5:
            held = before
        made.append(operation(number, f, value, None if crashed else result, call, None if crashed else returned))
    reads = [one for one in made if one.f == "get" and one.type == "ok"]
    for one in reads:
        if chance.random() < 0.3:
            one.result = chance.choice(seen)
    return from_intervals(made)


def compare(seed: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    verdicts: Counter[tuple[bool, bool]] = Counter()
    for number in range(wanted):
        arrays = chance.random() < 0.4
        model = KeyValue(None if arrays else chance.choice([None, ""]))
        history = drawn(chance, chance.randint(3, 8), None if arrays else model.initial(), arrays)
        where = f"seed {seed}, history {number}:\n{told(history)}"
        truth = linearizable(history, model)
        seeing = foresight(model, history)
        for events in (1, 2, 5, 64):
            monkeypatch.setattr(module, "_FEWEST_EVENTS", events)
            found = search(history, seeing, budget(), Progress(), traced=True)
            assert found.linearizable is truth, f"views of {events} events, {where}"
            if found.order is not None:
                assert replay(found.order, history, model) is None, where
        assert decide(history, model, budget()).linearizable is truth, where
        verdicts[truth, isinstance(seeing, Foresight)] += 1
    assert min(verdicts[True, True], verdicts[False, True]) > wanted / 20, verdicts


def test_what_will_be_read_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    compare(random.randrange(10**6), 250, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_what_will_be_read_changes_no_verdict_of_many(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(seed, histories(200), monkeypatch)


def test_a_key_that_holds_both_strings_and_arrays_is_seen_as_it_is() -> None:
    """Appending to the one what goes behind the other is impossible: what is not seen matters too."""
    history = from_intervals([operation(0, "put", "a", None, 0, 1), operation(1, "append", [1], None, 2, 3)])
    assert not isinstance(foresight(KeyValue(), history), Foresight)
    assert not decide(history, KeyValue(), budget()).linearizable
