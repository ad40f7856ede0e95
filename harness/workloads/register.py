"""The workload `register`: reads, writes and compare-and-sets on many keys, few processes on each.

**Keys.** The workers are divided into groups of about `processes_per_key`; a group shares a key for a while and then moves
on: in group g the key is `k<g>.<epoch>`, and a process's epoch is its generation plus one for every `operations_per_key`
of its own operations. So a key sees few clients, a bounded number of operations and, since the successor of a retired
process begins a key later, few operations of unknown outcome: what makes checking expensive stays small. It also means that
some processes come back to keys that others left long ago, and find out what the cluster has kept.

**Values.** Every value is written once in a run: `<process> * 1,000,000 + <number of the operation> + 1`. Whoever sees a value
knows who wrote it; and 3000018 in a report is operation 17 of process 3.

**Compare-and-set.** The plan fixes key and new value. What it compares with is the value that this process saw last on
that key (read, written, or set); a process that hasn't seen any writes the new value instead. After a cas that found
something else the process knows that what it saw is outdated, and forgets it.

**Final reads.** Every key that was touched is read again when all faults are healed, `final_reads_per_key` times, each by
a fresh process that asks another replica first. Of more than `final_keys` keys it is the latest half of that number, and
as many drawn from the rest by seed.

What it can find: lost writes, stale reads, values from nowhere, two compare-and-sets from one value; all that a
linearizable register forbids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from harness.generator import draw, generation, worker_of
from harness.workloads.workload import FinalOperation, Memory, Workload, WorkloadOptions
from node.machine import Operation

_VALUES_PER_PROCESS = 1_000_000


class RegisterOptions(WorkloadOptions):
    read: float = Field(default=5.0, ge=0, description="how often an operation is a read, against write and cas")
    write: float = Field(default=3.0, ge=0, description="how often an operation is a write")
    cas: float = Field(default=2.0, ge=0, description="how often an operation is a compare-and-set")
    processes_per_key: int = Field(default=3, ge=1, description="about how many clients share a key")
    operations_per_key: int = Field(default=100, ge=1, description="a process moves to its next key after so many")
    final_reads_per_key: int = Field(default=3, ge=0, description="how often each key is read after healing")
    final_keys: int = Field(default=200, ge=1, description="no more keys than these are read after healing")

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.write + self.cas == 0:
            raise ValueError("write and cas can't both be 0: nothing would ever change")
        return self


class Register(Workload):
    name = "register"
    summary = "Reads, writes and compare-and-sets of values written once, on many keys with few clients each."
    machine = "kv"
    model = "register"
    checkers = ("linearizable", "availability", "faults")
    Options = RegisterOptions
    options: RegisterOptions

    def plan(self, process: int, number: int) -> Operation:
        key = self._key(process, number)
        value = process * _VALUES_PER_PROCESS + number + 1
        f = self._function(process, number)
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

    def final_operations(self, keys: Sequence[str], replicas: Sequence[str]) -> list[FinalOperation]:
        # All keys through one replica first, then all through the next: the reads of a key lie apart in time.
        return [
            FinalOperation({"f": "read", "key": key, "value": None}, replicas[(place + turn) % len(replicas)])
            for turn in range(self.options.final_reads_per_key)
            for place, key in enumerate(self._chosen(keys))
        ]

    def _chosen(self, keys: Sequence[str]) -> list[str]:
        bound = self.options.final_keys
        if len(keys) <= bound:
            return list(keys)
        latest = bound - bound // 2
        return [*draw(self.seed, "final reads").sample(keys[:-latest], bound // 2), *keys[-latest:]]

    def _key(self, process: int, number: int) -> str:
        groups = max(1, self.workers // self.options.processes_per_key)
        group = worker_of(process, self.workers) % groups
        epoch = generation(process, self.workers) + number // self.options.operations_per_key
        return f"k{group}.{epoch}"

    def _function(self, process: int, number: int) -> str:
        options = self.options
        place = draw(self.seed, process, number).random() * (options.read + options.write + options.cas)
        if place < options.read:
            return "read"
        return "write" if place < options.read + options.write else "cas"
