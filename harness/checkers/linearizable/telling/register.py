"""What people call a violation of a register, and the sentence that says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.blocks import observed, written
from harness.checkers.linearizable.explain import (
    Story,
    asked,
    called,
    change,
    did,
    returned,
    seen,
    span,
    what,
    who,
)
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.support import is_refusal, is_writer
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_NONE = object()
"""No value: null is one."""


def story_of_register(
    proof: Sequence[Operation],
    certain: Sequence[Operation],
    history: Sequence[Operation],
    failed: Sequence[Operation],
    original: Callable[[Operation], Operation],
    first: Any = None,
    reader_of: Callable[[Operation], Operation | None] = lambda one: None,
) -> Story:
    """Tell what the operations of a proof have against each other; `certain` are those that are no mere sources.

    `history` are all operations of the key (they tell whether a value was ever seen again), `failed` those of the key
    that certainly did not happen. `original` gives what an operation was before it was seen as one of a register, which
    held `first` at first; `reader_of` gives who read what an append was appended to.
    """
    teller = _Teller(proof, history, failed, original, first, reader_of)
    attempts = [
        teller.from_nowhere,
        teller.from_the_future,
        lambda: teller.brought_back(certain),
        teller.wrongly_refused,
    ]
    if not teller.is_ambiguous():
        attempts += [teller.two_from_one, teller.circle, teller.reversed]
    for attempt in attempts:
        story = attempt()
        if story is not None:
            return story
    return teller.anything()


class _Teller:
    def __init__(
        self,
        proof: Sequence[Operation],
        history: Sequence[Operation],
        failed: Sequence[Operation],
        original: Callable[[Operation], Operation],
        first: Any,
        reader_of: Callable[[Operation], Operation | None],
    ) -> None:
        self.reader_of = reader_of
        self.first = first
        """What the register held at first."""
        self.initial = canonical(first)
        self.original = original
        self.proof = sorted(proof, key=lambda operation: operation.began)
        self.history = history
        self.failed = failed
        self.writer_of: dict[Hashable, Operation] = {}
        for operation in self.proof:
            if is_writer(operation):
                self.writer_of.setdefault(written(operation), operation)
        self.observers = [o for o in self.proof if observed(o) and not is_refusal(o) and self._shown_by(o) is not None]
        """Whoever certainly saw a value: also a cas of unknown outcome, if what it wrote was seen."""
        self.writers_of: dict[Hashable, list[Operation]] = {}
        """Of the whole history."""
        for operation in history:
            if is_writer(operation):
                self.writers_of.setdefault(written(operation), []).append(operation)
        self.repeated = {value for value, writers in self.writers_of.items() if len(writers) > 1}

    def _what(self, operation: Operation) -> str:
        return what(self.original(operation))

    def _did(self, operation: Operation) -> str:
        one = self.original(operation)
        if one.f == "append" and operation.f == "cas" and operation.value[0]:
            return f"{who(one)} appended {show(one.value)} behind {show(operation.value[0])}{asked(one)}"
        return did(one)

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
        """`p7 read 17 (n3) by 1.000 s`; of a cas of unknown outcome, how it is known that it was carried out."""
        shown_by = self._shown_by(operation)
        if shown_by is None:
            return self._did(operation)
        if shown_by is operation:
            return f"{self._did(operation)} by {returned(operation)}"
        return f"{self._did(operation)}, for {self._did(shown_by)} by {returned(shown_by)}"

    def is_ambiguous(self) -> bool:
        """Whether some value that was seen can have come from more than one place: then who saw what proves less."""
        places = Counter(written(operation) for operation in self.proof if is_writer(operation))
        places[self.initial] += 1
        return any(places[value] > 1 for operation in self.observers for value in observed(operation))

    def from_nowhere(self) -> Story | None:
        for observer in self.observers:
            (value,) = observed(observer)
            if value == self.initial or value in self.writers_of:
                continue
            said = self._told(observer)
            for attempt in self.failed:
                if is_writer(attempt) and written(attempt) == value:
                    sentence = (
                        f"{said}, but {self._what(attempt)} had been answered with a failure: it must never happen"
                    )
                    return Named("failed write seen", sentence, (attempt,))
            return self._by_nobody(observer, value)
        return None

    def _by_nobody(self, observer: Operation, value: Hashable) -> Story:
        """That nobody wrote what was seen; and who tried to, but was refused: perhaps it was carried out all the same."""
        attempts = [
            one for one in self.history if is_refusal(one) and written(one) == value and not before(observer, one)
        ]
        said, shown = self._told(observer), show(_value(observer))
        if not attempts:
            return Story("value from nowhere", f"{said}, but nobody ever wrote {shown}")
        (first, *others) = map(self.original, attempts)
        more = f", and so {'was' if len(others) == 1 else 'were'} {len(others)} more" if others else ""
        refused = f"{what(first)} was refused ({span(first)}){more}"
        return Named("value from nowhere", f"{said}, but nobody wrote {shown}: {refused}", (first,))

    def from_the_future(self) -> Story | None:
        for observer in self.observers:
            (value,) = observed(observer)
            writers = self._writers_in_history(value)
            shown_by = self._shown_by(observer)
            if value == self.initial or not writers or shown_by is None:
                continue
            if all(before(shown_by, writer) for writer in writers):
                first = min(writers, key=lambda writer: writer.began)
                reader = self.reader_of(observer)
                if reader is not None:
                    return self._appended_too_early(observer, shown_by, first, reader)
                sentence = f"{self._told(observer)}, but {self._what(first)} began only at {called(first)}"
                return Named("value from the future", sentence, (first,))
        return None

    def _appended_too_early(
        self, append: Operation, shown_by: Operation, writer: Operation, reader: Operation
    ) -> Story:
        """What was read shows an append behind a value that began to be written only when the append was there already."""
        late = f"{self._what(writer)} began only at {called(writer)}"
        read = f"{did(reader)} by {returned(reader)}"
        if before(reader, writer):
            return Named("value from the future", f"{read}, but {late}", (writer, reader))
        one = self.original(append)
        behind = f"{show(one.value)} behind {show(_value(append))}"
        if shown_by is append:
            there = f"{self._what(append)} had been acknowledged at {returned(one)}"
        else:
            there = f"{self._did(shown_by)} by {returned(shown_by)}"
        return Named("order reversed", f"{read}, {behind}, but {there}, and {late}", (writer, reader))

    def brought_back(self, certain: Sequence[Operation]) -> Story | None:
        """Two operations, one after the other, the second of which saw a value that may have been written many times."""
        if len(certain) != 2:
            return None
        early, late = sorted(certain, key=lambda operation: operation.began)
        if not before(early, late) or not _is_sight(late) or is_refusal(late):
            return None
        (value,) = observed(late)
        if value not in self.repeated:
            return None
        if is_writer(early):
            said = f"{self._what(early)} had been acknowledged at {returned(early)}"
        else:
            said = f"{self._did(early)} by {returned(early)}"
        shown = show(_value(late))
        sources = [one for one in self._writers_in_history(value) if one is not late and one.began < (late.ended or 0)]
        past = [one for one in sources if before(one, early)]
        when = ""
        if past:
            last = max(past, key=lambda one: one.ended or 0)
            when = (
                f"{shown} was last written before that, by {who(last)}{asked(last)}, acknowledged at {returned(last)}"
            )
        if len(past) < len(sources):
            others = f"who else tried to write {shown} can't have done it in between"
            when = f"{when}; {others}" if when else others
        sentence = f"{self._late(late)}, but {said}" + (f", and {when}" if when else "")
        return Story("cas on a stale value" if late.f == "cas" else "stale read", sentence)

    def wrongly_refused(self) -> Story | None:
        refusal = next((operation for operation in reversed(self.proof) if is_refusal(operation)), None)
        if refusal is None:
            return None
        (expected,) = observed(refusal)
        writer = self.writer_of.get(expected)
        held = "was there from the beginning" if writer is None else f"had been put there by {self._what(writer)}"
        sentence = (
            f"{who(refusal)}'s cas {change(refusal)}{asked(refusal)} was refused, but {show(refusal.value[0])} {held}, "
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
                    self._for_appends("two CAS from one value", "two appends behind one value", operation),
                    f"{self._swapped(other)}, and {self._swapped(operation)}: both came "
                    f"right after {show(operation.value[0])}, which was there only once",
                )
        return None

    def circle(self) -> Story | None:
        for operation in self.observers:
            ring = [operation]
            while (writer := self.writer_of.get(observed(ring[-1])[0])) is not None and writer.f == "cas":
                if writer in ring:
                    return self._circle(ring[ring.index(writer) :])
                ring.append(writer)
        return None

    def _circle(self, ring: Sequence[Operation]) -> Story:
        """Of those whose outcome is unknown it is known that they were carried out: each of them was replaced by another."""
        parts = [
            f"{self._did(one)} by {returned(one)}" if one.type == "ok" else self._did(one)
            for one in sorted(ring, key=lambda one: one.began)
        ]
        known = None if any(one.type == "ok" for one in ring) else self._shown_by(ring[0])
        proof = "" if known is None else f" (for {self._did(known)} by {returned(known)})"
        needed = "the other" if len(ring) == 2 else "another of them"
        sentence = f"{', and '.join(parts)}{proof}: each needs {needed} to have come first"
        return Named("cas in a circle", sentence, tuple(ring) if known is None else (*ring, known))

    def _for_appends(self, name: Anomaly, other: Anomaly, operation: Operation) -> Anomaly:
        return other if self.original(operation).f == "append" else name

    def _swapped(self, operation: Operation) -> str:
        """`p1's cas 3 -> 4 (n1) succeeded at 1.000 s`, or how it is known to have succeeded."""
        if operation.type == "ok":
            return f"{self._what(operation)} succeeded at {returned(operation)}"
        shown_by = self._shown_by(operation)
        proof = "" if shown_by is None else f", for {self._did(shown_by)} by {returned(shown_by)}"
        return f"{self._what(operation)} succeeded{proof}"

    def _writers_in_history(self, value: Hashable) -> list[Operation]:
        return self.writers_of.get(value, [])

    def reversed(self) -> Story | None:
        """Somebody saw a value after another one had taken its place."""
        for late in sorted(self.observers, key=lambda operation: operation.began, reverse=True):
            (old,) = observed(late)
            for writer in reversed(self.proof):
                if not is_writer(writer) or writer is late or written(writer) == old:
                    continue
                new = written(writer)
                there = [o for o in (writer, *self._sights(new)) if o is not late and before(o, late)]
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
        if (value == self.initial and older is None) or (older is not None and before(older, writer)):
            return True
        return value in self._line(written(writer))[1:]

    def _was_seen_before(self, value: Hashable, writer: Operation) -> bool:
        return any(before(sight, writer) for sight in self._sights(value) if not is_writer(sight))

    def _opposite(self, line: Sequence[Hashable], writer: Operation) -> tuple[Operation, Operation] | None:
        """Operations that show that a value of the line was there before that of the writer was."""
        for value in line:
            older = self.writer_of.get(value)
            for first in [*self._sights(value), *([] if older is None else [older])]:
                for second in (*self._sights(written(writer)), writer):
                    if before(first, second):
                        return first, second
        return None

    def _came_back(
        self, late: Operation, old: Hashable, older: Hashable, writer: Operation, there: list[Operation]
    ) -> Story:
        """`late` saw `old` (or what compare-and-sets made of `older`) although the writer's value had taken its place."""
        new = written(writer)
        if there[0] is writer:
            sentence = f"{self._late(late)}, but {self._what(writer)} had been acknowledged at {returned(writer)}"
            sight = None if new in self.repeated else self._first_sight(new, late)
            if sight is not None:
                sentence += f" and {_seen_by(self.original(sight))} by {returned(sight)}"
        else:
            sentence = (
                f"{self._late(late)}, but {self._what(writer)} had taken effect before: {self._did(there[0])} "
                f"by {returned(there[0])}"
            )
        elder = self.writer_of.get(older)
        if older != old:
            shown = show(self.first) if elder is None else show(_written_value(elder))
            sentence += f", and {show(_value(late))} came in the place of {shown}, which was older"
        elif old in self.repeated:
            sentence += f", and who else tried to write {show(_value(late))} can't have done it in between"
        elif elder is not None and before(elder, writer) and not self._replaced(elder, writer):
            sentence += (
                f", and {show(_value(late))} was older ({self._what(elder)} was acknowledged at {returned(elder)})"
            )
        anomaly = self._name(late, old, new, writer)
        if anomaly == "lost write":
            sentence += f"; {show(_written_value(writer))} was never seen by anybody"
        elif anomaly == "resurrected value":
            sentence += f"; {show(_written_value(writer))} was never seen again"
        return Story(anomaly, sentence)

    def _late(self, late: Operation) -> str:
        """That it saw what it saw, with the time at which it began."""
        one = self.original(late)
        if one.f in ("read", "get"):
            return f"{who(one)} began to read at {called(one)} and got {seen(one.result)}{asked(one)}"
        if one.f == "append":
            return f"{who(one)} began to append {show(one.value)} at {called(one)}, behind {show(late.value[0])}{asked(one)}"
        shown_by = self._shown_by(late)
        begun = f"{who(one)} began its cas {change(one)} at {called(one)}{asked(one)}, and it was carried out"
        return begun if shown_by in (late, None) else f"{begun}, for {self._did(shown_by)}"

    def _replaced(self, elder: Operation, writer: Operation) -> bool:
        return writer.f == "cas" and observed(writer)[0] == written(elder)

    def _first_sight(self, value: Hashable, late: Operation) -> Operation | None:
        sights = [o for o in self.history if before(o, late) and _sees(o, value)]
        return min(sights, key=lambda operation: operation.ended or 0, default=None)

    def _name(self, late: Operation, old: Hashable, new: Hashable, writer: Operation) -> Anomaly:
        """Stale: one look at an old value. Lost: the new value was never seen, and the old ones lived on. Resurrected:
        it was seen, then an old one lived on. An old value lives on if it is seen again, or something is built on it."""
        if late.f == "cas":
            return self._for_appends("cas on a stale value", "append to a stale value", late)
        if self.repeated & {old, new}:
            return "stale read"  # whoever sees the value again need not see the same write
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
        return value == self.initial or (bool(writers) and all(before(other, writer) for other in writers))

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
            f"{self._did(one)} by {returned(one)} and {self._did(late)} after {called(late)}, "
            f"but {self._did(first)} by {returned(first)} and {self._did(second)} after {called(second)}: "
            f"{mine} and {show(_about(one, new))} can't each have come first"
        )
        return Story("order reversed", sentence)

    def anything(self) -> Story:
        parts = [f"{self._did(operation)} ({span(operation)})" for operation in self.proof[:6]]
        more = f" and {len(self.proof) - 6} more" if len(self.proof) > 6 else ""
        return Story("no order", f"no order explains what these saw: {'; '.join(parts)}{more}")


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


def _seen_by(operation: Operation) -> str:
    if operation.f == "append":
        return f"{who(operation)} appended behind it{asked(operation)}"
    verb = "read" if operation.f in ("read", "get") else "replaced"
    return f"was {verb} by {who(operation)}{asked(operation)}"
