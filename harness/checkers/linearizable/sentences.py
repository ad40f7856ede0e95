"""What the checker says in the end, as one sentence, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.checkers.linearizable.explain import seconds
from harness.checkers.linearizable.parts import Part, most_open_at_once
from harness.checkers.operations import Operation, Record

_MOST_NAMED = 5
_MOST_UNDECIDED_TOLD = 20


def valid_sentence(parts: Sequence[Part], record: Record) -> str:
    if not parts:
        return "there is nothing to judge: no client completed an operation"
    crashed, count = sum(operation.type == "info" for operation in record.operations), len(record.operations)
    unknown = (
        "" if not crashed else ", of unknown outcome" if count == 1 else f", {crashed:,} of them of unknown outcome"
    )
    keys = "" if _has_no_keys(parts) else " on 1 key" if len(parts) == 1 else f" on {len(parts):,} keys"
    return f"one order explains {f'all {count:,} operations' if count > 1 else 'the one operation'}{keys}{unknown}"


def broken_sentence(broken: Sequence[Part], undecided: Sequence[Part]) -> str:
    sentence = "no order explains what the clients saw"
    if not _has_no_keys(broken):
        sentence += f" of {'key' if len(broken) == 1 else 'keys'} {_names(broken)}"
    return f"{sentence}; {undecided_sentence(undecided)}" if undecided else sentence


def undecided_sentence(undecided: Sequence[Part]) -> str:
    """The key, the time and how many operations were open where its search stood, the limit, and what to change."""
    part = next((part for part in undecided if part.progress.reached is not None), undecided[0])
    stopped = part.stopped
    assert stopped is not None
    others = len(undecided) - 1
    more = "" if not others else f" (and {'1 more key' if others == 1 else f'{others:,} more keys'})"
    what = "the history" if _has_no_keys(undecided) else f"key {part.key}"
    sentence = f"{what} is undecided{more}: {stopped.sentence}{_where(part)}"
    searched = part.progress.explored > 0 and stopped.limit in ("time", "memory")
    easier = "write every value once, use fewer processes per key, rotate keys sooner, or " if searched else ""
    return f"{sentence}; {easier}{stopped.remedy}"


def _has_no_keys(parts: Sequence[Part]) -> bool:
    return len(parts) == 1 and not parts[0].key


def _names(parts: Sequence[Part]) -> str:
    names = [part.key or "(none)" for part in parts[:_MOST_NAMED]]
    return ", ".join(names) + (f" and {len(parts) - _MOST_NAMED:,} more" if len(parts) > _MOST_NAMED else "")


def _where(part: Part) -> str:
    progress = part.progress
    if progress.reached is None:
        return "" if part.begun else " before its turn came"
    begins, ends = _window(part, progress.reached)
    crashed = progress.crashed_then
    unknown = f", {crashed:,} of them of unknown outcome" if crashed else ""
    return (
        f" between {seconds(begins)} and {seconds(ends)}, where {progress.open_then:,} operations were open at once"
        f"{unknown}, after {progress.explored:,} configurations"
    )


def _window(part: Part, reached: Operation) -> tuple[int, int]:
    """The times (nanoseconds) between which the operations were open that the search was busy with.

    Those of unknown outcome, which stay open for ever, don't count.
    """
    moment = reached.began if reached.ended is None else reached.ended
    begins = min(
        (
            operation.call_ns
            for operation in part.operations
            if operation.began <= moment and operation.ended is not None and operation.ended >= moment
        ),
        default=reached.call_ns,
    )
    return begins, reached.call_ns if reached.return_ns is None else reached.return_ns


def statistics(parts: Sequence[Part], record: Record) -> dict[str, Any]:
    algorithms = Counter(part.answer.algorithm for part in parts if part.answer is not None)
    most_open = [(most_open_at_once(part.operations), part.key) for part in parts]
    largest, key = max(most_open, default=(0, None))
    undecided = [part for part in parts if part.answer is None]
    return {
        "keys": len(parts),
        "operations": len(record.operations) + len(record.failed),
        "ok": sum(operation.type == "ok" for operation in record.operations),
        "crashed": sum(operation.type == "info" for operation in record.operations),
        "failed": len(record.failed),
        "algorithms": dict(algorithms),
        "undecided_keys": [part.key for part in undecided],
        "undecided": [_undecided(part) for part in undecided[:_MOST_UNDECIDED_TOLD]],
        "violating_keys": [part.key for part in parts if part.broken],
        "most_open_at_once": largest,
        "most_open_key": key,
        "configurations": sum(part.progress.explored for part in parts),
    }


def _undecided(part: Part) -> dict[str, Any]:
    """Of one key, for machines: times in nanoseconds."""
    progress = part.progress
    window = None if progress.reached is None else list(_window(part, progress.reached))
    return {
        "key": part.key,
        "limit": part.stopped.limit if part.stopped is not None else None,
        "window": window,
        "open": progress.open_then,
        "crashed": progress.crashed_then,
        "configurations": progress.explored,
    }
