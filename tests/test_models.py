"""Models and the values in their states."""

from __future__ import annotations

import pytest

from harness.models import MODELS
from harness.models.register import Register
from harness.models.values import canonical, show
from node.machines.kv import equal
from tests.support.brute import operation

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
