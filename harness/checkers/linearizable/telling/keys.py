"""What people call a violation of a key with appends or deletes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.explain import Story, asked, called, did, returned, seen, span, what, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, done
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def story_of_key(case: Case) -> Story:
    late = case.culprit
    if late.f != "get":
        return generic.story(case)
    return (
        lost_append(case.shown, case.history, once=False)
        or _nowhere(case, late)
        or _stale(case, late)
        or _none_gives(case, late)
    )


def lost_append(shown: Sequence[Operation], history: Sequence[Operation], once: bool) -> Story | None:
    """An append that was acknowledged before somebody began to read, or before something that he read was appended, is not
    in what was read, and can't have been replaced: nothing was put that could have come after it.

    `once`: all values were written once, so that what was read tells who wrote it.
    """
    for late in reversed([one for one in shown if one.f == "get" and one.type == "ok"]):
        for early in shown:
            if early.f not in ("append", "put") or early.ended is None or _holds(late.result, early.value):
                continue
            if any(_may_have_replaced(one, early, late) for one in history):
                continue
            told = _missed(early, late, history) or (_skipped(early, late, shown, history) if once else None)
            if told is not None:
                return told
    return None


def _missed(early: Operation, late: Operation, history: Sequence[Operation]) -> Story | None:
    if early.f != "append" or not before(early, late):
        return None
    gone = f"{what(early)} had been acknowledged at {returned(early)}"
    return Story(_lost_or_stale(history, early), f"{_got(late)}, which lacks {show(early.value)}, but {gone}")


def _skipped(
    early: Operation, late: Operation, shown: Sequence[Operation], history: Sequence[Operation]
) -> Story | None:
    behind = [one for one in shown if one.f == "append" and before(early, one) and _holds(late.result, one.value)]
    if not behind:
        return None
    (later, *_) = behind
    sentence = (
        f"{did(late)} by {returned(late)}, which lacks {show(early.value)}, but {what(early)} had been acknowledged at "
        f"{returned(early)}, before {what(later)}, which is in it, began at {called(later)}"
    )
    return Story("lost write" if _lost_or_stale(history, early) == "lost write" else "order reversed", sentence)


def _may_have_replaced(one: Operation, early: Operation, late: Operation) -> bool:
    """Whether it may have put another value over the append, which the read may have seen."""
    if one.f in ("append", "get") or before(one, early) or before(late, one):
        return False
    return one.f != "put" or _holds(late.result, one.value)


def _none_gives(case: Case, late: Operation) -> Story:
    others = ", and ".join(done(one) for one in case.others)
    return Story("no order", f"{_got(late)}, but no order of what was written gives that: {others}")


def _got(late: Operation) -> str:
    return f"{who(late)} began to read at {called(late)} and got {seen(late.result)}{asked(late)}"


def _holds(result: object, part: object) -> bool:
    """Whether what was read can hold what was written."""
    if isinstance(result, str) and isinstance(part, str):
        return part in result
    if isinstance(result, list) and isinstance(part, list):
        return any(result[place : place + len(part)] == part for place in range(len(result)))
    return canonical(result) == canonical(part)


def _nowhere(case: Case, late: Operation) -> Story | None:
    writers = [one for one in case.history if one.f in ("put", "append", "cas") and one.result is not False]
    if len(case.certain) > 1 or late.result is None:
        return None
    for one in writers:
        if _holds(late.result, one.value[1] if one.f == "cas" else one.value):
            return Story(
                "value from nowhere",
                f"{did(late)} by {returned(late)}, but no order of what was written by then gives that",
            )
    wrote = f"{did(late)} by {returned(late)}, but nobody"
    for one in case.history:
        if one.f == "cas" and one.result is False and _holds(late.result, one.value[1]) and not before(late, one):
            return Story("value from nowhere", f"{wrote} wrote that: {what(one)} was refused ({span(one)})")
    return Story("value from nowhere", f"{wrote} ever wrote that")


def _stale(case: Case, late: Operation) -> Story | None:
    if len(case.certain) != 2:
        return None
    (early,) = case.others
    if not before(early, late):
        return None
    if early.f == "get":
        sentence = (
            f"{_got(late)}, but {who(early)} had read {seen(early.result)}{asked(early)} by {returned(early)}, and nothing "
            f"that came since can explain the difference"
        )
        return Story("stale read", sentence)
    if early.f == "append" and not _holds(late.result, early.value):
        had = f"{what(early)} had been acknowledged at {returned(early)}"
        sentence = f"{_got(late)}, which lacks {show(early.value)}, but {had}"
        return Story(_lost_or_stale(case.history, early), sentence)
    if early.f in ("put", "cas", "delete", "append"):
        sentence = (
            f"{_got(late)}, but {what(early)} had been acknowledged at {returned(early)}, and nothing that came since can "
            f"explain the difference"
        )
        return Story("stale read", sentence)
    return None


def _lost_or_stale(history: Sequence[Operation], early: Operation) -> Anomaly:
    looked = [one for one in history if one.f == "get" and one.type == "ok"]
    return "stale read" if any(_holds(one.result, early.value) for one in looked) else "lost write"
