"""Checking anybody's history: one function, `check`, for programs, and what `rashomon check` does.

A history may be a file of any known format, or a plain list. Ten lines::

    from harness.checking import check

    history = [
        {"process": 0, "f": "write", "value": 1, "call": 0, "return": 10},
        {"process": 1, "f": "write", "value": 2, "call": 20, "return": 30},
        {"process": 0, "f": "read", "result": 1, "call": 40, "return": 50},
    ]
    result = check(history, "register")
    print(result.verdict)  # violation
    for finding in result.findings:
        print(finding.anomaly, finding.sentence)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from harness.checkers.checker import Limits, Status, crashed
from harness.checkers.linearizable import Linearizable
from harness.checkers.linearizable.budget import SECONDS_PER_REPORT
from harness.checkers.operations import Operation, Record
from harness.checkers.result import CheckResult, Finding
from harness.errors import BadInput
from harness.formats import open_history
from harness.formats.plain import record_from
from harness.models import MODELS
from harness.models.guarded import guarded, make_model, model_of
from harness.models.model import Model

__all__ = ["AUTO", "Finding", "History", "Result", "check"]

AUTO = "auto"
_WITH_INITIAL = ("register", "kv")
Result = CheckResult
"""`.verdict` (`valid`, `violation` or `unknown`), `.sentence` (what was judged and what came of it), `.findings`,
`.statistics`, `.witness` (by key, if it was asked for) and `.as_json()`."""
History = str | PathLike[str] | Record | Iterable[Mapping[str, Any] | Operation]


def check(
    history: History,
    model: Model | type[Model] | str = AUTO,
    *,
    format: str = AUTO,
    initial: Any = None,
    limits: Limits | None = None,
    jobs: int | None = None,
    progress: Callable[[Status], object] | None = None,
    witness: bool = False,
) -> Result:
    """Whether one order of the operations explains what every client saw.

    `history` is a file (or a pipe), or a list of operations or events (see `harness.formats.plain.record_from`). `model` is
    an object, a class that needs no arguments, one of the names in `harness.models.MODELS`, `package.module:Class`, or `auto`:
    the only model that knows all the functions of the history, a register if it is one. `initial` is what a register or key
    holds at first, for a model that is given by name or as a class. `format` is one of `harness.formats.FORMATS`, for files.
    `limits` are 60 seconds and 1024 MB if left out, reading apart; what can't be decided within them is `unknown`. `jobs`
    keys are searched at once, each in a process of its own; left out: as many as there are processors, where that pays.
    `progress` is told how far the check is, ten times a second at most, and calls it off by returning False. With `witness` a
    valid history gets its `result.witness`.

    Raises `harness.errors.BadInput`, with one sentence that says what is wrong and where, if the history can't be read or
    isn't one, or the model doesn't fit it or is broken: there is no verdict then.
    """
    limits = limits or Limits()
    limits = replace(limits, jobs=jobs or limits.jobs, progress=progress or limits.progress)
    place: Callable[[Operation], str]
    if isinstance(history, str | PathLike):
        reading = _Reading(limits)
        try:
            source = open_history(Path(history), format, reading.wait)
            record, place, usual = source.record(reading.look), source.place, source.initial
        except _CalledOff:
            return Result(Linearizable.name, "unknown", f"the check was called off while {history} was being read")
    else:
        record = history if isinstance(history, Record) else record_from(_items(history))
        place, usual = _event, None
    chosen = guarded(_chosen(model, record, initial, usual, place))
    _refuse_foreign_operations(record, chosen, place)
    began = time.monotonic()
    try:
        result = Linearizable(chosen, witness).judge_record(record, chosen, limits)
    except BadInput:
        raise
    except Exception as error:
        result = crashed(Linearizable.name, error)
    if not record.operations:
        result.statistics["warning"] = f"{_named(history)} holds no operation that happened: there is nothing to judge"
    result.statistics.setdefault("model", chosen.name)
    result.statistics.setdefault("seconds", round(time.monotonic() - began, 3))
    return result


class _CalledOff(Exception):
    """Somebody wants no verdict any more."""


class _Reading:
    """Tells how far the reading is, and hears whether it shall go on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next = 0.0

    def wait(self, read: int) -> None:
        """While a pipe is read, of which nothing is understood yet."""
        self.look(0)

    def look(self, number: int) -> None:
        if self._limits.cancelled():
            raise _CalledOff
        if self._limits.progress is not None and time.monotonic() > self._next:
            self._next = time.monotonic() + SECONDS_PER_REPORT
            if self._limits.progress(Status("reading", operations=number)) is False:
                raise _CalledOff


def _named(history: History) -> str:
    return str(history) if isinstance(history, str | PathLike) else "the history"


def _items(history: object) -> Iterable[Mapping[str, Any] | Operation]:
    if not isinstance(history, Iterable):
        raise BadInput(f"a history is the path of a file, or a list of operations or events, not {history!r:.80}")
    return history


def _event(operation: Operation) -> str:
    return f"event {operation.index} of the history"


def _chosen(
    model: Model | type[Model] | str, record: Record, initial: Any, usual: Any, place: Callable[[Operation], str]
) -> Model:
    """`usual` is what a key or register holds at first in histories of this format, if nobody says otherwise."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        name = _fitting(record, place) if model == AUTO else model
        return make_model(name, usual if initial is None and name in _WITH_INITIAL else initial)
    if not isinstance(model, type):
        raise BadInput(f"a model is a name, an object or its class, not {model!r:.80}")
    holds_usual = initial is None and model in [MODELS[name] for name in _WITH_INITIAL]
    return model_of(model, model.__qualname__, usual if holds_usual else initial)


def _fitting(record: Record, place: Callable[[Operation], str]) -> str:
    """The name of the model whose operations these are."""
    functions = {operation.f for operation in record.operations} | {operation.f for operation in record.failed}
    names = [name for name, kind in MODELS.items() if functions <= kind.functions.keys()]
    if "register" in names:
        return "register"
    fitting = [name for name in names if _knows_all(MODELS[name](), record)]
    if len(fitting) == 1:
        return fitting[0]
    if len(names) == 1:
        return names[0]  # it will say what is wrong, and where
    listed = ", ".join(sorted(functions))
    if names:
        choice = " and ".join(fitting or names)
        raise BadInput(f"the functions {listed} are those of the models {choice}: say which one it is (--model)")
    known = "; ".join(f"{name}: {', '.join(kind.functions)}" for name, kind in MODELS.items())
    remedy = f"({known}): name your own with --model package.module:Class"
    foreign = _first_foreign(record)
    if foreign is not None:
        raise BadInput(f"{place(foreign)}: no model knows the function {foreign.f} {remedy}")
    raise BadInput(f"no model knows all the functions {listed} {remedy}")


def _first_foreign(record: Record) -> Operation | None:
    """The first operation whose function no model knows."""
    known = {f for kind in MODELS.values() for f in kind.functions}
    foreign = (one for one in (*record.operations, *record.failed) if one.f not in known)
    return min(foreign, key=lambda one: one.began, default=None)


def _knows_all(model: Model, record: Record) -> bool:
    return all(model.problem(operation) is None for operation in record.operations)


def _refuse_foreign_operations(record: Record, model: Model, place: Callable[[Operation], str]) -> None:
    for operation in record.operations:
        problem = model.problem(operation)
        if problem is not None:
            raise BadInput(f"{place(operation)}: {problem}")
