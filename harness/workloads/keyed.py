"""What most workloads share: many keys, few processes on each, and values that are written once.

**Keys.** The workers are divided into groups of about `processes_per_key`; a group shares a key for a while and then moves
on: in group g the key is `<letter><g>.<epoch>`, and a process's epoch is its generation plus one for every
`operations_per_key` of its own operations. So a key sees few clients, a bounded number of operations and, since the
successor of a retired process begins a key later, few operations of unknown outcome: what makes checking expensive stays
small. It also means that some processes come back to keys that others left long ago, and find out what the cluster has
kept.

**Values.** Every value is used once in a run: `<process> * 1,000,000 + <number of the operation> + 1`. Whoever sees a value
knows where it came from; 3000018 in a report is operation 17 of process 3.

**Final operations.** Every key that was touched is asked for what it holds when all faults are healed,
`final_reads_per_key` times, each by a fresh process that asks another replica first. Of more than `final_keys` keys it is
the latest half of that number, and as many drawn from the rest by seed.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from harness.generator import draw, draw_briefly, generation, worker_of
from harness.workloads.workload import FinalOperation, Workload, WorkloadOptions
from node.machine import Operation

_VALUES_PER_PROCESS = 1_000_000


class KeyedOptions(WorkloadOptions):
    processes_per_key: int = Field(default=3, ge=1, description="about how many clients share a key")
    operations_per_key: int = Field(default=100, ge=1, description="a process moves to its next key after so many")
    final_reads_per_key: int = Field(default=3, ge=0, description="how often each key is asked for after healing")
    final_keys: int = Field(default=200, ge=1, description="no more keys than these are asked for after healing")


class KeyedWorkload(Workload):
    """See the module."""

    letter: ClassVar[str]
    """With what keys begin."""
    Options = KeyedOptions
    options: KeyedOptions

    @abstractmethod
    def final_operation(self, key: str) -> Operation:
        """What tells what the key holds in the end."""

    def final_operations(self, keys: Sequence[str], replicas: Sequence[str]) -> list[FinalOperation]:
        # All keys through one replica first, then all through the next: the questions about a key lie apart in time.
        return [
            FinalOperation(self.final_operation(key), replicas[(place + turn) % len(replicas)])
            for turn in range(self.options.final_reads_per_key)
            for place, key in enumerate(self._chosen(keys))
        ]

    def key(self, process: int, number: int) -> str:
        """The key of the process's operation of that number."""
        groups = max(1, self.workers // self.options.processes_per_key)
        group = worker_of(process, self.workers) % groups
        epoch = generation(process, self.workers) + number // self.options.operations_per_key
        return f"{self.letter}{group}.{epoch}"

    def value(self, process: int, number: int) -> int:
        """A value that no other operation of the run has."""
        return process * _VALUES_PER_PROCESS + number + 1

    def chance(self, process: int, number: int) -> random.Random:
        """The source of chance of this operation, until this thread asks for that of another one."""
        return draw_briefly(self.seed, process, number)

    def _chosen(self, keys: Sequence[str]) -> list[str]:
        bound = self.options.final_keys
        if len(keys) <= bound:
            return list(keys)
        latest = bound - bound // 2
        return [*draw(self.seed, "final reads").sample(keys[:-latest], bound // 2), *keys[-latest:]]


def by_weight(chance: random.Random, weights: Mapping[str, float]) -> str:
    """One of the functions, each as often as its weight says against the sum of all."""
    place = chance.random() * sum(weights.values())
    for f, weight in weights.items():
        place -= weight
        if place < 0:
            return f
    return max(weights, key=lambda f: weights[f])
