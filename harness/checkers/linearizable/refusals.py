"""What a refused compare-and-set demands: that at some moment of its interval the register held another value.

`blocks` has shown that the chains can be put in order. A refused cas objects to such an order only if one and the same
block, that of the value it expected, covers its whole interval. So a schedule is built that changes blocks often enough:
sweep through time and begin each chain as late as it may (when its first operation returns); but when a refused cas is
about to return whose block covered all of its interval so far, change to another block at once: the next of the chain,
else a chain whose calls have all been made (the one that must begin soonest), else a crashed write that nobody saw, else
a chain that is still being called. The sweep is a heuristic, and its schedule is verified: a schedule that passes is a
witness. Where the sweep is stuck and no other block can have stood in between at all, that is a contradiction; where it
is stuck and one could have, the answer is `Undecided`, and a search has to tell.

Moments are GAPS between events: gap g is just before the event at position g, so a block that begins in gap g can hold
operations that return at g or later, and its predecessor those that were called before g.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from typing import Any

from harness.checkers.linearizable.blocks import (
    NEVER,
    Block,
    Blocks,
    Chain,
    Contradiction,
    Refusal,
    Undecided,
    observed,
)
from harness.checkers.operations import Operation

Schedule = list[tuple[int, Block]]
"""Which block begins in which gap, in order; the first is the initial value."""


def settle(blocks: Blocks) -> None:
    """Returns if there is an order that suits the refused compare-and-sets too; else raises Contradiction or Undecided."""
    if not blocks.refusals:
        return
    for refusal in blocks.refusals:
        if _is_impossible(refusal):
            raise Contradiction("a cas was refused although its value was there all the time", _proof(blocks, refusal))
    schedule = _Sweep(blocks).run()
    objection = verify(blocks, schedule)
    if objection is not None:
        raise Undecided(objection)


def _is_impossible(refusal: Refusal) -> bool:
    """Whether its block surely began before its call and surely did not end before its return."""
    block = refusal.block
    if not block.needed or block.latest >= refusal.call:
        return False
    next_begins = block.follower.earliest if block.follower is not None else -1
    return max(block.reach, next_begins) > refusal.returned


def _proof(blocks: Blocks, refusal: Refusal) -> list[Operation]:
    """The refused cas, and all that may have been written or seen from its value's writer to its return."""
    writer = refusal.block.writer
    since = -1 if writer is None else writer.began
    return [
        operation
        for operation in blocks.operations
        if operation.began < refusal.returned
        and (operation.ended is None or operation.ended > since)
        and (operation.type == "ok" or operation.f != "read")
        and (operation.f != "cas" or operation.result is not False or operation is refusal.operation)
    ] + [
        operation
        for operation in blocks.operations
        if operation.began > refusal.returned
        and operation.result is not False
        and refusal.block in map(blocks.of_value.get, observed(operation))
    ]


_Entry = tuple[float, int, int, Callable[[Any, int], None], Any]
"""Position, rank and number to sort by; what to do, and with what."""


class _Sweep:
    """Builds a schedule, as the module tells."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.schedule: Schedule = []
        self.current: Block = blocks.of_value[blocks.initial]
        self.since = -1
        self.pool: list[tuple[float, int, Chain]] = []
        """Chains whose calls have all been made: they can be put anywhere, whole, until their first return."""
        self.numbers = count()
        for chain in blocks.chains:
            chain.placed = False
        self.current.chain.placed = True  # type: ignore[union-attr]
        self._enter(self.current, -1)
        self.by_first_return = sorted(blocks.chains, key=attrgetter("first_return"))
        self.first_returns = [chain.first_return for chain in self.by_first_return]
        self.fillers = sorted(
            (block for block in blocks.of_value.values() if not block.needed),
            key=attrgetter("began"),
            reverse=True,
        )
        """Crashed writes and compare-and-sets that nobody needs, the first one last."""
        self.spare_writes: list[Block] = []
        self.spare_cas: dict[Hashable, list[Block]] = {}
        self.opened: dict[int, Chain] = {}
        """Chains not yet placed whose writer was called, by id, while some other call is still to come."""

    def run(self) -> Schedule:
        for number, (position, _, _, act, subject) in enumerate(self._agenda()):
            if number % 4096 == 0:
                self.blocks.budget.look()
            act(subject, int(position))
        self._finish_chain(self.current.reach + 1)
        return self.schedule

    def _agenda(self) -> list[_Entry]:
        agenda: list[_Entry] = []
        number = self.numbers
        for chain in self.blocks.chains:
            if chain.placed:
                pass
            elif chain.forward:
                agenda.append((chain.first_return, 1, next(number), self._deadline, chain))
                agenda.append((chain.head.earliest + 1, 0, next(number), self._opens, chain))
            else:
                agenda.append((chain.last_call + 1, 0, next(number), self._available, chain))
                if chain.first_return < NEVER:
                    agenda.append((chain.first_return, 1, next(number), self._deadline, chain))
                if chain.head.earliest < chain.last_call:
                    agenda.append((chain.head.earliest + 1, 0, next(number), self._opens, chain))
            for block in chain.blocks[1:]:
                if block.latest < NEVER:
                    agenda.append((block.latest, 2, next(number), self._step, block))
        for refusal in self.blocks.refusals:
            agenda.append((refusal.returned, 3, next(number), self._refused, refusal))
        agenda.sort(key=lambda entry: entry[:3])
        return agenda

    # What happens when the sweep reaches a moment:

    def _opens(self, chain: Chain, gap: int) -> None:
        if not chain.placed:
            self.opened[id(chain)] = chain

    def _available(self, chain: Chain, gap: int) -> None:
        self.opened.pop(id(chain), None)
        if not chain.placed:
            heappush(self.pool, (chain.first_return, next(self.numbers), chain))

    def _deadline(self, chain: Chain, gap: int) -> None:
        if not chain.placed:
            self._start(chain, gap)

    def _step(self, block: Block, gap: int) -> None:
        if self.current.chain is block.chain and self.current.place < block.place:
            self._enter(block, gap)

    def _refused(self, refusal: Refusal, gap: int) -> None:
        if self.current is not refusal.block or self.since > refusal.call:
            return
        following = self.current.follower
        if following is not None:
            if following.earliest >= gap:
                raise Undecided("a refused cas stands between two blocks of a chain that can't be parted")
            self._enter(following, gap)
        elif not self._change(gap):
            self._refute(refusal)
            raise Undecided("nothing was found to stand between a refused cas and the block of its own value")

    # What can be done then:

    def _enter(self, block: Block, gap: int) -> None:
        self.schedule.append((gap, block))
        self.current = block
        self.since = gap

    def _finish_chain(self, gap: int) -> None:
        """Go through the blocks of the current chain that are left, before another chain begins."""
        while self.current.follower is not None:
            self._enter(self.current.follower, gap)

    def _is_locked(self, gap: int) -> bool:
        """Whether something in the current chain has not been called yet: no other chain may begin."""
        chain = self.current.chain
        return chain is not None and chain.last_call >= gap

    def _start(self, chain: Chain, gap: int) -> None:
        """Begin a chain now. If it is still being called, those that must end before it does go first."""
        if self._is_locked(gap):
            raise Undecided("a chain would have to begin inside another one")
        self._finish_chain(gap)
        chain.placed = True
        self.opened.pop(id(chain), None)
        if chain.last_call >= gap:
            while self.pool and self.pool[0][0] < chain.last_call:
                self._place_whole(heappop(self.pool)[2], gap)
            self._enter(chain.head, gap)
        else:
            chain.placed = False
            self._place_whole(chain, gap)

    def _place_whole(self, chain: Chain, gap: int) -> None:
        if not chain.placed:
            chain.placed = True
            self._enter(chain.head, gap)
            self._finish_chain(gap)

    def _change(self, gap: int) -> bool:
        """Let any other block begin; the current one is the last of its chain. False if none can."""
        if self._is_locked(gap):
            return False
        while self.pool:
            chain = heappop(self.pool)[2]
            if not chain.placed:
                self._place_whole(chain, gap)
                return True
        filler = self._filler(gap)
        if filler is not None:
            self._enter(filler, gap)
            return True
        for chain in sorted(self.opened.values(), key=attrgetter("last_call")):
            if self._may_start_early(chain, gap):
                self._start(chain, gap)
                return True
        return False

    def _filler(self, gap: int) -> Block | None:
        while self.fillers and self.fillers[-1].began < gap:
            block = self.fillers.pop()
            if block.is_cas:
                self.spare_cas.setdefault(block.source, []).append(block)
            else:
                self.spare_writes.append(block)
        for value, spare in self.spare_cas.items():
            if spare and self.blocks.of_value.get(value) is self.current:
                return spare.pop()
        return self.spare_writes.pop() if self.spare_writes else None

    def _may_start_early(self, chain: Chain, gap: int) -> bool:
        """Whether no other chain that is still to come must begin before the last call of this one."""
        first = bisect_left(self.first_returns, gap)
        end = bisect_left(self.first_returns, chain.last_call)
        return all(other is chain or other.placed or other.last_call < gap for other in self.by_first_return[first:end])

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
