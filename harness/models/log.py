"""The model `log`: what was appended stays, in one order, empty at first.

`append` puts its value at the end; where it returns a number, that is the value's place, counted from 0. `read` returns
an array of all that was appended so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, problem_of_asking, show


class Log(Model):
    name = "log"
    functions = {
        "append": "value goes to the end; the result, if any, is its place, counted from 0",
        "read": "the result is an array of all values, in the order of the log",
    }

    def initial(self) -> State:
        return ()

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, tuple)
        known = operation.type == "ok"
        if operation.f == "read":
            if known and tuple(map(canonical, operation.result)) != state:
                return "the log was another one than the one that was read"
            return [state]
        if known and operation.result is not None and operation.result != len(state):
            return f"the value was given place {operation.result}, but the log had {len(state)} values"
        return [(*state, canonical(operation.value))]

    def pure(self, operation: Operation) -> bool:
        return operation.f == "read"

    def problem(self, operation: Operation) -> str | None:
        f, result = operation.f, operation.result
        if f == "append" and result is not None and (not isinstance(result, int) or isinstance(result, bool)):
            return f"an append returns a place (a whole number) or null, not {show(result)}"
        if f == "read" and operation.value is not None:
            return problem_of_asking(f, operation.value)
        if f == "read" and operation.type == "ok" and not isinstance(result, list | tuple):
            return f"a read of a log returns an array, not {show(result)}"
        return super().problem(operation)
