"""The models `register` and `write-once`: one value, null at first.

`read` returns it, `write` replaces it by `value`; `cas` with the value `[from, to]` replaces `from` by `to` and returns
true, or, if the register holds anything else, changes nothing and returns false. That a `cas` returned false is an
observation like a read: at some moment of its interval the register did not hold `from`.

A write-once register takes one `write` and refuses all that come later, also of the same value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, is_truth_or_null, problem_of_asking, show


class Register(Model):
    name = "register"
    functions = {
        "read": "the result is the value held, null at first",
        "write": "value is what is held from now on",
        "cas": "value is [from, to]; the result is true if `from` was held and `to` is now, else false",
    }

    def __init__(self, initial: Any = None) -> None:
        """`initial` is the JSON value that the register holds at first."""
        self._initial = canonical(initial)

    def initial(self) -> State:
        return self._initial

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if operation.f == "write":
            return [canonical(operation.value)]
        unknown = operation.type == "info"
        if operation.f == "read":
            if unknown or canonical(operation.result) == state:
                return [state]
            return "the register held another value than the one that was read"
        return compare_and_set(state, operation)

    def pure(self, operation: Operation) -> bool:
        if operation.f == "cas":
            expected, new = operation.value
            return operation.result is False or canonical(expected) == canonical(new)
        return operation.f == "read"

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "cas":
            return problem_of_cas(operation)
        if operation.f == "read" and operation.value is not None:
            return problem_of_asking("read", operation.value)
        return super().problem(operation)


def compare_and_set(state: State, operation: Operation) -> Sequence[State] | str:
    """The step of a `cas` on whatever holds one value."""
    expected, new = map(canonical, operation.value)
    if operation.type == "info":
        return [new if state == expected else state]
    if operation.result == (state == expected):
        return [new if operation.result else state]
    return "the cas was carried out on another value" if operation.result else "the cas was refused on its own value"


def problem_of_cas(operation: Operation) -> str | None:
    if not isinstance(operation.value, list | tuple) or len(operation.value) != 2:
        return f"a cas takes the value [from, to], not {show(operation.value)}"
    if operation.type == "ok" and not isinstance(operation.result, bool):
        return f"a cas returns true or false, not {show(operation.result)}"
    return None


class WriteOnce(Model):
    name = "write-once"
    functions = {
        "read": "the result is the value held, null if none was written yet",
        "write": "value, never null, is held for ever; the result is true or null, or false if one was held already",
    }

    def initial(self) -> State:
        return None

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if operation.f == "read":
            if operation.type == "info" or canonical(operation.result) == state:
                return [state]
            return "the register held another value than the one that was read"
        if operation.type == "info":
            return [canonical(operation.value) if state is None else state]
        if operation.result is False:
            return "the write was refused although none had come before" if state is None else [state]
        return [canonical(operation.value)] if state is None else "a value was written over another"

    def pure(self, operation: Operation) -> bool:
        return operation.f == "read" or operation.result is False

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "write":
            if operation.value is None:
                return "null can't be written: it is what a read returns before anything is written"
            if not is_truth_or_null(operation.result):
                return f"a write returns true, null or false, not {show(operation.result)}"
        if operation.f == "read" and operation.value is not None:
            return problem_of_asking("read", operation.value)
        return super().problem(operation)
