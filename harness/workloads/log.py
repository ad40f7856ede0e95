"""The workload `log`: processes append values to logs, each once, and read whole logs.

An `append` returns the place of its value, so two values with one place, or a place that a read shows something else in,
are seen at once; and two reads of which neither is the beginning of the other show that there is no one order. How keys and
values are chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation


class LogOptions(KeyedOptions):
    operations_per_key: int = Field(default=30, ge=1, description="a process moves to its next key after so many")
    append: float = Field(default=2.0, gt=0, description="how often an operation is an append, against read")
    read: float = Field(default=1.0, ge=0, description="how often an operation is a read")


class Log(KeyedWorkload):
    name = "log"
    summary = "Values are appended to logs, each once, and whole logs are read: the total order itself."
    letter = "g"
    machine = "log"
    model = "log"
    checkers = ("linearizable", "availability", "faults")
    Options = LogOptions
    options: LogOptions

    def plan(self, process: int, number: int) -> Operation:
        f = by_weight(self.chance(process, number), {"append": self.options.append, "read": self.options.read})
        value = self.value(process, number) if f == "append" else None
        return {"f": f, "key": self.key(process, number), "value": value}

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
