"""The machine `set`. Each key is a set of JSON values, empty at first.

::

    {"f": "add", "key": "s", "value": 3}          -> true, it is new
    {"f": "add", "key": "s", "value": 3}          -> false, it was there
    {"f": "contains", "key": "s", "value": 3}     -> true
    {"f": "read", "key": "s", "value": null}      -> [3]
    {"f": "remove", "key": "s", "value": 3}       -> true, it was there

Two elements are the same if they are equal as JSON values (see `node.machines.kv.equal`). `read` gives them in the order
in which they were added.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed
from node.machines.kv import equal


class Set(Keyed):
    name = "set"
    functions = {
        "add": "value is in the set from now on; the result is whether it wasn't before",
        "remove": "value isn't in the set any more; the result is whether it was before",
        "contains": "the result is whether value is in the set",
        "read": "value null; the result is an array of all elements",
    }
    queries = frozenset({"contains", "read"})
    blank = ()
    takes_no_value = frozenset({"read"})

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        if f == "read":
            return Executed(list(state), None)
        inside = any(equal(element, value) for element in state)
        if f == "contains":
            return Executed(inside, None)
        if f == "add":
            return Executed(not inside, None if inside else ["add", value])
        return Executed(inside, ["remove", value] if inside else None)

    def change(self, state: Any, effect: Any) -> Any:
        what, value = effect
        rest = [element for element in state if not equal(element, value)]
        return [*rest, value] if what == "add" else rest
