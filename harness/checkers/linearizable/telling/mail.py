"""What people call a violation of a mailbox."""

from __future__ import annotations

from collections.abc import Sequence

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.explain import Story, asked, called, returned, span, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.nobody import brought_by_nobody, shown_from_nowhere
from harness.checkers.linearizable.telling.projection import shown
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def story(case: Case) -> Story:
    late = case.culprit
    if late.f == "mark" and late.result is True:
        return brought_by_nobody(case, late, late.value, "send", _saw(late, late.value)) or generic.story(case)
    if late.f not in ("list", "mark"):
        return generic.story(case)
    return (
        shown_from_nowhere(case, late, "send")
        or _missing(case, late, case.others)
        or _missing(case, late, _sent_before(case, late))
        or _skipped(case, late)
        or _order(case, late)
        or generic.story(case)
    )


def _saw(one: Operation, message: object) -> str:
    verb = "marked" if one.f == "mark" else "was shown"
    return f"{who(one)} {verb} {show(message)}{asked(one)} by {returned(one)}"


def _sent_before(case: Case, late: Operation) -> list[Operation]:
    """Who sent what others of the proof saw, and had been told so before this one looked."""
    seen = {canonical(message) for one in case.others if one.f == "list" for message in shown(one)}
    sends = [one for one in case.history if one.f == "send" and one.type == "ok" and before(one, late)]
    return [one for one in sends if canonical(one.value) in seen]


def _missing(case: Case, late: Operation, others: Sequence[Operation]) -> Story | None:
    """A message that was there, as its sender or somebody who saw it knows, and that this one did not find."""
    for one in others:
        messages = [one.value] if one.f == "send" or one.result is True else shown(one) if one.f == "list" else []
        for message in messages:
            if not before(one, late) or _finds(late, message) is not False:
                continue
            there = f"{who(one)}'s send of it had been acknowledged" if one.f == "send" else _saw(one, message)
            when = f" at {returned(one)}" if one.f == "send" else ""
            sentence = f"{who(late)} did not find {show(message)}{asked(late)} ({span(late)}), but {there}{when}"
            return Story(_lost_or_stale(case, late, message), sentence)
    return None


def _skipped(case: Case, late: Operation) -> Story | None:
    """A message that had been sent before another one was that is in the list, and isn't in it itself."""
    for one in case.others:
        if late.f != "list" or one.f != "send" or _finds(late, one.value) is not False:
            continue
        for message in shown(late):
            sends = [
                other for other in case.history if other.f == "send" and canonical(other.value) == canonical(message)
            ]
            if sends and all(before(one, other) for other in sends):
                later = min(sends, key=lambda other: other.began)
                sentence = (
                    f"{who(late)} was shown {show(message)}, but not {show(one.value)}{asked(late)} ({span(late)}), though "
                    f"{who(one)}'s send of {show(one.value)}{asked(one)} had been acknowledged at {returned(one)}, before "
                    f"{who(later)} began to send {show(message)}{asked(later)} at {called(later)}"
                )
                return Story(_lost_or_stale(case, late, one.value), sentence)
    return None


def _lost_or_stale(case: Case, late: Operation, message: object) -> Anomaly:
    again = any(_finds(other, message) for other in _at_the_time_or_later(case, late))
    return "stale read" if again else "lost mail"


def _finds(one: Operation, message: object) -> bool | None:
    """Whether it shows that the message is there; None if it doesn't tell."""
    if one.type != "ok":
        return None
    if one.f == "list":
        return canonical(message) in map(canonical, shown(one))
    return one.result if one.f == "mark" and canonical(one.value) == canonical(message) else None


def _at_the_time_or_later(case: Case, late: Operation) -> list[Operation]:
    return [one for one in case.history if one is not late and (one.ended or 0) > late.began]


def _order(case: Case, late: Operation) -> Story | None:
    """Two lists that can't both have come from one row of messages."""
    mine = shown(late)
    for one in case.others:
        theirs = shown(one) if one.f == "list" else []
        pairs = zip(theirs, mine, strict=False)
        place = next((place for place, (a, b) in enumerate(pairs) if canonical(a) != canonical(b)), None)
        if place is not None:
            sentence = (
                f"{who(one)} was shown {show(theirs[place])} behind {_messages(place)}{asked(one)} ({span(one)}), and "
                f"{who(late)} {show(mine[place])}{asked(late)} ({span(late)})"
            )
            return Story("order reversed", sentence)
    return None


def _messages(number: int) -> str:
    return f"{number} message{'' if number == 1 else 's'}"
