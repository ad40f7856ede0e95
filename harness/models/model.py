"""THE CONTRACT of a model: the sequential specification that a history is judged against.

A model is a state and a step. The state is any hashable value; the step takes a state and an operation and gives the
states that may follow, or a sentence that says why the operation can't have happened there. A counter, whole::

    class Counter(Model):
        name = "counter"
        functions = {"add": "adds its value", "read": "the result is the sum"}

        def initial(self):
            return 0

        def step(self, state, operation):
            if operation.f == "add":
                return [state + operation.value]
            if operation.type == "info" or operation.result == state:
                return [state]
            return f"read {operation.result}, but the sum was {state}"

        def pure(self, operation):
            return operation.f == "read"

`operation.type` is `ok` (it happened, and `operation.result` is what it returned) or `info` (its client never heard of it):
then `step` says which states may follow if it did happen, whatever it returned. That it may never have happened is the
checker's business. More than one next state means that the specification leaves the choice open.

`operation.value` and `operation.result` are JSON values as the history has them, lists and objects included; wrap what
goes into a state in `harness.models.values.canonical`, which makes it hashable, and keeps true apart from 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar

from harness.checkers.operations import Operation

State = Hashable


class Model(ABC):
    """See the module. Models have no state of their own: all methods are functions of their arguments."""

    name: ClassVar[str]
    functions: ClassVar[dict[str, str]]
    """Each function and one sentence about its value, result and effect."""

    @abstractmethod
    def initial(self) -> State:
        """The state before any operation."""

    @abstractmethod
    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        """The states that may follow, at least one; or why the operation can't have happened in this state."""

    def pure(self, operation: Operation) -> bool:
        """Whether the operation never changes the state, whatever the state is. False is always right, only slower."""
        return False

    def partition(self, operation: Operation) -> str:
        """Operations of different partitions have nothing to do with each other, and are judged apart."""
        return operation.key

    def problem(self, operation: Operation) -> str | None:
        """One sentence if this is not an operation of the model, else None. Asked before anything is judged."""
        if operation.f not in self.functions:
            return f"the model {self.name} has no function {operation.f!r}: it knows {', '.join(self.functions)}"
        return None
