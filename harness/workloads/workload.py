"""THE CONTRACT of a workload: what the clients do, and which checkers judge it.

For each operation of a process the clients call, in this order::

    planned = workload.plan(process, number)          # follows from the seed, the process and the number alone
    operation = workload.bind(planned, memory)        # fills in what only this run can tell
    ...                                               # it is sent
    workload.observe(operation, result, memory)       # only if it came back ok

`memory` is what the process remembers: a dict that begins empty with each process, dies with it, and belongs to the
workload. `essence` takes away again what `bind` put in, so that two runs of one seed can be compared operation by
operation. After everything is healed `final_operations` asks what the cluster has kept.

A workload has no other state: one object serves all threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from node.machine import Operation

Memory = dict[str, Any]


class WorkloadOptions(BaseModel):
    """The base of a workload's options: every field has a default and a description; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FinalOperation(NamedTuple):
    operation: Operation
    replica: str
    """Whom to ask first."""


class Workload(ABC):
    name: ClassVar[str]
    """As in campaigns: `register`."""
    summary: ClassVar[str]
    """One sentence for `rashomon list workloads`."""
    machine: ClassVar[str]
    """The machine that it works on."""
    model: ClassVar[str]
    """The sequential specification that its histories are judged against."""
    checkers: ClassVar[tuple[str, ...]]
    """Who judges them, unless the campaign names others."""
    Options: ClassVar[type[WorkloadOptions]] = WorkloadOptions

    def __init__(self, options: WorkloadOptions, workers: int, seed: int) -> None:
        self.options = options
        self.workers = workers
        self.seed = seed

    @abstractmethod
    def plan(self, process: int, number: int) -> Operation:
        """The process's operation of that number (0, 1, ...): a pure function of seed, process and number."""

    def bind(self, planned: Operation, memory: Mapping[str, Any]) -> Operation:
        """What is really sent, given what the process remembers."""
        return planned

    def observe(self, operation: Operation, result: Any, memory: Memory) -> None:  # noqa: B027 (most have no memory)
        """Remember what an operation that came back ok tells the process."""

    def essence(self, operation: Operation) -> Any:
        """What of an operation follows from the plan alone: equal for all that `bind` can make of one plan."""
        return operation

    def final_operations(self, keys: Sequence[str], replicas: Sequence[str]) -> list[FinalOperation]:
        """What to ask once everything is healed. `keys` are those that were touched, the latest last."""
        return []
