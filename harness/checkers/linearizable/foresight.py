"""Keys that are appended to, as a search sees them that knows what will be read.

Every order of appends gives another value, so that the states of a key with ambiguous values explode. But what will be read
is known: a value that is the beginning of nothing that anybody may still see of it is as good as any other such value. All of
them are one state, OTHER: no read finds it, whatever is appended to it is OTHER too, and a put ends it. So the states that
are told apart are those on the way to what was read: as a rule a few.

At a moment, that is what reads and compare-and-sets see which

- return later, and
- were called before the next put, or delete, had surely replaced the value: one called after that moment returned by then.

Nothing is lost: who looks at the value between that moment and the put sees it or doesn't; who is called after the put sees
nothing of it. A view of the future is good for a stretch of events; it takes in what may be seen from any moment of it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

from harness.checkers.linearizable.moments import NEVER
from harness.checkers.operations import Operation
from harness.models.kv import KeyValue
from harness.models.model import Model, State
from harness.models.values import canonical

OTHER: State = ("other",)
"""No canonical form of a JSON value."""
_FEWEST_EVENTS = 64
"""Of a stretch. Where more may be seen, it is longer, so that views take no more time than events."""
_FIRST_CODE = 0x100
_MOST_CODES = 0x100000
_UNSEEN = "\0"


class Foresight(Model):
    """Accepts the histories of these operations that the model accepts, when it is seen through its views, one after the
    other."""

    name = "foresight"
    functions = {}

    def __init__(self, model: Model, operations: Sequence[Operation], texts: _Texts) -> None:
        self.model = model
        self._texts = texts
        self._events = sorted(
            position for one in operations for position in (one.began, one.ended) if position is not None
        )
        self._sights = [sight for one in operations for sight in _sights(one, texts)]
        self._values = sorted({text for _, _, text in self._sights})
        resets = [one for one in operations if _resets(one, model)]
        self._resets = [one.began for one in resets]
        ends: list[float] = []
        for one in reversed(resets):
            assert one.ended is not None
            ends.append(min(one.ended, ends[-1]) if ends else one.ended)
        self._replaced_by = [*reversed(ends), NEVER]
        """For each reset, the first return of those called then or later."""

    def initial(self) -> State:
        return self.model.initial()

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        return self.model.step(state, operation)

    def pure(self, operation: Operation) -> bool:
        return self.model.pure(operation)

    def views(self) -> Iterator[tuple[int, View]]:
        """In the order of events: from which position on which view is good."""
        rank = {text: number for number, text in enumerate(self._values)}
        seen: list[tuple[float, int]] = []
        coming = place = 0
        while place < len(self._events):
            length = max(_FEWEST_EVENTS, len(seen) // 2)
            first, last = self._events[place], self._events[min(place + length, len(self._events)) - 1]
            place += length
            until = self._replaced_by[bisect_right(self._resets, last)]
            while coming < len(self._sights) and self._sights[coming][0] < until:
                _, ended, text = self._sights[coming]
                seen.append((ended, rank[text]))
                coming += 1
            seen = [sight for sight in seen if sight[0] >= first]
            values = [self._values[number] for number in sorted({number for _, number in seen})]
            # The beginning of a value comes right before it, or before others that begin so: the longest is enough.
            longest = [one for one, other in pairwise(values) if not other.startswith(one)] + values[-1:]
            yield first, View(self.model, longest, self._texts)


class View(Model):
    """The model, as long as only beginnings of these texts can be seen."""

    name = "view"
    functions = {}

    def __init__(self, model: Model, texts: Sequence[str], encoding: _Texts) -> None:
        self.model = model
        self._sorted = texts
        self._texts = encoding

    def initial(self) -> State:
        return self.model.initial()

    def pure(self, operation: Operation) -> bool:
        return self.model.pure(operation)

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        if state != OTHER:
            answer = self.model.step(state, operation)
        elif operation.f == "append":
            return [OTHER]
        elif operation.f == "get":
            return [OTHER] if operation.type == "info" else "the key held another value than the one that was read"
        elif operation.f == "cas":
            return "the cas was carried out on another value" if operation.result is True else [OTHER]
        else:  # a put, or a delete of something that is there, whatever it is
            answer = self.model.step(OTHER, operation)
        return answer if isinstance(answer, str) else [self.seen(after) for after in answer]

    def seen(self, state: State) -> State:
        """The state, if it may be seen; else OTHER."""
        if state in (OTHER, self.model.initial()):
            return state
        text = self._texts.of(state)
        if text is None:
            return OTHER
        place = bisect_left(self._sorted, text)
        return state if place < len(self._sorted) and self._sorted[place].startswith(text) else OTHER


class _Texts:
    """Strings as they are, arrays as strings with a character for each different item."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, str] = {}

    def learn(self, value: Hashable) -> bool:
        """Give the items of an array their characters; False if there are too many."""
        if isinstance(value, tuple):
            for item in value[1:]:
                self._codes.setdefault(item, chr(_FIRST_CODE + len(self._codes)))
        return len(self._codes) < _MOST_CODES

    def of(self, value: Hashable) -> str | None:
        if isinstance(value, str):
            return value
        if not isinstance(value, tuple) or value[0] != "array":
            return None
        return "".join([self._codes.get(item, _UNSEEN) for item in value[1:]])


def foresight(model: Model, operations: Sequence[Operation]) -> Model:
    """The model with foresight, if it is a key that is appended to, and holds nothing but strings, or nothing but arrays:
    then appending is always possible. Else the model itself."""
    if type(model) is not KeyValue or not any(one.f == "append" for one in operations):
        return model
    brought = [canonical(one.value[1] if one.f == "cas" else one.value) for one in operations if _brings(one)]
    kinds = {type(value) for value in brought}
    if len(kinds) > 1 or not kinds <= {str, tuple}:
        return model
    if any(isinstance(value, tuple) and value[0] != "array" for value in brought):
        return model
    if model.initial() is not None and not isinstance(model.initial(), kinds.pop()):
        return model
    texts = _Texts()
    if not all(map(texts.learn, brought)) or not texts.learn(model.initial()):
        return model
    return Foresight(model, operations, texts)


def _brings(operation: Operation) -> bool:
    return operation.f in ("put", "append") or (operation.f == "cas" and operation.result is not False)


def _resets(operation: Operation, model: Model) -> bool:
    """Whether nothing is left of what was there before."""
    return operation.f in ("put", "delete") and operation.type == "ok" and not model.pure(operation)


def _sights(operation: Operation, texts: _Texts) -> Iterator[tuple[int, float, str]]:
    """What the operation looks for: its call, its return, and the text of the value."""
    if operation.f == "get" and operation.type == "ok":
        text = texts.of(canonical(operation.result))
    elif operation.f == "cas":
        text = texts.of(canonical(operation.value[0]))
    else:
        return
    if text is not None:
        yield operation.began, NEVER if operation.ended is None else operation.ended, text
