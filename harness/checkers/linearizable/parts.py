"""The partitions of a history, and how far the judgement of each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.checkers.linearizable.budget import Stopped
from harness.checkers.linearizable.decide import Answer
from harness.checkers.linearizable.search import Progress
from harness.checkers.operations import Operation, Record
from harness.models.model import Model


@dataclass(eq=False)
class Part:
    """One partition of the history, by itself: a key, as a rule."""

    key: str
    operations: list[Operation] = field(default_factory=list)
    failed: list[Operation] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    answer: Answer | None = None
    stopped: Stopped | None = None
    """Why there is no answer."""
    begun: bool = False
    """Whether anybody ever looked at it."""

    @property
    def broken(self) -> bool:
        return self.answer is not None and not self.answer.linearizable


def parts_of(record: Record, model: Model) -> list[Part]:
    """The partitions, in the order in which they first appear."""
    parts: dict[str, Part] = {}
    for operation in record.operations:
        if operation.type == "info" and model.pure(operation):
            continue  # nobody heard what it saw, and it changed nothing
        key = model.partition(operation)
        part = parts.get(key)
        if part is None:
            part = parts[key] = Part(key)
        part.operations.append(operation)
    for operation in record.failed:
        part = parts.get(model.partition(operation))
        if part is not None:
            part.failed.append(operation)
    return list(parts.values())


def most_open_at_once(operations: Sequence[Operation]) -> int:
    """How many operations, crashed ones included, were open at the same time at most."""
    ends = sorted(operation.ended for operation in operations if operation.ended is not None)
    returned = most = 0
    for number, operation in enumerate(operations):
        while returned < len(ends) and ends[returned] < operation.began:
            returned += 1
        most = max(most, number + 1 - returned)
    return most
