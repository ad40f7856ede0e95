"""Counters: decided in O(n log n) where what is added is always the same, or where every sum is seen only once.

- All adds add the same amount, not 0: then the sum tells how many of them were done, and `steps` decides. Adds whose
  result is known know their place. An add of 0 is a read, if it has a result.
- Different amounts, all above 0 (or all below), every completed add with its result: then each add is a compare-and-set
  from the sum before it, no sum comes back, and a register decides. Adds of unknown outcome can only fill gaps between the
  sums: without gaps there is no room for them; with gaps a search has to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.checkers.linearizable import near_linear
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, Undecided, decided
from harness.checkers.linearizable.explain import asked, called, did, returned, what, who
from harness.checkers.linearizable.merging import merged
from harness.checkers.linearizable.moments import before
from harness.checkers.linearizable.steps import Backwards, Explained, Steps, TooFew, TooMany, TwoOnOnePlace
from harness.checkers.operations import Operation
from harness.models.values import show

_MOST_TOLD = 2
_MOST_SHOWN = 6
"""Adds that are shown one by one; where there are more, the sentence counts them."""


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one counter, 0 at first; undecided for amounts that are mixed, unless results tell. Raises `Stopped`."""
    amounts = {operation.value for operation in operations if operation.f == "add"} - {0}
    if len(amounts) > 1:
        return _decide_mixed(operations, budget)
    return decided(lambda: _Counter(operations, next(iter(amounts), 1), budget).settle())


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Undecided`, `Stopped`."""
    amounts = {operation.value for operation in operations if operation.f == "add"} - {0}
    if len(amounts) > 1:
        original = {operation.index: operation for operation in operations}
        register = [original[one.index] for one in near_linear.order(_as_register(operations, budget), 0, budget)]
        return merged(
            [register, [one for one in operations if one.type == "ok" and one.value == 0 and one.result is None]]
        )
    counter = _Counter(operations, next(iter(amounts), 1), budget)
    counter.settle()
    return counter.steps.order(counter.anywhere)


class _Counter(Explained):
    """All adds add the same amount, or 0."""

    def __init__(self, operations: Sequence[Operation], amount: int, budget: Budget) -> None:
        self.amount = amount
        self.steps = Steps(budget)
        self.anywhere: list[Operation] = []
        """Adds of 0 whose result is not known."""
        self.adds: list[Operation] = []
        self.adds_nothing = False
        """Whether somebody added 0."""
        for operation in operations:
            if operation.f == "add" and operation.value:
                self.adds.append(operation)
            self.adds_nothing |= operation.f == "add" and not operation.value
        for operation in budget.each(operations):
            self._take(operation)

    def _take(self, operation: Operation) -> None:
        adds = operation.f == "add" and operation.value != 0
        if operation.type == "info" and not adds:
            return
        if operation.type == "info" or operation.result is None:
            (self.steps.free if adds else self.anywhere).append(operation)
            return
        count, rest = divmod(operation.result, self.amount)
        if rest or count < adds:
            raise self._nowhere(operation)
        if not adds:
            self.steps.saw(count, operation)
            return
        try:
            self.steps.placed(count, operation)
        except TwoOnOnePlace as two:
            raise Contradiction(
                f"{who(two.one)} added {self.amount} and was told the sum {operation.result}{asked(two.one)} at "
                f"{returned(two.one)}, and so was {who(two.other)}{asked(two.other)} at {returned(two.other)}: this sum can "
                "come only once",
                [two.one, two.other],
                "counter too low",
            ) from None

    # What follows is needed only once, to explain a contradiction.

    def _nowhere(self, operation: Operation) -> Contradiction:
        own = ", its own among them," if operation in self.adds else ""
        said = f"{_told(operation)} at {returned(operation)}, which no number of adds of {self.amount}{own} can make"
        if not self.adds:
            zero = " but 0" if self.adds_nothing else ""
            said = f"{_told(operation)} at {returned(operation)}, but nobody had begun to add anything{zero} by then"
        return Contradiction(said, [operation, *self._few(self.adds)], "no such sum")

    def _backwards(self, backwards: Backwards) -> Contradiction:
        early, late = backwards.early, backwards.late
        if early.result == late.result:
            said = f"{_told(early)} at {returned(early)}, but {_told(late)}, which was called only at {called(late)}"
            return Contradiction(said, [early, late], "value from the future")
        return Contradiction(
            f"{_told(early)} at {returned(early)}, but {_told(late)}, which was called only at {called(late)}: "
            f"every add was of {self.amount}, so that the sum can't have gone back",
            [early, late],
            "counter too low",
        )

    def _too_few(self, few: TooFew) -> Contradiction:
        witness = few.witness
        started = sum(one.began < (witness.ended or 0) for one in self.adds)
        missing = witness.result // self.amount - started
        if not self.adds:
            why = f"nobody had begun to add anything{' but 0' if self.adds_nothing else ''} by then"
        elif missing > 0:
            adds = f"{f'only {started}' if started else 'no'} {'add' if started == 1 else 'adds'} of {self.amount}"
            why = f"{adds} had been called by then{f', {missing} too few' if started else ''}"
        else:
            fitting = f"only {len(few.called)}" if few.called else "none"
            why = (
                f"{fitting} of the {started} adds called by then can have been among the first {few.count}: the others were "
                f"told sums beyond {show(few.count * self.amount)}"
            )
        sentence = f"{_told(witness)} at {returned(witness)}, but {why}"
        return Contradiction(sentence, [witness, *self._few(few.called)], "counter too high")

    def _too_many(self, many: TooMany) -> Contradiction:
        late = many.late
        done = [one for one in many.done if before(one, late)]
        placed = [one for one in many.done if one not in done and one is not late]
        since = "from the beginning" if many.early is None else f"after {_told(many.early)} at {returned(many.early)}"
        names = f"{len(done)} adds" if len(done) > 1 else what(done[0])
        told = "".join(f", and {_told(one)}" for one in placed[:_MOST_TOLD])
        told += f", and {len(placed) - _MOST_TOLD} more were told smaller sums" if len(placed) > _MOST_TOLD else ""
        return Contradiction(
            f"{names}, {since}, had been acknowledged by {called(late)}{told}, but {_told(late)} then, "
            f"which leaves {'it' if len(done) + len(placed) == 1 else 'one of them'} out",
            {late, *self._few([*done, *placed]), *placed[:_MOST_TOLD], *([] if many.early is None else [many.early])},
            "counter too low",
        )

    def _few(self, adds: Sequence[Operation]) -> list[Operation]:
        return list(adds) if len(adds) <= _MOST_SHOWN else []


def _told(operation: Operation) -> str:
    if operation.f == "add" and operation.result is not None:
        return f"{who(operation)} was told the sum {show(operation.result)} right after its add{asked(operation)}"
    return did(operation)


def _decide_mixed(operations: Sequence[Operation], budget: Budget) -> Decision:
    try:
        register = _as_register(operations, budget)
    except Undecided as undecided:
        return Decision(None, str(undecided))
    original = {operation.index: operation for operation in operations}
    decision = near_linear.decide(register, 0, budget)
    return replace(decision, proof=[original[operation.index] for operation in decision.proof])


def _as_register(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """The register whose compare-and-sets are the adds. Raises `Undecided` where that is not exact."""
    adds = [operation for operation in operations if operation.f == "add" and operation.value]
    if not (all(one.value > 0 for one in adds) or all(one.value < 0 for one in adds)):
        raise Undecided("both more and less was added, in different amounts")
    crashed = False
    sums = {0}
    register: list[Operation] = []
    for operation in budget.each(operations):
        if operation.f == "add" and operation.type == "info":
            crashed |= operation.value != 0
        elif operation.f == "add" and operation.value == 0 and operation.result is None:
            continue
        elif operation.f == "add" and operation.result is None:
            raise Undecided("different amounts were added, and not every sum is known")
        elif operation.f == "add" and operation.value:
            before = operation.result - operation.value
            register.append(replace(operation, f="cas", value=[before, operation.result], result=True))
            sums.add(operation.result)
        elif operation.type == "ok":
            register.append(replace(operation, f="read", value=None))
    if crashed and not all(_source(operation) in sums for operation in register):
        raise Undecided("different amounts were added, and which adds of unknown outcome happened decides")
    return register


def _source(operation: Operation) -> object:
    return operation.value[0] if operation.f == "cas" else operation.result
