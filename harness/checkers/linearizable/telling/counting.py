"""What people call a violation of a counter."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story, asked, called, returned, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, done
from harness.checkers.operations import Operation
from harness.models.values import show

_MOST_TOLD = 4


def story(case: Case) -> Story:
    late = case.culprit
    sums = [state for state in case.states if isinstance(state, int)]
    if not sums or late.result is None:
        return generic.story(case)
    added = late.value if late.f == "add" else 0
    least, most = min(sums) + added, max(sums) + added
    said = f"{who(late)} {_answer(late)}{asked(late)}, asked at {called(late)} and answered at {returned(late)}"
    low, high = _bounds(case)
    if late.result < least and low:
        return Story("counter too low", f"{said}, but the sum was at least {least} by then{_because(case)}")
    if late.result > most and high:
        return Story("counter too high", f"{said}, but the sum was at most {most} by then{_because(case)}")
    because = _because(case) if case.others else ""
    return Story("no such sum", f"{said}, but no choice of the additions gives that{because}")


def _bounds(case: Case) -> tuple[bool, bool]:
    """Whether the least and the greatest sum that are possible when the last one returns were so since it was called."""
    if all(before(one, case.culprit) for one in case.others):
        return True, True
    amounts = [one.value for one in case.history if one.f == "add"]
    return all(amount <= 0 for amount in amounts), all(amount >= 0 for amount in amounts)


def _answer(one: Operation) -> str:
    if one.f == "add":
        return f"added {show(one.value)} and was told the sum {show(one.result)}"
    return f"read {show(one.result)}"


def _because(case: Case) -> str:
    others = case.others
    if not others:
        return ", whatever had been added"
    told = [_done(one) for one in others[:_MOST_TOLD]]
    more = f", and {len(others) - _MOST_TOLD} more such operations" if len(others) > _MOST_TOLD else ""
    return f"{_whatever_else(case)}: {', and '.join(told)}{more}"


def _whatever_else(case: Case) -> str:
    """What makes no difference, but stands between the sums that are told and the bound."""
    late = case.culprit
    rest = (one for one in case.history if one not in case.certain and one.f == "add" and one.value)
    return ", whatever else had been added" if any(not before(late, one) for one in rest) else ""


def _done(one: Operation) -> str:
    if one.f == "add" and one.result is not None:
        return f"{who(one)} {_answer(one)}{asked(one)} by {returned(one)}"
    return done(one)
