"""What people call violations of queues and stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from harness.checkers.linearizable.explain import Story, asked, did, returned, span, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.telling.case import Case, begun, done
from harness.checkers.linearizable.telling.cores import proves
from harness.checkers.linearizable.telling.nobody import brought_by_nobody
from harness.checkers.operations import Operation
from harness.models.queue import Queue
from harness.models.values import canonical, show


def story(case: Case) -> Story:
    put, take = ("enqueue", "dequeue") if type(case.model) is Queue else ("push", "pop")
    puts = [one for one in case.prefix if one.f == put]
    taken = [one for one in case.certain if one.f == take and one.type == "ok"]
    return (
        _from_nowhere(case, taken, put)
        or _too_often(case, taken, puts, take)
        or _empty(case, taken)
        or _lost_or_disordered(case, put, take)
    )


def _too_often(case: Case, taken: list[Operation], puts: list[Operation], take: str) -> Story | None:
    times = Counter(canonical(one.result) for one in taken if one.result is not None)
    for value, number in times.items():
        brought = [one for one in puts if canonical(one.value) == value]
        takers = [one for one in taken if canonical(one.result) == value]
        brought = [one for one in brought if any(not before(taker, one) for taker in takers)]
        if number > len(brought):
            told = ", and ".join(done(one) for one in takers[:4])
            by_then = " by then" if any(_put_later(one, value, case) for one in case.history) else ""
            times_told = "once" if len(brought) == 1 else f"{len(brought)} times"
            return Story(
                "dequeued twice" if take == "dequeue" else "popped twice",
                f"{told}, but it was put in only {times_told}{by_then}",
            )
    return None


def _put_later(one: Operation, value: Hashable, case: Case) -> bool:
    return one.f in ("enqueue", "push") and canonical(one.value) == value and before(case.culprit, one)


def _empty(case: Case, taken: list[Operation]) -> Story | None:
    empties = sorted((one for one in taken if one.result is None), key=lambda one: one is not case.culprit)
    puts = [one for one in case.shown if one.f in ("enqueue", "push")]
    takers = [one for one in case.history if empties and one.f == empties[0].f and one.type == "ok"]
    out = {canonical(one.result) for one in takers}
    for empty in empties:
        found = f"{who(empty)} found the {case.model.name} empty{asked(empty)} ({span(empty)})"
        for one in puts:
            if before(one, empty) and canonical(one.value) not in out and _contradict(case, [one, empty]):
                return Story("lost element", f"{found}, but {done(one)}, and {_nobody_took(case, one)}")
    for empty in empties[:1]:
        found = f"{who(empty)} found the {case.model.name} empty{asked(empty)} ({span(empty)})"
        gone = {canonical(one.result) for one in takers if before(one, empty)}
        inside = [one for one in puts if not before(empty, one) and canonical(one.value) not in gone] or puts
        told = f": {', and '.join(done(one) for one in inside[:3])}" if inside else ""
        sentence = f"{found}, but all that time something was inside{told}"
        return Story("empty although it was not", sentence)
    return None


def _lost_or_disordered(case: Case, put: str, take: str) -> Story:
    taken = {canonical(one.result) for one in case.history if one.f == take and one.type == "ok"}
    kept = [one for one in case.certain if one.f == put and canonical(one.value) not in taken]
    told = "; ".join(begun(one) for one in case.shown[:6])
    takes = [one for one in case.certain if one.f == take and one.result is not None]
    for lost in kept:
        for later in sorted(takes, key=end_of, reverse=True):
            if not _is_passed(case, lost, later, put):
                continue
            where = "was before it" if put == "enqueue" else "was in its way"
            sentence = (
                f"{who(lost)}'s {put} of {show(lost.value)}{asked(lost)} was acknowledged at {returned(lost)} and "
                f"{_nobody_took(case, lost)}, but {did(later)} by {returned(later)}, and {show(lost.value)} {where}"
            )
            return Story("lost element", sentence)
    late = case.culprit
    inside = [one for one in case.certain if one.f == put and canonical(one.value) != canonical(late.result)]
    if late.f == take and len(inside) == 1 and all(one.f != take or one is late for one in case.certain):
        (first,) = inside
        turn = f"it was the turn of {show(first.value)}: {done(first)}"
        sentence = f"{done(late)}, but {turn}, and nobody can have taken it out before"
        return Story("out of order", sentence)
    order = "first in, first out" if put == "enqueue" else "last in, first out"
    return Story("out of order", f"these can't have been {order}: {told}")


def _is_passed(case: Case, lost: Operation, later: Operation, put: str) -> bool:
    """Whether what was taken must have been behind, or below, the value that nobody took."""
    sources = [one for one in case.prefix if one.f == put and canonical(one.value) == canonical(later.result)]
    sources = [one for one in sources if not before(later, one)]
    if put == "enqueue":
        return bool(sources) and all(before(lost, one) for one in sources)
    return bool(sources) and before(lost, later) and all(before(one, lost) for one in sources)


def _nobody_took(case: Case, one: Operation) -> str:
    """Of those of unknown outcome somebody may have, but not so that it would explain anything."""
    takers = ("dequeue", "pop")
    unsure = any(other.f in takers and other.type == "info" for other in case.history)
    return f"nobody {'is known to have taken' if unsure else 'took'} {show(one.value)} out"


def _contradict(case: Case, operations: list[Operation]) -> bool:
    """Whether these contradict each other already, whatever the others did."""
    return proves(operations, case.known, case.model, case.budget) is True


def _from_nowhere(case: Case, taken: list[Operation], put: str) -> Story | None:
    for one in taken:
        told = None if one.result is None else brought_by_nobody(case, one, one.result, put, done(one))
        if told is not None:
            return told
    return None
