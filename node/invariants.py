"""THE CONTRACT of a claim: what a protocol says about itself, to be held against what all others say.

A client sees a broken protocol late, if ever. A witness who is told what goes on inside sees it at once: two decrees in
one slot, a promise that was forgotten, a leader that doesn't know what was acknowledged. So a protocol may say, by
`Protocol.invariants()`, what has become true of it since it was last asked. It judges nothing itself; the simulator's
witness (`harness.simulation.laws`) remembers every claim of every replica and says when two can't both be.

When a protocol is asked
    After a turn whose records are durable, before its output leaves. What is said here can thus not be lost by a kill,
    and a message never arrives before the claims of the turn that sent it. A replica that was killed before its sync has
    claimed nothing. On real replicas nobody asks, so a protocol must not store up claims for a day that never comes: it
    keeps what it last told and compares.

What a law may say
    Only what the protocol promises under every fault that can happen to it. One that promises something only as long as
    nobody alive is believed dead marks the claim with `assumes_detector`, and tells by `TakesPart` and `LeavesOut` what
    it goes by; from the first wrong belief on the witness lets such claims pass. Every law assumes that disks keep what
    they have synced: a replica that was wiped ends all of them.

Every claim names its law in a few words that complete "the law that ...": `a slot holds one decree`. These words are
fixed, since they name the kind of a finding: which key it is, or which replica, stands in the claim's place. Places, tokens,
values and results are JSON values; tuples are welcome where a list would not be hashable. `how` says how a value is told to
people: see `node.words.tell`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple


class Agreed(NamedTuple):
    """At `place` there is `value`, and never anything else: not on any replica, not at any time."""

    law: str
    place: Hashable
    value: Any
    how: str = ""


class Grows(NamedTuple):
    """This replica's `value` never becomes smaller, not even over a kill: a promise, a view. At `place`, if it has one for
    each of several.

    Values of one law are compared by `<`: numbers, or tuples of them.
    """

    law: str
    value: Any
    how: str = ""
    place: Hashable = ""


class Exclusive(NamedTuple):
    """`token` belongs to this replica, in this life of it, for ever: a ballot that it stands with."""

    law: str
    token: Hashable


class Accepted(NamedTuple):
    """This replica has given its word, and has it on disk, for `value` at `place` under `ballot`.

    Under one ballot there is one value for a place.
    """

    law: str
    place: Hashable
    ballot: Hashable
    value: Any
    how: str = ""


class Decided(NamedTuple):
    """`value` is decided at `place`, because `needed` replicas have `Accepted` it there under one ballot.

    And, as with `Agreed`, nothing else is ever decided there. The law is that of the `Accepted` claims.
    """

    law: str
    place: Hashable
    value: Any
    needed: int
    how: str = ""


class Stored(NamedTuple):
    """Of the sequence `token` (the effects of one reign), this replica has everything up to `number` on disk."""

    law: str
    token: Hashable
    number: int


class Relied(NamedTuple):
    """What this replica acknowledges rests on each of `replicas` having `Stored` the sequence `token` up to `number`."""

    law: str
    token: Hashable
    number: int
    replicas: tuple[str, ...]


class CarriedOut(NamedTuple):
    """This replica has carried out the request `(client, sequence)` at `place`, for good, with `result`.

    Whoever else does so does it at the same place with the same result; and at no second place does anybody.
    """

    law: str
    place: str
    client: str
    sequence: int
    result: Any


class Answers(NamedTuple):
    """From now on in this life, whatever this replica answers by ok (queries apart) was `CarriedOut` with that result.

    On some replica; it may know of it by a snapshot only. Said once, at the beginning of a life.
    """

    law: str


class Serves(NamedTuple):
    """In charge by `token`, which it claims as `Exclusive`, this replica is now able to serve.

    `known` gives the sequence number of the last request that it knows of each client. Everything that anybody had
    acknowledged (queries apart) when the token was first claimed must be among it: nothing acknowledged is ever lost.
    """

    law: str
    token: Hashable
    known: Mapping[str, int]
    assumes_detector: bool = False


class TakesPart(NamedTuple):
    """Whether this replica counts itself a member. One that was killed doesn't, until it says so again."""

    active: bool


class LeavesOut(NamedTuple):
    """This replica acts, until it says otherwise, on the belief that `replicas` take part no more.

    If one of them does while this one takes part, the failure detector was wrong.
    """

    replicas: tuple[str, ...]


Claim = (
    Agreed
    | Grows
    | Exclusive
    | Accepted
    | Decided
    | Stored
    | Relied
    | CarriedOut
    | Answers
    | Serves
    | TakesPart
    | LeavesOut
)


_FIRST_COMPARED = 16
_COMPARED_EVERY = 8


def is_compared(number: int) -> bool:
    """Whether replicas that have taken over so many changes are to claim equal states.

    To digest a state takes longer than to change it, so not each time; but at first it is small, and a small run shows as
    much as a large one.
    """
    return number <= _FIRST_COMPARED or number % _COMPARED_EVERY == 0


class News(deque[Claim]):
    """What has become true since a witness last asked, for protocols that note it as it happens.

    The oldest goes first beyond a bound that is more than becomes true between two questions: on real replicas nobody asks.
    """

    MOST = 1_024

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        super().__init__(claims, maxlen=self.MOST)

    def new(self) -> list[Claim]:
        """All of it, which is news no more."""
        claims = list(self)
        self.clear()
        return claims
