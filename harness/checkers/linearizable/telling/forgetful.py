"""Smaller models for a closer look: they tell apart only what the operations at hand can tell apart.

A log that differs from everything that anybody read of it stays different, whatever is appended: all such logs are one
state, OTHER. So are all values of a key that are no beginning of anything that was read or compared, until something is
put in their place. Everything else is as in the model itself, so nothing is proved that isn't true of it, and a search
through operations that may or may not have happened has few states instead of all combinations.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

from harness.checkers.operations import Operation
from harness.models.kv import KeyValue
from harness.models.log import Log
from harness.models.model import Model, State
from harness.models.register import Register
from harness.models.values import canonical

_OTHER = "other"
ANY_OTHER: State = (_OTHER,)
"""A value that no operation at hand speaks of."""
_LONGEST = 2_000_000
"""Characters and items of all beginnings together; where they are more, the model is taken as it is."""


def forgetful(model: Model, operations: Iterable[Operation]) -> Model:
    """A model of fewer states that accepts the same histories of these operations, if there is one; else the model."""
    operations = list(operations)
    if type(model) is KeyValue and any(one.f == "append" for one in operations):
        seen = [canonical(one.result) for one in operations if one.f == "get" and one.type == "ok"]
        seen += [canonical(one.value[0]) for one in operations if one.f == "cas"]
        return _small(model, seen, _Key)
    if type(model) is Log:
        seen = [("array", *map(canonical, one.result)) for one in operations if one.f == "read" and one.type == "ok"]
        return _small(model, seen, _Log)
    return model


class ForgetfulRegister(Register):
    """A register that tells apart only the values that are spoken of."""

    def __init__(self, spoken_of: Collection[Hashable]) -> None:
        super().__init__()
        self._spoken_of = spoken_of

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        answer = super().step(state, operation)
        if isinstance(answer, str):
            return answer
        return [after if after in self._spoken_of else ANY_OTHER for after in answer]


def _small(model: Model, seen: Sequence[Hashable], kind: type[_Small]) -> Model:
    whole = {value: len(value) for value in seen if isinstance(value, str | tuple)}
    if sum(length * length for length in whole.values()) > _LONGEST:
        return model
    return kind(model, frozenset(start for value in set(seen) for start in _beginnings(value)))


def _beginnings(value: Any) -> Iterable[Hashable]:
    if isinstance(value, str) or (isinstance(value, tuple) and value[:1] == ("array",)):
        return (value[:length] for length in range(len(value) + 1))
    return (value,)


class _Small(Model):
    name = "forgetful"
    functions = {}

    def __init__(self, model: Model, known: frozenset[Hashable]) -> None:
        self.model = model
        self.known = known

    def initial(self) -> State:
        return self.model.initial()

    def pure(self, operation: Operation) -> bool:
        return self.model.pure(operation)

    def partition(self, operation: Operation) -> str:
        return self.model.partition(operation)


class _Key(_Small):
    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if state != ANY_OTHER:
            answer = self.model.step(state, operation)
        elif operation.f == "append":
            return [state]
        elif operation.f == "get":
            return [state] if operation.type == "info" else "the key held another value than the one that was read"
        elif operation.f == "cas":
            return "the cas was carried out on another value" if operation.result else [state]
        else:  # a put, or a delete of something that is there, whatever it is
            answer = self.model.step("something", operation)
        if isinstance(answer, str):
            return answer
        return [after if self._is_known(after) else ANY_OTHER for after in answer]

    def _is_known(self, after: State) -> bool:
        return after in self.known or after == self.model.initial()


class _Log(_Small):
    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, tuple)
        if state[:1] != (_OTHER,):
            answer = self.model.step(state, operation)
            if isinstance(answer, str):
                return answer
            return [after if self._is_known(after) else (_OTHER, _length(after)) for after in answer]
        if operation.f == "read":
            return "the log was another one than the one that was read"
        length = state[1]
        if operation.type == "ok" and operation.result is not None and operation.result != length:
            return f"the value was given place {operation.result}, but the log had {length} values"
        return [(_OTHER, length + 1)]

    def _is_known(self, after: State) -> bool:
        assert isinstance(after, tuple)
        return ("array", *after) in self.known


def _length(state: State) -> int:
    assert isinstance(state, tuple)
    return len(state)
