"""The model `kv`: a key-value store; every key is judged by itself.

A key that isn't there holds null, so `put` of null and `delete` are the same. `append` puts a string behind the string, or
the items of an array behind the array, that the key holds; on a key that holds null it is a `put`. `cas` with the value
`[from, to]` is that of the model `register`. What `put` and `append` return is not looked at.

Other stores let a missing key hold something else, say the empty string: `KeyValue(initial="")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.register import compare_and_set, problem_of_cas
from harness.models.values import canonical, is_truth_or_null, problem_of_asking, show


class KeyValue(Model):
    name = "kv"
    functions = {
        "get": "the result is the value of the key, null if it isn't there",
        "put": "value is that of the key from now on",
        "append": "value, a string or an array, goes behind the string or array that the key holds",
        "cas": "value is [from, to]; the result is true if the key held `from` and holds `to` now, else false",
        "delete": "the key isn't there any more; the result, if any, is whether it was",
    }

    def __init__(self, initial: Any = None) -> None:
        """`initial` is the JSON value that a key holds which isn't there."""
        self._initial = canonical(initial)

    def initial(self) -> State:
        return self._initial

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        unknown = operation.type == "info"
        if operation.f == "get":
            if unknown or canonical(operation.result) == state:
                return [state]
            return "the key held another value than the one that was read"
        if operation.f == "put":
            return [canonical(operation.value)]
        if operation.f == "append":
            longer = _appended(state, canonical(operation.value))
            if longer is None:
                return [state] if unknown else "nothing can be appended to what the key held"
            return [longer]
        if operation.f == "delete":
            was_there = state != self._initial
            if not unknown and operation.result is not None and operation.result is not was_there:
                return (
                    "the key was not there to be deleted" if operation.result else "the key was there, and is deleted"
                )
            return [self._initial]
        return compare_and_set(state, operation)

    def pure(self, operation: Operation) -> bool:
        if operation.f == "cas":
            expected, new = operation.value
            return operation.result is False or canonical(expected) == canonical(new)
        return operation.f == "get" or (operation.f == "delete" and operation.result is False)

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "cas":
            return problem_of_cas(operation)
        if operation.f in ("get", "delete") and operation.value is not None:
            return problem_of_asking(operation.f, operation.value)
        if operation.f == "append" and not isinstance(operation.value, str | list | tuple):
            return f"an append takes a string or an array, not {show(operation.value)}"
        if operation.f == "delete" and not is_truth_or_null(operation.result):
            return f"a delete returns true, false or null, not {show(operation.result)}"
        return super().problem(operation)


def _appended(state: State, tail: State) -> State:
    """What is held after the append; None if nothing can be appended to what is there."""
    if state is None:
        return tail
    if isinstance(state, str) and isinstance(tail, str):
        return state + tail
    if isinstance(state, tuple) and isinstance(tail, tuple) and state[0] == tail[0] == "array":
        return (*state, *tail[1:])
    return None
