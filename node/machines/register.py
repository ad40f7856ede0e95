"""The machine `register`: it takes one value and keeps it. Each key is such a register, holding null at first.

::

    {"f": "read", "key": "x", "value": null}    -> null
    {"f": "write", "key": "x", "value": 5}      -> true
    {"f": "write", "key": "x", "value": 6}      -> false, it holds 5 for ever
    {"f": "read", "key": "x", "value": null}    -> 5

This is what a single decree of Paxos decides: whoever comes first wins, and all agree on who that was.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed


class WriteOnce(Keyed):
    name = "register"
    functions = {
        "read": "value null; the result is the value that was written, or null if none was yet",
        "write": "value, never null, is kept for ever; the result is true, or false if one was written before",
    }
    queries = frozenset({"read"})
    takes_no_value = frozenset({"read"})

    def problem_of_value(self, f: str, value: Any) -> str | None:
        unwritable = f == "write" and value is None
        return "null can't be written: it is what a read gives before anything is written" if unwritable else None

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        if f == "read":
            return Executed(state, None)
        return Executed(True, value) if state is None else Executed(False, None)

    def change(self, state: Any, effect: Any) -> Any:
        return effect
