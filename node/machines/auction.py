"""The machine `auction`: people register, open auctions, bid and close. Each key is a house with its own people.

What an operation does depends on those before it: an auction can't be opened by somebody who is not registered yet. So
replicas that carry out the same operations in different orders come to refuse different ones, and drift apart for good::

    {"f": "register", "key": "h", "value": "ann"}              -> true
    {"f": "open", "key": "h", "value": ["ann", "vase"]}        -> true
    {"f": "bid", "key": "h", "value": ["bob", "vase", 10]}     -> "not registered"
    {"f": "register", "key": "h", "value": "bob"}              -> true
    {"f": "bid", "key": "h", "value": ["bob", "vase", 10]}     -> true
    {"f": "bid", "key": "h", "value": ["ann", "vase", 10]}     -> "too low"
    {"f": "close", "key": "h", "value": ["bob", "vase"]}       -> "not yours"
    {"f": "close", "key": "h", "value": ["ann", "vase"]}       -> ["bob", 10]
    {"f": "look", "key": "h", "value": "vase"}                 -> ["closed", "bob", 10]

A refusal is an ordinary answer and changes nothing. An auction that nobody bid in closes with `[null, 0]`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from node.machine import Executed
from node.machines.keyed import Keyed, is_whole

_PARTS = {"open": 2, "bid": 3, "close": 2}
"""How many parts the value of a function has: the person, the auction, and for a bid the amount."""


class Lot(NamedTuple):
    """One auction."""

    seller: str
    is_open: bool
    bidder: str | None
    amount: int


class Auction(Keyed):
    name = "auction"
    functions = {
        "register": "value is a person; the result is true, or false if the person was registered already",
        "open": "value is [person, auction]; the result is true, or why not",
        "bid": "value is [person, auction, amount]; the result is true, or why not",
        "close": "value is [person, auction]; the result is [winner, amount], or why not",
        "look": "value is an auction; the result is ['open' or 'closed', highest bidder, amount], null if there is none",
    }
    queries = frozenset({"look"})
    blank: ClassVar[Any] = ([], {})

    def problem_of_value(self, f: str, value: Any) -> str | None:
        parts = _PARTS.get(f)
        if parts is None:
            return None if _is_name(value) else f"{f} takes a name, not {value!r}"
        if not (isinstance(value, list) and len(value) == parts and all(map(_is_name, value[:2]))):
            return f"{f} takes [person, auction{', amount' if parts == 3 else ''}], not {value!r}"
        if parts == 3 and not (is_whole(value[2]) and value[2] > 0):
            return f"a bid is a whole number above 0, not {value[2]!r}"
        return None

    def decide(self, state: Any, f: str, value: Any) -> Executed:
        people, lots = state
        if f == "register":
            return Executed(False, None) if value in people else Executed(True, ["person", value])
        if f == "look":
            return Executed(_seen(lots.get(value)), None)
        person, name = value[:2]
        lot = Lot(*lots[name]) if name in lots else None
        if person not in people:
            return Executed("not registered", None)
        if f == "open":
            if lot:
                return Executed("there is one already", None)
            return Executed(True, _put(name, Lot(person, True, None, 0)))
        if lot is None:
            return Executed("no such auction", None)
        if not lot.is_open:
            return Executed("closed", None)
        if f == "bid":
            return _bid(person, name, lot, value[2])
        if person != lot.seller:
            return Executed("not yours", None)
        return Executed([lot.bidder, lot.amount], _put(name, lot._replace(is_open=False)))

    def change(self, state: Any, effect: Any) -> Any:
        people, lots = state
        if effect[0] == "person":
            return [[*people, effect[1]], lots]
        return [people, {**lots, effect[1]: effect[2]}]


def _put(name: str, lot: Lot) -> list[Any]:
    """The effect that makes this of an auction."""
    return ["lot", name, list(lot)]


def _bid(person: str, name: str, lot: Lot, amount: int) -> Executed:
    if amount <= lot.amount:
        return Executed("too low", None)
    return Executed(True, _put(name, lot._replace(bidder=person, amount=amount)))


def _seen(lot: Any) -> Any:
    if lot is None:
        return None
    _, is_open, bidder, amount = lot
    return ["open" if is_open else "closed", bidder, amount]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
