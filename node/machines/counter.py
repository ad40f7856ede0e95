"""The machine `counter`. Each key is a whole number, 0 at first.

`add` adds its value, which may be negative, and returns the sum right after it; `read` returns the sum. An addition that
is carried out twice, or not at all, shows at once::

    {"f": "add", "key": "c", "value": 1}      -> 1
    {"f": "add", "key": "c", "value": 3}      -> 4
    {"f": "read", "key": "c", "value": null}  -> 4
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed, is_whole


class Counter(Keyed):
    name = "counter"
    functions = {
        "add": "value, a whole number of at most 64 bits, is added; the result is the sum then",
        "read": "value null; the result is the sum",
    }
    queries = frozenset({"read"})
    blank = 0
    takes_no_value = frozenset({"read"})

    def problem_of_value(self, f: str, value: Any) -> str | None:
        return (
            f"an add takes a whole number of at most 64 bits, not {value!r}"
            if f == "add" and not is_whole(value)
            else None
        )

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        return Executed(state, None) if f == "read" else Executed(state + value, state + value)

    def change(self, state: Any, effect: Any) -> Any:
        return effect
