"""Containers seen through a few of their values.

Take an order that explains the history of a queue, and leave out everything that was done with some of the values: what is
left is in order still, for values of a queue, a stack, a set, a log or a mailbox don't depend on each other but for their
order. So where the few values that are left can't be explained, the whole can't. What was read as a whole is read through the
same glasses. The places that a log gave are not, and are forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

from harness.checkers.operations import Operation
from harness.models.log import Log
from harness.models.mailbox import Mailbox
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.sets import Set
from harness.models.values import canonical

_PUTTING = {Queue: "enqueue", Stack: "push", Log: "append"}

_WHOLE = ("read", "list")
"""Functions that show all values at once."""


def shown(operation: Operation) -> list[Any]:
    """The values that were read as a whole: of a list of mail, the messages without their marks."""
    values = operation.result or []
    return [entry[0] for entry in values] if operation.f == "list" else list(values)


def values_of(operations: Sequence[Operation], model: Model) -> list[Hashable] | None:
    """All values, those that were last touched latest last; None if the model is no container."""
    if type(model) not in (Queue, Stack, Set, Log, Mailbox):
        return None
    last: dict[Hashable, None] = {}
    for operation in operations:
        for value in _touched(operation, model):
            last.pop(value, None)
            last[value] = None
    return list(last)


def _touched(operation: Operation, model: Model) -> list[Hashable]:
    if operation.f in _WHOLE:
        return [canonical(value) for value in shown(operation)]
    if type(model) in (Set, Mailbox) or operation.f == _PUTTING[type(model)]:
        return [canonical(operation.value)]
    return [] if operation.result is None else [canonical(operation.result)]


def projected(operations: Sequence[Operation], model: Model, values: Collection[Hashable]) -> list[Operation]:
    """The history of these values only; operations keep their indexes."""
    kept = []
    for operation in operations:
        if operation.f in _WHOLE:
            if operation.type == "ok":
                pairs = zip(shown(operation), operation.result, strict=True)
                seen = [entry for value, entry in pairs if canonical(value) in values]
                operation = replace(operation, result=seen)
            kept.append(operation)
            continue
        touched = _touched(operation, model)
        if not touched or touched[0] in values:
            kept.append(replace(operation, result=None) if type(model) is Log else operation)
    return kept
