"""Which operations prove something on their own.

A part of a linearizable history may fail to be linearizable: a read without the write that it saw looks like a value from
nowhere. A part is CLOSED if that can't happen, so that a closed part that fails proves that the whole fails:

- with whoever saw a value stay all who may have written it;
- with a refused cas stay all writes that may have stood between the write of the value that it expected and itself.

Why it holds: take an order that explains the whole and leave out everything but the part. Whoever saw a value still comes
right behind a write of it, for nothing was put in between. A refused cas still finds another value: the write that stood
last before it was not left out, unless it came before the expected value was ever written.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence

from harness.checkers.linearizable.blocks import observed, written
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.operations import Operation


def is_refusal(operation: Operation) -> bool:
    return operation.f == "cas" and operation.result is False


def is_writer(operation: Operation) -> bool:
    """Whether the register may hold another value after it than before."""
    if operation.f != "cas":
        return operation.f == "write"
    return not is_refusal(operation) and observed(operation)[0] != written(operation)


class Support:
    """What the operations of one register's history need to stand on."""

    def __init__(
        self, operations: Sequence[Operation], initial: Hashable, part: Iterable[Operation] | None = None
    ) -> None:
        """`part`: only these are going to be asked about, which is quicker."""
        self.initial = initial
        self.writers: list[Operation] = []
        self.writers_of: dict[Hashable, list[Operation]] = {}
        seen = None if part is None else _seen_by(part)
        for operation in operations:
            if operation.f != "read" and is_writer(operation):
                value = written(operation)
                if seen is None or value in seen:
                    self.writers.append(operation)
                    self.writers_of.setdefault(value, []).append(operation)

    def is_closed(self, operations: Collection[Operation]) -> bool:
        return len(self.closed(operations)) == len(operations)

    def closed(self, operations: Iterable[Operation]) -> list[Operation]:
        """The greatest closed part of them, in the order given."""
        kept = list(operations)
        while True:
            indexes = {operation.index for operation in kept}
            supported = [one for one in kept if all(need.index in indexes for need in self._needs(one))]
            if len(supported) == len(kept):
                return kept
            kept = supported

    def _needs(self, operation: Operation) -> list[Operation]:
        if is_refusal(operation):
            return self._interferers(operation)
        until = NEVER if operation.ended is None else operation.ended
        return [
            writer
            for value in observed(operation)
            for writer in self.writers_of.get(value, ())
            if writer.began < until and writer.index != operation.index
        ]

    def _interferers(self, refusal: Operation) -> list[Operation]:
        (expected,) = observed(refusal)
        writers = self.writers_of.get(expected, [])
        if expected == self.initial:
            since = -1
        elif writers:
            since = min(writer.began for writer in writers)
        else:
            return []
        until = NEVER if refusal.ended is None else refusal.ended
        return [
            writer for writer in self.writers if writer.began < until and (writer.ended is None or writer.ended > since)
        ]


def _seen_by(operations: Iterable[Operation]) -> set[Hashable] | None:
    """The values that these operations saw; None if any other may matter too, for one was refused."""
    seen: set[Hashable] = set()
    for operation in operations:
        if is_refusal(operation):
            return None
        seen.update(observed(operation))
    return seen
