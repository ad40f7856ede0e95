"""The workload `set`: elements are added, each once; some are removed; all are looked for.

A process removes, and looks for, what it added itself or saw in its last read of the key; before it knows of any it reads.
How keys and elements are chosen is told in `harness.workloads.keyed`.

What it can find: elements that were acknowledged and are gone, that come late, or that are back after they were removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from harness.workloads.workload import Memory
from node.machine import Operation

_REMEMBERED = 20
"""Elements of a key that a process remembers: the last ones that it saw."""


class SetOptions(KeyedOptions):
    operations_per_key: int = Field(default=40, ge=1, description="a process moves to its next key after so many")
    add: float = Field(default=4.0, gt=0, description="how often an operation is an add, against the others")
    remove: float = Field(default=1.0, ge=0, description="how often an operation is a remove")
    contains: float = Field(default=3.0, ge=0, description="how often an operation looks for one element")
    read: float = Field(default=2.0, ge=0, description="how often an operation reads all elements")


class Set(KeyedWorkload):
    name = "set"
    summary = "Elements are added to sets, each once, removed, and looked for."
    letter = "s"
    machine = "set"
    model = "set"
    checkers = ("linearizable", "elements", "availability", "faults")
    Options = SetOptions
    options: SetOptions

    def plan(self, process: int, number: int) -> Operation:
        options, chance = self.options, self.chance(process, number)
        weights = {name: getattr(options, name) for name in ("add", "remove", "contains", "read")}
        f = by_weight(chance, weights)
        value: Any = self.value(process, number) if f == "add" else None
        if f in ("remove", "contains"):
            value = chance.randrange(_REMEMBERED)  # which of those that it remembers
        return {"f": f, "key": self.key(process, number), "value": value}

    def bind(self, planned: Operation, memory: Mapping[str, Any]) -> Operation:
        if planned["f"] not in ("remove", "contains"):
            return planned
        known = memory.get(planned["key"])
        if not known:
            return {"f": "read", "key": planned["key"], "value": None}
        return {**planned, "value": known[planned["value"] % len(known)]}

    def observe(self, operation: Operation, result: Any, memory: Memory) -> None:
        key = operation["key"]
        if operation["f"] == "add":
            memory[key] = [*memory.get(key, []), operation["value"]][-_REMEMBERED:]
        elif operation["f"] == "read":
            memory[key] = list(result)[-_REMEMBERED:]

    def essence(self, operation: Operation) -> Any:
        return (operation["key"], operation["value"] if operation["f"] == "add" else None)

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
