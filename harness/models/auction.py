"""The model `auction`: people, and auctions that they open, bid in and close; nobody and nothing at first.

`register` returns true, or false for who is registered. `open`, `bid` and `close` return true (for `close`: `[winner,
amount]`, null and 0 without a bid), or one word or two why not: `not registered`, `there is one already`, `no such
auction`, `closed`, `too low`, `not yours`. What was refused changed nothing, but it saw something: that it was refused, and
why. `look` returns `[open or closed, highest bidder, amount]`, or null for an auction that doesn't exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.checkers.operations import Operation
from harness.models.model import Model, State
from harness.models.values import canonical, show


class _Room(NamedTuple):
    people: frozenset[str]
    auctions: frozenset[tuple[str, tuple[str, str, str | None, int]]]
    """By name: who opened it, `open` or `closed`, who bids most, and how much."""


class Auction(Model):
    name = "auction"
    functions = {
        "register": "value is a person; the result is true, or false if known already",
        "open": "value is [person, auction]; the result is true, or why not",
        "bid": "value is [person, auction, amount]; the result is true, or why not",
        "close": "value is [person, auction]; the result is [winner, amount], or why not",
        "look": "value is an auction; the result is [open or closed, highest bidder, amount], or null",
    }

    def initial(self) -> State:
        return _Room(frozenset(), frozenset())

    def step(self, state: State, operation: Operation) -> Sequence[State] | str:
        assert isinstance(state, _Room)
        answer, after = _answer(state, operation.f, operation.value)
        if operation.type == "info" or canonical(operation.result) == canonical(answer):
            return [after]
        return f"the answer had to be {show(answer)}"

    def pure(self, operation: Operation) -> bool:
        refused = isinstance(operation.result, str) or operation.result is False
        return operation.f == "look" or (operation.type == "ok" and refused)

    def problem(self, operation: Operation) -> str | None:
        wanted = {"open": 2, "bid": 3, "close": 2}.get(operation.f)
        value = operation.value
        if wanted is None and operation.f in self.functions and not isinstance(value, str):
            return f"{operation.f} takes a name, not {show(value)}"
        if wanted is not None and not (isinstance(value, list | tuple) and len(value) == wanted):
            return f"{operation.f} takes an array of {wanted} parts, not {show(value)}"
        return super().problem(operation)


def _answer(room: _Room, f: str, value: Any) -> tuple[Any, _Room]:
    """What one copy, asked by one client at a time, would answer, and what is then."""
    auctions = dict(room.auctions)
    if f == "register":
        return (value not in room.people), room._replace(people=room.people | {value})
    if f == "look":
        found = auctions.get(value)
        return (None if found is None else list(found[1:])), room
    person, name = value[0], value[1]
    if person not in room.people:
        return "not registered", room
    found = auctions.get(name)
    if f == "open":
        if found is not None:
            return "there is one already", room
        return True, _with(room, name, (person, "open", None, 0))
    if found is None:
        return "no such auction", room
    owner, mode, leader, amount = found
    if mode == "closed":
        return "closed", room
    if f == "bid":
        if value[2] <= amount:
            return "too low", room
        return True, _with(room, name, (owner, mode, person, value[2]))
    if owner != person:
        return "not yours", room
    return [leader, amount], _with(room, name, (owner, "closed", leader, amount))


def _with(room: _Room, name: str, auction: tuple[str, str, str | None, int]) -> _Room:
    others = frozenset(entry for entry in room.auctions if entry[0] != name)
    return room._replace(auctions=others | {(name, auction)})
