"""The model `register`: one value, null at first.

`read` returns it, `write` replaces it by `value`; `cas` with the value `[from, to]` replaces `from` by `to` and returns
true, or, if the register holds anything else, changes nothing and returns false. That a `cas` returned false is an
observation like a read: at some moment of its interval the register did not hold `from`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical


class Register(Model):
    name = "register"
    functions = {
        "read": "the result is the value held, null at first",
        "write": "value is what is held from now on",
        "cas": "value is [from, to]; the result is true if `from` was held and `to` is now, else false",
    }

    def initial(self) -> State:
        return None

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if operation.f == "write":
            return [canonical(operation.value)]
        unknown = operation.type == "info"
        if operation.f == "read":
            if unknown or canonical(operation.result) == state:
                return [state]
            return "the register held another value than the one that was read"
        expected, new = map(canonical, operation.value)
        if unknown:
            return [new if state == expected else state]
        if operation.result == (state == expected):
            return [new if operation.result else state]
        return (
            "the cas was carried out on another value" if operation.result else "the cas was refused on its own value"
        )

    def pure(self, operation: Operation) -> bool:
        if operation.f == "cas":
            expected, new = operation.value
            return operation.result is False or canonical(expected) == canonical(new)
        return operation.f == "read"

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "cas":
            if not isinstance(operation.value, list | tuple) or len(operation.value) != 2:
                return f"a cas takes the value [from, to], not {operation.value!r}"
            if operation.type == "ok" and not isinstance(operation.result, bool):
                return f"a cas returns true or false, not {operation.result!r}"
        return super().problem(operation)
