"""The model `set`: elements of any JSON type, none at first.

`add` and `remove` may return whether they changed anything; `contains` returns whether its value is in the set; `read`
returns an array of all elements, in any order. Two elements are the same if they are equal as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, is_truth_or_null, problem_of_asking, show


class Set(Model):
    name = "set"
    functions = {
        "add": "value is in the set from now on; the result, if any, is whether it wasn't before",
        "remove": "value isn't in the set any more; the result, if any, is whether it was before",
        "contains": "the result is whether value is in the set",
        "read": "the result is an array of all elements, in any order",
    }

    def initial(self) -> State:
        return frozenset()

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, frozenset)
        known = operation.type == "ok"
        if operation.f == "read":
            if known and frozenset(map(canonical, operation.result)) != state:
                return "the set held other elements than those that were read"
            return [state]
        element = canonical(operation.value)
        inside = element in state
        if operation.f == "contains":
            if known and operation.result is not inside:
                return "the element was in the set" if inside else "the element was not in the set"
            return [state]
        adds = operation.f == "add"
        if known and operation.result is not None and operation.result is not (inside != adds):
            return "the element was in the set already" if inside else "the element was not in the set"
        if inside == adds:
            return [state]
        return [state | {element} if adds else state - {element}]

    def pure(self, operation: Operation) -> bool:
        return operation.f in ("contains", "read") or operation.result is False

    def problem(self, operation: Operation) -> str | None:
        f, result = operation.f, operation.result
        if f in ("add", "remove") and not is_truth_or_null(result):
            return f"what {f} returns is true, false or null, not {show(result)}"
        if f == "read" and operation.value is not None:
            return problem_of_asking(f, operation.value)
        if operation.type == "ok":
            if f == "contains" and not isinstance(result, bool):
                return f"contains returns true or false, not {show(result)}"
            if f == "read" and not isinstance(result, list | tuple):
                return f"a read of a set returns an array, not {show(result)}"
        return super().problem(operation)
