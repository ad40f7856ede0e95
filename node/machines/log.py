"""The machine `log`: what is appended stays, in one order. Each key is a log, empty at first.

This is total order itself, made visible: whoever reads sees a beginning of the one log, and two readers never see their
values in different orders::

    {"f": "append", "key": "l", "value": "a"}   -> 0, its place
    {"f": "append", "key": "l", "value": "b"}   -> 1
    {"f": "read", "key": "l", "value": null}    -> ["a", "b"]

A `read` returns the whole log, so a log should be left for the next one before it gets long.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed


class Log(Keyed):
    name = "log"
    functions = {
        "append": "value goes to the end; the result is its place, counted from 0",
        "read": "value null; the result is an array of all values, in the order of the log",
    }
    queries = frozenset({"read"})
    blank = ()
    takes_no_value = frozenset({"read"})

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        return Executed(list(state), None) if f == "read" else Executed(len(state), value_of(value))

    def change(self, state: Any, effect: Any) -> Any:
        return [*state, effect["value"]]


def value_of(value: Any) -> dict[str, Any]:
    """An effect that is never None, also where the value appended is null."""
    return {"value": value}
