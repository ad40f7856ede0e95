"""Where the values came from that the operations of a proof saw."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from harness.checkers.operations import Operation
from harness.models.kv import KeyValue
from harness.models.mailbox import Mailbox
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register, WriteOnce
from harness.models.sets import Set
from harness.models.values import canonical

_PUTTING: dict[type[Model], str] = {Queue: "enqueue", Stack: "push"}


def sources(certain: Sequence[Operation], history: Sequence[Operation], model: Model) -> list[Operation]:
    """For each value that one of these saw, and none of them brought: the operation of the history that is most likely to
    have brought it, if there is one. Models that aren't ours have no sources."""
    brought = {value for one in certain for value in brings(one, model)}
    found: list[Operation] = []
    for observer in certain:
        for value in sees(observer, model):
            if value in brought or value == model.initial():
                continue
            source = _source(observer, value, history, model)
            if source is not None:
                found.append(source)
                brought.add(value)
    return found


def _source(observer: Operation, value: Hashable, history: Sequence[Operation], model: Model) -> Operation | None:
    """The last who certainly did it before; or else the last who may have."""
    candidates = [one for one in history if one is not observer and value in brings(one, model)]
    before = [one for one in candidates if one.ended is not None and one.ended < observer.began]
    if before:
        return max(before, key=lambda one: one.ended or 0)
    during = [one for one in candidates if observer.ended is None or one.began < observer.ended]
    return max(during, key=lambda one: (one.type == "ok", one.began), default=None)


def brings(one: Operation, model: Model) -> Iterable[Hashable]:
    """The value that is there after this operation, as far as it is known."""
    kind = type(model)
    if kind in (Register, WriteOnce, KeyValue):
        if one.f in ("write", "put", "append") and one.result is not False:
            return (canonical(one.value),)
        return (canonical(one.value[1]),) if one.f == "cas" and one.result is not False else ()
    if one.f == _PUTTING.get(kind) or (kind is Set and one.f == "add") or (kind is Mailbox and one.f == "send"):
        return (canonical(one.value),)
    return ()


def sees(one: Operation, model: Model) -> Iterable[Hashable]:
    """The values that must have been there for this operation to be answered as it was."""
    kind = type(model)
    if one.type != "ok":
        return ()
    if kind in (Register, WriteOnce, KeyValue):
        if one.f in ("read", "get") and one.result is not None:
            return (canonical(one.result),)
        return (canonical(one.value[0]),) if one.f == "cas" else ()
    if kind in _PUTTING:
        return (canonical(one.result),) if one.f != _PUTTING[kind] and one.result is not None else ()
    if kind is Mailbox and one.f == "mark" and one.result:
        return (canonical(one.value),)
    if kind is Set and ((one.f in ("contains", "remove") and one.result) or (one.f == "add" and one.result is False)):
        return (canonical(one.value),)
    return ()
