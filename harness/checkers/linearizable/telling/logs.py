"""What people call violations of a log."""

from __future__ import annotations

from harness.checkers.linearizable.explain import Story, asked, called, returned, span, what, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.telling import generic
from harness.checkers.linearizable.telling.case import Case
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
    return told or _too_early_a_place(case) or generic.story(case)


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


def _too_early_a_place(case: Case) -> Story | None:
    """An append with a place before which there is no room for what had been acknowledged when it was called."""
    for late in case.certain:
        if late.f != "append" or late.type != "ok" or late.result is None:
            continue
        there = [one for one in case.certain if one.f == "append" and before(one, late)]
        if len(there) > late.result:
            told = " and ".join(f"{what(one)} by {returned(one)}" for one in there[:_MOST_TOLD])
            more = f" and {len(there) - _MOST_TOLD} more" if len(there) > _MOST_TOLD else ""
            said = f"{_placed(late)}, but before it began, at {called(late)}, there had been acknowledged {told}{more}"
            return Story("lost entry", said)
    return None


def _later_reads(case: Case, late: Operation) -> list[Operation]:
    """What was read at the same time or later."""
    reads = [one for one in case.history if one.f == "read" and one.type == "ok" and one is not late]
    return [one for one in reads if (one.ended or 0) > late.began]
