"""The workload `counter`: processes add small amounts to counters, and read them.

An `add` returns the sum right after it, so additions that are lost, or carried out twice, show in the next one. How keys are
chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation


class CounterOptions(KeyedOptions):
    operations_per_key: int = Field(default=50, ge=1, description="a process moves to its next key after so many")
    add: float = Field(default=2.0, gt=0, description="how often an operation is an add, against read")
    read: float = Field(default=1.0, ge=0, description="how often an operation is a read")
    largest: int = Field(default=1, ge=1, description="an add adds 1 to so many")


class Counter(KeyedWorkload):
    name = "counter"
    summary = "Processes add to counters, which return the sum, and read them."
    letter = "c"
    machine = "counter"
    model = "counter"
    checkers = ("linearizable", "bounds", "availability", "faults")
    Options = CounterOptions
    options: CounterOptions

    def plan(self, process: int, number: int) -> Operation:
        chance = self.chance(process, number)
        f = by_weight(chance, {"add": self.options.add, "read": self.options.read})
        amount = chance.randint(1, self.options.largest) if f == "add" else None
        return {"f": f, "key": self.key(process, number), "value": amount}

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
