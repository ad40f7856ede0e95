"""The model `mailbox`: mail in the order in which it was sent. Marks are left out: they may lag.

`send` puts a message into the box, once. `list` returns an array of [message, whether it is marked]; the messages have to
be those that were sent, in their order, and which of them are marked is not looked at (the checker `marks` does that).
`mark` returns whether there is such a message, and changes nothing that this model knows of.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, problem_of_asking, show


class Mailbox(Model):
    name = "mailbox"
    functions = {
        "send": "value names a message, which is in the box from now on",
        "mark": "value names a message; the result is whether there is one",
        "list": "the result is an array of [message, whether it is marked], in the order of sending",
    }

    def initial(self) -> State:
        return ()

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, tuple)
        known = operation.type == "ok"
        if operation.f == "list":
            if known and tuple(canonical(entry[0]) for entry in operation.result) != state:
                return "the box held other messages, or in another order"
            return [state]
        message = canonical(operation.value)
        there = message in state
        if operation.f == "mark":
            if known and operation.result is not there:
                return "there was such a message" if there else "there was no such message"
            return [state]
        return [state if there else (*state, message)]

    def pure(self, operation: Operation) -> bool:
        return operation.f in ("list", "mark")

    def problem(self, operation: Operation) -> str | None:
        f, result = operation.f, operation.result
        if f == "list" and operation.value is not None:
            return problem_of_asking(f, operation.value)
        if f == "list" and operation.type == "ok" and not _is_listing(result):
            return f"list returns an array of [message, whether it is marked], not {show(result)}"
        if f == "mark" and operation.type == "ok" and not isinstance(result, bool):
            return f"mark returns true or false, not {show(result)}"
        return super().problem(operation)


def _is_listing(result: object) -> bool:
    return isinstance(result, list | tuple) and all(
        isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[1], bool) for entry in result
    )
