"""The workload `crossing`: reads and writes of several keys that are shared, so that causes cross from key to key.

A group of processes (see `harness.workloads.keyed`) shares `keys_at_once` keys for a while, and each operation takes one of
them by chance. So what one reads in one key often follows from what another wrote to a second one, which is where an effect
without its cause shows: question and answer stand in different places. Most operations are reads: only of what somebody has
read can anybody say that he knew of it.

What it can find: beside what `register` finds, broken causality and replicas that disagree for ever.
"""

from __future__ import annotations

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation


class CrossingOptions(KeyedOptions):
    processes_per_key: int = Field(default=6, ge=1, description="about how many clients share their keys")
    keys_at_once: int = Field(default=3, ge=1, description="among how many keys an operation chooses")
    read: float = Field(default=12.0, ge=0, description="how often an operation is a read, against write")
    write: float = Field(default=1.0, gt=0, description="how often an operation is a write")


class Crossing(KeyedWorkload):
    name = "crossing"
    summary = "Reads and writes of values written once, each of one of several shared keys."
    letter = "x"
    machine = "kv"
    model = "register"
    checkers = ("causal", "convergent", "availability", "faults")
    Options = CrossingOptions
    options: CrossingOptions

    def plan(self, process: int, number: int) -> Operation:
        chance = self.chance(process, number)
        f = by_weight(chance, {"read": self.options.read, "write": self.options.write})
        key = f"{self.key(process, number)}.{chance.randrange(self.options.keys_at_once)}"
        return {"f": f, "key": key, "value": self.value(process, number) if f == "write" else None}

    def final_operation(self, key: str) -> Operation:
        return {"f": "read", "key": key, "value": None}
