"""The workload `register`: reads, writes and compare-and-sets on many keys, few processes on each.

How keys, values and the final reads are chosen is told in `harness.workloads.keyed`.

**Compare-and-set.** The plan fixes key and new value. What it compares with is the value that this process saw last on
that key (read, written, or set); a process that hasn't seen any writes the new value instead. After a cas that found
something else the process knows that what it saw is outdated, and forgets it.

**Readers.** With `readers` some processes do nothing but read. A replica that can't write any more, cut off from the
others, still gets their reads, while everybody else waits for a write that is not answered.

What it can find: lost writes, stale reads, values from nowhere, two compare-and-sets from one value; all that a
linearizable register forbids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from harness.workloads.workload import Memory
from node.machine import Operation


class RegisterOptions(KeyedOptions):
    read: float = Field(default=5.0, ge=0, description="how often an operation is a read, against write and cas")
    write: float = Field(default=3.0, ge=0, description="how often an operation is a write")
    cas: float = Field(default=2.0, ge=0, description="how often an operation is a compare-and-set")
    readers: float = Field(default=0.0, ge=0, le=1, description="the share of the processes that only read")

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.write + self.cas == 0:
            raise ValueError("write and cas can't both be 0: nothing would ever change")
        return self


class Register(KeyedWorkload):
    name = "register"
    summary = "Reads, writes and compare-and-sets of values written once, on many keys with few clients each."
    letter = "k"
    machine = "kv"
    model = "register"
    checkers = ("linearizable", "availability", "faults")
    Options = RegisterOptions
    options: RegisterOptions

    def plan(self, process: int, number: int) -> Operation:
        key, value = self.key(process, number), self.value(process, number)
        options = self.options
        f = by_weight(self.chance(process, number), {"read": options.read, "write": options.write, "cas": options.cas})
        if options.readers and self.chance(process, -1).random() < options.readers:
            f = "read"
        if f == "cas":
            return {"f": "cas", "key": key, "value": [None, value]}
        return {"f": f, "key": key, "value": value if f == "write" else None}

    def bind(self, planned: Operation, memory: Mapping[str, Any]) -> Operation:
        if planned["f"] != "cas":
            return planned
        key, (_, value) = planned["key"], planned["value"]
        if key not in memory:
            return {"f": "write", "key": key, "value": value}
        return {"f": "cas", "key": key, "value": [memory[key], value]}

    def observe(self, operation: Operation, result: Any, memory: Memory) -> None:
        f, key, value = operation["f"], operation["key"], operation["value"]
        if f == "read":
            memory[key] = result
        elif f == "write":
            memory[key] = value
        elif result is True:
            memory[key] = value[1]
        else:
            memory.pop(key, None)

    def essence(self, operation: Operation) -> Any:
        f, key, value = operation["f"], operation["key"], operation["value"]
        return (key, None) if f == "read" else (key, value[1] if f == "cas" else value)

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
