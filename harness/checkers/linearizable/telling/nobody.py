"""What was seen that nobody had brought: from nowhere, from the future, or from an operation that failed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from harness.checkers.linearizable.explain import Story, asked, called, returned, what, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.linearizable.telling.projection import shown
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def brought_by_nobody(case: Case, one: Operation, value: object, put: str, said: str) -> Story | None:
    """The story of a value that `one` saw, as it is `said`, and that nobody had brought by `put` yet, or ever; else None."""
    sources = [source for source in case.history if source.f == put and canonical(source.value) == canonical(value)]
    sources = [source for source in sources if source is not one]
    idle = [source for source in sources if put == "add" and source.result is False]
    sources = [source for source in sources if source not in idle]
    if sources and all(before(one, source) for source in sources):
        first = min(sources, key=lambda source: source.began)
        sentence = f"{said}, but {who(first)} began to {first.f} {show(value)} only at {called(first)}{asked(first)}"
        return Named("value from the future", sentence, (first,))
    if sources:
        return None
    attempts = [attempt for attempt in case.failed if attempt.f == put and canonical(attempt.value) == canonical(value)]
    for attempt in attempts:
        if not before(one, attempt):
            return Named("failed write seen", f"{said}, but {refused(attempt, one)}: it must never happen", (attempt,))
    for attempt in attempts[:1]:
        began = f"{who(attempt)} began to {put} {show(value)} only at {called(attempt)}{asked(attempt)}"
        return Named("value from the future", f"{said}, but {began}, and that failed", (attempt,))
    sentence = f"{said}, but nobody ever {_BROUGHT[put]} {show(value)}"
    if idle:
        return Named("value from nowhere", f"{sentence}: {what(idle[0])} found it there already", (idle[0],))
    return Story("value from nowhere", sentence)


def refused(attempt: Operation, one: Operation) -> str:
    """`p2's add of 5 (n1) had been answered with a failure`, or was, if `one` did not come after that."""
    return f"{what(attempt)} {'had been' if before(attempt, one) else 'was'} answered with a failure"


_MOST_TOLD = 50
_BROUGHT = {"enqueue": "enqueued", "push": "pushed", "add": "added", "append": "appended", "send": "sent"}


def shown_from_nowhere(case: Case, read: Operation, put: str) -> Story | None:
    """One of the many values that were read at once, if nobody had brought it."""
    return next(all_from_nowhere(case, read, put), None)


def all_from_nowhere(case: Case, read: Operation, put: str) -> Iterator[Story]:
    """Of each value that was read and that nobody had brought, its story; of the first few, if there are many."""
    verb = "was shown" if read.f == "list" else "read"
    brought = [one for one in case.history if one.f == put and not before(read, one)]
    there = {canonical(one.value) for one in brought if put != "add" or one.result is not False}
    strays = (value for value in shown(read) if canonical(value) not in there)
    for value in islice(strays, _MOST_TOLD):
        said = f"{who(read)} {verb} {show(value)}{asked(read)} by {returned(read)}"
        told = brought_by_nobody(case, read, value, put, said)
        if told is not None:
            yield told
