"""The machine `lock`: a lock server. Each key is a lock, with one holder at a time and fencing tokens that only grow.

`acquire` gives the lock to the owner that its value names, if it is free, and returns a fencing token: a number greater
than every one that this lock gave before. Whoever uses what the lock protects shows the token, and is refused if a greater
one has been seen; so a holder that slept through the end of its lock can do no harm. `release` gives the lock back, if its
value names the holder::

    {"f": "acquire", "key": "l", "value": "p1"}     -> 1
    {"f": "acquire", "key": "l", "value": "p2"}     -> false, p1 holds it
    {"f": "release", "key": "l", "value": "p2"}     -> false, and p1 still holds it
    {"f": "release", "key": "l", "value": "p1"}     -> true
    {"f": "acquire", "key": "l", "value": "p2"}     -> 2

That a request which is sent twice is carried out once is the protocol's business, not the machine's: an owner who
acquires twice, in two requests, is refused the second time.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed


class Lock(Keyed):
    name = "lock"
    functions = {
        "acquire": "value names the owner; the result is the fencing token, or false if the lock is held",
        "release": "value names the owner; the result is true if it held the lock, which is free now, else false",
    }
    blank = (None, 0)

    def problem_of_value(self, f: str, value: Any) -> str | None:
        if not isinstance(value, str) or not value:
            return f"{f} needs the owner as its value, a string and not empty, not {value!r}"
        return None

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        owner, token = state
        if f == "acquire":
            return Executed(False, None) if owner is not None else Executed(token + 1, [value, token + 1])
        return Executed(True, [None, token]) if owner == value else Executed(False, None)

    def change(self, state: Any, effect: Any) -> Any:
        return effect
