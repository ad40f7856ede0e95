"""The machine `queue`: first in, first out. Each key is a queue, empty at first.

::

    {"f": "enqueue", "key": "q", "value": 1}     -> null
    {"f": "enqueue", "key": "q", "value": 2}     -> null
    {"f": "dequeue", "key": "q", "value": null}  -> 1
    {"f": "dequeue", "key": "q", "value": null}  -> 2
    {"f": "dequeue", "key": "q", "value": null}  -> null, it is empty

Null can't be enqueued, since it is what an empty queue answers. A `dequeue` changes the state: a client that doesn't hear
the answer may have taken a value that nobody will ever see.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed


class Queue(Keyed):
    name = "queue"
    functions = {
        "enqueue": "value, never null, goes behind all others; the result is null",
        "dequeue": "value null; the result is the value that has waited longest, or null if there is none",
    }
    blank = ()
    takes_no_value = frozenset({"dequeue"})

    def problem_of_value(self, f: str, value: Any) -> str | None:
        return "null can't be enqueued: it is what an empty queue answers" if f == "enqueue" and value is None else None

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        if f == "enqueue":
            return Executed(None, ["put", value])
        return Executed(state[0], ["take", None]) if state else Executed(None, None)

    def change(self, state: Any, effect: Any) -> Any:
        what, value = effect
        return [*state, value] if what == "put" else state[1:]
