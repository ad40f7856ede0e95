"""The models `queue` (first in, first out) and `stack` (last in, first out), both empty at first.

What takes out (`dequeue`, `pop`) returns the value that it took, or null if there was none. So null can't be put in. What
`enqueue` and `push` return is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, problem_of_asking


class _Line(Model):
    """Values in the order in which they were put in."""

    put: ClassVar[str]
    take: ClassVar[str]
    end: ClassVar[int]
    """Where values are taken from: 0 is the oldest one, -1 the newest."""

    def initial(self) -> State:
        return ()

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, tuple)
        if operation.f == self.put:
            return [(*state, canonical(operation.value))]
        rest = state[1:] if self.end == 0 else state[:-1]
        if operation.type == "info":
            return [rest]
        if operation.result is None:
            return f"the {self.name} was not empty" if state else [state]
        if state and state[self.end] == canonical(operation.result):
            return [rest]
        return "another value was next" if state else f"the {self.name} was empty"

    def pure(self, operation: Operation) -> bool:
        return operation.f == self.take and operation.type == "ok" and operation.result is None

    def problem(self, operation: Operation) -> str | None:
        if operation.f == self.put and operation.value is None:
            return f"null can't be put in: it is what {self.take} returns if the {self.name} is empty"
        if operation.f == self.take and operation.value is not None:
            return problem_of_asking(self.take, operation.value)
        return super().problem(operation)


class Queue(_Line):
    name = "queue"
    put, take, end = "enqueue", "dequeue", 0
    functions = {
        "enqueue": "value, never null, is put behind all others",
        "dequeue": "the result is the value that was put in first of all that are there; null if there is none",
    }


class Stack(_Line):
    name = "stack"
    put, take, end = "push", "pop", -1
    functions = {
        "push": "value, never null, is put on top",
        "pop": "the result is the value that was on top; null if there is none",
    }
