"""What people call violations of a log."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story, asked, called, did, returned, span, what, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case, begun
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.linearizable.telling.nobody import shown_from_nowhere
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_MOST_TOLD = 4


def story(case: Case) -> Story:
    reads = [one for one in case.certain if one.f == "read" and one.type == "ok"]
    reads.sort(key=end_of, reverse=True)
    for read in reads:
        told = shown_from_nowhere(case, read, "append")
        if told is not None:
            return told
    told = _places(case)
    for read in reads:
        told = told or _log_read(case, read)
    return told or _no_room(case) or _no_place(case) or _alone(case) or generic.story(case)


def _places(case: Case) -> Story | None:
    given = [one for one in case.certain if one.f == "append" and one.type == "ok" and one.result is not None]
    for one in given:
        begun = sum(other.f == "append" and other.began < end_of(one) for other in case.history)
        if one.result < 0:
            return Story("no such place", f"{_placed(one)}, but places are counted from 0")
        if begun == 1 <= one.result:
            return Story("no such place", f"{_placed(one)}, but no other append had begun by then")
        if one.result >= begun:
            why = f"only {begun} appends had begun by then, this one among them"
            return Story("no such place", f"{_placed(one)}, but {why}")
    for one in given:
        for read in case.certain:
            told = _told_and_read(one, read) if read.f == "read" and read.type == "ok" else None
            if told is not None:
                return told
    for late in reversed(given):
        for early in given:
            if early is late:
                continue
            if early.result == late.result:
                return Story("log position taken twice", f"{_placed(early)}, and {_placed(late)} too")
            if before(early, late) and early.result > late.result:
                return Story(
                    "out of order", f"{_placed(late)}, but {_placed(early)}, before {who(late)} began at {called(late)}"
                )
    return None


def _told_and_read(one: Operation, read: Operation) -> Story | None:
    if one.result < len(read.result):
        there = read.result[one.result]
        if canonical(there) == canonical(one.value):
            return None
        sentence = f"{_placed(one)}, but {who(read)} read {show(there)} there{asked(read)} ({span(read)})"
        return Story("logs differ", sentence)
    return None


def _placed(one: Operation) -> str:
    return f"{who(one)}'s append of {show(one.value)} was given place {one.result}{asked(one)} by {returned(one)}"


def _log_read(case: Case, late: Operation) -> Story | None:
    seen = [canonical(value) for value in late.result]
    for one in case.certain:
        if one.f == "append" and before(one, late) and canonical(one.value) not in seen:
            sentence = (
                f"{who(late)} read the log{asked(late)} ({span(late)}) without {show(one.value)}, but {who(one)}'s append of "
                f"it had been acknowledged{asked(one)} at {returned(one)}"
            )
            again = any(canonical(one.value) in map(canonical, read.result) for read in _later_reads(case, late))
            return Story("stale read" if again else "lost entry", sentence)
    for one in case.certain:
        if one.f != "read" or one.type != "ok" or one is late:
            continue
        other = [canonical(value) for value in one.result]
        shorter = min(len(seen), len(other))
        place = next((place for place in range(shorter) if seen[place] != other[place]), None)
        if place is not None:
            sentence = (
                f"at place {place}, {who(one)} read {show(one.result[place])}{asked(one)} ({span(one)}), and {who(late)} "
                f"read {show(late.result[place])}{asked(late)} ({span(late)})"
            )
            return Story("logs differ", sentence)
        if before(one, late) and len(seen) < len(other):
            sentence = (
                f"{who(late)} read {len(seen)} entries{asked(late)} ({span(late)}), but {who(one)} had read "
                f"{len(other)}{asked(one)} by {returned(one)}"
            )
            again = any(len(read.result) > len(seen) for read in _later_reads(case, late))
            return Story("stale read" if again else "lost entry", sentence)
    return None


def _no_room(case: Case) -> Story | None:
    """A place, or a read, that leaves no room for all that had been acknowledged before."""
    for late in case.certain:
        if late.type != "ok" or late.result is None:
            continue
        there = [one for one in case.certain if one.f == "append" and before(one, late)]
        room = len(late.result) if late.f == "read" else late.result
        if len(there) > room:
            told = " and ".join(f"{what(one)} by {returned(one)}" for one in there[:_MOST_TOLD])
            more = f" and {len(there) - _MOST_TOLD} more" if len(there) > _MOST_TOLD else ""
            said = f"{did(late)} by {returned(late)}" if late.f == "read" else _placed(late)
            when = f"before it began, at {called(late)}, there had been acknowledged"
            return Story("lost entry", f"{said}, but {when} {told}{more}")
    return None


def _no_place(case: Case) -> Story | None:
    """One append that was given a place that it can't have had, with the others that had begun."""
    (one, *more) = case.certain
    if more or one.f != "append" or one.type != "ok" or one.result is None:
        return None
    others = [other for other in case.history if other.f == "append" and other.began < end_of(one) and other is not one]
    sentence = f"{_placed(one)}, but not so many of the others that had begun by then can have come before it"
    return Named("no such place", sentence, tuple(others) if len(others) <= _MOST_TOLD else ())


def _alone(case: Case) -> Story | None:
    """One read that nothing gives, with the appends of what was read."""
    (read, *more) = case.certain
    if more or read.f != "read":
        return None
    seen = set(map(canonical, read.result))
    appends = [
        one for one in case.history if one.f == "append" and canonical(one.value) in seen and not before(read, one)
    ]
    if not 0 < len(appends) <= _MOST_TOLD:
        return None
    told = "; ".join(map(begun, appends))
    return Named("no order", f"{begun(read)}, but no order of these gives that: {told}", tuple(appends))


def _later_reads(case: Case, late: Operation) -> list[Operation]:
    """What was read at the same time or later."""
    reads = [one for one in case.history if one.f == "read" and one.type == "ok" and one is not late]
    return [one for one in reads if (one.ended or 0) > late.began]
