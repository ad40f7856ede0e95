"""The model `lock`: one holder at a time, and fencing tokens that only grow.

`acquire` returns true or null (the lock is held now), or a number, the fencing token, which must be greater than every
one before it; or false: somebody held it. `release` returns true or null (it is free now), or false: there was nothing to
release. The value of both may name the owner. Where both do, only the owner can release; where one of them is null,
whose lock it was is not looked at: clients may share a name, and go on under another one after a crash.

An `acquire` of unknown outcome may hold the lock for ever, with a token that nobody knows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, is_truth_or_null, show


class _Held(NamedTuple):
    held: bool
    owner: Hashable
    """None if the lock is free, or nobody named the owner."""
    token: float
    """The greatest that is known to have been given."""


class Lock(Model):
    name = "lock"
    functions = {
        "acquire": "value may name the owner; the result is true, null or the fencing token, or false if it was held",
        "release": "value may name the owner; the result is true or null, or false if there was nothing to release",
    }

    def initial(self) -> State:
        return _Held(False, None, float("-inf"))

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, _Held)
        if operation.f == "acquire":
            return self._acquire(state, operation)
        mine = state.held and self._may_release(state.owner, canonical(operation.value))
        free = _Held(False, None, state.token)
        if operation.type == "info":
            return [free if mine else state]
        if operation.result is False:
            return "the release was refused although the lock was held" if mine else [state]
        if mine:
            return [free]
        return "the lock was released by another than its owner" if state.held else "the lock was not held"

    def _acquire(self, state: _Held, operation: Operation) -> Sequence[State] | str:
        taken = _Held(True, canonical(operation.value), state.token)
        if operation.type == "info":
            return [state if state.held else taken]
        if operation.result is False:
            return [state] if state.held else "the lock was refused although it was free"
        if state.held:
            return "the lock was given although it was held"
        if operation.result is None or operation.result is True:
            return [taken]
        if operation.result <= state.token:
            return f"the fencing token {operation.result} does not exceed {state.token}, which was given before"
        return [taken._replace(token=operation.result)]

    def _may_release(self, owner: Hashable, who: Hashable) -> bool:
        return owner is None or who is None or owner == who

    def pure(self, operation: Operation) -> bool:
        return operation.result is False

    def problem(self, operation: Operation) -> str | None:
        if operation.f == "release" and not is_truth_or_null(operation.result):
            return f"a release returns true, null or false, not {show(operation.result)}"
        if operation.f == "acquire" and not _is_answer(operation.result):
            return f"an acquire returns true, null, a number (the fencing token) or false, not {show(operation.result)}"
        return super().problem(operation)


def _is_answer(result: Any) -> bool:
    return result is None or (isinstance(result, bool | int | float) and result == result)
