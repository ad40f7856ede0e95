"""What all workloads keep: plans that follow from the seed, operations that their machines and models know."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from harness.checkers import CHECKERS
from harness.checkers.operations import Operation as Judged
from harness.models import MODELS
from harness.workloads import WORKLOADS
from harness.workloads.workload import Memory, Workload
from node.machine import Operation
from node.machines import MACHINES
from tests.support.brute import operation as judged

LEFT_ALONE = {"crossing": {"cas"}}
"""Functions that a workload doesn't use, on purpose."""


def made(name: str, seed: int = 1, workers: int = 6) -> Workload:
    kind: type[Workload] = WORKLOADS[name]
    return kind(kind.Options(), workers, seed)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_names_what_exists(name: str) -> None:
    workload = made(name)
    assert workload.name == name and workload.summary.endswith(".")
    assert workload.machine in MACHINES and workload.model in MODELS
    assert set(workload.checkers) <= set(CHECKERS)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_plan_follows_from_seed_process_and_number_alone(name: str) -> None:
    one, same, other = made(name), made(name), made(name, seed=2)
    forward = [[one.plan(process, number) for number in range(40)] for process in (0, 3, 13)]
    for place, process in reversed(list(enumerate((0, 3, 13)))):
        for number in reversed(range(40)):
            assert same.plan(process, number) == forward[place][number]
    assert [other.plan(0, number) for number in range(40)] != forward[0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_machine_and_model_know_every_operation_and_agree_on_a_life(name: str) -> None:
    """Six processes take turns on one machine, as a perfect cluster would let them."""
    workload, chance = made(name), random.Random(name)
    machine, model = MACHINES[workload.machine](), MODELS[workload.model]()
    states = {}
    memories: dict[int, Memory] = {}
    functions: Counter[str] = Counter()
    numbers: Counter[int] = Counter()
    for _ in range(600):
        process = chance.randrange(6)
        planned = workload.plan(process, numbers[process])
        numbers[process] += 1
        memory = memories.setdefault(process, {})
        operation = workload.bind(planned, memory)
        assert workload.essence(operation) == workload.essence(planned)
        where = f"{name}: {operation}"
        assert machine.problem(operation) is None, where
        result = json.loads(json.dumps(machine.apply(operation)))
        seen: Judged = judged(process, operation["f"], operation["value"], result, 0, 1)
        assert model.problem(seen) is None, where
        after = model.step(states.get(operation["key"], model.initial()), seen)
        assert not isinstance(after, str), f"{where} = {result}: {after}"
        states[operation["key"]] = after[0]
        workload.observe(operation, result, memory)
        functions[operation["f"]] += 1
    assert set(functions) | LEFT_ALONE.get(name, set()) == set(machine.functions), "some function is never used"


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_key_is_asked_for_in_the_end_by_way_of_several_replicas(name: str) -> None:
    workload = made(name)
    machine = MACHINES[workload.machine]()
    asked = workload.final_operations(["a", "b"], ["n1", "n2", "n3"])
    ways: dict[str, set[str]] = {}
    for operation, replica in asked:
        assert machine.problem(operation) is None
        ways.setdefault(operation["key"], set()).add(replica)
    assert ways == {"a": {"n1", "n2", "n3"}, "b": {"n1", "n2", "n3"}}


def test_keys_are_shared_by_few_and_left_in_time() -> None:
    workload = made("lock", workers=9)
    groups: dict[str, set[int]] = {}
    for process in range(9):
        groups.setdefault(workload.plan(process, 0)["key"], set()).add(process)
    assert sorted(map(len, groups.values())) == [3, 3, 3]
    keys = {workload.plan(0, number)["key"] for number in range(60)}
    assert len(keys) == 3
    planned: Operation = workload.plan(9, 0)
    assert planned["key"] not in {workload.plan(0, number)["key"] for number in range(20)}, "a successor moves on"
