"""The workload `lock`: processes acquire locks, hold them for a while, and release them.

A process that holds the lock of its key releases it with its next operation; one that doesn't tries to acquire it, and now
and then to release what it doesn't hold, which has to be refused. A process that doesn't know whether it got the lock is
retired, and if it did get it nobody will ever release it: so keys are left soon (`operations_per_key`).

What it can find: two holders at a time, a lock given away by somebody else's release, fencing tokens that don't grow.
How keys are chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload
from harness.workloads.workload import Memory
from node.machine import Operation

_LAST = "nobody"
"""Who asks in the end. It has no process's name."""


class LockOptions(KeyedOptions):
    operations_per_key: int = Field(default=20, ge=1, description="a process moves to its next key after so many")
    wrong_release: float = Field(
        default=0.05, ge=0, le=1, description="how often a process that holds nothing tries to release all the same"
    )


class Lock(KeyedWorkload):
    name = "lock"
    summary = "Processes acquire and release locks with fencing tokens, and try to release what isn't theirs."
    letter = "l"
    machine = "lock"
    model = "lock"
    checkers = ("linearizable", "holders", "availability", "faults")
    Options = LockOptions
    options: LockOptions

    def plan(self, process: int, number: int) -> Operation:
        wrong = self.chance(process, number).random() < self.options.wrong_release
        return {"f": "release" if wrong else "acquire", "key": self.key(process, number), "value": f"p{process}"}

    def bind(self, planned: Operation, memory: Mapping[str, Any]) -> Operation:
        return {**planned, "f": "release"} if planned["key"] in memory else planned

    def observe(self, operation: Operation, result: Any, memory: Memory) -> None:
        if operation["f"] == "release":
            memory.pop(operation["key"], None)
        elif result is not False:
            memory[operation["key"]] = result

    def essence(self, operation: Operation) -> Any:
        return operation["key"], operation["value"]

    def final_operation(self, key: str) -> Operation:
        return {"f": "acquire", "key": key, "value": _LAST}
