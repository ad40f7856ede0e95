"""What people call a violation of a register, and the sentence that says it.

Times in sentences are chosen so that they carry the argument: an operation that came too late is given the time of its
invocation, one that had been there before the time at which it returned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checkers.linearizable.blocks import observed, written
from harness.checkers.linearizable.support import is_refusal, is_writer
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_NONE = object()
"""No value: null is one."""


@dataclass(frozen=True)
class Story:
    anomaly: str
    sentence: str


def explain(proof: Sequence[Operation], history: Sequence[Operation], failed: Sequence[Operation]) -> Story:
    """Tell what the operations of a proof have against each other.

    `history` are all operations of the key (they tell whether a value was ever seen again), `failed` those of the key
    that certainly did not happen.
    """
    teller = _Teller(proof, history, failed)
    attempts = [teller.from_nowhere, teller.from_the_future, teller.wrongly_refused]
    if not teller.is_ambiguous():
        attempts += [teller.two_from_one, teller.circle, teller.reversed]
    for attempt in attempts:
        story = attempt()
        if story is not None:
            return story
    return teller.anything()


class _Teller:
    def __init__(self, proof: Sequence[Operation], history: Sequence[Operation], failed: Sequence[Operation]) -> None:
        self.proof = sorted(proof, key=lambda operation: operation.began)
        self.history = history
        self.failed = failed
        self.writer_of: dict[Hashable, Operation] = {}
        for operation in self.proof:
            if is_writer(operation):
                self.writer_of.setdefault(written(operation), operation)
        self.observers = [o for o in self.proof if observed(o) and not is_refusal(o) and self._shown_by(o) is not None]
        """Whoever certainly saw a value: also a cas of unknown outcome, if what it wrote was seen."""

    def _shown_by(self, operation: Operation, path: tuple[Operation, ...] = ()) -> Operation | None:
        """The operation by whose return it is first known that this one happened: itself, or who saw what it wrote."""
        known = [operation] if operation.type == "ok" else []
        if operation.f == "cas" and operation not in path:
            for other in self.proof:
                if not is_refusal(other) and other is not operation and written(operation) in observed(other):
                    shown_by = self._shown_by(other, (*path, operation))
                    known += [] if shown_by is None else [shown_by]
        return min(known, key=lambda o: o.ended or 0, default=None)

    def _told(self, operation: Operation) -> str:
        """`p7 read 17 (n3) at 1.000 s`; of a cas of unknown outcome, how it is known that it was carried out."""
        shown_by = self._shown_by(operation)
        if shown_by is None:
            return saw(operation)
        if shown_by is operation:
            return f"{saw(operation)} at {returned(operation)}"
        return f"{saw(operation)}, for {saw(shown_by)} at {returned(shown_by)}"

    def is_ambiguous(self) -> bool:
        """Whether some value that was seen can have come from more than one place: then who saw what proves less."""
        places = Counter(written(operation) for operation in self.proof if is_writer(operation))
        places[None] += 1
        return any(places[value] > 1 for operation in self.observers for value in observed(operation))

    def from_nowhere(self) -> Story | None:
        ever_written = {written(operation) for operation in self.history if is_writer(operation)}
        for observer in self.observers:
            (value,) = observed(observer)
            if value is None or value in ever_written:
                continue
            said = self._told(observer)
            for attempt in self.failed:
                if is_writer(attempt) and written(attempt) == value:
                    sentence = f"{said}, but {what(attempt)} had been answered with a failure: it must never happen"
                    return Story("failed write seen", sentence)
            return Story("value from nowhere", f"{said}, but nobody ever wrote {show(_value(observer))}")
        return None

    def from_the_future(self) -> Story | None:
        for observer in self.observers:
            (value,) = observed(observer)
            writers = [operation for operation in self.history if is_writer(operation) and written(operation) == value]
            shown_by = self._shown_by(observer)
            if value is None or not writers or shown_by is None:
                continue
            if all(_before(shown_by, writer) for writer in writers):
                first = min(writers, key=lambda writer: writer.began)
                sentence = f"{self._told(observer)}, but {what(first)} began only at {called(first)}"
                return Story("value from the future", sentence)
        return None

    def wrongly_refused(self) -> Story | None:
        refusal = next((operation for operation in reversed(self.proof) if is_refusal(operation)), None)
        if refusal is None:
            return None
        (expected,) = observed(refusal)
        writer = self.writer_of.get(expected)
        held = "was there from the beginning" if writer is None else f"had been put there by {what(writer)}"
        sentence = (
            f"{who(refusal)}'s cas {_change(refusal)}{_asked(refusal)} was refused, but {show(refusal.value[0])} {held}, "
            f"and no other value can have been there between {called(refusal)} and {returned(refusal)}"
        )
        return Story("cas refused wrongly", sentence)

    def two_from_one(self) -> Story | None:
        first_from: dict[Hashable, Operation] = {}
        for operation in self.proof:
            if operation.f != "cas" or is_refusal(operation):
                continue
            (value,) = observed(operation)
            other = first_from.setdefault(value, operation)
            if other is not operation:
                return Story(
                    "two CAS from one value",
                    f"{self._swapped(other)}, and {self._swapped(operation)}: both replaced "
                    f"{show(operation.value[0])}, which was there only once",
                )
        return None

    def circle(self) -> Story | None:
        for operation in self.observers:
            ring = [operation]
            while (writer := self.writer_of.get(observed(ring[-1])[0])) is not None and writer.f == "cas":
                if writer in ring:
                    parts = " and ".join(self._told(one) for one in reversed(ring))
                    return Story("cas in a circle", f"{parts}: each needs another of them to have come first")
                ring.append(writer)
        return None

    def _swapped(self, operation: Operation) -> str:
        """`p1's cas 3 -> 4 (n1) succeeded at 1.000 s`, or how it is known to have succeeded."""
        if operation.type == "ok":
            return f"{what(operation)} succeeded at {returned(operation)}"
        shown_by = self._shown_by(operation)
        proof = "" if shown_by is None else f", for {saw(shown_by)} at {returned(shown_by)}"
        return f"{what(operation)} succeeded{proof}"

    def _writers_in_history(self, value: Hashable) -> list[Operation]:
        return [operation for operation in self.history if is_writer(operation) and written(operation) == value]

    def reversed(self) -> Story | None:
        """Somebody saw a value after another one had taken its place."""
        for late in sorted(self.observers, key=lambda operation: operation.began, reverse=True):
            (old,) = observed(late)
            for writer in reversed(self.proof):
                if not is_writer(writer) or writer is late or written(writer) == old:
                    continue
                new = written(writer)
                there = [o for o in (writer, *self._sights(new)) if o is not late and _before(o, late)]
                if not there:
                    continue
                line = self._line(old)
                older = next((value for value in line if self._is_older_than(value, writer)), _NONE)
                if older is _NONE:
                    older = next((value for value in line[1:] if self._was_seen_before(value, writer)), _NONE)
                if new not in line and older is not _NONE:
                    return self._came_back(late, old, older, writer, there)
                opposite = None if new in line else self._opposite(line, writer)
                if opposite is not None:
                    return self._other_way_round(late, new, there, opposite)
        return None

    def _sights(self, value: Hashable) -> list[Operation]:
        return [o for o in self.observers if observed(o)[0] == value]

    def _line(self, value: Hashable) -> list[Hashable]:
        """The value and those that compare-and-sets turned into it: nothing else can have come in between."""
        line = [value]
        while (writer := self.writer_of.get(line[-1])) is not None and writer.f == "cas":
            (source,) = observed(writer)
            if source in line:
                break
            line.append(source)
        return line

    def _is_older_than(self, value: Hashable, writer: Operation) -> bool:
        """Whether it is known that the value was there before the one of this writer, without asking who saw that one."""
        older = self.writer_of.get(value)
        if (value is None and older is None) or (older is not None and _before(older, writer)):
            return True
        return value in self._line(written(writer))[1:]

    def _was_seen_before(self, value: Hashable, writer: Operation) -> bool:
        return any(_before(sight, writer) for sight in self._sights(value) if not is_writer(sight))

    def _opposite(self, line: Sequence[Hashable], writer: Operation) -> tuple[Operation, Operation] | None:
        """Operations that show that a value of the line was there before that of the writer was."""
        for value in line:
            older = self.writer_of.get(value)
            for first in [*self._sights(value), *([] if older is None else [older])]:
                for second in (*self._sights(written(writer)), writer):
                    if _before(first, second):
                        return first, second
        return None

    def _came_back(
        self, late: Operation, old: Hashable, older: Hashable, writer: Operation, there: list[Operation]
    ) -> Story:
        """`late` saw `old` (or what compare-and-sets made of `older`) although the writer's value had taken its place."""
        new = written(writer)
        if there[0] is writer:
            sentence = f"{self._late(late)}, but {what(writer)} had been acknowledged at {returned(writer)}"
            seen = self._first_sight(new, late)
            if seen is not None:
                sentence += f" and {_seen_by(seen)} at {returned(seen)}"
        else:
            sentence = (
                f"{self._late(late)}, but {what(writer)} had taken effect before: {saw(there[0])} "
                f"at {returned(there[0])}"
            )
        elder = self.writer_of.get(older)
        if older != old:
            shown = "null" if elder is None else show(_written_value(elder))
            sentence += f", and {show(_value(late))} came in the place of {shown}, which was older"
        elif elder is not None and _before(elder, writer) and not self._replaced(elder, writer):
            sentence += f", and {show(_value(late))} was older ({what(elder)} was acknowledged at {returned(elder)})"
        anomaly = self._name(late, old, new, writer)
        if anomaly == "lost write":
            sentence += f"; {show(_written_value(writer))} was never seen by anybody"
        elif anomaly == "resurrected value":
            sentence += f"; {show(_written_value(writer))} was never seen again"
        return Story(anomaly, sentence)

    def _late(self, late: Operation) -> str:
        """That it saw what it saw, with the time of its invocation."""
        shown_by = self._shown_by(late)
        if shown_by is late or shown_by is None:
            return f"{saw(late)} at {called(late)}"
        return f"{saw(late)} after {called(late)} ({saw(shown_by)})"

    def _replaced(self, elder: Operation, writer: Operation) -> bool:
        return writer.f == "cas" and observed(writer)[0] == written(elder)

    def _first_sight(self, value: Hashable, late: Operation) -> Operation | None:
        seen = [o for o in self.history if _before(o, late) and _sees(o, value)]
        return min(seen, key=lambda operation: operation.ended or 0, default=None)

    def _name(self, late: Operation, old: Hashable, new: Hashable, writer: Operation) -> str:
        """Stale: one look at an old value. Lost: the new value was never seen, and the old ones lived on. Resurrected:
        it was seen, then an old one lived on. An old value lives on if it is seen again, or something is built on it."""
        if late.f == "cas":
            return "cas on a stale value"
        since = late.began
        if any((o.ended or 0) > since and _sees(o, new) for o in self.history):
            return "stale read"
        moment = writer.ended if writer.ended is not None else since
        after = [o for o in self.history if o.began > moment and _is_sight(o)]
        olds = [o for o in after if _sees(o, old) or self._is_older(observed(o)[0], writer)]
        if len(olds) < 2 and not any(o.f == "cas" for o in olds):
            return "stale read"
        seen = any(_is_sight(o) and _sees(o, new) for o in self.history)
        return "resurrected value" if seen else "lost write"

    def _is_older(self, value: Hashable, writer: Operation) -> bool:
        writers = self._writers_in_history(value)
        return value is None or (bool(writers) and all(_before(other, writer) for other in writers))

    def _other_way_round(
        self, late: Operation, new: Hashable, there: list[Operation], opposite: tuple[Operation, Operation]
    ) -> Story:
        first, second = opposite
        one = there[-1]
        (old,) = observed(late)
        mine = show(_value(late))
        if old not in (*observed(first), *([written(first)] if is_writer(first) else [])):
            mine += " (which came in the place of what was there then)"
        sentence = (
            f"{did(one)} by {returned(one)} and {did(late)} after {called(late)}, "
            f"but {did(first)} by {returned(first)} and {did(second)} after {called(second)}: "
            f"{mine} and {show(_about(one, new))} can't each have come first"
        )
        return Story("order reversed", sentence)

    def anything(self) -> Story:
        parts = [f"{did(operation)} ({_span(operation)})" for operation in self.proof[:6]]
        more = f" and {len(self.proof) - 6} more" if len(self.proof) > 6 else ""
        return Story("no order", f"no order explains what these saw: {'; '.join(parts)}{more}")


def _before(one: Operation, other: Operation) -> bool:
    return one.ended is not None and one.ended < other.began


def _sees(operation: Operation, value: Hashable) -> bool:
    return not is_refusal(operation) and value in observed(operation)


def _is_sight(operation: Operation) -> bool:
    """Whether it certainly saw a value."""
    return operation.type == "ok" and not is_refusal(operation) and bool(observed(operation))


def _value(operation: Operation) -> Any:
    """What it saw, as the history has it."""
    return operation.result if operation.f == "read" else operation.value[0]


def _written_value(operation: Operation) -> Any:
    return operation.value if operation.f == "write" else operation.value[1]


def _about(operation: Operation, value: Hashable) -> Any:
    """The value that is meant, as the history has it, by an operation that wrote or saw it."""
    if is_writer(operation) and canonical(_written_value(operation)) == value:
        return _written_value(operation)
    return _value(operation)


def who(operation: Operation) -> str:
    """`p7`; a process that has a name is called by it."""
    return f"p{operation.process}" if isinstance(operation.process, int) else operation.process


def _asked(operation: Operation) -> str:
    return f" ({operation.replica})" if operation.replica else ""


def _change(operation: Operation) -> str:
    return f"{show(operation.value[0])} -> {show(operation.value[1])}"


def what(operation: Operation) -> str:
    """`p2's write of 18 (n1)`."""
    if operation.f == "write":
        return f"{who(operation)}'s write of {show(operation.value)}{_asked(operation)}"
    if operation.f == "cas":
        return f"{who(operation)}'s cas {_change(operation)}{_asked(operation)}"
    return f"{who(operation)}'s {operation.f}{_asked(operation)}"


def saw(operation: Operation) -> str:
    """`p7 read 17 (n3)`, or what a cas replaced."""
    if operation.f == "read":
        return f"{who(operation)} read {show(operation.result)}{_asked(operation)}"
    return f"{who(operation)} replaced {_change(operation)} by cas{_asked(operation)}"


def did(operation: Operation) -> str:
    if operation.f == "write":
        return f"{who(operation)} wrote {show(operation.value)}{_asked(operation)}"
    if is_refusal(operation):
        return f"{who(operation)} was refused its cas {_change(operation)}{_asked(operation)}"
    return saw(operation)


def _seen_by(operation: Operation) -> str:
    verb = "read" if operation.f == "read" else "replaced by cas"
    return f"was {verb} by {who(operation)}{_asked(operation)}"


def seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3f} s"


def called(operation: Operation) -> str:
    return seconds(operation.call_ns)


def returned(operation: Operation) -> str:
    return "an unknown time" if operation.return_ns is None else seconds(operation.return_ns)


def _span(operation: Operation) -> str:
    end = "and never completed" if operation.return_ns is None else f"to {returned(operation)}"
    return f"{called(operation)} {end}"
