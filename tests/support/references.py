"""The machines that the models describe, written once more as plain programs: an opinion of their own for the tests.

Each is a function of a state (any Python value) and an operation; it gives the next state and the result. Values are
small whole numbers here, or strings where something is appended.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.checkers.operations import Operation, from_intervals
from tests.support.brute import operation

Step = Callable[[Any, str, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Reference:
    """One machine: how it begins, what it does, and what its clients ask for."""

    initial: Any
    step: Step
    ask: Callable[[random.Random, int], tuple[str, Any]]
    """A random function and value; the number is fresh, for values used once."""


def _register(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    if f == "write":
        return value, None
    return (value[1], True) if state == value[0] else (state, False)


def _kv(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "get":
        return state, state
    if f == "put":
        return value, None
    if f == "append":
        return (state or "") + value, None
    if f == "delete":
        return None, state is not None
    return (value[1], True) if state == value[0] else (state, False)


def _once(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    return (value, True) if state is None else (state, False)


def _counter(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    total = state + (value or 0)
    return total, total


def _set(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, sorted(state)
    if f == "contains":
        return state, value in state
    if f == "add":
        return [*state, value] if value not in state else state, value not in state
    return [one for one in state if one != value], value in state


def _queue(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "enqueue":
        return [*state, value], None
    return (state[1:], state[0]) if state else (state, None)


def _stack(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "push":
        return [value, *state], None
    return (state[1:], state[0]) if state else (state, None)


def _lock(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    """Every second token is skipped: tokens grow, but need not be dense."""
    holder, token = state
    if f == "acquire":
        return ((value, token + 2), token + 2) if holder is None else (state, False)
    return ((None, token), True) if holder == value else (state, False)


def _log(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, list(state)
    return [*state, value], len(state)


def _auction(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    """People and lots in one dict: `people` is a list, every other entry `[seller, closed, bidder, amount]`."""
    if f == "look":
        seller, closed, bidder, amount = state.get(value, (None, None, None, None))
        return state, None if seller is None else ["closed" if closed else "open", bidder, amount]
    if f == "register":
        known = value in state["people"]
        return state if known else {**state, "people": [*state["people"], value]}, not known
    who, lot, *bid = value
    seller, closed, bidder, amount = state.get(lot, (None, False, None, 0))
    reasons = [
        ("not registered", who not in state["people"]),
        ("there is one already", f == "open" and seller is not None),
        ("no such auction", f != "open" and seller is None),
        ("closed", f != "open" and closed),
        ("too low", f == "bid" and bid[:1] <= [amount]),
        ("not yours", f == "close" and who != seller),
    ]
    for reason, holds in reasons:
        if holds:
            return state, reason
    if f == "close":
        return {**state, lot: (seller, True, bidder, amount)}, [bidder, amount]
    return {**state, lot: (who, False, None, 0) if f == "open" else (seller, False, who, bid[0])}, True


def _mailbox(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    """Nobody ever sees a mark here: they may lag for as long as they like."""
    if f == "list":
        return state, [[message, False] for message in state]
    if f == "mark":
        return state, value in state
    return state if value in state else [*state, value], None


def _choice(*asks: Callable[[random.Random, int], tuple[str, Any]]) -> Callable[[random.Random, int], tuple[str, Any]]:
    return lambda chance, fresh: chance.choice(asks)(chance, fresh)


def _few(f: str, values: int = 3) -> Callable[[random.Random, int], tuple[str, Any]]:
    return lambda chance, fresh: (f, chance.randrange(values))


def _fresh(f: str) -> Callable[[random.Random, int], tuple[str, Any]]:
    return lambda chance, fresh: (f, fresh)


def _bare(f: str) -> Callable[[random.Random, int], tuple[str, Any]]:
    return lambda chance, fresh: (f, None)


def _cas(values: Any) -> Callable[[random.Random, int], tuple[str, Any]]:
    return lambda chance, fresh: ("cas", [chance.choice(values), chance.choice(values)])


_TEXTS: list[Any] = [None, "a", "b", "ab"]

REFERENCES: dict[str, Reference] = {
    "register": Reference(
        None, _register, _choice(_bare("read"), _few("write"), _fresh("write"), _cas([None, 0, 1, 2]))
    ),
    "kv": Reference(
        None,
        _kv,
        _choice(
            _bare("get"),
            _bare("get"),
            lambda chance, fresh: ("put", chance.choice(_TEXTS[1:])),
            lambda chance, fresh: ("append", chance.choice(["a", "b", f"{fresh};"])),
            _cas(_TEXTS),
            _bare("delete"),
        ),
    ),
    "write-once": Reference(None, _once, _choice(_bare("read"), _few("write"), _fresh("write"))),
    "counter": Reference(0, _counter, _choice(_bare("read"), lambda chance, fresh: ("add", chance.randint(-1, 2)))),
    "set": Reference([], _set, _choice(_few("add", 2), _few("remove", 2), _few("contains", 2), _bare("read"))),
    "queue": Reference([], _queue, _choice(_few("enqueue", 2), _fresh("enqueue"), _bare("dequeue"), _bare("dequeue"))),
    "stack": Reference([], _stack, _choice(_few("push", 2), _fresh("push"), _bare("pop"), _bare("pop"))),
    "lock": Reference(
        (None, 0), _lock, _choice(_few("acquire", 2), lambda chance, fresh: ("release", chance.randrange(2)))
    ),
    "log": Reference([], _log, _choice(_few("append", 2), _fresh("append"), _bare("read"))),
    "auction": Reference(
        {"people": []},
        _auction,
        _choice(
            lambda chance, fresh: ("register", chance.choice(["ann", "bob"])),
            lambda chance, fresh: ("open", [chance.choice(["ann", "bob"]), "vase"]),
            lambda chance, fresh: ("bid", [chance.choice(["ann", "bob"]), "vase", chance.randint(1, 3)]),
            lambda chance, fresh: ("close", [chance.choice(["ann", "bob"]), "vase"]),
            lambda chance, fresh: ("look", "vase"),
        ),
    ),
    "mailbox": Reference(
        [],
        _mailbox,
        _choice(
            lambda chance, fresh: ("send", f"m{chance.randrange(3)}"),
            lambda chance, fresh: ("mark", f"m{chance.randrange(3)}"),
            _bare("list"),
        ),
    ),
}


def random_history(
    chance: random.Random, reference: Reference, operations: int, crashed: float, spoiled: float
) -> list[Operation]:
    """Operations with random times (equal ones too), answered in one of the orders that their times allow.

    Crashed ones happened or not. With the chance `spoiled` a few answers are replaced by those of other operations of
    the same function, or their intervals are moved: about as often linearizable as not.
    """
    span = chance.choice([2, 4, 8]) * operations
    made: list[tuple[float, Operation]] = []
    for number in range(operations):
        f, value = reference.ask(chance, 10 + number)
        call = chance.randrange(span)
        end = call + chance.randint(0, max(1, span // 4))
        lives = chance.random() >= crashed
        made.append((chance.uniform(call, end), operation(number, f, value, None, call, end if lives else None)))
    state = reference.initial
    for _, one in sorted(made, key=lambda entry: entry[0]):
        if one.type == "info" and chance.random() < 0.5:
            continue
        state, result = reference.step(state, one.f, one.value)
        one.result = result if one.type == "ok" else None
    history = [one for _, one in made]
    if chance.random() < spoiled:
        for _ in range(3):
            _spoil(chance, history, span)
    return from_intervals(history)


def _spoil(chance: random.Random, history: list[Operation], span: int) -> None:
    one = chance.choice(history)
    others = [other.result for other in history if other.f == one.f and other.type == "ok" and other is not one]
    if one.type == "ok" and others and chance.random() < 0.6:
        one.result = chance.choice(others)
    else:
        one.call_ns = chance.randrange(span)
        if one.return_ns is not None:
            one.return_ns = one.call_ns + chance.randint(0, 2)
