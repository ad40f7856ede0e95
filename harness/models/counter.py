"""The model `counter`: a whole number, 0 at first.

`add` adds its value, which may be negative; where it returns a number, that is the sum right after it. `read` returns the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import problem_of_asking, show


class Counter(Model):
    name = "counter"
    functions = {
        "add": "value, a whole number, is added; the result, if any, is the sum then",
        "read": "the result is the sum",
    }

    def initial(self) -> State:
        return 0

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, int)
        total = state + operation.value if operation.f == "add" else state
        unknown = operation.type == "info" or (operation.f == "add" and operation.result is None)
        if unknown or operation.result == total:
            return [total]
        return f"the result is {show(operation.result)}, but the sum was {total}"

    def pure(self, operation: Operation) -> bool:
        return operation.f == "read" or operation.value == 0

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "add":
            if not _is_whole(operation.value):
                return f"an add takes a whole number, not {show(operation.value)}"
            if operation.result is not None and not _is_whole(operation.result):
                return f"an add returns a whole number or null, not {show(operation.result)}"
        elif operation.f == "read" and operation.value is not None:
            return problem_of_asking("read", operation.value)
        elif operation.f == "read" and operation.type == "ok" and not _is_whole(operation.result):
            return f"a read of a counter returns a whole number, not {show(operation.result)}"
        return super().problem(operation)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
