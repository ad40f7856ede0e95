"""The machine kv: what each function answers and does, and which operations it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from node.machine import Machine, Operation
from node.machines import MACHINES
from node.machines.kv import KeyValue, equal


def operation(f: str, key: Any = "x", value: Any = None) -> Operation:
    return {"f": f, "key": key, "value": value}


def held(machine: Machine, key: str = "x") -> Any:
    return machine.apply(operation("read", key))


def test_it_is_known_by_its_name() -> None:
    assert MACHINES["kv"] is KeyValue


def test_a_key_that_was_never_written_holds_null() -> None:
    assert held(KeyValue()) is None


def test_a_write_is_read_back_and_other_keys_are_left_alone() -> None:
    machine = KeyValue()
    assert machine.apply(operation("write", "x", {"a": [1, 2]})) is None
    assert held(machine, "x") == {"a": [1, 2]}
    assert held(machine, "y") is None


def test_cas_changes_the_value_only_if_it_is_the_expected_one() -> None:
    machine = KeyValue()
    machine.apply(operation("write", "x", 1))
    assert machine.apply(operation("cas", "x", [7, 8])) is False
    assert held(machine) == 1
    assert machine.apply(operation("cas", "x", [1, 2])) is True
    assert held(machine) == 2


def test_cas_from_null_creates_a_key() -> None:
    machine = KeyValue()
    assert machine.apply(operation("cas", "x", [None, 5])) is True
    assert machine.apply(operation("cas", "x", [None, 6])) is False
    assert held(machine) == 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, False, False),
        (None, 0, False),
        ("1", 1, False),
        ([1, [True]], [1, [True]], True),
        ([1, [True]], [1, [1]], False),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": 0}, {"a": False}, False),
        ({"a": 1}, {"b": 1}, False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json_values(one: Any, other: Any, same: bool) -> None:
    assert equal(one, other) is same
    assert equal(other, one) is same
    machine = KeyValue()
    machine.apply(operation("write", "x", one))
    assert machine.apply(operation("cas", "x", [other, "new"])) is same


def test_execute_changes_nothing_and_install_repeats_the_effect_elsewhere() -> None:
    here, there = KeyValue(), KeyValue()
    executed = here.execute(operation("write", "x", 3))
    assert held(here) is None
    here.install(executed.effect)
    there.install(executed.effect)
    assert here.digest() == there.digest() != KeyValue().digest()


def test_queries_have_no_effect() -> None:
    machine = KeyValue()
    machine.apply(operation("write", "x", 3))
    assert machine.queries == {"read"}
    assert machine.execute(operation("read")).effect is None
    assert machine.execute(operation("cas", "x", [9, 1])).effect is None


def test_a_snapshot_is_a_copy_that_restores_the_state() -> None:
    machine = KeyValue()
    machine.apply(operation("write", "x", [1]))
    snapshot, digest = machine.snapshot(), machine.digest()
    machine.apply(operation("write", "x", [2]))
    assert machine.digest() != digest
    machine.restore(snapshot)
    machine.apply(operation("write", "y", 1))
    assert snapshot == {"x": [1]}
    machine.restore(snapshot)
    assert (held(machine), machine.digest()) == ([1], digest)
    machine.restore(None)
    assert machine.digest() == KeyValue().digest()


def test_writing_null_is_as_if_never_written() -> None:
    machine = KeyValue()
    machine.apply(operation("write", "x", 1))
    machine.apply(operation("write", "x", None))
    assert machine.digest() == KeyValue().digest()


@pytest.mark.parametrize("f", ["read", "write", "cas"])
def test_its_operations_have_no_problem(f: str) -> None:
    assert KeyValue().problem(operation(f, "x", {"read": None, "write": 1, "cas": [1, 2]}[f])) is None


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (operation("increment"), "increment"),
        (operation("read", "x", 1), "read takes no value"),
        (operation("cas", "x", 1), "[from, to]"),
        (operation("cas", "x", [1, 2, 3]), "[from, to]"),
        (operation("cas", "x", None), "[from, to]"),
        (operation("write", "", 1), "key"),
        (operation("write", 5, 1), "key"),
        (operation(["write"], "x", 1), "function"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_operation_is_told_in_one_sentence(wrong: Operation, word: str) -> None:
    problem = KeyValue().problem(wrong)
    assert problem is not None and word in problem and "\n" not in problem
