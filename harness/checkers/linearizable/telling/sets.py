"""What people call violations of a set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.explain import Story, asked, returned, span, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, begun, done
from harness.checkers.linearizable.telling.cores import proves
from harness.checkers.linearizable.telling.nobody import brought_by_nobody, shown_from_nowhere
from harness.checkers.linearizable.telling.projection import projected
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_MOST_TRIED = 20
"""Of the elements in which two reads differ."""


def story(case: Case) -> Story:
    known = [one for one in case.certain if one.type == "ok"]
    latest_first = sorted(known, key=end_of, reverse=True)
    for late in latest_first:
        told = _strange(case, late)
        if told is not None:
            return told
    for late in latest_first:
        for early in latest_first:
            if not before(early, late):
                continue
            for element in _differ(early, late):
                if _contradict(case, [early, late], element):
                    return _of_two(case, early, late, element)
    for element in _elements(known):
        if _contradict(case, known, element):
            return _of_one(case, latest_first, element)
    return generic.story(case)


def _found(one: Operation, element: Hashable) -> bool | None:
    """Whether it found the element in the set; None if it doesn't tell."""
    if one.f == "read":
        return element in map(canonical, one.result)
    if canonical(one.value) != element or one.result is None:
        return None
    return not one.result if one.f == "add" else bool(one.result)


def _left(one: Operation, element: Hashable) -> bool | None:
    """Whether the element is in the set right after it; None if it has nothing to do with it."""
    if one.f in ("read", "contains"):
        return _found(one, element)
    return one.f == "add" if canonical(one.value) == element else None


def _differ(early: Operation, late: Operation) -> list[Hashable]:
    """The elements that one of them left there, or not, and that the other one found otherwise."""
    elements = _elements([one for one in (early, late) if one.f != "read"] or [early, late])
    wrong = (element for element in elements if {_left(early, element), _found(late, element)} == {True, False})
    return [element for element, _ in zip(wrong, range(_MOST_TRIED), strict=False)]


def _elements(operations: Iterable[Operation]) -> Iterator[Hashable]:
    seen: set[Hashable] = set()
    for one in operations:
        for value in one.result if one.f == "read" else [one.value]:
            if (element := canonical(value)) not in seen:
                seen.add(element)
                yield element


def _contradict(case: Case, operations: list[Operation], element: Hashable) -> bool:
    """Whether these contradict each other already by what they tell of this element, whatever the others did."""
    history = projected(case.known, case.model, {element})
    indexes = {one.index for one in operations}
    certain = [one for one in history if one.index in indexes]
    return proves(certain, history, case.model, case.budget) is True


def _strange(case: Case, late: Operation) -> Story | None:
    """Of what it found in the set something that nobody had added."""
    if late.f == "read":
        return shown_from_nowhere(case, late, "add")
    if not _found(late, canonical(late.value)):
        return None
    return brought_by_nobody(case, late, late.value, "add", f"{_finding(late, late.value)} ({span(late)})")


def _of_two(case: Case, early: Operation, late: Operation, element: Hashable) -> Story:
    value = _value([early, late], element)
    if not _found(late, element):
        told = (
            done(early) if early.f == "add" and early.result is not False else _by_then(_finding(early, value), early)
        )
        sentence = f"{_missing(late, value)} ({span(late)}), but {told}, and nobody can have removed it since"
        return Story(_lost_or_stale(case, late, element), sentence)
    said = f"{_finding(late, value)} ({span(late)})"
    if early.f == "remove" and early.result is not False:
        return Story("resurrected element", f"{said}, but {done(early)}, and nobody can have added it again since")
    gone = _by_then(_missing(early, value), early)
    return Story("phantom element", f"{said}, but {gone}, and nobody can have added it since")


def _of_one(case: Case, latest_first: list[Operation], element: Hashable) -> Story:
    """It takes more than two of them to see it."""
    late = next((one for one in latest_first if _found(one, element) is not None), None)
    concerned = [one for one in case.shown if one is not late and _left(one, element) is not None]
    if late is None or not concerned:
        return generic.story(case)
    value = _value(case.certain, element)
    others = "; ".join(map(begun, concerned))
    if _found(late, element):
        sentence = f"{_finding(late, value)} ({span(late)}), but it can't have been there then: {others}"
        return Story("phantom element", sentence)
    sentence = f"{_missing(late, value)} ({span(late)}), but it must have been there: {others}"
    return Story(_lost_or_stale(case, late, element), sentence)


def _value(operations: Iterable[Operation], element: Hashable) -> object:
    """As the history has it."""
    values = (value for one in operations for value in (one.result if one.f == "read" else [one.value]))
    return next(value for value in values if canonical(value) == element)


def _lost_or_stale(case: Case, late: Operation, element: Hashable) -> Anomaly:
    """Stale, if somebody who looked at the same time or later found it there, and it hadn't been added again."""
    later = [one for one in case.history if one.type == "ok" and one is not late and (one.ended or 0) > late.began]
    adds_again = [one for one in case.history if _adds(one, element)]
    added_late = any(one.ended is None or one.ended > late.began for one in adds_again)
    seen = any(_found(one, element) for one in later)
    return "stale read" if seen and not added_late else "lost element"


def _adds(one: Operation, element: Hashable) -> bool:
    return one.f == "add" and one.result is not False and canonical(one.value) == element


def _by_then(said: str, one: Operation) -> str:
    return f"{said} by {returned(one)}"


def _finding(one: Operation, value: object) -> str:
    if one.f == "add":
        return f"{who(one)}'s add of {show(value)} found it there already{asked(one)}"
    if one.f == "remove":
        return f"{who(one)}'s remove of {show(value)} found it there{asked(one)}"
    return f"{who(one)} found {show(value)} in the set{asked(one)}"


def _missing(one: Operation, value: object) -> str:
    if one.f == "add":
        return f"{who(one)}'s add of {show(value)} found it missing{asked(one)}"
    if one.f == "remove":
        return f"{who(one)}'s remove of {show(value)} found nothing to remove{asked(one)}"
    return f"{who(one)} did not find {show(value)} in the set{asked(one)}"
