"""The machine `kv`: a register for each key, with read, write and compare-and-set.

A key that was never written holds null, and writing null makes it so again. Values are compared as JSON values: objects
and arrays by their contents, numbers by their value (1 and 1.0 are equal), and true is not 1::

    {"f": "write", "key": "x", "value": 1}          -> null
    {"f": "cas", "key": "x", "value": [1, 2]}       -> true, and x holds 2
    {"f": "cas", "key": "x", "value": [true, 3]}    -> false, and x still holds 2
    {"f": "read", "key": "x", "value": null}        -> 2
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed, Machine, Operation


class KeyValue(Machine):
    name = "kv"
    functions = {
        "read": "value null; the result is what the key holds, null if it was never written",
        "write": "value is what the key shall hold; the result is null",
        "cas": "value is [from, to]; if the key holds `from` it now holds `to` and the result is true, else false",
    }
    queries = frozenset({"read"})

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def problem(self, operation: Operation) -> str | None:
        f, key, value = operation.get("f"), operation.get("key"), operation.get("value")
        if not isinstance(f, str) or f not in self.functions:
            return f"kv has no function {f!r}: use one of {', '.join(self.functions)}"
        if not isinstance(key, str) or not key:
            return f"kv needs a key that is a string and not empty, not {key!r}"
        if f == "read" and value is not None:
            return f"a read takes no value, not {value!r}"
        if f == "cas" and not (isinstance(value, list) and len(value) == 2):
            return f"a cas takes the value [from, to], not {value!r}"
        return None

    def execute(self, operation: Operation) -> Executed:
        key, value = operation["key"], operation["value"]
        held = self._values.get(key)
        if operation["f"] == "read":
            return Executed(held, None)
        if operation["f"] == "write":
            return Executed(None, [key, value])
        expected, new = value
        if equal(held, expected):
            return Executed(True, [key, new])
        return Executed(False, None)

    def install(self, effect: Any) -> None:
        if effect is None:
            return
        key, value = effect
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def snapshot(self) -> Any:
        # The values themselves are shared: they are replaced, never changed in place.
        return dict(self._values)

    def restore(self, snapshot: Any) -> None:
        self._values = {} if snapshot is None else dict(snapshot)


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: as Python's `==`, but true and false are no numbers."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    return bool(one == other)
