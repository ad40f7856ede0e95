"""Models and the values in their states."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.models import MODELS
from harness.models.model import Model
from harness.models.register import Register
from harness.models.values import canonical, show
from node.machines.kv import equal
from tests.support.brute import linearizable, operation
from tests.support.references import REFERENCES, random_history
from tests.support.soundness import histories, report

VALUES: list[object] = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    -1,
    2**60,
    float(2**60),
    "1",
    "",
    "true",
    [],
    [1],
    [1.0],
    [True],
    [[1]],
    ["array", 1],
    {},
    {"a": 1},
    {"a": 1.0},
    {"a": True},
    {"a": [1]},
    {"b": 1, "a": 2},
    {"a": 2, "b": 1},
]


@pytest.mark.parametrize("one", VALUES, ids=repr)
def test_canonical_values_are_equal_exactly_if_the_machine_calls_them_equal(one: object) -> None:
    for other in VALUES:
        assert (canonical(one) == canonical(other)) is equal(one, other), (one, other)
        if equal(one, other):
            assert hash(canonical(one)) == hash(canonical(other))


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError, match="not a JSON value"):
        canonical({1, 2})


def test_long_values_are_cut_in_sentences() -> None:
    assert show("é") == '"é"'
    assert len(show(list(range(1000)))) == 60


def ok(f: str, value: object = None, result: object = None) -> object:
    return operation(0, f, value, result, 0, 1)


@pytest.mark.parametrize(
    ("state", "step", "after"),
    [
        (None, ok("read"), [None]),
        (1, ok("read", None, 1.0), [1]),
        (1, ok("read", None, True), None),
        (1, ok("write", [2]), [canonical([2])]),
        (canonical([2]), ok("cas", [[2], 3], True), [3]),
        (2, ok("cas", [1, 3], True), None),
        (2, ok("cas", [1, 3], False), [2]),
        (1, ok("cas", [1, 3], False), None),
        (1, operation(0, "cas", [1, 3]), [3]),
        (2, operation(0, "cas", [1, 3]), [2]),
        (2, operation(0, "write", 5), [5]),
    ],
)
def test_the_register(state, step, after) -> None:
    answer = Register().step(state, step)
    if after is None:
        assert isinstance(answer, str)
    else:
        assert answer == after


def test_the_register_knows_what_is_pure() -> None:
    register = Register()
    assert register.pure(ok("read"))
    assert register.pure(ok("cas", [1, 2], False))
    assert register.pure(ok("cas", [1, 1.0], True))
    assert not register.pure(ok("cas", [1, 2], True))
    assert not register.pure(operation(0, "cas", [1, 2]))
    assert not register.pure(ok("write", 1))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (ok("append", 1), "no function 'append'"),
        (ok("cas", 1, True), r"\[from, to\]"),
        (ok("cas", [1, 2], None), "true or false"),
    ],
)
def test_what_the_register_does_not_know_is_told(wrong, said) -> None:
    with pytest.raises(AssertionError, match=said):
        problem = Register().problem(wrong)
        raise AssertionError(problem)


def test_models_are_found_by_name() -> None:
    assert MODELS["register"] is Register


def random_step(name: str, chance: random.Random, state: Any, number: int) -> tuple[str, Any, Any, Any]:
    """An operation with what the reference says: function, value, next state and result."""
    f, value = REFERENCES[name].ask(chance, number)
    after, result = REFERENCES[name].step(state, f, value)
    return f, value, after, result


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_what_its_reference_does(name: str) -> None:
    """Along random runs: the true result is accepted, leads on, and whatever other result was given elsewhere is not."""
    model: Model = MODELS[name]()
    for seed in range(50):
        chance = random.Random(seed)
        state, held = REFERENCES[name].initial, model.initial()
        results: dict[str, list[Any]] = {}
        for number in range(12):
            f, value, after, result = random_step(name, chance, state, number)
            where = f"seed {seed}, operation {number}: {f}({value}) = {result} in {state}"
            true = operation(0, f, value, result, 0, 1)
            assert model.problem(true) is None, where
            answer = model.step(held, true)
            assert not isinstance(answer, str) and len(answer) == 1, f"{answer}, {where}"
            for other in results.setdefault(f, []):
                wrong = operation(0, f, value, other, 0, 1)
                if canonical(other) != canonical(result) and not (name == "lock" and f == "acquire"):
                    assert isinstance(model.step(held, wrong), str), f"{other} was accepted, {where}"
            results[f].append(result)
            if not (name == "lock" and result not in (True, False)):  # a token that nobody heard of isn't known
                crashed = operation(0, f, value)
                assert list(model.step(held, crashed)) == list(answer), where
            if model.pure(true):
                assert answer[0] == held, where
            state, (held,) = after, answer


@pytest.mark.parametrize("name", MODELS)
def test_what_is_pure_never_changes_a_state(name: str) -> None:
    model: Model = MODELS[name]()
    chance = random.Random(name)
    states, pure = [model.initial()], 0
    for number in range(400):
        f, value, _, result = random_step(name, chance, REFERENCES[name].initial, number)
        for one in (operation(0, f, value, result, 0, 1), operation(0, f, value)):
            for state in chance.sample(states, min(20, len(states))):
                answer = model.step(state, one)
                if not isinstance(answer, str):
                    assert not model.pure(one) or answer == [state], (state, one)
                    states += [after for after in answer if after not in states][: 60 - len(states)]
            pure += model.pure(one)
    assert pure > 50


def compare_with_brute_force(name: str, seed: int, wanted: int) -> Counter[bool]:
    chance = random.Random(f"{name} {seed}")
    model: Model = MODELS[name]()
    outcomes: Counter[bool] = Counter()
    for number in range(wanted):
        crashed = chance.choice([0, 0.2, 0.4])
        history = random_history(chance, REFERENCES[name], chance.randint(1, 7), crashed, spoiled=0.7)
        where = f"{name}, seed {seed}, history {number}:\n" + "\n".join(map(str, history))
        assert all(model.problem(one) is None for one in history), where
        truth = linearizable(history, model)
        assert decide(history, model, Budget(Limits())).linearizable is truth, where
        outcomes[truth] += 1
    report(name, wanted, outcomes[True])
    return outcomes


@pytest.mark.parametrize("name", MODELS)
def test_small_histories_of_every_model_agree_with_brute_force(name: str) -> None:
    outcomes = compare_with_brute_force(name, seed=1, wanted=400)
    assert min(outcomes[True], outcomes[False]) > 20, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_many_small_histories_of_every_model_agree_with_brute_force(name: str) -> None:
    """`RASHOMON_SOUNDNESS` tells how many; `make test-soundness` sets it."""
    compare_with_brute_force(name, seed=2, wanted=histories(300))


def test_every_answer_of_an_order_that_happened_is_linearizable() -> None:
    """Both witnesses together: what a reference answered, in an order that the times allow, is explained by the model."""
    for name, reference in REFERENCES.items():
        chance = random.Random(name)
        for number in range(20):
            history = random_history(chance, reference, 12, chance.choice([0, 0.1]), spoiled=0)
            answer = decide(history, MODELS[name](), Budget(Limits()))
            assert answer.linearizable, f"{name}, history {number}"


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("kv", ok("append", 1), "takes a string or an array, not 1"),
        ("kv", ok("cas", [1], True), r"\[from, to\]"),
        ("kv", ok("delete", None, 1), "a delete returns true, false or null, not 1"),
        ("register", ok("read", 1), "a read has no value of its own, but here it is 1: what came back belongs into"),
        ("kv", ok("get", "k"), "a get has no value of its own"),
        ("queue", ok("dequeue", 1), "a dequeue has no value of its own"),
        ("set", ok("read", [1]), "a read has no value of its own"),
        ("log", ok("read", [1]), "a read has no value of its own"),
        ("counter", ok("read", 1), "a read has no value of its own"),
        ("write-once", ok("read", 1), "a read has no value of its own"),
        ("write-once", ok("write", None), "null can't be written"),
        ("write-once", ok("write", 1, 1), "a write returns"),
        ("counter", ok("add", True), "takes a whole number, not true"),
        ("counter", ok("add", 1, "1"), "returns a whole number or null"),
        ("counter", ok("read", None, None), "a read of a counter returns a whole number, not null"),
        ("set", ok("add", 1, 0), "what add returns is true, false or null, not 0"),
        ("set", ok("contains", 1, None), "contains returns true or false"),
        ("set", ok("read", None, 5), "a read of a set returns an array, not 5"),
        ("queue", ok("enqueue", None), "null can't be put in"),
        ("stack", ok("push", None), "null can't be put in"),
        ("stack", ok("dequeue"), "the model stack has no function 'dequeue': it knows push, pop"),
        ("lock", ok("acquire", None, "me"), "an acquire returns"),
        ("lock", ok("release", None, 7), "a release returns"),
        ("log", ok("append", 1, "first"), "an append returns a place"),
        ("log", ok("read", None, None), "a read of a log returns an array"),
    ],
)
def test_what_a_model_does_not_know_is_told(name, wrong, said) -> None:
    problem = MODELS[name]().problem(wrong)
    assert problem is not None and re.search(said, problem), problem


def test_values_that_are_no_hashable_ones_are_elements_like_any() -> None:
    model = MODELS["set"]()
    (state,) = model.step(model.initial(), ok("add", {"a": [1]}, True))
    assert model.step(state, ok("contains", {"a": [1.0]}, True)) == [state]
    assert isinstance(model.step(state, ok("contains", {"a": [True]}, True)), str)


def test_arrays_are_appended_to_arrays_and_nothing_to_a_number() -> None:
    model = MODELS["kv"]()
    assert model.step(canonical([1]), ok("append", [2, 3])) == [canonical([1, 2, 3])]
    assert model.step(None, ok("append", [2])) == [canonical([2])]
    assert isinstance(model.step(5, ok("append", "x")), str)
    assert isinstance(model.step("5", ok("append", [1])), str)
    assert model.step(5, operation(0, "append", "x")) == [5]


def test_a_key_may_hold_something_before_it_is_written() -> None:
    model = MODELS["kv"]("")
    assert model.step(model.initial(), ok("get", None, "")) == [""]
    assert model.step(model.initial(), ok("append", "x")) == ["x"]
    assert model.step("x", ok("delete", None, True)) == [""]
    assert MODELS["register"](0).step(0, ok("read", None, 0)) == [0]


def test_fencing_tokens_grow_and_only_the_owner_releases() -> None:
    model = MODELS["lock"]()
    (held,) = model.step(model.initial(), ok("acquire", "a", 5))
    assert isinstance(model.step(held, ok("acquire", "b", 6)), str)
    assert isinstance(model.step(held, ok("release", "b")), str)
    assert model.step(held, ok("release", "b", False)) == [held]
    (free,) = model.step(held, ok("release", "a"))
    assert "5" in model.step(free, ok("acquire", "b", 5))
    assert len(model.step(free, ok("acquire", "b", 6))) == 1
    (unnamed,) = model.step(free, ok("acquire"))
    assert len(model.step(unnamed, ok("release", "whoever"))) == 1
