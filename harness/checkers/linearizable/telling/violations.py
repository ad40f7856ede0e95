"""From a violation to what a reader is owed: the shortest prefix that fails, and the few operations that prove it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.decide import Answer, decide
from harness.checkers.linearizable.explain import Story
from harness.checkers.linearizable.support import Support
from harness.checkers.linearizable.telling.projection import projected, values_of
from harness.checkers.linearizable.telling.proofs import Proof, prove
from harness.checkers.operations import Operation
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register
from harness.models.sets import Set
from harness.models.values import canonical


@dataclass
class Violation:
    """One violation of one partition."""

    culprit: Operation
    """The operation that fits nowhere by the time it returns; its return ends the shortest prefix that fails."""
    proof: Proof
    prefix: list[Operation]
    """The shortest prefix of the history that fails."""


def violations(
    operations: Sequence[Operation], model: Model, answer: Answer, budget: Budget, at_most: int
) -> Iterator[Violation]:
    """The violations of a partition that is not linearizable, one after the other, the earliest first.

    After each, its culprit is forgotten (all of it, if it is pure; when and on what it took effect, if it isn't), which
    leaves a weaker history whose violations are all violations of the whole. Ends early, after at least one, if the
    budget is spent.
    """
    original = {operation.index: operation for operation in operations}
    forgotten: list[Operation] = []
    rest = list(operations)
    for number in range(at_most):
        try:
            if number:
                answer = decide(rest, model, budget)
            if answer.linearizable:
                return
            violation = _first(rest, original, forgotten, model, answer, budget)
        except Stopped:
            if not number:
                yield _rough(rest, answer)
            return
        yield violation
        strays = _strays(violation.culprit, operations, model)
        if strays:  # what else is wrong with it is told next
            rest = projected(rest, model, {value for value in values_of(rest, model) or [] if value not in strays})
            continue
        if violation.culprit.ended == max(one.ended or -1 for one in rest):
            return  # without it, the rest is a prefix that is known to be explained
        forgotten.append(violation.culprit)
        place = next(place for place, one in enumerate(rest) if one.index == violation.culprit.index)
        if model.pure(rest[place]):
            del rest[place]
        else:
            rest[place] = _forgotten(rest[place], model)


def _strays(culprit: Operation, operations: Sequence[Operation], model: Model) -> set[Hashable]:
    """Elements of a set that were read and that nobody ever tried to add: without them there may be more to tell."""
    if type(model) is not Set or culprit.f != "read":
        return set()
    touched = {canonical(one.value) for one in operations if one.f != "read"}
    return set(map(canonical, culprit.result)) - touched


def _concern_line(later: Sequence[Operation], proof: Proof, model: Model) -> bool:
    """Whether what came later to a queue or a stack may give the lie to an algorithm that knows nothing of it."""
    return type(model) in (Queue, Stack) and _concern(later, proof, model)


def _concern(forgotten: Sequence[Operation], proof: Proof, model: Model) -> bool:
    """Whether what was forgotten may give the lie to an algorithm that knows nothing of it: nobody took this, it says."""
    if {one.index for one in forgotten} & {one.index for one in proof.operations}:
        return True
    spoken_of = values_of(proof.operations, model) or []
    return bool(set(values_of(forgotten, model) or []) & set(spoken_of))


def _rough(operations: Sequence[Operation], answer: Answer) -> Violation:
    """What can be said without another look."""
    proof = answer.proof or ([answer.failed_at] if answer.failed_at is not None else list(operations[-1:]))
    culprit = answer.failed_at or max(proof, key=lambda operation: operation.ended or -1)
    story = Story(answer.anomaly, answer.sentence) if answer.anomaly else None
    return Violation(culprit, Proof(proof, minimal=False, story=story), list(operations))


def _first(
    operations: Sequence[Operation],
    original: Mapping[int, Operation],
    forgotten: Sequence[Operation],
    model: Model,
    answer: Answer,
    budget: Budget,
) -> Violation:
    whole = answer
    end, answer = _shortest_prefix(operations, model, answer, budget)
    if whole.anomaly and _shortest_prefix(whole.proof, model, whole, budget, False)[0] == end:
        answer = whole  # it fails there for that reason, and the names of what came later make it plainer
    culprit = next(operation for operation in operations if operation.ended == end)
    prefix = until(operations, end, model)
    proof = prove(prefix, model, answer, culprit, budget)
    proof.operations = [original[operation.index] for operation in proof.operations]
    proof.certain = [original[operation.index] for operation in proof.certain]
    later = [one for one in operations if one.began > end or (one.ended or 0) > end]
    if _concern(forgotten, proof, model) or (answer is not whole and _concern_line(later, proof, model)):
        proof.story = None
    return Violation(original[culprit.index], proof, prefix)


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
    operations: Sequence[Operation], model: Model, answer: Answer, budget: Budget, seen_to_fail: bool = True
) -> tuple[int, Answer]:
    """The position at which the shortest failing prefix ends, and an answer about that prefix. `seen_to_fail`: whether these
    operations were judged, and are no mere part of what was.

    Every prefix of a history that can be explained can be explained, so this bisects. What an answer proves often names
    the event itself: every other look is right before the shortest prefix known to fail.
    """
    ends = sorted(operation.ended for operation in operations if operation.ended is not None)
    judged = len(ends) - 1 if seen_to_fail else -1
    good, bad = -1, _end_of(answer, ends, len(ends) - 1, model, budget)
    look_right_before = True
    while answer.failed_at is None and bad - good > 1:
        probe = bad - 1 if look_right_before else (good + bad) // 2
        look_right_before = not look_right_before
        attempt = decide(until(operations, ends[probe], model), model, budget)
        if attempt.linearizable:
            good = probe
        else:
            answer, judged, bad = attempt, probe, _end_of(attempt, ends, probe, model, budget)
    if answer.failed_at is not None and answer.failed_at.ended is not None:
        bad = bisect_left(ends, answer.failed_at.ended)  # the search walks through time, and stops where it fails
    if bad == judged:
        return ends[bad], answer
    return _verified(operations, ends, bad, model, answer, budget)


def _verified(
    operations: Sequence[Operation], ends: list[int], bad: int, model: Model, answer: Answer, budget: Budget
) -> tuple[int, Answer]:
    """That prefix, if it fails. What was found with the whole history at hand may need an answer that came later only: an
    operation that is open may still do what it turned out not to have done. Then it is the next prefix that does fail."""
    prefix = until(operations, ends[bad], model)
    if _is_proved(prefix, ends[bad], model, answer, budget) or not decide(prefix, model, budget).linearizable:
        return ends[bad], answer
    good, bad = bad, len(ends) - 1
    while bad - good > 1:
        probe = (good + bad) // 2
        attempt = decide(until(operations, ends[probe], model), model, budget)
        if attempt.linearizable:
            good = probe
        else:
            answer, bad = attempt, probe
    return ends[bad], answer


def _is_proved(prefix: Sequence[Operation], end: int, model: Model, answer: Answer, budget: Budget) -> bool:
    """Whether the answer's proof fails by itself, and so proves that the prefix fails: operations of a register that had
    returned by then, and that stand on nothing else in it (`support`)."""
    if type(model) is not Register or not answer.proof or answer.failed_at is not None:
        return False
    if any(operation.ended is not None and operation.ended > end for operation in answer.proof):
        return False
    if not Support(prefix, model.initial(), answer.proof).is_closed(answer.proof):
        return False
    return not decide(answer.proof, model, budget).linearizable


def _end_of(answer: Answer, ends: list[int], bad: int, model: Model, budget: Budget) -> int:
    """The place among the ends by which the proof of the answer is complete, if it is one; else `bad`."""
    last = max((operation.ended for operation in answer.proof if operation.ended is not None), default=None)
    if last is not None and not decide(answer.proof, model, budget).linearizable:
        return min(bad, bisect_left(ends, last))
    return bad
