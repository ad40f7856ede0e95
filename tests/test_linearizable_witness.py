"""Witnesses: every history that can be explained gets an order, and the replay accepts it, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.witness import replay, witness
from harness.checkers.operations import Operation, from_intervals
from harness.models import MODELS
from harness.models.model import Model
from harness.models.register import Register
from tests.support.brute import linearizable, operation, random_register_history, simulated_register_history
from tests.support.references import REFERENCES, random_history
from tests.support.soundness import histories, report
from tests.test_linearizable_models import CASES, Make


def budget() -> Budget:
    return Budget(Limits(time_seconds=60, memory_mb=512))


def compare_with_brute_force(case: str, model: Model, make: Make, seed: int, wanted: int) -> None:
    chance = random.Random(seed)
    explained = 0
    for number in range(wanted):
        history = make(chance, chance.randint(1, 8))
        order = witness(history, model, budget())
        where = f"{case}, seed {seed}, history {number}:\n" + "\n".join(map(str, history))
        assert (order is not None) is linearizable(history, model), where
        if order is not None:
            assert replay(order, history, model) is None, where
            explained += 1
    assert explained > wanted / 10
    report(f"{case}, witness", wanted, explained)


@pytest.mark.parametrize("case", CASES)
def test_what_can_be_explained_has_a_witness(case: str) -> None:
    compare_with_brute_force(case, *CASES[case][:2], 50, 150)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_can_be_explained_has_a_witness_at_length(case: str) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_with_brute_force(case, *CASES[case][:2], 51, histories(300))


def of_the_reference(name: str) -> Make:
    """Any values; answered by the reference, and then spoiled."""
    return lambda chance, most: random_history(
        chance, REFERENCES[name], most, chance.choice([0, 0.2, 0.4]), spoiled=0.5
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_can_be_explained_has_a_witness_whatever_the_values(name: str) -> None:
    compare_with_brute_force(f"{name}, any values", MODELS[name](), of_the_reference(name), 54, histories(200))


@pytest.mark.parametrize("values", ["unique", "few"])
def test_registers_have_witnesses(values: str) -> None:
    seed, model = 52, Register()
    chance = random.Random(seed)
    explained = 0
    for number in range(400):
        history = random_register_history(chance, chance.randint(1, 8), values)
        order = witness(history, model, budget())
        where = f"seed {seed}, history {number}:\n" + "\n".join(map(str, history))
        assert (order is not None) is linearizable(history, model), where
        if order is not None:
            assert replay(order, history, model) is None, where
            explained += 1
    assert explained > 40


@pytest.mark.parametrize("values", [None, 5])
def test_large_histories_have_witnesses(values: int | None) -> None:
    history = simulated_register_history(random.Random(53), 2000, 5, 0.01, values)
    order = witness(history, Register(), budget())
    assert order is not None
    assert replay(order, history, Register()) is None


WRITE_1, WRITE_2, READ_2 = short = from_intervals(
    [
        operation(1, "write", 1, None, 0, 1),
        operation(1, "write", 2, None, 2, 3),
        operation(2, "read", None, 2, 4, 5),
    ]
)


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ([WRITE_1, WRITE_2], "the read of event 4 happened, but is not in the order"),
        ([WRITE_1, WRITE_2, READ_2, READ_2], "an operation is in the order twice"),
        ([WRITE_1, WRITE_2, READ_2, replace(READ_2)], "the read of event 4 is in the order, but not in the history"),
        (
            [WRITE_2, WRITE_1, READ_2],
            "the write of event 2 comes before the write of event 0, which had returned before it was called",
        ),
    ],
)
def test_a_replay_refuses_what_is_no_witness(order: list[Operation], problem: str) -> None:
    assert replay(order, short, Register()) == problem


def test_a_replay_asks_the_model_for_every_step() -> None:
    wrong = from_intervals([operation(1, "write", 1, None, 0, 5), operation(2, "read", None, 2, 0, 5)])
    assert replay(wrong, wrong, Register()) == (
        "place 1 of the order, the read of event 1: the register held another value than the one that was read"
    )
    assert replay([], [operation(1, "write", 1)], Register()) is None


def test_a_witness_stops_at_its_limits() -> None:
    busy = simulated_register_history(random.Random(54), 2000, 20, 0.05, 5)
    with pytest.raises(Stopped, match="the time limit of 0 s"):
        witness(busy, Register(), Budget(Limits(time_seconds=0)))
