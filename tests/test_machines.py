"""The machines: what each answers, and that machine and model, written apart, tell the same story."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from harness.checkers.operations import Operation as Judged
from harness.models import MODELS
from node.machine import Machine, Operation
from node.machines import MACHINES
from tests.support.brute import operation as judged

NAMES = ["a", "b"]


def asked(f: str, value: Any = None, key: str = "x") -> Operation:
    return {"f": f, "key": key, "value": value}


def told(machine: Machine, *steps: tuple[str, Any]) -> list[Any]:
    return [machine.apply(asked(f, value)) for f, value in steps]


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        (
            "lock",
            [
                ("acquire", "p1", 1),
                ("acquire", "p2", False),
                ("acquire", "p1", False),
                ("release", "p2", False),
                ("release", "p1", True),
                ("release", "p1", False),
                ("acquire", "p2", 2),
            ],
        ),
        ("queue", [("dequeue", None, None), ("enqueue", 1, None), ("enqueue", 2, None), ("dequeue", None, 1)]),
        ("counter", [("read", None, 0), ("add", 3, 3), ("add", -1, 2), ("add", 0, 2), ("read", None, 2)]),
        (
            "set",
            [
                ("add", 3, True),
                ("add", 3.0, False),
                ("add", True, True),
                ("contains", 3, True),
                ("contains", 1, False),
                ("read", None, [3, True]),
                ("remove", 3, True),
                ("remove", 3, False),
                ("read", None, [True]),
            ],
        ),
        (
            "register",
            [("read", None, None), ("write", 5, True), ("write", 6, False), ("write", 5, False), ("read", None, 5)],
        ),
        ("log", [("append", "a", 0), ("append", None, 1), ("read", None, ["a", None])]),
        (
            "auction",
            [
                ("look", "vase", None),
                ("open", ["ann", "vase"], "not registered"),
                ("register", "ann", True),
                ("register", "ann", False),
                ("bid", ["ann", "vase", 1], "no such auction"),
                ("open", ["ann", "vase"], True),
                ("open", ["ann", "vase"], "there is one already"),
                ("bid", ["bob", "vase", 10], "not registered"),
                ("register", "bob", True),
                ("bid", ["bob", "vase", 10], True),
                ("bid", ["ann", "vase", 10], "too low"),
                ("close", ["bob", "vase"], "not yours"),
                ("look", "vase", ["open", "bob", 10]),
                ("close", ["ann", "vase"], ["bob", 10]),
                ("bid", ["ann", "vase", 99], "closed"),
                ("look", "vase", ["closed", "bob", 10]),
            ],
        ),
        (
            "mailbox",
            [
                ("mark", "m1", False),
                ("send", "m1", None),
                ("send", "m1", None),
                ("send", "m2", None),
                ("mark", "m1", True),
                ("mark", "m1", True),
                ("list", None, [["m1", True], ["m2", False]]),
            ],
        ),
    ],
)
def test_what_a_machine_answers(name: str, steps: list[tuple[str, Any, Any]]) -> None:
    machine: Machine = MACHINES[name]()
    for f, value, expected in steps:
        result = machine.apply(asked(f, value))
        assert json.dumps(result) == json.dumps(expected), (f, value)


@pytest.mark.parametrize(
    ("name", "operation", "sentence"),
    [
        ("lock", asked("acquire"), "acquire needs the owner as its value"),
        ("lock", asked("grab", "p1"), "lock has no function 'grab': use one of acquire, release"),
        ("queue", asked("enqueue"), "null can't be enqueued"),
        ("queue", asked("dequeue", 1), "a dequeue takes no value, not 1"),
        ("queue", asked("dequeue", None, ""), "queue needs a key that is a string and not empty"),
        ("counter", asked("add", True), "an add takes a whole number of at most 64 bits, not True"),
        ("counter", asked("add", 2**63), "an add takes a whole number of at most 64 bits, not 9223372036854775808"),
        ("log", asked("read", 1), "a read takes no value"),
        ("register", asked("write"), "null can't be written"),
        ("auction", asked("register", ["ann"]), "register takes a name"),
        ("auction", asked("bid", ["ann", "vase"]), "bid takes [person, auction, amount]"),
        ("auction", asked("bid", ["ann", "vase", 0]), "a bid is a whole number above 0, not 0"),
        ("auction", asked("open", ["ann", 1]), "open takes [person, auction], not"),
        ("mailbox", asked("send", 1), "send takes the name of a message, not 1"),
    ],
)
def test_what_a_machine_refuses(name: str, operation: Operation, sentence: str) -> None:
    problem = MACHINES[name]().problem(operation)
    assert problem is not None and problem.startswith(sentence)


def something_to_do(name: str, chance: random.Random, number: int) -> tuple[str, Any]:
    """A random function with a value that it takes."""
    person, few = chance.choice(NAMES), chance.randrange(3)
    choices: dict[str, list[tuple[str, Any]]] = {
        "auction": [
            ("register", person),
            ("open", [person, "vase"]),
            ("bid", [person, "vase", few + 1]),
            ("close", [person, "vase"]),
            ("look", "vase"),
        ],
        "counter": [("add", few - 1), ("read", None)],
        "kv": [("read", None), ("write", few), ("cas", [few, number])],
        "lock": [("acquire", person), ("release", person)],
        "log": [("append", few), ("read", None)],
        "mailbox": [("send", f"m{few}"), ("mark", f"m{few}"), ("list", None)],
        "queue": [("enqueue", number), ("dequeue", None)],
        "register": [("write", number), ("read", None)],
        "set": [("add", few), ("remove", few), ("contains", few), ("read", None)],
    }
    return chance.choice(choices[name])


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_and_its_model_tell_the_same_story(name: str) -> None:
    """And: executing changes nothing, effects do the same everywhere, snapshots hold all of it."""
    model = MODELS[{"kv": "register", "register": "write-once"}.get(name, name)]()
    for seed in range(100):
        chance = random.Random(f"{name} {seed}")
        machine, copy, state = MACHINES[name](), MACHINES[name](), model.initial()
        for number in range(25):
            f, value = something_to_do(name, chance, number)
            where = f"{name}, seed {seed}, operation {number}: {f}({value})"
            assert machine.problem(asked(f, value)) is None, where
            before = machine.digest()
            result, effect = machine.execute(asked(f, value))
            assert machine.digest() == before, where
            assert [result, effect] == json.loads(json.dumps([result, effect])), f"{where}: not a JSON value"
            machine.install(effect)
            copy.install(json.loads(json.dumps(effect)))
            assert copy.digest() == machine.digest(), where
            if f in machine.queries:
                assert effect is None, where
            seen: Judged = judged(0, f, value, json.loads(json.dumps(result)), 0, 1)
            assert model.problem(seen) is None, where
            answer = model.step(state, seen)
            assert not isinstance(answer, str), f"{where} = {result}: {answer}"
            state = answer[0]
            if chance.random() < 0.2:
                restored: Machine = MACHINES[name]()
                restored.restore(json.loads(json.dumps(machine.snapshot())))
                assert restored.digest() == machine.digest(), where
                copy = restored
        machine.restore(None)
        assert machine.digest() == MACHINES[name]().digest()


@pytest.mark.parametrize("name", MACHINES)
def test_objects_have_nothing_to_do_with_each_other(name: str) -> None:
    chance = random.Random(name)
    together, apart = MACHINES[name](), {"x": MACHINES[name](), "y": MACHINES[name]()}
    for number in range(60):
        f, value = something_to_do(name, chance, number)
        key = chance.choice(["x", "y"])
        operation = asked(f, value, key)
        assert together.apply(operation) == apart[key].apply(operation), (number, operation)


def test_what_a_snapshot_holds_does_not_change_any_more() -> None:
    for name in MACHINES:
        machine: Machine = MACHINES[name]()
        chance = random.Random(f"snapshot {name}")
        for number in range(20):
            f, value = something_to_do(name, chance, number)
            snapshot = machine.snapshot()
            text = json.dumps(snapshot, sort_keys=True)
            machine.apply(asked(f, value))
            assert json.dumps(snapshot, sort_keys=True) == text, name
