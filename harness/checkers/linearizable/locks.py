"""Locks whose owners are named, one operation of each at a time: decided in O(n log n), crashed operations included.

Who acquired the lock has it until his own release. So an acquire and its release make a HOLD, and the time from the
return of the one to the call of the other is surely his. Such times put the holds in order, and what happened is one
row: acquire, release, acquire, release. Each has its moment after all calls up to it, and before all returns from it on.

- A crashed release released a hold that must have ended, or nothing that matters; the one called first is taken first.
- A crashed acquire that nobody released can only be the end of the row: it holds the lock for ever, and explains why all were
  refused from then on. The one called first is the best.
- Who was refused the lock saw it held at some moment. So releases take place as late, and acquires as early as they
  can, which leaves the lock free for the shortest time, or not at all.
- Who was refused to release it saw it free, or another's. That is looked up in the row; if it doesn't hold there,
  but might in another one, a search has to tell.

Also left to the search: owners without a name, or with several operations at once, and what can't be explained
unless a crashed acquire was released.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, returned, who
from harness.checkers.linearizable.moments import NEVER, end_of
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


@dataclass(slots=True, eq=False)
class _Hold:
    """One time in which one owner has the lock."""

    acquire: Operation
    release: Operation | None = None
    """None: it is not known to have been released."""

    def is_certain(self) -> bool:
        """Whether there is a time in which it is surely held: then its place in the row is certain."""
        return end_of(self.acquire) < (NEVER if self.release is None else self.release.began)


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one lock, free at first. Raises `Stopped`."""
    return decided(lambda: order(operations, budget))


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    lock = _Lock(operations, budget)
    try:
        return lock.order()
    except Contradiction as contradiction:
        if lock.has_spare_hold:
            raise Undecided(f"whether a crashed acquire was released decides: {contradiction}") from None
        raise


class _Lock:
    def __init__(self, operations: Sequence[Operation], budget: Budget) -> None:
        self.budget = budget
        self.refused = [one for one in operations if one.result is False]
        self.of_owner: defaultdict[Hashable, list[Operation]] = defaultdict(list)
        """What each owner did, crashed operations and those that were refused apart."""
        self.crashed_releases: defaultdict[Hashable, list[Operation]] = defaultdict(list)
        """Those called last come first."""
        self.crashed_acquires: list[Operation] = []
        for operation in budget.each(operations):
            if operation.value is None:
                raise Undecided("an owner has no name")
            owner = canonical(operation.value)
            if operation.result is False:
                continue
            if operation.type == "ok":
                known = self.of_owner[owner]
                if known and end_of(known[-1]) > operation.began:
                    raise Undecided("an owner had two operations open at once")
                known.append(operation)
            elif operation.f == "acquire":
                self.crashed_acquires.append(operation)
            else:
                self.crashed_releases[owner].insert(0, operation)
        self.has_spare_hold = any(map(self._may_be_released, self.crashed_acquires))
        """Whether a crashed acquire may have been released, so that there is a hold more."""
        self.row: list[Operation] = []
        self.owner_at: list[Hashable] = [None]
        """By how much of the row was done: who has the lock, None if nobody has."""

    def _may_be_released(self, crashed: Operation) -> bool:
        owner = canonical(crashed.value)
        known = self.of_owner.get(owner)
        return owner in self.crashed_releases or (known is not None and end_of(known[-1]) > crashed.began)

    def order(self) -> list[Operation]:
        self.budget.look()
        holds = sorted(
            (hold for owner in self.of_owner for hold in self._holds(owner)), key=lambda h: end_of(h.acquire)
        )
        self._release_all_but_the_last(holds)
        self._compare_tokens(holds)
        for hold in self.budget.each(holds):
            self._do(hold.acquire, canonical(hold.acquire.value))
            if hold.release is not None:
                self._do(hold.release, None)
        if self.owner_at[-1] is None and self.crashed_acquires:
            self._do(self.crashed_acquires[0], canonical(self.crashed_acquires[0].value))
        is_certain = all(hold.is_certain() for hold in holds)
        earliest, latest = self._windows(is_certain)
        return self._placed(earliest, latest, is_certain)

    def _holds(self, owner: Hashable) -> list[_Hold]:
        holds: list[_Hold] = []
        for operation in self.of_owner[owner]:
            if operation.f == "acquire":
                if holds and holds[-1].release is None:
                    self._crashed_release(holds[-1], operation)
                holds.append(_Hold(operation))
            elif holds and holds[-1].release is None:
                holds[-1].release = operation
            else:
                proof = [operation] if not holds else self.of_owner[owner][: self.of_owner[owner].index(operation) + 1]
                raise Contradiction(
                    f"{who(operation)} released the lock for {show(operation.value)}{asked(operation)} at "
                    f"{returned(operation)}, but {show(operation.value)} did not hold it",
                    proof[-3:],
                    "released without holding",
                )
        return holds

    def _crashed_release(self, hold: _Hold, following: Operation) -> None:
        """Release a hold that must have ended before the following acquire returned."""
        spare = self.crashed_releases.get(canonical(hold.acquire.value))
        if not spare or spare[-1].began > end_of(following):
            raise self._two_holders(hold, following)
        hold.release = spare.pop()

    def _release_all_but_the_last(self, holds: Sequence[_Hold]) -> None:
        for hold, following in pairwise(holds):
            if hold.release is not None:
                continue
            may_be_first = following.release is None or following.release.type == "info"
            if may_be_first and following.acquire.began < end_of(hold.acquire):
                raise Undecided("who of two held the lock last is not certain")
            self._crashed_release(hold, following.acquire)

    def _do(self, operation: Operation, owner: Hashable) -> None:
        self.row.append(operation)
        self.owner_at.append(owner)

    def _compare_tokens(self, holds: Sequence[_Hold]) -> None:
        greatest: Operation | None = None
        for hold in holds:
            acquire = hold.acquire
            if acquire.result is None or acquire.result is True:
                continue
            if greatest is not None and acquire.result <= greatest.result:
                if not hold.is_certain():
                    raise Undecided("the order of two fencing tokens is not certain")
                raise Contradiction(
                    f"{who(acquire)} was given the lock with the fencing token {acquire.result}{asked(acquire)} at "
                    f"{returned(acquire)}, after {who(greatest)} had been given it with {greatest.result}{asked(greatest)}, at "
                    f"{returned(greatest)}",
                    [acquire, greatest],
                    "fencing token given twice" if acquire.result == greatest.result else "fencing token went back",
                )
            greatest = acquire

    def _windows(self, is_certain: bool) -> tuple[list[int], list[float]]:
        """For each of the row, the last call up to it and the first return from it on. Raises `Contradiction`."""
        earliest: list[int] = []
        for operation in self.row:
            earliest.append(max(operation.began, earliest[-1] if earliest else -1))
        latest: list[float] = []
        for operation in reversed(self.row):
            latest.append(min(end_of(operation), latest[-1] if latest else NEVER))
        latest.reverse()
        for place, (since, until) in enumerate(zip(earliest, latest, strict=True)):
            if until < since:
                if not is_certain:
                    raise Undecided("a crashed release leaves open who came first")
                raise self._overlap(place, since, until)
        return earliest, latest

    def _placed(self, earliest: Sequence[int], latest: Sequence[float], is_certain: bool) -> list[Operation]:
        gaps: list[float] = []
        """Before which event each of the row takes place."""
        for place, until in enumerate(latest):
            gap: float = earliest[place] + 1
            if self.owner_at[place + 1] is None:
                next_call = earliest[place + 1] if place + 1 < len(earliest) else NEVER
                gap = max(gap, min(until, next_call + 1))
            gaps.append(max(gap, gaps[-1] if gaps else 0))
        entries = [(place, 0, 0, operation) for place, operation in enumerate(self.row, start=1)]
        for operation in self.refused:
            low, high = bisect_left(gaps, operation.began + 1), bisect_right(gaps, end_of(operation))
            suits = next((place for place in range(low, high + 1) if self._suits(operation, place)), None)
            if suits is None:
                raise self._unsuited(operation, low, earliest, latest, is_certain)
            entries.append((suits, 1, operation.began, operation))
        entries.sort(key=lambda entry: entry[:3])
        return [operation for _, _, _, operation in entries]

    def _suits(self, refused: Operation, done: int) -> bool:
        owner = self.owner_at[done]
        return owner is not None if refused.f == "acquire" else owner != canonical(refused.value)

    # What follows is needed only once, to explain a contradiction.

    def _unsuited(
        self, refused: Operation, done: int, earliest: Sequence[int], latest: Sequence[float], is_certain: bool
    ) -> Exception:
        """The whole time of a refused operation lies between one of the row and the next one."""
        before = latest[done - 1] if done else -1
        after = earliest[done] if done < len(earliest) else NEVER
        if not is_certain or before > refused.began or after < end_of(refused):
            return Undecided("when somebody was refused is not certain")
        around = self.row[max(0, done - (2 if refused.f == "acquire" else 1)) : done + 1]
        when = f"from {called(refused)} to {returned(refused)}"
        if refused.f == "acquire":
            said = f"{who(refused)} was refused the lock{asked(refused)}, {when}, but nobody held it then"
            crashed = [one for one in self.crashed_acquires if one.began < end_of(refused)]
            if crashed:
                said += self._not_held_by(crashed, self.row[done])
            return Contradiction(said, [refused, *around, *crashed[:1]], "acquire refused wrongly")
        spare = self.crashed_releases.get(canonical(refused.value))
        if spare and spare[-1].began < end_of(refused):
            return Undecided("a crashed release may have released the lock before")
        held = f"{show(refused.value)} held it all the time"
        said = f"{who(refused)} was refused its release of the lock{asked(refused)}, {when}, but {held}"
        return Contradiction(said, [refused, *around], "release refused wrongly")

    def _not_held_by(self, crashed: Sequence[Operation], following: Operation) -> str:
        """That it wasn't one whose acquire crashed: nobody would have released it before it was given to the next one."""
        (first, *others) = crashed
        more = f", nor {len(others)} more" if others else ""
        return (
            f": not {who(first)} either, who asked for it at {called(first)}{asked(first)}{more}, for nobody released it "
            f"before {who(following)} was given it{asked(following)} by {returned(following)}"
        )

    def _two_holders(self, hold: _Hold, following: Operation) -> Contradiction:
        acquire = hold.acquire
        return Contradiction(
            f"{who(following)} was given the lock for {show(following.value)}{asked(following)} at {returned(following)}, but "
            f"it had been given to {show(acquire.value)}{asked(acquire)} at {returned(acquire)}, who had not released it",
            [acquire, following],
            "two holders",
        )

    def _overlap(self, place: int, since: int, until: float) -> Contradiction:
        early = next(one for one in self.row[place:] if one.ended == until)
        late = next(one for one in self.row[: place + 1] if one.began == since)
        proof = {early, late}
        for one in (early, late):
            number = self.row.index(one)
            proof.add(self.row[number - 1 if self.owner_at[number + 1] is None else number])
            if self.owner_at[number + 1] is not None and number + 1 < len(self.row):
                proof.add(self.row[number + 1])
        deeds = {"acquire": "got", "release": "released"}
        return Contradiction(
            f"{who(early)} {deeds[early.f]} the lock for {show(early.value)}{asked(early)} by {returned(early)}, before "
            f"{who(late)} called, at {called(late)}, for the {late.f} for {show(late.value)}{asked(late)}, which must have "
            "come first",
            proof,
            "two holders",
        )
