"""The machine `mailbox`: mail that must not be lost, and marks that may. Each key is a mailbox, empty at first.

People hate to find that mail which they sent is gone; that a message they had read is shown as unread once more, they
hardly notice. So `send` is to be acknowledged only when it is replicated, and `mark` (as read) needs not: it is listed in
`lazy`, and a protocol that can acknowledge first and replicate later may do that with it. Two levels of consistency in
one service, each with a price and a promise of its own::

    {"f": "send", "key": "ann", "value": "m1"}    -> null
    {"f": "mark", "key": "ann", "value": "m1"}    -> true
    {"f": "list", "key": "ann", "value": null}    -> [["m1", true]]

`mark` returns false if there is no such message. `list` gives every message once, in the order of sending, with whether it
is marked.
"""

from __future__ import annotations

from typing import Any

from node.machine import Executed
from node.machines.keyed import Keyed


class Mailbox(Keyed):
    name = "mailbox"
    functions = {
        "send": "value names a message, which is in the mailbox from now on; the result is null",
        "mark": "value names a message, which is marked as read; the result is whether there is such a message",
        "list": "value null; the result is an array of [message, whether it is marked]",
    }
    queries = frozenset({"list"})
    lazy = frozenset({"mark"})
    blank = ()
    takes_no_value = frozenset({"list"})

    def problem_of_value(self, f: str, value: Any) -> str | None:
        if f != "list" and not (isinstance(value, str) and value):
            return f"{f} takes the name of a message, not {value!r}"
        return None

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        if f == "list":
            return Executed([list(entry) for entry in state], None)
        marked = next((entry[1] for entry in state if entry[0] == value), None)
        if f == "send":
            return Executed(None, None if marked is not None else ["send", value])
        return Executed(marked is not None, ["mark", value] if marked is False else None)

    def change(self, state: Any, effect: Any) -> Any:
        what, message = effect
        if what == "send":
            return [*state, [message, False]]
        return [[message, True] if entry[0] == message else entry for entry in state]
