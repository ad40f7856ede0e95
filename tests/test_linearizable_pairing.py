"""Queues and stacks in which equal values were put in: told apart, against brute force and against the search."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import pairing
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.decide import decide
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided
from harness.checkers.linearizable.pairing import LITTLE, MUCH, Effort, told_apart
from harness.checkers.linearizable.search import Progress, search
from harness.checkers.linearizable.witness import replay, witness
from harness.checkers.operations import Operation, from_intervals
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register
from tests.support.brute import linearizable, operation
from tests.support.histories import corrupted, simulated
from tests.support.soundness import histories, report

MODELS: dict[str, Model] = {"queue": Queue(), "stack": Stack()}
NAMES = {"queue": ("enqueue", "dequeue"), "stack": ("push", "pop")}


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def anything(name: str, chance: random.Random, operations: int) -> list[Operation]:
    """Few values, at any times: about as often explained as not."""
    put, take = NAMES[name]
    values, crashed, empty = chance.choice([1, 2, 2, 3]), chance.choice([0, 0.2, 0.4]), chance.choice([0, 0.1])
    span = chance.choice([2, 3, 5]) * operations
    made = []
    for number in range(operations):
        call = chance.randrange(span)
        returned = None if chance.random() < crashed else call + chance.randint(0, max(1, span // 3))
        value = chance.randrange(values)
        if chance.random() < 0.5:
            made.append(operation(number, put, value, None, call, returned))
        else:
            result = None if returned is None or chance.random() < empty else value
            made.append(operation(number, take, None, result, call, returned))
    return from_intervals(made)


def fewer(name: str, history: list[Operation], chance: random.Random, values: int) -> list[Operation]:
    """The history with only so many values instead of all different ones: explained still, if it was."""
    put = NAMES[name][0]
    instead = {one.value: chance.randrange(values) for one in history if one.f == put}
    for one in history:
        if one.f == put:
            one.value = instead[one.value]
        elif one.result is not None:
            one.result = instead[one.result]
    return history


def interrupted(name: str, chance: random.Random, operations: int) -> list[Operation]:
    """Explained by what operations of unknown outcome took; then, half of the time, one answer is changed."""
    values = chance.choice([1, 2, 3])
    history = fewer(name, simulated(name, chance, operations, crashed=0.3), chance, values)
    took = [one for one in history if one.f == NAMES[name][1] and one.type == "ok"]
    if took and chance.random() < 0.5:
        chance.choice(took).result = chance.choice([None, *range(values)])
    return history


def verdict(history: list[Operation], model: Model, effort: Effort = MUCH) -> bool | None:
    try:
        told_apart(history, model, budget(), effort)
    except Contradiction as contradiction:
        assert len(history) > 12 or not linearizable(contradiction.operations, model), contradiction.operations
        return False
    except Undecided:
        return None
    return True


def compare_with_brute_force(name: str, seed: int, wanted: int) -> None:
    chance, model = random.Random(seed), MODELS[name]
    verdicts: Counter[tuple[bool, bool | None]] = Counter()
    for number in range(wanted):
        operations = chance.randint(2, 8)
        if number % 3 == 0:
            history = anything(name, chance, operations)
        elif number % 3 == 1:
            history = fewer(name, corrupted(name, chance, operations), chance, chance.choice([1, 2, 3]))
        else:
            history = interrupted(name, chance, operations + 2)
        where = f"{name}, seed {seed}, history {number}:\n" + "\n".join(map(str, history))
        truth = linearizable(history, model)
        told = verdict(history, model)
        assert told in (truth, None), where
        assert decide(history, model, budget()).linearizable is truth, where
        order = witness(history, model, budget())
        assert (order is not None) is truth, where
        assert order is None or replay(order, history, model) is None, where
        verdicts[truth, told] += 1
    assert min(verdicts[True, True], verdicts[False, False]) > wanted / 4, verdicts
    assert verdicts[True, None] + verdicts[False, None] <= wanted / 100, verdicts
    report(f"{name}, equal values", wanted, verdicts[True, True] + verdicts[True, None])


@pytest.mark.parametrize("name", MODELS)
def test_equal_values_are_told_apart_exactly_if_an_order_explains_them(name: str) -> None:
    compare_with_brute_force(name, 70, 400)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_many_equal_values_are_told_apart_exactly_if_an_order_explains_them(name: str) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_with_brute_force(name, 71, histories(2000))


def hesitant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast algorithms can tell nothing any more where something of unknown outcome may have taken values out."""
    model, take = MODELS[name], NAMES[name][1]
    fast = pairing._DECIDE[type(model)]

    def careful(operations: list[Operation], limits: Budget) -> Decision:
        if any(one.f == take and one.type == "info" for one in operations):
            return Decision(None, "something of unknown outcome")
        return fast(operations, limits)

    monkeypatch.setitem(pairing._DECIDE, type(model), careful)


@pytest.mark.parametrize("name", MODELS)
def test_what_operations_of_unknown_outcome_took_is_guessed_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hesitant(name, monkeypatch)
    compare_with_brute_force(name, 72, 200)


@pytest.mark.parametrize("gone", range(1, 6))
@pytest.mark.parametrize("name", MODELS)
def test_as_many_values_can_be_gone_as_operations_of_unknown_outcome(
    name: str, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some values, equal ones too, are in the way of the last one; each needs somebody who took it."""
    hesitant(name, monkeypatch)
    put, take = NAMES[name]
    in_the_way = [min(number, 2) for number in range(gone)]
    values = [*in_the_way, 9] if name == "queue" else [9, *in_the_way]
    puts = [operation(1, put, value, None, 2 * number, 2 * number + 1) for number, value in enumerate(values)]
    last = operation(2, take, None, 9, 50, 51)
    for takers in (gone - 1, gone, gone + 1):
        lost = [operation(f"lost {number}", take, None, None, 30 + number) for number in range(takers)]
        history = from_intervals([*puts, *lost, last])
        assert verdict(history, MODELS[name]) is (takers >= gone)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_operations_of_unknown_outcome_took_is_guessed_at_length(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    hesitant(name, monkeypatch)
    compare_with_brute_force(name, 73, histories(2000))


@pytest.mark.parametrize("effort", [Effort(0, 0, 0), Effort(1, 100, 100), Effort(100, 1000, 4)])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_too_much_effort_is_searched(name: str, effort: Effort, monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ("LITTLE", "MUCH"):
        monkeypatch.setattr(sys.modules[decide.__module__], known, effort)
    seed = 74
    chance, model = random.Random(seed), MODELS[name]
    searched = 0
    for number in range(200):
        history = fewer(name, corrupted(name, chance, 9), chance, 2)
        where = f"{name}, seed {seed}, history {number}"
        truth, told = linearizable(history, model), verdict(history, model, effort)
        assert told in (truth, None), where
        assert decide(history, model, budget()).linearizable is truth, where
        searched += told is None
    assert searched > 5


@pytest.mark.parametrize("name", MODELS)
def test_longer_histories_agree_with_the_search(name: str) -> None:
    seed = 75
    chance, model = random.Random(seed), MODELS[name]
    verdicts: Counter[bool] = Counter()
    for number in range(60):
        history = fewer(name, corrupted(name, chance, chance.randint(10, 25)), chance, chance.randint(2, 8))
        truth = search(history, model, budget(), Progress()) is None
        try:
            told_apart(history, model, budget())
            told: bool | None = True
        except Contradiction as contradiction:
            told = False
            assert search(contradiction.operations, model, budget(), Progress()) is not None
        except Undecided:
            told = None
        assert told in (truth, None), f"{name}, seed {seed}, history {number}"
        verdicts[truth] += told is not None
    assert min(verdicts.values()) > 10, verdicts


def never_refuted(name: str, seed: int, wanted: int) -> None:
    """Here conflicts lead back over many pairs, which short histories don't have."""
    chance, model = random.Random(seed), MODELS[name]
    explained = 0
    for number in range(wanted):
        history = simulated(name, chance, chance.randint(30, 60), chance.randint(3, 6), chance.choice([0, 0.1]))
        told = verdict(fewer(name, history, chance, chance.randint(2, 5)), model, Effort(150, 20_000, 20_000))
        assert told is not False, f"{name}, seed {seed}, history {number}"
        explained += told is True
    assert explained > wanted / 2, explained
    report(f"{name}, explained by construction", wanted, explained)


@pytest.mark.parametrize("name", MODELS)
def test_what_can_be_explained_is_never_refuted(name: str) -> None:
    never_refuted(name, 78, 15)


@pytest.mark.slow
@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_can_be_explained_is_never_refuted_at_length(
    name: str, careful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    if careful:
        hesitant(name, monkeypatch)
    never_refuted(name, 79, histories(300, at_most=5000))


@pytest.mark.parametrize("spoiled", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_long_histories_of_some_equal_values_need_no_search(name: str, spoiled: bool) -> None:
    """Busy clients, a long line: a search finds too many orders of what was put in at once."""
    seed = 76
    chance, model = random.Random(seed), MODELS[name]
    history = fewer(name, simulated(name, chance, 300), chance, 100)
    if spoiled:
        put, take = NAMES[name]
        moment = 10_000
        for number, (f, value) in enumerate(
            [(put, -1), (put, -2), (take, -2 if name == "queue" else -1), (take, None)]
        ):
            since, end = moment + 2 * number, moment + 2 * number + 1
            result = value if f == take else None
            if number == 3:
                result = -1 if name == "queue" else -2
            one = operation(f"late {number}", f, value if f == put else None, result, since, end)
            one.began = one.index = since
            one.ended = end
            history.append(one)
    progress = Progress()
    answer = decide(history, model, budget(), progress)
    assert answer.linearizable is not spoiled, f"seed {seed}"
    assert progress.explored == 0
    order = witness(history, model, budget())
    assert (order is None) is spoiled
    assert order is None or replay(order, history, model) is None


def test_every_value_has_a_name_of_its_own() -> None:
    puts = [
        operation(1, "enqueue", value, None, 2 * number, 2 * number + 1) for number, value in enumerate([1, 1, 1.0])
    ]
    takes = [operation(2, "dequeue", None, 1, 10 + 2 * number, 11 + 2 * number) for number in range(2)]
    history = from_intervals([*puts, *takes])
    named = told_apart(history, Queue(), budget(), LITTLE)
    assert [one.index for one in named] == [one.index for one in history]
    assert len({one.value for one in named[:3]}) == 3
    assert [one.result for one in named[3:]] == [one.value for one in named[:2]]


def test_other_models_and_limits() -> None:
    with pytest.raises(Undecided, match="neither a queue nor a stack"):
        told_apart([], Register(), budget())
    with pytest.raises(Stopped):
        told_apart(simulated("queue", random.Random(77), 50), Queue(), Budget(Limits(time_seconds=0)))
