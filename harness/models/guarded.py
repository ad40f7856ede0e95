"""A user's own model, found by its name and watched: what it does wrong becomes a sentence, never a verdict."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.checkers.linearizable.budget import Stopped
from harness.checkers.operations import Operation
from harness.errors import BadInput
from harness.models import MODELS
from harness.models.model import Model, State
from harness.models.values import show
from node.registry import UnknownName, unknown

_UNHASHABLE = "which can't be hashed: use tuples and frozensets, not lists, dicts and sets"


class ModelError(BadInput):
    """A model broke its contract; the message says which model, how, and on which operation."""


def make_model(name: str, initial: Any = None) -> Model:
    """The model of that name, or that `package.module:Class`, found also in the working folder.

    `initial` is the value held at first, for the models that take one; None: what they hold of themselves.
    Raises `BadInput` if there is no such model, or it takes no initial value.
    """
    if name not in MODELS and ":" not in name:
        raise BadInput(f"{unknown('model', name, MODELS)}; your own is named as package.module:Class")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    kind: Any
    try:
        kind = MODELS[name]
    except UnknownName as error:
        raise BadInput(str(error)) from error
    except Exception as error:  # whatever a module of the user's may do while it is imported
        raise BadInput(f"cannot import model {name!r} ({type(error).__name__}: {error})") from error
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        raise BadInput(f"{name} is not a model: derive the class from harness.models.model.Model")
    make: Callable[..., Model] = kind
    try:
        return make() if initial is None else make(initial)
    except Exception as error:
        what = "can't be made without arguments" if initial is None else "takes no initial value"
        raise BadInput(f"the model {name} {what} ({_told(error)})") from error


def guarded(model: Model, seconds: float) -> Model:
    """The model itself if it is one of ours, else with a guard around it that works for so many seconds."""
    return model if type(model).__module__.startswith(f"{__package__}.") else Guarded(model, seconds)


class Guarded(Model):
    """A model whose answers are looked at. Its `step` ends with `Stopped` after the given time: one that is slow can't hold
    up the check for longer than one step takes. Raises `ModelError` for a model that breaks its contract."""

    name = "guarded"
    functions = {}

    def __init__(self, model: Model, seconds: float) -> None:
        self.model = model
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self.name = getattr(model, "name", type(model).__qualname__)  # type: ignore[misc]

    def initial(self) -> State:
        try:
            state = self.model.initial()
        except Exception as error:
            raise self._broken(f"its initial() raises {_told(error)}") from error
        if not _is_hashable(state):
            raise self._broken(f"its initial() gives the state {state!r:.80}, {_UNHASHABLE}")
        return state

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if time.monotonic() > self._deadline:
            raise Stopped("time", f"the time limit of {self._seconds:g} s was reached", "raise the time limit")
        try:
            answer = self.model.step(state, operation)
        except Exception as error:
            raise self._broken(f"{_step(operation, state)} raises {_told(error)}") from error
        if isinstance(answer, str):
            return answer
        if not isinstance(answer, list | tuple | set | frozenset) or not answer:
            raise self._broken(
                f"{_step(operation, state)} gives {answer!r:.80}, neither a list of states nor a sentence"
            )
        for after in answer:
            if not _is_hashable(after):
                raise self._broken(f"{_step(operation, state)} gives the state {after!r:.80}, {_UNHASHABLE}")
        return list(answer)

    def pure(self, operation: Operation) -> bool:
        try:
            return bool(self.model.pure(operation))
        except Exception as error:
            raise self._broken(f"its pure() of {_shown(operation)} raises {_told(error)}") from error

    def partition(self, operation: Operation) -> str:
        try:
            key = self.model.partition(operation)
        except Exception as error:
            raise self._broken(f"its partition() of {_shown(operation)} raises {_told(error)}") from error
        if not isinstance(key, str):
            raise self._broken(f"its partition() of {_shown(operation)} gives {key!r:.80}, which is no string")
        return key

    def problem(self, operation: Operation) -> str | None:
        try:
            return self.model.problem(operation)
        except Exception as error:
            raise self._broken(f"its problem() of {_shown(operation)} raises {_told(error)}") from error

    def _broken(self, how: str) -> ModelError:
        return ModelError(f"the model {self.name} can't be used: {how}")


def _is_hashable(state: object) -> bool:
    try:
        hash(state)
    except TypeError:
        return False
    return True


def _step(operation: Operation, state: State) -> str:
    return f"its step() of {_shown(operation)} in the state {state!r:.80}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _shown(operation: Operation) -> str:
    result = f" = {show(operation.result)}" if operation.type == "ok" else ""
    return f"{operation.f}({show(operation.value)}){result} (event {operation.index})"
