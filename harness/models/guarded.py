"""A user's own model, found by its name and watched: what it does wrong becomes a sentence, never a verdict."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.checkers.linearizable.budget import Budget, out_of_memory
from harness.checkers.operations import Operation
from harness.errors import BadInput
from harness.models import MODELS
from harness.models.model import Model, State
from harness.models.values import show
from node.registry import UnknownName, unknown

_RAISED = (Exception, SystemExit)
"""What a model's code may raise: also the end of the program, which isn't its to decide."""
_UNHASHABLE = "which can't be hashed: use tuples and frozensets, not lists, dicts and sets"


class ModelError(BadInput):
    """A model broke its contract; the message says which model, how, and on which operation."""


def make_model(name: str, initial: Any = None) -> Model:
    """The model of that name, or that `package.module:Class`, found also in the working folder, or that `file.py:Class`.

    `initial` is the value held at first, for the models that take one; None: what they hold of themselves.
    Raises `BadInput` if there is no such model, or it takes no initial value.
    """
    if name not in MODELS and ":" not in name:
        raise BadInput(f"{unknown('model', name, MODELS)}; your own is named as package.module:Class or file.py:Class")
    name = _in_a_module(name)
    kind: Any
    try:
        kind = MODELS[name]
    except UnknownName as error:
        raise BadInput(str(error)) from error
    except _RAISED as error:  # whatever a module of the user's may do while it is imported
        raise BadInput(f"cannot import model {name!r} ({type(error).__name__}: {error})") from error
    return model_of(kind, name, initial)


def model_of(kind: object, name: str, initial: Any = None) -> Model:
    """A model of that class, which is called `name` in sentences. Raises `BadInput` as `make_model` does."""
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        raise BadInput(f"{name} is not a model: derive the class from harness.models.model.Model")
    make: Callable[..., Model] = kind
    try:
        return make() if initial is None else make(initial)
    except _RAISED as error:
        what = "can't be made without arguments" if initial is None else "takes no initial value"
        raise BadInput(f"the model {name} {what} ({_told(error)})") from error


def _in_a_module(name: str) -> str:
    """`folder/file.py:Class` as `file:Class`, which can be imported from now on, also by other processes."""
    place, _, kind = name.rpartition(":")
    if not place.endswith(".py"):
        _search_in(Path.cwd())
        return name
    file = Path(place).resolve()
    if not file.is_file():
        raise BadInput(f"{place}: there is no such file: name your model as file.py:Class or package.module:Class")
    _search_in(file.parent)
    found = importlib.util.find_spec(file.stem) if file.stem.isidentifier() else None
    if found is None or found.origin is None or Path(found.origin).resolve() != file:
        raise BadInput(f"{place}: another module has the name {file.stem!r}, or it can't be one: rename the file")
    return f"{file.stem}:{kind}"


def _search_in(folder: Path) -> None:
    """Behind everything else: a file called `queue.py` must not take the place of Python's own."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def guarded(model: Model) -> Model:
    """The model itself if it is one of ours, else with a guard around it."""
    ours = type(model).__module__.startswith(f"{__package__}.")
    return model if ours or isinstance(model, Guarded) else Guarded(model)


def watched(model: Model, budget: Budget) -> Model:
    """The model; one with a guard looks at this budget after each step from now on, however rarely its user does."""
    return Guarded(model.model, budget) if isinstance(model, Guarded) else model


class Guarded(Model):
    """A model whose answers are looked at. Raises `ModelError` for a model that breaks its contract, and, where a budget
    is given, `Stopped` after the step in which it was spent."""

    name = "guarded"
    functions = {}

    def __init__(self, model: Model, budget: Budget | None = None) -> None:
        self.model = model
        self._budget = budget
        self.name = getattr(model, "name", type(model).__qualname__)  # type: ignore[misc]

    def initial(self) -> State:
        try:
            state = self.model.initial()
        except _RAISED as error:
            raise self._broken(f"its initial() raises {_told(error)}") from error
        if not _is_hashable(state):
            raise self._broken(f"its initial() gives the state {state!r:.80}, {_UNHASHABLE}")
        return state

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        try:
            answer = self.model.step(state, operation)
        except MemoryError as error:
            if self._budget is None:
                raise
            raise out_of_memory(self._budget.limits) from error
        except _RAISED as error:
            raise self._broken(f"{_step(operation, state)} raises {_told(error)}") from error
        if self._budget is not None:
            self._budget.look()
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
        except _RAISED as error:
            raise self._broken(f"its pure() of {_shown(operation)} raises {_told(error)}") from error

    def partition(self, operation: Operation) -> str:
        try:
            key = self.model.partition(operation)
        except _RAISED as error:
            raise self._broken(f"its partition() of {_shown(operation)} raises {_told(error)}") from error
        if not isinstance(key, str):
            raise self._broken(f"its partition() of {_shown(operation)} gives {key!r:.80}, which is no string")
        return key

    def problem(self, operation: Operation) -> str | None:
        try:
            return self.model.problem(operation)
        except _RAISED as error:
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


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _shown(operation: Operation) -> str:
    result = f" = {show(operation.result)}" if operation.type == "ok" else ""
    return f"{operation.f}({show(operation.value)}){result} (event {operation.index})"
