"""What people call violations of a log."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story, asked, called, returned, span, who
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.nobody import shown_from_nowhere
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def story(case: Case) -> Story:
    late = case.culprit
    return _places(case) or (_log_read(case, late) if late.f == "read" else None) or generic.story(case)


def _places(case: Case) -> Story | None:
    given = [one for one in case.certain if one.f == "append" and one.type == "ok" and one.result is not None]
    begun_by_then = sum(one.f == "append" for one in case.prefix)
    for one in given:
        if not 0 <= one.result < begun_by_then:
            return Story("no such place", f"{_placed(one)}, but only {begun_by_then} appends had begun by then")
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


def _placed(one: Operation) -> str:
    return f"{who(one)}'s append of {show(one.value)} was given place {one.result}{asked(one)} by {returned(one)}"


def _log_read(case: Case, late: Operation) -> Story | None:
    seen = [canonical(value) for value in late.result]
    told = shown_from_nowhere(case, late, "append")
    if told is not None:
        return told
    for one in case.others:
        if one.f == "append" and before(one, late) and canonical(one.value) not in seen:
            sentence = (
                f"{who(late)} read the log{asked(late)} ({span(late)}) without {show(one.value)}, but {who(one)}'s append of "
                f"it had been acknowledged{asked(one)} at {returned(one)}"
            )
            again = any(canonical(one.value) in map(canonical, read.result) for read in _later_reads(case, late))
            return Story("stale read" if again else "lost entry", sentence)
    for one in case.others:
        if one.f != "read":
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


def _later_reads(case: Case, late: Operation) -> list[Operation]:
    """What was read at the same time or later."""
    reads = [one for one in case.history if one.f == "read" and one.type == "ok" and one is not late]
    return [one for one in reads if (one.ended or 0) > late.began]
