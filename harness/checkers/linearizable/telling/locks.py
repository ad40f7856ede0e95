"""What people call a violation of a lock."""

from __future__ import annotations

from dataclasses import replace

from harness.checkers.linearizable.explain import Story, asked, called, returned, span, what, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, done
from harness.checkers.linearizable.telling.cores import proves
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_MOST_SOURCES = 4
"""So many acquires are shown that may have got the lock which somebody released, where a violation has no name."""


def story(case: Case) -> Story:
    for attempt in (_tokens, _refused, _released, _two_holders):
        told = attempt(case)
        if told is not None:
            return told
    acquires = {one for release in _releases(case) for one in _acquires_of(case, release)}
    told = generic.story(case)
    return Named(told.anomaly, told.sentence, tuple(acquires)) if len(acquires) <= _MOST_SOURCES else told


def _is_token(result: object) -> bool:
    return isinstance(result, int | float) and not isinstance(result, bool)


def _tokens(case: Case) -> Story | None:
    """Only if it would be no violation without the tokens."""
    released = _released_holds(case)
    known = {one.index: one for one in (*case.certain, *released)}
    given = [one for one in known.values() if one.f == "acquire" and _is_token(one.result)]
    if len(given) < 2:
        return None
    bare = [replace(one, result=True) if _is_token(one.result) else one for one in case.prefix]
    if proves(case.certain, bare, case.model, case.budget) is not False:
        return None
    for late in reversed(given):
        for early in given:
            if early is late or early.result < late.result:
                continue
            if early.result == late.result:
                sentence = f"{_given(early)}, and {_given(late)}: the same token was given twice"
                return Named("fencing token given twice", sentence, (early, late))
            told = _went_back(early, late, released.get(early))
            if told is not None:
                return told
    return None


def _went_back(early: Operation, late: Operation, release: Operation | None) -> Story | None:
    greater = f"{_given(late)}, but {who(early)} had been given the greater one {show(early.result)}{asked(early)}"
    then = f"before {who(late)} asked at {called(late)}"
    if before(early, late):
        return Named("fencing token went back", f"{greater} by {returned(early)}, {then}", (early, late))
    if release is not None and before(release, late):
        freed = f"{who(release)} released it{asked(release)} by {returned(release)}, {then}"
        return Named("fencing token went back", f"{greater} before: {freed}", (early, release, late))
    return None


def _releases(case: Case) -> list[Operation]:
    return [one for one in case.certain if one.f == "release" and one.result is not False]


def _acquires_of(case: Case, release: Operation) -> list[Operation]:
    """What may have got the lock that was released there."""
    owner = canonical(release.value)
    return [
        one
        for one in case.history
        if one.f == "acquire"
        and one.result is not False
        and not before(release, one)
        and (owner is None or one.value is None or canonical(one.value) == owner)
    ]


def _released_holds(case: Case) -> dict[Operation, Operation]:
    """Those acquires that certainly took effect, for somebody released the lock and could have got it by no other one."""
    holds = {}
    for release in [] if case.owners else _releases(case):
        acquires = _acquires_of(case, release)
        if len(acquires) == 1:
            holds[acquires[0]] = release
    return holds


def _given(one: Operation) -> str:
    return f"{who(one)} was given the lock with the token {show(one.result)}{asked(one)} by {returned(one)}"


def _refused(case: Case) -> Story | None:
    refusal = next((one for one in case.certain if one.f == "acquire" and one.result is False), None)
    if refusal is None:
        return None
    times = f"asked at {called(refusal)} and answered at {returned(refusal)}"
    sentence = f"{who(refusal)} was refused the lock{asked(refusal)}, {times}"
    others = [one for one in case.certain if one is not refusal]
    freed = [one for one in others if one.f == "release" and one.result is not False and before(one, refusal)]
    if freed:
        last = max(freed, key=lambda one: one.ended or 0)
        others.remove(last)
        sentence += (
            f", but {who(last)} had released it{asked(last)} by {returned(last)}, and nobody can have held it since"
        )
    else:
        sentence += ", but nobody can have held it then"
    unanswered = _unanswered(case, refusal)
    if unanswered:
        more = f" and {len(unanswered) - 1} more" if len(unanswered) > 1 else ""
        sentence += f", whatever became of {what(unanswered[0])} ({span(unanswered[0])}){more}"
    if case.owners:
        sentence += ", if each process releases only its own"
    if others:
        sentence += f": {', and '.join(map(done, others))}"
    return Named("acquire refused wrongly", sentence, tuple(unanswered[:1]))


def _unanswered(case: Case, refusal: Operation) -> list[Operation]:
    """Acquires that may have taken effect before the refusal, for all that was known when the violation was complete."""
    return [
        one
        for one in case.history
        if one.f == "acquire" and not before(refusal, one) and end_of(one) > end_of(case.culprit)
    ]


def _released(case: Case) -> Story | None:
    release = case.culprit
    if release.f != "release":
        return None
    if release.result is False:
        sentence = (
            f"{who(release)} was refused its release{asked(release)} ({span(release)}), but it must have held the lock"
        )
        return Story("release refused wrongly", sentence + _because(case))
    sentence = f"{who(release)} released the lock{asked(release)} ({span(release)}), but it can't have held it then"
    return Story("released without holding", sentence + _because(case))


def _because(case: Case) -> str:
    others = [one for one in case.others if one.result is not False]
    if not others:
        return ""
    last = max(others, key=lambda one: one.ended or 0)
    if last.f == "acquire":
        return f": {who(last)} was given it{asked(last)} by {returned(last)}"
    return f": {who(last)} had released it{asked(last)} by {returned(last)}"


def _two_holders(case: Case) -> Story | None:
    given = [one for one in case.certain if one.f == "acquire" and one.result is not False]
    if len(given) < 2 or case.culprit.f != "acquire":
        return None
    late, others = case.culprit, [one for one in given if one is not case.culprit]
    if len(others) > 1:
        return None
    (early,) = others
    sentence = (
        f"{who(early)} was given the lock{asked(early)}, {span(early)}, and {who(late)} was given it too{asked(late)}, "
        f"{span(late)}, "
    )
    if case.owners:
        sentence += "and neither can have released it before the other had it, if each process releases only its own"
    else:
        sentence += "and nobody can have released it in between"
    return Story("two holders", sentence)
