"""Logs whose values are appended once: decided in O(n log n), n with the size of all that was read.

What was read must be the beginning of the longest read. So that tells the places of all values in it; a result tells the
place of the others; and `steps` decides whether places and lengths fit, and gives the places that are left to appends
whose place nobody knows. A crashed append happened only if somebody saw it, or if a place must be filled.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, returned, what, who
from harness.checkers.linearizable.moments import before, end_of
from harness.checkers.linearizable.steps import Backwards, Explained, Steps, TooFew, TooMany, TwoOnOnePlace
from harness.checkers.operations import Operation
from harness.models.values import canonical, show

_MOST_SHOWN = 6
_MOST_TOLD = 2


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one log, empty at first; undecided if a value was appended twice. Raises `Stopped`."""
    return decided(lambda: order(operations, budget))


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    log = _Log(operations, budget)
    log.settle()
    return log.steps.order()


class _Log(Explained):
    def __init__(self, operations: Sequence[Operation], budget: Budget) -> None:
        self.budget = budget
        self.steps = Steps(budget)
        self.appends: dict[Hashable, Operation] = {}
        self.place_read: dict[Operation, int] = {}
        """Of what was read: its place, counted from 1."""
        for operation in budget.each(operations):
            if operation.f == "append":
                value = canonical(operation.value)
                if value in self.appends:
                    raise Undecided(f"the value {show(operation.value)} was not appended only once")
                self.appends[value] = operation
        self.reads = [operation for operation in operations if operation.f == "read" and operation.type == "ok"]
        self.longest = max(self.reads, key=lambda read: len(read.result), default=None)
        if self.longest is not None:
            self._look_at_longest(self.longest)
        for read in self.reads:
            self._look_at(read)
        for append in budget.each(self.appends.values()):
            self._place(append)

    def _look_at_longest(self, read: Operation) -> None:
        for place, value in enumerate(self.budget.each(read.result), start=1):
            append = self.appends.get(canonical(value))
            said = f"{who(read)} read {show(value)} at place {place - 1} of the log{asked(read)} at {returned(read)}"
            if append is None:
                raise Contradiction(f"{said}, but nobody ever appended it", [read], "value from nowhere")
            if append in self.place_read:
                raise Contradiction(
                    f"{said}, and at place {self.place_read[append] - 1} too, but it was appended only once",
                    [append, read],
                    "appended twice",
                )
            self.place_read[append] = place

    def _look_at(self, read: Operation) -> None:
        self.budget.look()
        longest = self.longest
        assert longest is not None
        length = len(read.result)
        if read is not longest and read.result != longest.result[:length]:
            # Equal as Python sees it is not always equal as JSON, and the other way round: look at it closely.
            for place, (one, other) in enumerate(zip(read.result, longest.result, strict=False)):
                if canonical(one) != canonical(other):
                    raise Contradiction(
                        f"{who(read)} read {show(one)} at place {place} of the log{asked(read)} at {returned(read)}, and "
                        f"{who(longest)} read {show(other)} there{asked(longest)} at {returned(longest)}",
                        [read, longest],
                        "logs differ",
                    )
        self.steps.saw(length, read)

    def _place(self, append: Operation) -> None:
        known = self.place_read.get(append)
        told = append.result + 1 if append.type == "ok" and append.result is not None else None
        if told is not None and (told < 1 or (known is not None and known != told)):
            assert self.longest is not None or told < 1
            reader = self.longest
            seen = f", but {who(reader)} read it at place {known - 1}{asked(reader)}" if known and reader else ""
            nowhere = "" if seen else ", but places are counted from 0"
            proof = [append] if not seen or self.longest is None else [append, self.longest]
            raise Contradiction(
                f"{who(append)} was told place {append.result} for {show(append.value)}{asked(append)} at "
                f"{returned(append)}{seen}{nowhere}",
                proof,
                "logs differ" if seen else "no such place",
            )
        place = known or told
        if place is None:
            self.steps.free.append(append)
            return
        try:
            self.steps.placed(place, append)
        except TwoOnOnePlace as two:
            raise self._two(two, place) from None

    # What follows is needed only once, to explain a contradiction.

    def _two(self, two: TwoOnOnePlace, place: int) -> Contradiction:
        told = [append for append in (two.one, two.other) if append.type == "ok" and append.result is not None]
        read = [append for append in (two.one, two.other) if append not in told]
        given = ", and so was ".join(
            f"{what(append)}{'' if number else f' was given place {place - 1} of the log'} by {returned(append)}"
            for number, append in enumerate(told)
        )
        said, proof = given, [two.one, two.other]
        if read and self.longest is not None:
            reader = self.longest
            seen = f"{show(read[0].value)}, appended by {who(read[0])}{asked(read[0])}, there{asked(reader)}"
            said = f"{given}, but {who(reader)} read {seen} at {returned(reader)}"
            proof.append(reader)
        return Contradiction(said, proof, "log position taken twice")

    def _backwards(self, backwards: Backwards) -> Contradiction:
        early, late = backwards.early, backwards.late
        anomaly: Anomaly = "value from the future" if early.f == "read" else "out of order"
        if late.f == "read":
            anomaly = self._lost_or_stale(late)
        return Contradiction(
            f"{self._by(early)}, but {self._called(late, f'called only at {called(late)}')}",
            {early, late} | self._shown_by(early, late),
            anomaly,
        )

    def _too_few(self, few: TooFew) -> Contradiction:
        witness = few.witness
        others = [one for one in self.appends.values() if one is not witness and one.began < end_of(witness)]
        if len(others) < few.count:
            count = "no other append" if not others else "only 1 other append" if len(others) == 1 else ""
            why = f"{count or f'only {len(others)} other appends'} had been called by then"
        else:
            fitting = f"only {len(few.called)} of" if few.called else "none of"
            first = "the first one" if few.count == 1 else f"among the first {few.count}"
            rest = "the rest have" if few.called else "they have"
            why = f"{fitting} the others called by then can have been {first}: {rest} later places"
        return Contradiction(
            f"{self._by(witness)}, but {why}",
            [witness, *(others if len(others) <= _MOST_SHOWN else [])],
            "no such place",
        )

    def _too_many(self, many: TooMany) -> Contradiction:
        late, early = many.late, many.early
        if late.f == "read":
            return self._lacks(late, many)
        done = [one for one in many.done if before(one, late)]
        placed = [one for one in many.done if one not in done and one is not late]
        since = "" if early is None else f" after {self._by(early)}"
        if len(done) == 1:
            said = f"{what(done[0])} was acknowledged at {returned(done[0])}{since}"
        else:
            said = f"{len(done)} appends{since} were acknowledged by {called(late)}"
        if placed:
            said += "".join(
                f", and {self._told(one) or f'{self._seen(one)} came before'}" for one in placed[:_MOST_TOLD]
            )
            said += f", and {len(placed) - _MOST_TOLD} more came before it" if len(placed) > _MOST_TOLD else ""
        proof = {late, *placed[:_MOST_TOLD], *([] if early is None else [early])}
        proof |= {*done, *placed} if len(done) + len(placed) <= _MOST_SHOWN else {done[0]}
        return Contradiction(
            f"{said}, but {self._called(late, 'called after that')} and leaves no room for "
            f"{'it' if len(done) + len(placed) == 1 else 'all of them'}",
            proof | self._shown_by(*proof),
            "lost entry",
        )

    def _lacks(self, read: Operation, many: TooMany) -> Contradiction:
        """Every read is the beginning of the longest: what has no place in it is not in it."""
        seen = set(map(canonical, read.result))
        one = next(one for one in many.done if before(one, read) and canonical(one.value) not in seen)
        said = f"{what(one)} was acknowledged at {returned(one)}, but {self._called(read, 'called after that')}"
        return Contradiction(f"{said} and leaves no room for it", [one, read], self._lost_or_stale(read))

    def _lost_or_stale(self, late: Operation) -> Anomaly:
        """Of a read that saw too little: stale if somebody saw more in the end, who looked at the same time or later."""
        seen = any(len(read.result) > len(late.result) and end_of(read) > late.began for read in self.reads)
        return "stale read" if seen else "lost entry"

    def _told(self, operation: Operation) -> str:
        """What its client was told; nothing of an append whose place was only read."""
        if operation.f == "read":
            count = len(operation.result)
            return f"{who(operation)} read {count} value{'' if count == 1 else 's'}{asked(operation)}"
        if operation.type == "ok" and operation.result is not None:
            return f"{what(operation)} was given place {operation.result}"
        return ""

    def _seen(self, append: Operation) -> str:
        """The append, with who read it."""
        assert self.longest is not None
        reader = self.longest
        return f"{what(append)} (at place {self.place_read[append] - 1} in what {who(reader)} read{asked(reader)})"

    def _by(self, operation: Operation) -> str:
        told = self._told(operation)
        if told:
            return f"{told} by {returned(operation)}"
        return f"{self._seen(operation)} had been acknowledged at {returned(operation)}"

    def _called(self, operation: Operation, when: str) -> str:
        told = self._told(operation)
        return f"{told}, which was {when}" if told else f"{self._seen(operation)} was {when}"

    def _shown_by(self, *operations: Operation) -> set[Operation]:
        """The longest read, if it tells the place of one of the appends."""
        return (
            {self.longest}
            if self.longest is not None and any(one in self.place_read and one.result is None for one in operations)
            else set()
        )
