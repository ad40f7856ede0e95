"""The workload `once`: processes race to write a register that takes one value for ever.

Each key is written by whoever comes first; all later writes are refused, and every read from then on returns that value.
It is consensus itself, seen from outside: two processes that both believe to have won, or a read that changes its mind,
is a violation. How keys and values are chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation


class OnceOptions(KeyedOptions):
    operations_per_key: int = Field(default=6, ge=1, description="a process moves to its next key after so many")
    read: float = Field(default=1.0, ge=0, description="how often an operation is a read, against write")
    write: float = Field(default=1.0, gt=0, description="how often an operation is a write")


class Once(KeyedWorkload):
    name = "once"
    summary = "Processes race to write registers that take one value for ever, and read them."
    letter = "o"
    machine = "register"
    model = "write-once"
    checkers = ("linearizable", "availability", "faults")
    Options = OnceOptions
    options: OnceOptions

    def plan(self, process: int, number: int) -> Operation:
        f = by_weight(self.chance(process, number), {"read": self.options.read, "write": self.options.write})
        value = self.value(process, number) if f == "write" else None
        return {"f": f, "key": self.key(process, number), "value": value}

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
