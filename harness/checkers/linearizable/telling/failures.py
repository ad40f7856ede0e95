"""What a story can't know that was told of a prefix: operations that failed, or that brought a value only later.

A failed operation certainly did not happen. If it would explain a violation, it seems to have happened all the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from harness.checkers.linearizable.explain import Story, what
from harness.checkers.linearizable.telling.case import Case, done
from harness.checkers.linearizable.telling.cores import proves
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.linearizable.telling.nobody import all_from_nowhere, brought_by_nobody
from harness.checkers.linearizable.telling.projection import values_of
from harness.checkers.operations import Operation
from harness.models.counter import Counter
from harness.models.log import Log
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.sets import Set
from harness.models.values import canonical

_PUTTING: dict[type[Model], str] = {Queue: "enqueue", Stack: "push", Set: "add", Log: "append", Counter: "add"}
_MOST_TRIED = 8
_MOST_NAMED = 3


def with_the_rest(case: Case, story: Story) -> Story:
    """The story, told with the operations that failed and would explain it, or that came later; as it is, if there are none."""
    put = _PUTTING.get(type(case.model))
    if put is None or isinstance(story, Named):
        return story
    if story.anomaly == "value from nowhere":
        return _failed_or_came_later(case, put) or story
    attempts = [one for one in _attempts(case, put, story) if one.began < (case.culprit.ended or 0)]
    if not attempts:
        return story
    chosen = _explaining(case, attempts)
    if chosen:
        return Named("failed write seen", f"{story.sentence}, {_not_counting(chosen)}", tuple(chosen))
    if not _counts(case, story):
        return story
    return Named(story.anomaly, f"{story.sentence}, {_not_counting(attempts)}", tuple(attempts[:_MOST_NAMED]))


def _failed_or_came_later(case: Case, put: str) -> Story | None:
    """An algorithm that was shown a prefix, without what failed, says that nobody ever brought a value; somebody tried to."""
    for one in case.certain:
        told: Iterable[Story | None] = ()
        if one.f == "read":
            told = all_from_nowhere(case, one, put)
        elif one.f in ("dequeue", "pop") and one.result is not None:
            told = [brought_by_nobody(case, one, one.result, put, done(one))]
        for story in told:
            if isinstance(story, Named):
                return story
    return None


def _counts(case: Case, story: Story) -> bool:
    """Whether the story counts operations, which those that failed are not among."""
    if story.anomaly == "no such sum":
        return not any(one.f == "add" and one.value for one in case.history)
    return story.anomaly in ("no such place", "counter too high")


def _attempts(case: Case, put: str, story: Story) -> list[Operation]:
    """Failed operations that may have to do with it."""
    attempts = [one for one in case.failed if one.f == put]
    if type(case.model) is Counter:
        return [one for one in attempts if one.value]
    if _counts(case, story):
        return attempts
    spoken_of = set[Hashable](values_of(case.certain, case.model) or [])
    return [one for one in attempts if canonical(one.value) in spoken_of]


def _explaining(case: Case, attempts: Sequence[Operation]) -> list[Operation]:
    """The fewest of them that would explain what contradicts itself without them, as far as that was looked for."""
    if len(attempts) > _MOST_TRIED or _fails(case, []) is not True:
        return []
    choices = [[one] for one in attempts]
    if 1 < len(attempts) <= _MOST_NAMED:
        choices.append(list(attempts))
    return next((choice for choice in choices if _fails(case, choice) is False), [])


def _fails(case: Case, attempts: Sequence[Operation]) -> bool | None:
    """Whether nothing explains what is certain, if these attempts may have been carried out; None if it can't be told."""
    tried = [replace(one, type="info", result=None, return_ns=None, ended=None) for one in attempts]
    return proves(case.certain, sorted([*case.known, *tried], key=lambda one: one.began), case.model, case.budget)


def _not_counting(attempts: Sequence[Operation]) -> str:
    names = " and ".join(map(what, attempts[:_MOST_NAMED]))
    if len(attempts) > _MOST_NAMED:
        names += f" and {len(attempts) - _MOST_NAMED} more"
    if len(attempts) == 1:
        return f"not counting {names}, which was answered with a failure: it must never happen"
    return f"not counting {names}, which were answered with failures: they must never happen"
