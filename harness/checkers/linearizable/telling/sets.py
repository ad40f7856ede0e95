"""What people call violations of a set."""

from __future__ import annotations

from collections.abc import Hashable

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.explain import Story, asked, returned, span, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, done
from harness.checkers.linearizable.telling.nobody import brought_by_nobody, shown_from_nowhere
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def story(case: Case) -> Story:
    elements = {element for one in case.certain if one.f != "read" for element in [canonical(one.value)]}
    if len(elements) > 1 or not elements:
        return _of_reads(case)
    (element,) = elements
    late = case.culprit
    if _says_inside(late, element):
        return _phantom(case, late, element)
    return _missing(case, late, element)


def _says_inside(one: Operation, element: Hashable) -> bool:
    if one.f == "read":
        return element in set(map(canonical, one.result))
    return bool(one.result) if one.f in ("contains", "remove") else one.result is False


def _value(case: Case, element: Hashable) -> object:
    return next(one.value for one in case.certain if one.f != "read" and canonical(one.value) == element)


def _phantom(case: Case, late: Operation, element: Hashable) -> Story:
    value = _value(case, element)
    said = f"{_found(late, value)} ({span(late)})"
    told = brought_by_nobody(case, late, value, "add", said)
    if told is not None:
        return told
    removed = [one for one in case.others if one.f == "remove" and before(one, late)]
    if removed:
        last = removed[-1]
        sentence = f"{said}, but {done(last)}, and nobody can have added it again since"
        return Story("resurrected element", sentence)
    gone = [one for one in case.others if before(one, late)]
    if gone:
        return Story("phantom element", f"{said}, but {_absent(gone[-1], value)}, and nobody can have added it since")
    return Story("phantom element", f"{said}, but nobody can have added it by then")


def _missing(case: Case, late: Operation, element: Hashable) -> Story:
    value = _value(case, element)
    said = f"{_did_not_find(late, value)} ({span(late)})"
    there = [one for one in case.others if before(one, late)]
    if there:
        last = there[-1]
        told = (
            done(last) if last.f == "add" and last.result is not False else f"{_found(last, value)} by {returned(last)}"
        )
        return Story(_lost_or_stale(case, late, element), f"{said}, but {told}, and nobody can have removed it since")
    return Story(_lost_or_stale(case, late, element), f"{said}, but it must have been there")


def _lost_or_stale(case: Case, late: Operation, element: Hashable) -> Anomaly:
    """Stale, if somebody who looked at the same time or later found it there, and it hadn't been added again."""
    later = [one for one in case.history if one.type == "ok" and one is not late and (one.ended or 0) > late.began]
    adds_again = [one for one in case.history if one.f == "add" and one.result is not False and _adds(one, element)]
    added_late = any(one.ended is None or one.ended > late.began for one in adds_again)
    seen = any(_sees(one, element) for one in later)
    return "stale read" if seen and not added_late else "lost element"


def _adds(one: Operation, element: Hashable) -> bool:
    return one.f == "add" and canonical(one.value) == element


def _sees(one: Operation, element: Hashable) -> bool:
    return (one.f == "read" or canonical(one.value) == element) and _says_inside(one, element)


def _found(one: Operation, value: object) -> str:
    if one.f == "add":
        return f"{who(one)}'s add of {show(value)} found it there already{asked(one)}"
    if one.f == "remove":
        return f"{who(one)}'s remove of {show(value)} found it there{asked(one)}"
    return f"{who(one)} found {show(value)} in the set{asked(one)}"


def _did_not_find(one: Operation, value: object) -> str:
    if one.f == "add":
        return f"{who(one)}'s add of {show(value)} found it missing{asked(one)}"
    if one.f == "remove":
        return f"{who(one)}'s remove of {show(value)} found nothing to remove{asked(one)}"
    return f"{who(one)} did not find {show(value)} in the set{asked(one)}"


def _absent(one: Operation, value: object) -> str:
    if one.f == "remove" and one.result is not False:
        return done(one)
    return f"{_did_not_find(one, value)} by {returned(one)}"


def _of_reads(case: Case) -> Story:
    late = case.culprit
    told = shown_from_nowhere(case, late, "add") if late.f == "read" else None
    if told is not None:
        return told
    earlier = [one for one in case.others if one.f == "read" and late.f == "read" and before(one, late)]
    for one in earlier:
        missing = [value for value in one.result if canonical(value) not in set(map(canonical, late.result))]
        if missing:
            sentence = (
                f"{who(late)} did not find {show(missing[0])} in the set{asked(late)} ({span(late)}), but {who(one)} had "
                f"read it{asked(one)} by {returned(one)}, and nobody can have removed it since"
            )
            return Story(_lost_or_stale(case, late, canonical(missing[0])), sentence)
    return generic.story(case)
