"""What can be said of any model: which operations exclude each other, and what the model had against the last of them."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story
from harness.checkers.linearizable.telling.case import Case, begun
from harness.checkers.linearizable.telling.forgetful import ANY_OTHER

_MOST_TOLD = 6
_MOST_REASONS = 2


def story(case: Case) -> Story:
    told = [begun(one) for one in case.shown[:_MOST_TOLD]]
    more = len(case.shown) - len(told)
    reason = _reason(case)
    if len(case.shown) == 1:
        return Story("no order", f"{told[0]}, which can't have happened at any moment of its interval{reason}")
    listed = "; ".join(told) + (f"; and {more} more" if more else "")
    return Story("no order", f"no order explains what these saw: {listed}{reason}")


def _reason(case: Case) -> str:
    """What the model says to the last operation, if it doesn't say too much: something else in each state."""
    if any(isinstance(state, tuple) and state[:1] == ANY_OTHER for state in case.states):
        return ""  # these are no states of the model itself
    answers = [answer for state in case.states if isinstance(answer := case.model.step(state, case.culprit), str)]
    different = list(dict.fromkeys(answers))
    return f" ({'; or '.join(different)})" if 0 < len(different) <= _MOST_REASONS else ""
