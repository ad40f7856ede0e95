"""What people call a violation of a lock."""

from __future__ import annotations

from dataclasses import replace

from harness.checkers.linearizable.explain import Story, asked, called, returned, span, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.cores import proves
from harness.checkers.operations import Operation
from harness.models.values import show


def story(case: Case) -> Story:
    for attempt in (_tokens, _refused, _released, _two_holders):
        told = attempt(case)
        if told is not None:
            return told
    return generic.story(case)


def _is_token(result: object) -> bool:
    return isinstance(result, int | float) and not isinstance(result, bool)


def _tokens(case: Case) -> Story | None:
    """Only if it would be no violation without the tokens."""
    given = [one for one in case.certain if one.f == "acquire" and _is_token(one.result)]
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
                return Story("fencing token given twice", sentence)
            if before(early, late):
                sentence = (
                    f"{_given(late)}, but {who(early)} had been given the greater one {show(early.result)}{asked(early)} "
                    f"by {returned(early)}, before {who(late)} asked at {called(late)}"
                )
                return Story("fencing token went back", sentence)
    return None


def _given(one: Operation) -> str:
    return f"{who(one)} was given the lock with the token {show(one.result)}{asked(one)} by {returned(one)}"


def _refused(case: Case) -> Story | None:
    refusal = next((one for one in case.certain if one.f == "acquire" and one.result is False), None)
    if refusal is None:
        return None
    times = f"asked at {called(refusal)} and answered at {returned(refusal)}"
    sentence = f"{who(refusal)} was refused the lock{asked(refusal)}, {times}"
    freed = [one for one in case.certain if one.f == "release" and one.result is not False and before(one, refusal)]
    if freed:
        last = max(freed, key=lambda one: one.ended or 0)
        sentence += (
            f", but {who(last)} had released it{asked(last)} by {returned(last)}, and nobody can have held it since"
        )
    else:
        sentence += ", but nobody can have held it then"
    return Story("acquire refused wrongly", sentence)


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
