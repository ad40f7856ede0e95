"""The algorithms against brute force, and against each other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import near_linear
from harness.checkers.linearizable import search as search_module
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.checkers.linearizable.search import Progress, search
from harness.checkers.linearizable.windows import From, windows
from harness.checkers.operations import Operation, from_intervals
from harness.models.counter import Counter as Counting
from harness.models.model import Model
from harness.models.register import Register
from tests.support.brute import (
    linearizable,
    operation,
    random_register_history,
    simulated_register_history,
    spoil,
)
from tests.support.soundness import histories, report

MODEL = Register()


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def searched(history: list[Operation], model: Model = MODEL) -> bool:
    return search(history, model, budget(), Progress()) is None


def told(history: list[Operation]) -> str:
    return "\n".join(str(one) for one in history)


def compare_with_brute_force(seed: int, wanted: int) -> Counter[tuple[str, bool, bool | None]]:
    chance = random.Random(seed)
    outcomes: Counter[tuple[str, bool, bool | None]] = Counter()
    for number in range(wanted):
        values = chance.choice(["unique", "unique", "few"])
        crashed, cas = chance.choice([0, 0.2, 0.5]), chance.choice([0, 0.2, 0.5])
        history = random_register_history(chance, chance.randint(1, 8), values, crashed, cas)
        where = f"seed {seed}, history {number}:\n{told(history)}"
        truth = linearizable(history, MODEL)
        assert searched(history) is truth, where
        decision = near_linear.decide(history, None, budget())
        assert decision.linearizable in (truth, None), f"{decision.why}, {where}"
        assert decide(history, MODEL, budget()).linearizable is truth, where
        if decision.linearizable is False:
            assert not linearizable(decision.proof, MODEL), f"{decision.why}: the proof proves nothing, {where}"
        outcomes[values, truth, decision.linearizable] += 1
    report(f"register, seed {seed}", wanted, sum(n for (_, truth, _), n in outcomes.items() if truth))
    return outcomes


def test_small_histories_agree_with_brute_force() -> None:
    outcomes = compare_with_brute_force(seed=20, wanted=1500)
    # The histories must be worth something: both verdicts, of both kinds of values, decided by the fast algorithm.
    for values in ("unique", "few"):
        for truth in (True, False):
            assert outcomes[values, truth, truth] > 50, outcomes
    unique = sum(count for (values, _, _), count in outcomes.items() if values == "unique")
    undecided = outcomes["unique", True, None] + outcomes["unique", False, None]
    assert undecided < unique / 100, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_small_histories_agree_with_brute_force(seed: int) -> None:
    """`RASHOMON_SOUNDNESS` tells how many for each seed; `make test-soundness` sets it."""
    compare_with_brute_force(seed, histories(300))


def sparse(chance: random.Random, operations: int) -> list[Operation]:
    """Few values, and few operations at once: there are moments at which nothing is open."""
    made: list[Operation] = []
    crashed, refused = chance.choice([0, 0.15, 0.3]), chance.choice([0, 0.3])
    clock, values = 0, [1, 2, 3]
    held: object = None
    for number in range(operations):
        clock += chance.choice([1, 1, 3])
        f = chance.choice(["write", "read", "read", "cas"])
        returned = None if chance.random() < crashed else clock + chance.randint(0, 3)
        new: object = chance.choice(values)
        done = chance.random() >= refused
        value = new if f == "write" else None if f == "read" else [held if chance.random() < 0.9 else new, new]
        right = held if chance.random() < 0.95 else chance.choice(values)
        result = right if f == "read" else done if f == "cas" else None
        if (f == "write" or (f == "cas" and done)) and (returned is not None or chance.random() < 0.5):
            held = new
        made.append(operation(number, f, value, None if returned is None else result, clock, returned))
    return from_intervals(made)


def compare_windows(seed: int, wanted: int) -> None:
    chance = random.Random(seed)
    verdicts: Counter[tuple[bool, bool]] = Counter()
    for number in range(wanted):
        history = sparse(chance, chance.randint(4, 12))
        truth = linearizable(history, MODEL)
        where = f"seed {seed}, history {number}:\n{told(history)}"
        several = len(windows(history, None)) > 1
        assert decide(history, MODEL, budget()).linearizable is truth, where
        apart = [searched(window.operations, From(MODEL, window.initial)) for window in windows(history, None)]
        assert all(apart) is truth, where
        verdicts[truth, several] += 1
    assert min(verdicts[True, True], verdicts[False, True]) > wanted / 20, verdicts
    report("register in windows", wanted, verdicts[True, True] + verdicts[True, False])


def test_windows_are_explained_exactly_if_the_whole_is() -> None:
    compare_windows(13, 500)


@pytest.mark.slow
def test_many_windows_are_explained_exactly_if_the_whole_is() -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_windows(14, histories(500))


@pytest.mark.parametrize("operations", [1, 2, 3])
def test_tiny_histories_of_few_values(operations: int) -> None:
    chance = random.Random(operations)
    for _ in range(150):
        history = random_register_history(chance, operations, "few", crashed=0.3, cas=0.4)
        assert searched(history) is linearizable(history, MODEL), told(history)


def test_large_valid_histories_are_valid_and_spoiled_ones_are_not() -> None:
    seed = 7
    chance = random.Random(seed)
    caught: Counter[str] = Counter()
    for number in range(24):
        processes, crashed = chance.choice([3, 5, 10]), chance.choice([0, 0.01, 0.05])
        history = simulated_register_history(chance, 300, processes, crashed)
        where = f"seed {seed}, history {number}"
        decision = near_linear.decide(history, None, budget())
        assert decision.linearizable is True, f"{decision.why}, {where}"
        how, spoiled = spoil(chance, history)
        assert decide(spoiled, MODEL, budget()).linearizable is False, f"{how}, {where}"
        caught[how] += 1
    assert len(caught) == 4, caught


def test_the_fast_algorithm_agrees_with_the_search_on_larger_histories() -> None:
    seed = 8
    chance = random.Random(seed)
    for number in range(16):
        history = simulated_register_history(chance, 120, chance.choice([2, 3, 4]), 0.01)
        if number % 2:
            history = spoil(chance, history)[1]
        fast = near_linear.decide(history, None, budget()).linearizable
        assert fast is searched(history), f"seed {seed}, history {number}"


def test_hundreds_of_crashed_operations_among_thousands_are_decided_without_a_search() -> None:
    seed = 9
    chance = random.Random(seed)
    for processes in (10, 20):
        history = simulated_register_history(chance, 5000, processes, 0.06)
        assert sum(one.type == "info" for one in history) > 200
        assert near_linear.decide(history, None, budget()).linearizable is True, f"seed {seed}"
        assert near_linear.decide(spoil(chance, history)[1], None, budget()).linearizable is False, f"seed {seed}"


def test_quicker_looks_before_the_search_agree_with_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the narrowest beams, and always: the beam's witnesses and the relaxed proofs."""
    monkeypatch.setattr(search_module, "_BEAMS", ((0, 1), (0, 2)))
    seed = 11
    chance = random.Random(seed)
    verdicts: Counter[bool] = Counter()
    relaxed = 0
    for number in range(600):
        history = random_register_history(chance, chance.randint(2, 8), "few", chance.choice([0, 0.2, 0.5]))
        truth = linearizable(history, MODEL)
        outcome = search_module.decide(history, MODEL, budget(), Progress())
        assert outcome.linearizable is truth, f"seed {seed}, history {number}:\n{told(history)}"
        verdicts[truth] += 1
        relaxed += not outcome.linearizable and outcome.failed_at is None
    assert min(verdicts.values()) > 60, verdicts
    assert relaxed > 60, relaxed


def test_models_without_an_end_of_states_are_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter, increased by crashed operations: the relaxed search has to give up, and the whole one to decide."""
    monkeypatch.setattr(search_module, "_BEAMS", ((0, 1),))
    for total, possible in ((9, True), (10, False)):
        adds = [operation(number, "add", 3, None, number) for number in range(3)]
        reads = [operation(9, "read", None, 3, 10, 11), operation(9, "read", None, total, 12, 13)]
        history = from_intervals([*adds, *reads])
        outcome = search_module.decide(history, Counting(), budget(), Progress())
        assert outcome.linearizable is possible is linearizable(history, Counting())


def test_few_values_and_crashed_operations_by_the_thousand_are_decided() -> None:
    history = simulated_register_history(random.Random(12), 3000, 5, 0.01, values=5)
    assert decide(history, MODEL, budget()).linearizable


def test_few_values_with_busy_clients_are_searched() -> None:
    seed = 10
    chance = random.Random(seed)
    for processes in (3, 5):
        history = simulated_register_history(chance, 300, processes, 0.01, values=5)
        assert decide(history, MODEL, budget()).linearizable, f"seed {seed}"
