"""What was seen that nobody had brought: from nowhere, from the future, or from an operation that failed."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story, asked, called, returned, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.projection import shown
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def brought_by_nobody(case: Case, one: Operation, value: object, put: str, said: str) -> Story | None:
    """The story of a value that `one` saw, as it is `said`, and that nobody had brought by `put` yet, or ever; else None."""
    sources = [source for source in case.history if source.f == put and canonical(source.value) == canonical(value)]
    sources = [source for source in sources if source is not one]
    if sources and all(before(one, source) for source in sources):
        first = min(sources, key=lambda source: source.began)
        sentence = f"{said}, but {who(first)} began to {first.f} {show(value)} only at {called(first)}{asked(first)}"
        return Story("value from the future", sentence)
    if sources:
        return None
    for attempt in case.failed:
        if attempt.f == put and canonical(attempt.value) == canonical(value):
            refused = f"{who(attempt)}'s {attempt.f} of {show(value)}{asked(attempt)} had been answered with a failure"
            return Story("failed write seen", f"{said}, but {refused}: it must never happen")
    return Story("value from nowhere", f"{said}, but nobody ever {_BROUGHT[put]} {show(value)}")


_BROUGHT = {"enqueue": "enqueued", "push": "pushed", "add": "added", "append": "appended", "send": "sent"}


def shown_from_nowhere(case: Case, read: Operation, put: str) -> Story | None:
    """One of the many values that were read at once, if nobody had brought it."""
    verb = "was shown" if read.f == "list" else "read"
    for value in shown(read):
        said = f"{who(read)} {verb} {show(value)}{asked(read)} by {returned(read)}"
        told = brought_by_nobody(case, read, value, put, said)
        if told is not None:
            return told
    return None
