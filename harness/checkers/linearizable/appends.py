"""Keys of a key-value store as registers: put is write, get is read, and an observed append is a cas.

Where values are appended, the register holds the last part of what the key holds: what was put, or appended last. That is
exact if every value put or appended is written once, and what was read can be taken apart into them in one way only:

- All are strings, or all are arrays, none is empty, and none is the end of another one. So what was read is taken apart
  from its end, each time by the one value that it can end with.
- What was read then begins with a put, or with an append to the key as it was at first, and goes on with appends. Whatever
  else can't have happened: a value seen that nobody wrote, a put in the middle, one append behind two different values.
- So the last part tells the whole. An append that was seen is a cas from the part before it. One that nobody saw was made
  to some value, and whatever was appended behind it was not seen either, until a put: it is a plain write.

Deletes, and appends beside compare-and-sets, are left to the search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Undecided
from harness.checkers.linearizable.explain import asked, returned, seen, who
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_Parts = str | tuple[Any, ...]
"""A string, or the items of an array."""


@dataclass
class AsRegister:
    """A key as a register: operation by operation, the index of each tells who is who."""

    operations: list[Operation]
    original: dict[int, Operation]
    shown_by: Callable[[Operation], list[Operation]] = lambda append: []
    """For an append that became a cas: the read that shows what was before it, and who wrote what that read."""

    def told_by(self, proof: Iterable[Operation]) -> list[Operation]:
        """The operations of the key that prove what these operations of the register prove."""
        kept = set()
        for operation in proof:
            original = self.original[operation.index]
            kept |= {original, *self.shown_by(original)}
        return sorted(kept, key=lambda operation: operation.began)


def as_register(operations: Sequence[Operation], initial: Hashable, budget: Budget) -> AsRegister:
    """The register that is linearizable exactly if this key is.

    Raises `Contradiction` if that already shows that the key isn't, `Undecided` if there is no such register.
    """
    functions = {operation.f for operation in operations}
    if "delete" in functions:
        raise Undecided("a key was deleted: its first value comes back")
    if "append" not in functions:
        return AsRegister([_renamed(operation) for operation in budget.each(operations)], _by_index(operations))
    if "cas" in functions:
        raise Undecided("appends and compare-and-sets on one key")
    if initial is not None and initial != "":
        raise Undecided("appends to a first value that isn't empty")
    return _Appends(operations, initial, budget).translated()


def _by_index(operations: Sequence[Operation]) -> dict[int, Operation]:
    return {operation.index: operation for operation in operations}


def _renamed(operation: Operation) -> Operation:
    if operation.f == "cas":
        return operation
    return _changed(operation, "read" if operation.f == "get" else "write", operation.value, operation.result)


def _changed(one: Operation, f: str, value: Any, result: Any) -> Operation:
    """The same operation of the register. Written out: `replace` takes several times as long, for each of a million."""
    return Operation(
        one.process,
        f,
        one.key,
        value,
        result,
        one.type,
        one.call_ns,
        one.return_ns,
        one.replica,
        one.index,
        one.began,
        one.ended,
    )


class _Appends:
    def __init__(self, operations: Sequence[Operation], initial: Hashable, budget: Budget) -> None:
        self.operations = operations
        self.initial = initial
        self.budget = budget
        self.writer_of: dict[_Parts, Operation] = {}
        self.lengths: list[int] = []
        self.before: dict[Operation, Operation | None] = {}
        """For each writer that was seen, the one right before it; None if it was the first."""
        self.seen_in: dict[Operation, tuple[_Parts, int, Operation]] = {}
        """For each writer that was seen: what was read, where in it the writer's part ends, and by whom."""

    def translated(self) -> AsRegister:
        self._collect_writers()
        self._refuse_ambiguous_parts()
        reads: dict[Operation, Any] = {}
        for operation in self.budget.each(self.operations):
            if operation.f == "get" and operation.type == "ok":
                reads[operation] = self._last_part(operation)
        translated = [self._translate(operation, reads) for operation in self.budget.each(self.operations)]
        return AsRegister(translated, _by_index(self.operations), self._shown_by)

    def _collect_writers(self) -> None:
        for operation in self.budget.each(self.operations):
            if operation.f == "get":
                continue
            value = _parts(operation.value)
            if not value:
                raise Undecided(
                    "something was put or appended that is no string and no array of plain values, or empty"
                )
            if value in self.writer_of:
                raise Undecided(f"the value {show(operation.value)} was not written only once")
            self.writer_of[value] = operation
        self.lengths = [length for length, _ in Counter(map(len, self.writer_of)).most_common()]

    def _refuse_ambiguous_parts(self) -> None:
        kinds = {type(value) for value in self.writer_of}
        if len(kinds) > 1 or (self.initial == "" and kinds == {tuple}):
            raise Undecided("strings and arrays in one key")
        backwards: list[Any] = [value[::-1] for value in self.budget.each(self.writer_of)]
        try:
            backwards.sort()
        except TypeError:
            raise Undecided("arrays whose items are of several types") from None
        for one, other in pairwise(backwards):
            if other[: len(one)] == one:
                raise Undecided("one of the values written is the end of another one")

    def _last_part(self, read: Operation) -> Any:
        """The last part of what was read, when all of it is known to have been written."""
        whole = _parts(read.result)
        if not whole:
            if read.result in (None, ""):
                return read.result
            raise self._nowhere(read)
        end, later, last = len(whole), None, None
        while True:
            writer = self._writer_at(whole, end)
            if writer is None:
                raise self._nowhere(read)
            if later is None:
                last = writer
            elif self.before.setdefault(later, writer) is not writer:
                raise self._twice(later, read)
            known = self.seen_in.setdefault(writer, (whole, end, read))
            if known[2] is not read and known[1] == end and known[0][:end] == whole[:end]:
                break  # somebody read the same up to here
            end -= len(writer.value)
            if writer.f == "put" and end:
                raise self._put_in_the_middle(writer, read)
            if not end:
                if self.before.setdefault(writer, None) is not None:
                    raise self._twice(writer, read)
                break
            later = writer
        assert last is not None
        return last.value

    def _writer_at(self, whole: _Parts, end: int) -> Operation | None:
        """Who wrote the part that ends there."""
        for length in self.lengths:
            if length <= end and (writer := self.writer_of.get(whole[end - length : end])) is not None:
                return writer  # the only one, for none of the values is the end of another one
        return None

    def _translate(self, operation: Operation, reads: dict[Operation, Any]) -> Operation:
        if operation.f == "get":
            return _changed(operation, "read", operation.value, reads.get(operation))
        if operation.f == "put" or operation not in self.before:
            return _changed(operation, "write", operation.value, None)
        before = self.before[operation]
        source = self.initial if before is None else before.value
        done = True if operation.type == "ok" else None
        return _changed(operation, "cas", [source, operation.value], done)

    # What follows is needed only once, to explain a contradiction.

    def _shown_by(self, operation: Operation) -> list[Operation]:
        if operation.f == "get":
            return self._writers_in(operation) if operation.type == "ok" else []
        if operation.f == "append" and operation in self.before:
            read = self.seen_in[operation][2]
            return [*self._writers_in(read), read]
        return []

    def _writers_in(self, *reads: Operation) -> list[Operation]:
        writers = set()
        for read in reads:
            whole = _parts(read.result) or ""
            end = len(whole)
            while end and (writer := self._writer_at(whole, end)) is not None:
                writers.add(writer)
                end -= len(writer.value)
        return sorted(writers, key=lambda operation: operation.began)

    def _nowhere(self, read: Operation) -> Contradiction:
        said = f"{_told(read)}, but nobody wrote all of that"
        return Contradiction(said, [*self._writers_in(read), read], "value from nowhere")

    def _put_in_the_middle(self, put: Operation, read: Operation) -> Contradiction:
        said = f"{_told(read)}, but {show(put.value)} in it was put, which leaves nothing before it"
        return Contradiction(said, [*self._writers_in(read), read], "value from nowhere")

    def _twice(self, append: Operation, read: Operation) -> Contradiction:
        other = self.seen_in[append][2]
        if other is read:
            said = f"{_told(read)}, but {show(append.value)} was written only once"
        else:
            said = f"{_told(other)} and {_told(read)}, but {show(append.value)} was written only once"
        readers = sorted({other, read}, key=lambda one: one.began)
        return Contradiction(said, [*self._writers_in(other, read), *readers], "appended twice")


def _told(read: Operation) -> str:
    return f"{who(read)} read {seen(read.result)}{asked(read)} at {returned(read)}"


def _parts(value: Any) -> _Parts | None:
    """A string as it is, an array as the tuple of its items; None if it is neither, or holds more than plain values."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        items = tuple(map(canonical, value))
        return None if any(isinstance(item, tuple) for item in items) else items
    return None
