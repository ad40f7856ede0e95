"""The workload register: what is planned, bound, remembered, and read at the end."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from harness.workloads import WORKLOADS, make_workload
from harness.workloads.register import Register, RegisterOptions
from harness.workloads.workload import Memory
from tests.support.specs import spec_of


def register(workers: int = 9, seed: int = 1, **options: float) -> Register:
    return Register(RegisterOptions.model_validate(options), workers, seed)


def test_it_is_registered_and_made_from_a_spec() -> None:
    assert WORKLOADS["register"] is Register
    workload = make_workload(spec_of(seed=7))
    assert isinstance(workload, Register)
    assert workload.seed == 7


def test_the_plan_is_a_pure_function() -> None:
    places = [(process, number) for process in (0, 4, 31) for number in range(40)]
    first = {place: register().plan(*place) for place in places}
    random.Random(1).shuffle(places)
    again = register()
    assert {place: again.plan(*place) for place in places} == first
    assert {place: register(seed=2).plan(*place) for place in places} != first


def test_values_are_written_once_in_a_run() -> None:
    workload = register(read=0)
    values = []
    for process in range(30):
        for number in range(200):
            planned = workload.plan(process, number)
            values.append(planned["value"][1] if planned["f"] == "cas" else planned["value"])
    assert len(set(values)) == len(values)


def test_functions_come_in_their_proportions() -> None:
    workload = register(read=6, write=3, cas=1)
    counts = Counter(workload.plan(process, number)["f"] for process in range(10) for number in range(300))
    assert 1650 <= counts["read"] <= 1950
    assert 780 <= counts["write"] <= 1020
    assert 200 <= counts["cas"] <= 400
    assert {register(write=0, read=0).plan(0, number)["f"] for number in range(50)} == {"cas"}


def test_few_processes_share_a_key() -> None:
    for workers in (1, 2, 3, 10, 20):
        workload = register(workers=workers)
        sharing = Counter(workload.plan(process, 0)["key"] for process in range(workers))
        assert max(sharing.values()) <= 5
        assert min(sharing.values()) >= min(3, workers)


def test_keys_are_rotated_by_operations_and_by_retirement() -> None:
    workload = register(workers=9, operations_per_key=10)
    assert workload.plan(1, 0)["key"] == workload.plan(1, 9)["key"] == workload.plan(4, 0)["key"] == "k1.0"
    assert workload.plan(1, 10)["key"] == "k1.1"
    assert workload.plan(1 + 9, 0)["key"] == "k1.1"
    assert workload.plan(1 + 18, 25)["key"] == "k1.4"


def test_a_cas_compares_with_what_its_process_saw_last_on_the_key() -> None:
    workload, memory = register(), Memory()
    cas = {"f": "cas", "key": "x", "value": [None, 9]}
    assert workload.bind(cas, memory) == {"f": "write", "key": "x", "value": 9}
    workload.observe({"f": "read", "key": "x", "value": None}, None, memory)
    assert workload.bind(cas, memory)["value"] == [None, 9]
    workload.observe({"f": "write", "key": "x", "value": 5}, None, memory)
    assert workload.bind(cas, memory)["value"] == [5, 9]
    workload.observe({"f": "cas", "key": "x", "value": [5, 9]}, True, memory)
    assert workload.bind({"f": "cas", "key": "x", "value": [None, 10]}, memory)["value"] == [9, 10]
    workload.observe({"f": "read", "key": "y", "value": None}, 3, memory)
    assert workload.bind(cas, memory)["value"] == [9, 9]
    workload.observe({"f": "cas", "key": "x", "value": [9, 10]}, False, memory)
    assert workload.bind(cas, memory)["f"] == "write"
    assert workload.bind({"f": "read", "key": "x", "value": None}, memory)["f"] == "read"


def test_the_essence_of_an_operation_does_not_depend_on_what_was_seen() -> None:
    workload = register()
    for number in range(60):
        planned = workload.plan(2, number)
        bound = [workload.bind(planned, memory) for memory in ({}, {planned["key"]: None}, {planned["key"]: 77})]
        assert {workload.essence(operation) for operation in bound} == {workload.essence(planned)}
    assert len({workload.essence(workload.plan(2, number)) for number in range(60) if number != 1}) > 20


def test_every_key_is_read_at_the_end_through_several_replicas() -> None:
    replicas = ("n1", "n2", "n3", "n4", "n5")
    final = register().final_operations(["a", "b"], replicas)
    assert len(final) == 6
    assert all(operation["f"] == "read" and operation["value"] is None for operation, _ in final)
    for key in "ab":
        assert len({replica for operation, replica in final if operation["key"] == key}) == 3


def test_of_very_many_keys_the_latest_and_a_sample_are_read() -> None:
    keys = [f"k{number}" for number in range(1000)]
    workload = register(final_keys=20, final_reads_per_key=1)
    chosen = [operation["key"] for operation, _ in workload.final_operations(keys, ("n1",))]
    assert len(chosen) == len(set(chosen)) == 20
    assert set(keys[-10:]) <= set(chosen)
    assert chosen == [operation["key"] for operation, _ in workload.final_operations(keys, ("n1",))]
    one = register(final_keys=1, final_reads_per_key=1).final_operations(keys, ("n1",))
    assert [operation["key"] for operation, _ in one] == ["k999"]


@pytest.mark.parametrize("options", [{"write": 0, "cas": 0}, {"read": -1}, {"processes_per_key": 0}, {"reads": 1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        register(**options)
