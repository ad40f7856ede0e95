"""The witness: holds what every replica says of itself against what all others have said, and names what can't be.

The host of a simulated replica feeds it, in this order in every turn: `told` when the turn is durable, then
`acknowledged` for every ok that leaves; and `killed` or `wiped` when that happens. See `node.invariants` for the claims::

    witness = Witness(queries=machine.queries, lazy=machine.lazy)
    witness.told(time_ns, "n1", protocol.invariants())
    witness.acknowledged(time_ns, "n1", request, result)
    witness.broken        # [Broken(law="a slot holds one decree", sentence="slot 7: n1 ... and n3 ...", ...)]

Of each law the first breach is kept: what follows is mostly its consequence. The witness forgets nothing else, so it
grows with the length of a run; it is made for runs of seconds and minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from node.invariants import (
    Accepted,
    Agreed,
    Answers,
    CarriedOut,
    Claim,
    Decided,
    Exclusive,
    Grows,
    LeavesOut,
    Relied,
    Serves,
    Stored,
    TakesPart,
)
from node.protocol import Request
from node.words import tell

LONGEST_VALUE = 160
"""Characters of a value in a sentence; the middle of a longer one is left out."""


@dataclass(frozen=True)
class Broken:
    """A law that can't have been kept: what was said by whom, at the virtual time of the last claim that it took."""

    law: str
    sentence: str
    time_ns: int
    replicas: tuple[str, ...]
    """Those whose claims can't both be, in the order in which they made them."""


@dataclass
class _Votes:
    """What was accepted at a place under one ballot, and by whom."""

    value: Any
    voters: list[str] = field(default_factory=list)


class Witness:
    """See the module."""

    def __init__(self, queries: Collection[str] = (), lazy: Collection[str] = ()) -> None:
        self.broken: list[Broken] = []
        self.void: str | None = None
        """Why no law holds any more, if that is so: a replica lost its disk."""
        self.detector_wrong: str | None = None
        """Why claims that assume a right failure detector pass from now on, if that is so."""
        self._queries = frozenset(queries)
        self._lazy = frozenset(lazy)
        """Functions of which an acknowledgement is no promise that nothing is lost."""
        self._lives: dict[str, int] = {}
        self._agreed: dict[tuple[str, Hashable], tuple[Any, str]] = {}
        self._grown: dict[tuple[str, str, Hashable], Any] = {}
        self._owners: dict[Hashable, tuple[str, int]] = {}
        self._known_at_claim: dict[Hashable, dict[str, tuple[int, str]]] = {}
        """By token: what had been acknowledged when it was first claimed."""
        self._votes: dict[tuple[str, Hashable], dict[Hashable, _Votes]] = {}
        self._decided: dict[tuple[str, Hashable], tuple[Any, str]] = {}
        self._stored: dict[tuple[str, Hashable], dict[str, int]] = {}
        self._carried_out: dict[tuple[str, int], tuple[Any, str, str]] = {}
        """By request: its result, where it was carried out, and who said so first."""
        self._answering: dict[str, str] = {}
        self._acknowledged: dict[str, tuple[int, str]] = {}
        """By client: the last sequence number that was acknowledged to it, and by whom."""
        self._active: set[str] = set()
        self._left_out: dict[str, tuple[str, ...]] = {}
        self._judges: dict[type[Any], Callable[[int, str, Any], None]] = {
            Agreed: self._on_agreed,
            Grows: self._on_grows,
            Exclusive: self._on_exclusive,
            Accepted: self._on_accepted,
            Decided: self._on_decided,
            Stored: self._on_stored,
            Relied: self._on_relied,
            CarriedOut: self._on_carried_out,
            Answers: self._on_answers,
            Serves: self._on_serves,
            TakesPart: self._on_takes_part,
            LeavesOut: self._on_leaves_out,
        }

    # ---- what the host tells

    def told(self, time_ns: int, replica: str, claims: Iterable[Claim]) -> None:
        """A turn of the replica is durable, and this is what its protocol says of itself since the last one."""
        if self.void is None:
            for claim in claims:
                self._judges[type(claim)](time_ns, replica, claim)

    def acknowledged(self, time_ns: int, replica: str, request: Request, result: Any) -> None:
        """An ok leaves the replica, whether or not anybody still waits for it."""
        if request.operation["f"] in self._queries or self.void is not None:
            return
        client, sequence = request.client, request.sequence
        law = self._answering.get(replica)
        if law is not None:
            carried_out = self._carried_out.get((client, sequence))
            if carried_out is None:
                sentence = (
                    f"{replica} tells {client} that its request {sequence} is done, and nobody has carried it out"
                )
                self._break(law, sentence, time_ns, replica)
            elif carried_out[0] != result:
                sentence = (
                    f"{replica} tells {client} that its request {sequence} returned {_returned(result)}; "
                    f"on {carried_out[2]} it returned {_returned(carried_out[0])}"
                )
                self._break(law, sentence, time_ns, *_each(carried_out[2], replica))
        if request.operation["f"] in self._lazy:
            return
        if sequence > self._acknowledged.get(client, (-1, ""))[0]:
            self._acknowledged[client] = (sequence, replica)

    def killed(self, replica: str) -> None:
        """Whatever was only in the replica's memory is gone."""
        self._lives[replica] = self._lives.get(replica, 0) + 1
        self._active.discard(replica)
        self._left_out.pop(replica, None)
        self._answering.pop(replica, None)

    def wiped(self, time_ns: int, replica: str) -> None:
        """The replica lost its disk: no protocol here promises anything then."""
        self.void = self.void or f"{replica} lost its disk at {time_ns / 1e9:.3f} s"

    # ---- the laws

    def _on_agreed(self, time_ns: int, replica: str, claim: Agreed) -> None:
        said = self._agreed.setdefault((claim.law, claim.place), (claim.value, replica))
        if said[0] != claim.value:
            self._differ(claim.law, claim.place, said, (claim.value, replica), time_ns, claim.how)

    def _on_grows(self, time_ns: int, replica: str, claim: Grows) -> None:
        before = self._grown.get((claim.law, replica, claim.place))
        if before is not None and claim.value < before:
            place = f"{claim.place}: " if claim.place else ""
            sentence = f"{place}{replica} goes back from {tell(before, claim.how)} to {tell(claim.value, claim.how)}"
            self._break(claim.law, sentence, time_ns, replica)
        self._grown[claim.law, replica, claim.place] = claim.value

    def _on_exclusive(self, time_ns: int, replica: str, claim: Exclusive) -> None:
        owner = (replica, self._lives.get(replica, 0))
        first = self._owners.setdefault(claim.token, owner)
        if first == owner:
            self._known_at_claim.setdefault(claim.token, dict(self._acknowledged))
        elif first[0] == replica:
            sentence = f"{claim.token}: {replica} uses it, and has used it before it was restarted"
            self._break(claim.law, sentence, time_ns, replica)
        else:
            self._break(claim.law, f"{claim.token}: {first[0]} and {replica} both use it", time_ns, first[0], replica)

    def _on_accepted(self, time_ns: int, replica: str, claim: Accepted) -> None:
        ballots = self._votes.setdefault((claim.law, claim.place), {})
        votes = ballots.get(claim.ballot)
        if votes is None:
            votes = ballots[claim.ballot] = _Votes(claim.value)
        elif votes.value != claim.value:
            place = f"{claim.place}, {claim.ballot}"
            self._differ(claim.law, place, (votes.value, votes.voters[0]), (claim.value, replica), time_ns, claim.how)
            return
        if replica not in votes.voters:
            votes.voters.append(replica)

    def _on_decided(self, time_ns: int, replica: str, claim: Decided) -> None:
        key = (claim.law, claim.place)
        before = self._decided.get(key)
        if before is not None:
            if before[0] != claim.value:
                self._differ(claim.law, claim.place, before, (claim.value, replica), time_ns, claim.how)
            return
        self._decided[key] = (claim.value, replica)
        fitting = {b: votes.voters for b, votes in self._votes.get(key, {}).items() if votes.value == claim.value}
        if max(map(len, fitting.values()), default=0) < claim.needed:
            accepted = "; ".join(f"{' and '.join(voters)} under {ballot}" for ballot, voters in fitting.items())
            value = _short(tell(claim.value, claim.how))
            sentence = (
                f"{claim.place}: {replica} takes {value} as decided, which takes {claim.needed} replicas "
                f"under the same number; it was accepted by {accepted or 'nobody'}"
            )
            self._break(claim.law, sentence, time_ns, replica)

    def _on_stored(self, time_ns: int, replica: str, claim: Stored) -> None:
        self._stored.setdefault((claim.law, claim.token), {})[replica] = claim.number

    def _on_relied(self, time_ns: int, replica: str, claim: Relied) -> None:
        stored = self._stored.get((claim.law, claim.token), {})
        for other in claim.replicas:
            number = stored.get(other, 0)
            if number < claim.number:
                sentence = (
                    f"{replica} acknowledges up to {claim.number} of {claim.token}, and {other} has it up to {number}"
                )
                if other == replica:
                    sentence = f"{replica} goes by {claim.token} up to {claim.number}, and has them up to {number} only"
                self._break(claim.law, sentence, time_ns, replica, other)
                return

    def _on_carried_out(self, time_ns: int, replica: str, claim: CarriedOut) -> None:
        said = (claim.result, claim.place, replica)
        before = self._carried_out.setdefault((claim.client, claim.sequence), said)
        if before is said:
            return
        result, place, first = before
        request = f"request {claim.sequence} of {claim.client}"
        if place != claim.place:
            sentence = f"{request}: carried out by {first} in {place}, and by {replica} in {claim.place}"
            self._break(claim.law, sentence, time_ns, *_each(first, replica))
        elif result != claim.result:
            sentence = f"{request} returned {_returned(result)} on {first} and {_returned(claim.result)} on {replica}"
            self._break(claim.law, sentence, time_ns, *_each(first, replica))

    def _on_answers(self, time_ns: int, replica: str, claim: Answers) -> None:
        self._answering[replica] = claim.law

    def _on_serves(self, time_ns: int, replica: str, claim: Serves) -> None:
        if claim.assumes_detector and self.detector_wrong is not None:
            return
        due = self._known_at_claim.get(claim.token, self._acknowledged)
        for client, (sequence, by) in due.items():
            known = claim.known.get(client, -1)
            if known < sequence:
                last = f"the last one that it knows is {known}" if known >= 0 else "it knows none of this client"
                sentence = (
                    f"{replica} begins to serve with {claim.token} and has lost request {sequence} of {client}, which "
                    f"{by} had acknowledged: {last}"
                )
                self._break(claim.law, sentence, time_ns, by, replica)
                return

    # ---- what some laws assume

    def _on_takes_part(self, time_ns: int, replica: str, claim: TakesPart) -> None:
        if claim.active:
            self._active.add(replica)
            self._look_for_wrong_beliefs(time_ns)
        else:
            self._active.discard(replica)

    def _on_leaves_out(self, time_ns: int, replica: str, claim: LeavesOut) -> None:
        self._left_out[replica] = claim.replicas
        self._look_for_wrong_beliefs(time_ns)

    def _look_for_wrong_beliefs(self, time_ns: int) -> None:
        for replica, left_out in self._left_out.items():
            if self.detector_wrong is None and replica in self._active:
                wrongly = next((other for other in left_out if other in self._active), None)
                if wrongly is not None:
                    self.detector_wrong = (
                        f"{replica} believes at {time_ns / 1e9:.3f} s that {wrongly} is dead; it isn't"
                    )

    # ---- findings

    def _differ(
        self, law: str, place: Hashable, one: tuple[Any, str], other: tuple[Any, str], time_ns: int, how: str
    ) -> None:
        """Two values where there may be one."""
        first, second = _short(tell(one[0], how)), _short(tell(other[0], how))
        if first == second:  # what makes them differ isn't told in words
            first, second = _short(repr(one[0])), _short(repr(other[0]))
        if one[1] == other[1]:
            sentence = f"{place}: {one[1]} had {first} and now has {second}"
        else:
            sentence = f"{place}: {one[1]} has {first} and {other[1]} has {second}"
        self._break(law, sentence, time_ns, *_each(one[1], other[1]))

    def _break(self, law: str, sentence: str, time_ns: int, *replicas: str) -> None:
        if all(broken.law != law for broken in self.broken):
            self.broken.append(Broken(law, sentence, time_ns, replicas))


def _each(one: str, other: str) -> tuple[str, ...]:
    return (one,) if one == other else (one, other)


def _returned(result: Any) -> str:
    return "nothing" if result is None else _short(tell(result))


def _short(text: str) -> str:
    if len(text) <= LONGEST_VALUE:
        return text
    half = LONGEST_VALUE // 2
    return f"{text[:half]} ... {text[-half:]}"
