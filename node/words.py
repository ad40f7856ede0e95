"""Messages, records and operations in a few words, for people who read what happened in a run.

A protocol has a phrase for each type of its messages and records, with fields in braces, and behind a colon how a field is
told (`_HOW`)::

    phrases = {"accept": "accept: {entries:slots} (ballot {ballot:pair})"}
    phrase(phrases, message)    # accept: slot 7 is p3's write k0 17 (ballot 2.1)

Where a type has several forms, there are several phrases for it, and the first one counts whose fields are all there.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Phrases = Mapping[str, str | Sequence[str]]

_LONGEST = 90
"""Characters of one part; a longer one is cut."""


def phrase(phrases: Phrases, message: Mapping[str, Any]) -> str:
    """The phrase for it, filled in; without one that fits its type and its fields."""
    known = phrases.get(str(message.get("type")), ())
    for one in (known,) if isinstance(known, str) else known:
        try:
            return _FORMATTER.vformat(one, (), message)
        except (KeyError, IndexError, TypeError, ValueError):  # another form of it, or of another version
            continue
    return message_words(message)


def message_words(message: Mapping[str, Any]) -> str:
    """Its type, then its fields: `accept ballot 2.1, entries 7: p3's write k0 17, commit 6`."""
    fields = [f"{name} {say(value)}" for name, value in message.items() if name != "type"]
    return f"{message.get('type', 'message')} {', '.join(fields)}".strip()


def tell(value: Any, how: str = "") -> str:
    """A value in words, in one of the ways that phrases can name behind a colon; if it isn't of that form, as `say` has it."""
    try:
        return _HOW[how](value)
    except (KeyError, IndexError, TypeError, ValueError):
        return say(value)


def operation_words(operation: Mapping[str, Any]) -> str:
    """`write k0 17`; without the value where there is none."""
    value = operation.get("value")
    told = "" if value is None else f" {json.dumps(value)}"
    return _cut(f"{operation['f']} {operation.get('key', '')}{told}".strip())


def say(value: Any) -> str:
    """A JSON value: operations in words, requests with whose they are, the rest as JSON without its brackets."""
    if isinstance(value, dict):
        if "f" in value:
            return operation_words(value)
        return _cut(" ".join(f"{name}={say(part)}" for name, part in value.items()) or "nothing")
    if not isinstance(value, list | tuple):
        return value if isinstance(value, str) else json.dumps(value)
    if len(value) == 3 and isinstance(value[0], str) and isinstance(value[2], dict) and "f" in value[2]:
        return f"{value[0]}'s {operation_words(value[2])}"
    if len(value) == 2 and isinstance(value[0], int) and isinstance(value[1], list | dict):
        return _cut(f"{value[0]}: {say(value[1])}")
    return _cut("; ".join(map(say, value)) or "nothing")


def _pair(value: Any) -> str:
    """A ballot, number or version: `3.1`."""
    return "none" if value is None else ".".join(map(str, value))


def _request(value: Any) -> str:
    return "nothing" if value is None else say(value)


def _slots(value: Any) -> str:
    """Pairs of a slot and a decree, or of a slot, its ballot and a decree; or numbers alone."""
    return _cut("; ".join(map(_slot, value)) or "nothing")


def _slot(value: Any) -> str:
    if isinstance(value, int):
        return f"slot {value}"
    under = f" under {_pair(value[1])}" if len(value) == 3 else ""
    return f"slot {value[0]}{under} is {_decree(value[-1])}"


def _decree(value: Any) -> str:
    return _cut(", ".join(map(say, value)) or "nothing")


def _entry(value: Any) -> str:
    """An entry of a log: `p3's write k0 17 (term 2)`."""
    term, request = value
    return f"{'an empty entry' if request is None else say(request)} (term {term})"


def _change(value: Any) -> str:
    """What a machine takes over: `k0.0: 17`."""
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str):
        return f"{value[0]}: {say(value[1])}"
    return "no change" if value is None else say(value)


def _state(value: Any) -> str:
    """A state of which only a digest is known; or that of a machine, and that of a table of clients."""
    if isinstance(value, str):
        return f"a state with digest {value}"
    machine, clients = value
    return f"a machine with digest {machine} and {_clients(clients)}"


def _clients(value: int) -> str:
    return f"a table of clients with digest {value:08x}"


def _counts(value: Any) -> str:
    """How many of each replica's updates: `2 of n1, 5 of n2`."""
    return ", ".join(f"{number} of {replica}" for replica, number in value.items() if number) or "none"


def _terms(value: Any) -> str:
    """Entries of a log, each with its term."""
    return _cut("; ".join(f"{_request(request)} (term {term})" for term, request in value) or "nothing")


def _effects(value: Any) -> str:
    return _cut("; ".join(map(_effect, value)) or "nothing")


def _effect(value: Any) -> str:
    """What a request of a client came to: `p3's request 0 changes k0.0: 17`; or, sent as it was: `p3's write k0.0 17`."""
    if len(value) == 3:
        return say(value)
    client, sequence, _, effect = value
    who = f"{client}'s request {sequence}"
    if effect is None:
        return f"{who} changes nothing"
    if isinstance(effect, dict):
        return f"{who} is {say(effect)}"
    key, change = effect
    parts = change if isinstance(change, list) else [change]
    return f"{who} changes {key}: {' '.join(part if isinstance(part, str) else json.dumps(part) for part in parts)}"


def _view(value: Any) -> str:
    """`2 of n1 with n1 n3`."""
    return f"{value[0]} of {value[1]} with {' '.join(value[3])}"


def _copy(value: Any) -> str:
    """A value and its version: `17 (version 3.1)`."""
    (version, entry) = value
    return f"{json.dumps(entry[1]) if entry else 'nothing'} (version {_pair(version)})"


_HOW: Mapping[str, Callable[[Any], str]] = {
    "": say,
    "pair": _pair,
    "request": _request,
    "slots": _slots,
    "decree": _decree,
    "decrees": lambda value: _cut("; ".join(map(_decree, value))),
    "terms": _terms,
    "effect": _effect,
    "effects": _effects,
    "view": _view,
    "copy": _copy,
    "ballot": lambda value: f"ballot {_pair(value)}",
    "number": lambda value: f"number {_pair(value)}",
    "version": lambda value: f"version {_pair(value)}",
    "rank": lambda value: f"view {value[0]} of {f'n{value[1]}' if value[1] else 'nobody'}",
    "term": lambda value: f"term {value}",
    "after": lambda value: f"it after an entry of term {value}",
    "entry": _entry,
    "change": _change,
    "versioned": lambda value: f"{_change(value[2])} (version {_pair(value[1])})",
    "state": _state,
    "clients": _clients,
    "counts": _counts,
    "updates": lambda value: f"{value} updates",
    "yes": lambda value: "yes" if value else "no",
    "commits": lambda value: "commit" if value else "abort",
    "voted": lambda value: f"votes for {value}" if value else "has not voted",
}


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return _HOW[format_spec](value)


_FORMATTER = _Formatter()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
