"""The rules of histories. A history that breaks one proves nothing: not that all was well, and not that anything was wrong.

The rules: events are numbered without a gap and time never runs back; each is of a known type and says whose it is; a
process has one operation open at a time and completes that very operation; it does nothing more once an outcome of its is
unknown. Injections and healings of the nemesis go by their numbers: each is completed once, after it began, and nothing
is healed that wasn't injected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.history import HARNESS, NEMESIS, Event

_COMPLETIONS = ("ok", "fail", "info")
_TYPES = ("invoke", *_COMPLETIONS)
_SAME = ("f", "key", "value")
_MOST = 20


def audit(events: Iterable[Event]) -> list[str]:
    """One sentence for each rule that is broken and where, at most 20 and one that counts the rest; empty if all is well."""
    auditor = _Auditor()
    for place, event in enumerate(events):
        auditor.look(place, event)
    problems = auditor.problems
    if len(problems) > _MOST:
        return [*problems[:_MOST], f"and {len(problems) - _MOST} more breaches like these"]
    return problems


class _Auditor:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self._time = 0
        self._open: dict[int, Event] = {}
        self._retired: dict[int, Any] = {}
        self._nemesis: dict[tuple[str, Any], str] = {}

    def look(self, place: int, event: Event) -> None:
        self._stamps(place, event)
        kind, process = event.get("type"), event.get("process")
        if kind not in _TYPES:
            self._breach(event, f"its type is {kind!r}, not one of {', '.join(_TYPES)}")
        elif process == HARNESS:
            return
        elif process == NEMESIS:
            self._of_nemesis(event)
        elif isinstance(process, bool) or not isinstance(process, int):
            self._breach(event, f"its process is {process!r}, neither a number nor {NEMESIS!r} nor {HARNESS!r}")
        elif not isinstance(event.get("f"), str):
            self._breach(event, f"its f is {event.get('f')!r}, not the name of a function")
        elif kind == "invoke":
            self._invoked(process, event)
        else:
            self._completed(process, event)

    def _breach(self, event: Event, what: str) -> None:
        self.problems.append(f"event {event.get('index')!r}: {what}")

    def _stamps(self, place: int, event: Event) -> None:
        index, time = event.get("index"), event.get("time")
        if index != place or isinstance(index, bool):
            self._breach(event, f"it is number {place} in the file: events are missing, repeated or out of order")
        if isinstance(time, bool) or not isinstance(time, int) or time < 0:
            self._breach(event, f"its time is {time!r}, not a number of nanoseconds")
        elif time < self._time:
            self._breach(event, f"time runs back, from {self._time} to {time} ns")
        else:
            self._time = time

    def _invoked(self, process: int, event: Event) -> None:
        if process in self._retired:
            self._breach(
                event,
                f"process {process} goes on although the outcome of its operation {self._retired[process]!r} is unknown",
            )
        if process in self._open:
            first = self._open[process].get("index")
            self._breach(event, f"process {process} begins an operation while its operation {first!r} is open")
        self._open[process] = event

    def _completed(self, process: int, event: Event) -> None:
        invoked = self._open.pop(process, None)
        if invoked is None:
            self._breach(event, f"process {process} completes an operation that it didn't begin")
            return
        if any(not _same(invoked.get(name), event.get(name)) for name in _SAME):
            said = " ".join(repr(event.get(name)) for name in _SAME)
            self._breach(event, f"process {process} completes another operation ({said}) than it began")
        if event["type"] == "info":
            self._retired[process] = invoked.get("index")

    def _of_nemesis(self, event: Event) -> None:
        f, number = event.get("f"), event.get("number")
        if f not in ("inject", "heal") or isinstance(number, bool) or not isinstance(number, int):
            self._breach(event, f"the nemesis does {f!r} with number {number!r}, not inject or heal with a number")
            return
        before = self._nemesis.get((f, number))
        if event["type"] == "invoke":
            if before is not None:
                self._breach(event, f"the nemesis begins to {f} number {number} twice")
            if f == "heal" and ("inject", number) not in self._nemesis:
                self._breach(event, f"the nemesis heals number {number}, which it didn't inject")
            self._nemesis[f, number] = "begun"
        else:
            if before != "begun":
                how = "twice" if before == "completed" else "without having begun"
                self._breach(event, f"the nemesis completes to {f} number {number} {how}")
            self._nemesis[f, number] = "completed"


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one type: true is not 1."""
    return type(one) is type(other) and bool(one == other)
