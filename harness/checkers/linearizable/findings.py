"""From a violation to what a reader is owed: the shortest prefix that fails, and the few operations that prove it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.decide import Answer, decide
from harness.checkers.linearizable.explain import Story
from harness.checkers.linearizable.support import Support
from harness.checkers.operations import Operation
from harness.models.model import Model
from harness.models.register import Register

_MINIMAL_FROM = 2000
"""Where no proof is at hand, only the last so many operations of the prefix are tried to be enough."""


@dataclass
class Violation:
    """One violation of one partition."""

    culprit: Operation
    """The operation that fits nowhere by the time it returns; its return ends the shortest prefix that fails."""
    operations: list[Operation]
    """Those that prove it, in order of invocation."""
    minimal: bool
    """Whether none of them can be left out (with those that saw its value)."""
    story: Story | None = None
    """What it is, if the algorithm that found it knows."""


def violations(
    operations: Sequence[Operation], model: Model, answer: Answer, budget: Budget, at_most: int
) -> Iterator[Violation]:
    """The violations of a partition that is not linearizable, one after the other, the earliest first.

    After each, its culprit is forgotten (all of it, if it is pure; when and on what it took effect, if it isn't), which
    leaves a weaker history whose violations are all violations of the whole. Ends early, after at least one, if the
    budget is spent.
    """
    original = {operation.index: operation for operation in operations}
    rest = list(operations)
    for number in range(at_most):
        try:
            if number:
                answer = decide(rest, model, budget)
            if answer.linearizable:
                return
            violation = _first(rest, original, model, answer, budget)
        except Stopped:
            if not number:
                yield _rough(rest, answer)
            return
        yield violation
        if violation.culprit.ended == max(one.ended or -1 for one in rest):
            return  # without it, the rest is a prefix that is known to be explained
        place = next(place for place, one in enumerate(rest) if one.index == violation.culprit.index)
        if model.pure(rest[place]):
            del rest[place]
        else:
            rest[place] = _forgotten(rest[place], model)


def _rough(operations: Sequence[Operation], answer: Answer) -> Violation:
    """What can be said without another look."""
    proof = answer.proof or ([answer.failed_at] if answer.failed_at is not None else list(operations[-1:]))
    culprit = answer.failed_at or max(proof, key=lambda operation: operation.ended or -1)
    story = Story(answer.anomaly, answer.sentence) if answer.anomaly else None
    return Violation(culprit, proof, minimal=False, story=story)


def _first(
    operations: Sequence[Operation],
    original: Mapping[int, Operation],
    model: Model,
    answer: Answer,
    budget: Budget,
) -> Violation:
    whole = answer
    end, answer = _shortest_prefix(operations, model, answer, budget)
    if whole.anomaly and _shortest_prefix(whole.proof, model, whole, budget)[0] == end:
        answer = whole  # it fails there for that reason, and the names of what came later make it plainer
    culprit = next(operation for operation in operations if operation.ended == end)
    prefix = until(operations, end, model)
    proof, minimal = _proof(prefix, model, answer, culprit, budget)
    story = Story(answer.anomaly, answer.sentence) if answer.anomaly else None
    return Violation(original[culprit.index], [original[operation.index] for operation in proof], minimal, story)


def until(operations: Sequence[Operation], end: int, model: Model) -> list[Operation]:
    """The history as it was known right after the event at that position: what hadn't returned by then is unknown."""
    known = []
    for operation in operations:
        if operation.began > end:
            break
        if operation.ended is None or operation.ended <= end:
            known.append(operation)
            continue
        unfinished = _unfinished(operation)
        if not model.pure(unfinished):
            known.append(unfinished)
    return known


def _forgotten(operation: Operation, model: Model) -> Operation:
    """Whatever it was that didn't fit: it may have happened later, or never; and a cas, on any value."""
    unfinished = _unfinished(operation)
    if isinstance(model, Register) and operation.f == "cas":
        return replace(unfinished, f="write", value=operation.value[1])
    return unfinished


def _unfinished(operation: Operation) -> Operation:
    return replace(operation, type="info", result=None, return_ns=None, ended=None)


def _shortest_prefix(
    operations: Sequence[Operation], model: Model, answer: Answer, budget: Budget
) -> tuple[int, Answer]:
    """The position at which the shortest failing prefix ends, and an answer about that prefix.

    Every prefix of a history that can be explained can be explained, so this bisects. What an answer proves often names
    the event itself: every other look is right before the shortest prefix known to fail.
    """
    ends = sorted(operation.ended for operation in operations if operation.ended is not None)
    good, bad = -1, _end_of(answer, ends, len(ends) - 1, model, budget)
    look_right_before = True
    while answer.failed_at is None and bad - good > 1:
        probe = bad - 1 if look_right_before else (good + bad) // 2
        look_right_before = not look_right_before
        attempt = decide(until(operations, ends[probe], model), model, budget)
        if attempt.linearizable:
            good = probe
        else:
            answer, bad = attempt, _end_of(attempt, ends, probe, model, budget)
    if answer.failed_at is not None and answer.failed_at.ended is not None:
        return answer.failed_at.ended, answer  # the search walks through time, and stops where it fails
    return ends[bad], answer


def _end_of(answer: Answer, ends: list[int], bad: int, model: Model, budget: Budget) -> int:
    """The place among the ends by which the proof of the answer is complete, if it is one; else `bad`."""
    last = max((operation.ended for operation in answer.proof if operation.ended is not None), default=None)
    if last is not None and not decide(answer.proof, model, budget).linearizable:
        return min(bad, bisect_left(ends, last))
    return bad


def _proof(
    prefix: list[Operation], model: Model, answer: Answer, culprit: Operation, budget: Budget
) -> tuple[list[Operation], bool]:
    def fails(operations: list[Operation]) -> bool:
        return not decide(operations, model, budget).linearizable

    if answer.anomaly:
        return answer.proof, True
    if type(model) is not Register:
        return _without_observers(prefix, model, answer, culprit, fails), False
    support = Support(prefix, model.initial())

    start = prefix
    if answer.proof:
        proof = support.closed(answer.proof)
        if len(proof) == len(answer.proof) and fails(proof):
            start = proof
    if len(start) > _MINIMAL_FROM:
        recent = support.closed(start[-_MINIMAL_FROM:])
        start = recent if fails(recent) else start
    return minimal(start, support.closed, fails)


def _without_observers(
    prefix: list[Operation],
    model: Model,
    answer: Answer,
    culprit: Operation,
    fails: Callable[[list[Operation]], bool],
) -> list[Operation]:
    """What can be told of any model: an operation that changes nothing can be left out, if the rest still fails.

    Others can't, for what followed may have stood on them.
    """
    if len(prefix) > _MINIMAL_FROM:
        return [operation for operation in prefix if _overlap(operation, culprit)]
    if answer.proof:
        known = {operation.index for operation in prefix}
        prefix = [operation for operation in answer.proof if operation.index in known]
    indexes = {operation.index for operation in prefix if model.pure(operation)}

    def whole(observers: list[Operation]) -> list[Operation]:
        kept = {operation.index for operation in observers}
        return [operation for operation in prefix if operation.index not in indexes or operation.index in kept]

    observers = [operation for operation in prefix if operation.index in indexes]
    return whole(minimal(observers, list, lambda kept: fails(whole(kept)))[0])


def _overlap(one: Operation, other: Operation) -> bool:
    return (one.ended is None or one.ended > other.began) and (other.ended is None or other.ended > one.began)


def minimal(
    operations: list[Operation],
    closed: Callable[[list[Operation]], list[Operation]],
    fails: Callable[[list[Operation]], bool],
) -> tuple[list[Operation], bool]:
    """Leave out what can be left out, first in large pieces, then one by one, while the closed rest still fails.

    Returns what is left and whether it is minimal: it isn't if the budget ran out on the way.
    """
    kept = operations
    size = max(1, len(kept) // 2)
    try:
        while True:
            start, shrunk = 0, False
            while start < len(kept):
                trial = closed(kept[:start] + kept[start + size :])
                if fails(trial):
                    kept, shrunk = trial, True
                else:
                    start += size
            if size == 1 and not shrunk:
                return kept, True
            if not shrunk or size > len(kept):
                size = max(1, min(size, len(kept)) // 2)
    except Stopped:
        return kept, False
