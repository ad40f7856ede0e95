"""The rules of histories: a good history passes, and each rule notices when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.audit import audit
from harness.history import Event


def client(index: int, kind: str, process: int = 0, **more: Any) -> Event:
    event = {"index": index, "time": 10 * index, "type": kind, "process": process, "f": "write", "key": "x", "value": 1}
    return {**event, **more}


def nemesis(index: int, kind: str, f: str, number: int = 1) -> Event:
    return {"index": index, "time": 10 * index, "type": kind, "process": "nemesis", "f": f, "number": number}


def good() -> list[Event]:
    return [
        client(0, "invoke", 0),
        nemesis(1, "invoke", "inject"),
        client(2, "invoke", 1, value=[None, 2], f="cas"),
        client(3, "ok", 0),
        nemesis(4, "ok", "inject"),
        client(5, "info", 1, value=[None, 2], f="cas", error="no answer"),
        {"index": 6, "time": 60, "type": "info", "process": "harness", "f": "note", "value": "hello"},
        client(7, "invoke", 0, f="read", value=None),
        nemesis(8, "invoke", "heal"),
        client(9, "fail", 0, f="read", value=None, error="refused"),
        nemesis(10, "info", "heal"),
        client(11, "invoke", 0),
    ]


def test_a_good_history_passes() -> None:
    assert audit(good()) == []
    assert audit([]) == []


def change(index: int, /, **more: Any) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events[:index], {**events[index], **more}, *events[index + 1 :]]


def without(index: int) -> Callable[[list[Event]], list[Event]]:
    def remove(events: list[Event]) -> list[Event]:
        rest = [*events[:index], *events[index + 1 :]]
        return [{**event, "index": place} for place, event in enumerate(rest)]

    return remove


def with_more(*more: Event) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [*events, *more]


BREACHES = {
    "time runs back": (change(3, time=19), "time runs back, from 20 to 19"),
    "time is no number": (change(3, time="soon"), "its time is 'soon'"),
    "an index is skipped": (change(11, index=12), "it is number 11 in the file"),
    "an index is repeated": (change(5, index=4), "it is number 5 in the file"),
    "a type is unknown": (change(3, type="done"), "its type is 'done'"),
    "a process is unknown": (change(11, process="me"), "its process is 'me'"),
    "a process is missing": (change(11, process=None), "its process is None"),
    "a function is missing": (change(11, f=None), "its f is None"),
    "two operations of a process are open": (change(2, process=0), "begins an operation while its operation 0 is open"),
    "a completion without invocation": (without(0), "completes an operation that it didn't begin"),
    "a completion of another function": (change(3, f="read"), "completes another operation"),
    "a completion of another key": (change(3, key="y"), "completes another operation"),
    "a completion of another value": (change(3, value=True), "completes another operation"),
    "a process goes on after info": (with_more(client(12, "invoke", 1)), "process 1 goes on although"),
    "a completion twice": (
        with_more(client(12, "ok"), client(13, "ok")),
        "completes an operation that it didn't begin",
    ),
    "the nemesis does something else": (change(8, f="rest"), "the nemesis does 'rest'"),
    "the nemesis heals what it didn't inject": (change(8, number=2), "heals number 2, which it didn't inject"),
    "the nemesis injects twice": (with_more(nemesis(12, "invoke", "inject")), "begins to inject number 1 twice"),
    "the nemesis completes twice": (with_more(nemesis(12, "ok", "inject")), "completes to inject number 1 twice"),
    "the nemesis completes the unbegun": (with_more(nemesis(12, "ok", "inject", 2)), "number 2 without having begun"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_every_rule_notices_its_breach(breach: str) -> None:
    spoil, words = BREACHES[breach]
    problems = audit(spoil(good()))
    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith("event ") for problem in problems)


def test_very_many_breaches_are_counted() -> None:
    problems = audit({**event, "type": "?"} for _ in range(10) for event in good())
    assert len(problems) == 21
    assert problems[-1].startswith("and ")
