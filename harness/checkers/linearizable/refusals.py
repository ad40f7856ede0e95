"""What a refused compare-and-set demands: that at some moment of its interval the register held another value.

`blocks` has shown that the chains can be put in order. A refused cas objects to such an order only if one and the same
block, that of the value it expected, covers its whole interval. So a schedule is built that changes blocks often enough.
Sweep through time and begin each chain as late as it may, which is when its first operation returns. Two moments leave
a choice, and every choice makes a `_Path`:

- A chain whose calls have all been made reaches its deadline: it can be placed now and stay, or be squeezed in right
  before the chain that is current, which then stays.
- A refused cas is about to return, and one block, its own, has covered all of its interval so far: another must begin at
  once. That is the next of the chain; else any chain whose calls have all been made; else a crashed write that nobody
  saw; else a chain that is still being called.

Of the paths, a bounded number is kept, those first whose block began last. So the sweep is a heuristic, and its schedule
is verified: one that passes is a witness. Where no path is left and no other block can have stood in between at all, that
is a contradiction; where one could have, the answer is `Undecided`, and a search has to tell.

Moments are GAPS between events: gap g is just before the event at position g, so a block that begins in gap g can hold
operations that return at g or later, and its predecessor those that were called before g.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count
from operator import attrgetter
from typing import Any

from harness.checkers.linearizable.blocks import Block, Blocks, Chain, Refusal, observed, written
from harness.checkers.linearizable.decision import Contradiction, Undecided
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.linearizable.support import is_refusal, is_writer
from harness.checkers.operations import Operation

_WIDTHS = (1, 4, 64)
"""How many paths are kept: first try with few, which mostly is enough and is fastest."""

Schedule = list[tuple[int, Block]]
"""Which block begins in which gap, in order; the first is the initial value."""


def settle(blocks: Blocks) -> None:
    """Returns if there is an order that suits the refused compare-and-sets too; else raises Contradiction or Undecided."""
    open_to_doubt = _not_settled_by_order(blocks)
    if not open_to_doubt:
        return
    for refusal in open_to_doubt:
        if _is_impossible(refusal):
            raise Contradiction("a cas was refused although its value was there all the time", _proof(blocks, refusal))
    _scheduled(blocks, open_to_doubt)


def order_of(blocks: Blocks) -> list[Operation]:
    """The operations in an order that explains them, after `settle`. Raises `Undecided` if no schedule is found."""
    schedule = _scheduled(blocks, _not_settled_by_order(blocks))
    place_of = {block: place for place, (_, block) in enumerate(schedule)}
    gaps = [gap for gap, _ in schedule]
    entries: list[tuple[int, int, Operation]] = []
    for operation in blocks.budget.each(blocks.operations):
        if is_writer(operation):
            block = blocks.of_value[written(operation)]
            if block in place_of:
                entries.append((place_of[block], -1, operation))
        elif operation.type == "ok" and not is_refusal(operation):
            (value,) = observed(operation)
            entries.append((place_of[blocks.of_value[value]], operation.began, operation))
        elif operation.type == "ok":
            expected = blocks.of_value.get(observed(operation)[0])
            place = _place_beside(operation, None if expected is None else place_of.get(expected), gaps)
            entries.append((place, operation.began, operation))
    entries.sort(key=lambda entry: entry[:2])
    return [operation for _, _, operation in entries]


def _place_beside(refused: Operation, expected: int | None, gaps: Sequence[int]) -> int:
    """The place in the schedule at which the cas finds another value than that at the place `expected`."""
    place = bisect_right(gaps, refused.began + 1) - 1
    if place != expected:
        return place
    # The one before is still there right after the call, or the next one begins before the return: `verify` has seen to it.
    return place - 1 if gaps[place] == refused.began + 1 else place + 1


def _scheduled(blocks: Blocks, refusals: Sequence[Refusal]) -> Schedule:
    """A schedule that has been verified."""
    objection = ""
    for width in _WIDTHS:
        try:
            schedule = _Sweep(blocks, refusals, width).run()
            objection = verify(blocks, schedule) or ""
            if not objection:
                return schedule
        except Undecided as undecided:
            objection = str(undecided)
    raise Undecided(objection)


def _not_settled_by_order(blocks: Blocks) -> list[Refusal]:
    """The refusals that some order of the chains might contradict.

    The others hold in every order: their block surely begins after the call, or surely ends before the return, because
    the next block of its chain, or a chain that surely comes after it, begins before that.
    """
    others = sorted((c for c in blocks.chains if c.head.writer is not None), key=lambda c: c.head.earliest)
    earliest = [chain.head.earliest for chain in others]
    first_return_from = list(accumulate((chain.first_return for chain in reversed(others)), min, initial=NEVER))
    first_return_from.reverse()
    doubtful = []
    for refusal in blocks.refusals:
        block = refusal.block
        settled = block.needed and (
            block.earliest > refusal.call
            or (block.follower is not None and block.follower.latest < refusal.returned)
            or first_return_from[bisect_right(earliest, block.latest)] < refusal.returned
        )
        if not settled:
            doubtful.append(refusal)
    return doubtful


def _is_impossible(refusal: Refusal) -> bool:
    """Whether its block surely began before its call and surely did not end before its return."""
    block = refusal.block
    if not block.needed or block.latest >= refusal.call:
        return False
    next_begins = block.follower.earliest if block.follower is not None else -1
    return max(block.reach, next_begins) > refusal.returned


def _proof(blocks: Blocks, refusal: Refusal) -> list[Operation]:
    """The refused cas, all that may have been written or seen from its value's writer to its return, who saw its value
    later, and for each of these values whoever shows that it was there before."""
    writer = refusal.block.writer
    since = -1 if writer is None else writer.began
    told = [
        operation
        for operation in blocks.operations
        if not is_refusal(operation) and (operation.type == "ok" or operation.f != "read")
    ]
    near = [
        operation
        for operation in told
        if (operation.began < refusal.returned and (operation.ended is None or operation.ended > since))
        or (operation.began > refusal.returned and refusal.block in map(blocks.of_value.get, observed(operation)))
    ]
    values = {value for operation in near for value in (*observed(operation), *_written(operation))}
    chains = {block.chain for value in values if (block := blocks.of_value.get(value)) is not None}
    return [refusal.operation, *near, *blocks.at(*(chain.first_return for chain in chains if chain is not None))]


def _written(operation: Operation) -> list[Hashable]:
    return [written(operation)] if is_writer(operation) else []


_Trail = tuple[Any, int, Block] | None
"""A schedule that shares its beginning with others: all but the last entry, and the gap and block of that."""

_Entry = tuple[Any, int, int, Callable[[Any, int], None], Any]
"""Position, rank and number to sort by; what to do, and with what."""


@dataclass(slots=True, eq=False)
class _Path:
    """One way to schedule everything up to now."""

    block: Block
    """What the register holds now."""
    since: int
    """The gap in which that began."""
    chain_began: int
    """The gap in which the current chain began."""
    before: _Trail
    """What was scheduled before the current chain."""
    within: _Trail
    """What was scheduled of the current chain."""
    placed: frozenset[Chain]
    """Chains that were begun ahead of their deadlines, which are still to come."""
    used: frozenset[Block]
    """Crashed writes and compare-and-sets that nobody needed and that were put in all the same."""

    def enter(self, block: Block, gap: int) -> _Path:
        """Go on to a block of the same chain."""
        within = (self.within, gap, block)
        return _Path(block, gap, self.chain_began, self.before, within, self.placed, self.used)

    def begin(self, block: Block, gap: int) -> _Path:
        """Leave the chain, going through the blocks of it that are left, and begin another one."""
        path = self.finish(gap)
        return _Path(block, gap, gap, _join(path.before, path.within), (None, gap, block), path.placed, path.used)

    def finish(self, gap: int) -> _Path:
        path = self
        while path.block.follower is not None:
            path = path.enter(path.block.follower, gap)
        return path

    def squeeze(self, chain: Chain) -> _Path:
        """Put a whole chain right before the current one."""
        before = self.before
        for block in chain.blocks:
            before = (before, self.chain_began, block)
        return replace(self, before=before)

    def is_locked(self, gap: int) -> bool:
        """Whether something in the current chain has not been called yet: no other chain may begin."""
        chain = self.block.chain
        return chain is not None and chain.last_call >= gap

    def schedule(self) -> Schedule:
        return _entries(_join(self.before, self.within))


def _entries(trail: _Trail) -> Schedule:
    entries = []
    while trail is not None:
        trail, gap, block = trail
        entries.append((gap, block))
    entries.reverse()
    return entries


def _join(before: _Trail, within: _Trail) -> _Trail:
    if within is not None and within[0] is None:
        return (before, within[1], within[2])
    for gap, block in _entries(within):
        before = (before, gap, block)
    return before


class _Sweep:
    """Builds a schedule, as the module tells, keeping `width` paths."""

    def __init__(self, blocks: Blocks, refusals: Sequence[Refusal], width: int) -> None:
        self.blocks = blocks
        self.refusals = refusals
        self.width = width
        first = blocks.of_value[blocks.initial]
        self.paths = [_Path(first, -1, -1, None, (None, -1, first), frozenset(), frozenset())]
        self.waiting: set[Chain] = set()
        """Chains whose first return is still to come, and whose first block can begin by now."""
        self.by_first_return = sorted(blocks.chains, key=attrgetter("first_return"))
        self.first_returns = [chain.first_return for chain in self.by_first_return]
        self.to_come = sorted(
            (block for block in blocks.of_value.values() if not block.needed), key=attrgetter("began"), reverse=True
        )
        """Crashed writes and compare-and-sets that nobody needs and that are still to be called, the first one last."""
        self.spare_writes: list[Block] = []
        self.spare_cas: dict[Block, list[Block]] = {}

    def run(self) -> Schedule:
        for number, (position, _, _, act, subject) in enumerate(self._agenda()):
            if number % 1024 == 0:
                self.blocks.budget.look()
            act(subject, position)
            if len(self.paths) > 1:
                self._thin_out()
        last = self.paths[0]
        for chain in self.waiting:
            if chain not in last.placed:
                last = last.begin(chain.head, max(last.since, chain.last_call + 1, last.block.reach + 1))
        return last.finish(max(last.since, last.block.chain.last_call + 1 if last.block.chain else 0)).schedule()

    def _agenda(self) -> list[_Entry]:
        agenda: list[_Entry] = []
        number = count()
        opens, deadline, step = self._opens, self._deadline, self._step  # bound once: every one is an object
        for chain in self.blocks.budget.each(self.blocks.chains):
            if chain.head.writer is not None:
                agenda.append((chain.head.earliest + 1, 0, next(number), opens, chain))
                if chain.first_return < NEVER:
                    agenda.append((chain.first_return, 1, next(number), deadline, chain))
            for block in chain.blocks[1:]:
                if block.latest < NEVER:
                    agenda.append((block.latest, 2, next(number), step, block))
        for refusal in self.refusals:
            agenda.append((refusal.returned, 3, next(number), self._refused, refusal))
        agenda.sort()  # the numbers differ, so that nothing behind them is ever compared
        return agenda

    # What happens when the sweep reaches a moment:

    def _opens(self, chain: Chain, gap: int) -> None:
        self.waiting.add(chain)

    def _deadline(self, chain: Chain, gap: int) -> None:
        self.waiting.discard(chain)
        following: list[_Path] = []
        for path in self.paths:
            if chain in path.placed:
                following.append(replace(path, placed=path.placed - {chain}))
                continue
            if not path.is_locked(gap):
                following.append(self._start(path, chain, gap))
            if chain.last_call < path.chain_began:
                following.append(path.squeeze(chain))
        self._go_on(following, "two chains can't be kept apart")

    def _step(self, block: Block, gap: int) -> None:
        self.paths = [
            path.enter(block, gap) if path.block.chain is block.chain and path.block.place < block.place else path
            for path in self.paths
        ]

    def _refused(self, refusal: Refusal, gap: int) -> None:
        following: list[_Path] = []
        for path in self.paths:
            if path.block is refusal.block and path.since <= refusal.call:
                following.extend(self._changes(path, gap))
            else:
                following.append(path)
        if not following:
            self._refute(refusal)
        self._go_on(following, "nothing was found to stand between a refused cas and the block of its own value")
        self._forget_used()

    def _forget_used(self) -> None:
        """Where only one path is left, what it used is gone for good: so that nobody looks through it again and again."""
        (path, *others) = self.paths
        if path.used and not others:
            for block in path.used:
                spare = self.spare_writes if not block.is_cas else self.spare_cas[self.blocks.of_value[block.source]]
                spare.remove(block)
            self.paths = [replace(path, used=frozenset())]

    def _go_on(self, paths: list[_Path], otherwise: str) -> None:
        if not paths:
            raise Undecided(otherwise)
        self.paths = paths

    def _thin_out(self) -> None:
        """Of paths that differ only in when their block began, keep the last; then keep the most promising."""
        best: dict[tuple[Block, frozenset[Chain], frozenset[Block]], _Path] = {}
        for path in self.paths:
            key = (path.block, path.placed, path.used)
            if key not in best or best[key].since < path.since:
                best[key] = path
        kept = list(best.values())
        if len(kept) > self.width:
            kept.sort(key=lambda path: (-path.since, len(path.placed) + len(path.used)))
            del kept[self.width :]
        self.paths = kept

    # What can be done then:

    def _start(self, path: _Path, chain: Chain, gap: int) -> _Path:
        """Begin a chain now. If it is still being called, those that must begin before its last call go first."""
        if chain.last_call < gap:
            return path.begin(chain.head, gap).finish(gap)
        for other in sorted(self.waiting, key=attrgetter("first_return")):
            if (
                other is not chain
                and other.first_return < chain.last_call
                and other.last_call < gap
                and other not in path.placed
            ):
                path = path.begin(other.head, gap).finish(gap)
                path = replace(path, placed=path.placed | {other})
        return path.begin(chain.head, gap)

    def _changes(self, path: _Path, gap: int) -> Iterator[_Path]:
        """Every way to let another block begin."""
        following = path.block.follower
        if following is not None:
            if following.earliest < gap:
                yield path.enter(following, gap)
            return
        if path.is_locked(gap):
            return
        waiting = [chain for chain in self.waiting if chain not in path.placed]
        waiting.sort(key=attrgetter("first_return"))
        whole = [chain for chain in waiting if chain.last_call < gap]
        for chain in whole[: self.width]:
            yield replace(self._start(path, chain, gap), placed=path.placed | {chain})
        filler = self._filler(path, gap)
        if filler is not None:
            yield replace(path.begin(filler, gap), used=path.used | {filler})
        if whole and self.width == 1:
            return
        for chain in waiting:
            if chain.last_call >= gap and self._may_start_early(path, chain, gap):
                started = self._start(path, chain, gap)
                yield replace(started, placed=started.placed | {chain})

    def _filler(self, path: _Path, gap: int) -> Block | None:
        while self.to_come and self.to_come[-1].began < gap:
            block = self.to_come.pop()
            if not block.is_cas:
                self.spare_writes.append(block)
            elif (source := self.blocks.of_value.get(block.source)) is not None:
                self.spare_cas.setdefault(source, []).append(block)
        for spare in (self.spare_cas.get(path.block, []), self.spare_writes):
            for block in spare:
                if block not in path.used:
                    return block
        return None

    def _may_start_early(self, path: _Path, chain: Chain, gap: int) -> bool:
        """Whether every other chain that must begin before the last call of this one has begun, or can go before it."""
        first = bisect_left(self.first_returns, gap)
        end = bisect_left(self.first_returns, chain.last_call)
        return all(
            other is chain or other in path.placed or other.last_call < gap for other in self.by_first_return[first:end]
        )

    def _refute(self, refusal: Refusal) -> None:
        """Raise `Contradiction` if no block at all can begin between that of the refused cas and its return."""
        block, chain, gap = refusal.block, refusal.block.chain, refusal.returned
        if chain is None or block.latest >= refusal.call or block.follower is not None:
            return
        blocks = self.blocks
        if chain.last_call < gap:
            for other in blocks.chains:
                precedes = other.first_return < chain.last_call
                if other is not chain and not precedes and other.head.earliest < gap:
                    return
            if any(other.began < gap for other in blocks.of_value.values() if not other.needed):
                return
        raise Contradiction("a cas was refused although its value was there all the time", _proof(blocks, refusal))


def verify(blocks: Blocks, schedule: Schedule) -> str | None:
    """None if the schedule is a witness: every operation finds its moment in it. Otherwise, why it isn't one."""
    begins: dict[Block, int] = {}
    ends: dict[Block, float] = {}
    previous: Block | None = None
    for gap, block in schedule:
        if block in begins:
            return "a block was scheduled twice"
        if previous is not None:
            if gap < begins[previous] or block.began >= gap:
                return "a block was scheduled before its writer was called"
            ends[previous] = gap
        if block.is_cas and (previous is None or blocks.of_value.get(block.source) is not previous):
            return "a cas was scheduled behind another value than its own"
        begins[block], previous = gap, block
    if previous is not None:
        ends[previous] = NEVER
    for block in blocks.of_value.values():
        if block not in begins:
            if block.needed:
                return "a block was not scheduled"
        elif max(begins[block], block.last_call + 1) > ends[block] or block.first_return < begins[block]:
            return "an operation found no moment in its block"
    return _objection(blocks.refusals, begins, ends)


def _objection(refusals: Iterable[Refusal], begins: dict[Block, int], ends: dict[Block, float]) -> str | None:
    for refusal in refusals:
        block = refusal.block
        if block in begins and begins[block] <= refusal.call and ends[block] > refusal.returned:
            return "a refused cas found its own value all the time"
    return None
