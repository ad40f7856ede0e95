"""Registers whose values are written once: decided in time O(n log n), however many operations are open or crashed.

After Gibbons and Korach, "Testing shared memories" (1997), extended to crashed operations, to compare-and-set, and to
compare-and-sets that were refused.

- One value is one BLOCK: its writer and everyone who saw it. Nothing can be written in between, or the value would be gone
  for good. A crashed writer whose value nobody saw is left out; one whose value was seen did happen and never returned.
- A cas from a to b that was carried out stands right behind block a, and begins block b. So blocks form CHAINS, each
  begun by a plain write or by the initial value, and each contiguous.
- Chain A must precede chain B if something in A returned (`first_return`) before something in B was called (`last_call`).
  If that relation has a cycle it has one of length two: take the chain M of the cycle that returned first and the chain P
  before it; M returned before whoever preceded P in the cycle, which returned before P's last call, so M precedes P too.
  So it is enough to compare pairs: call a chain FORWARD if its first return comes before its last call. Two forward
  chains contradict each other if their zones overlap; a chain that isn't forward contradicts a forward one if its zone
  (from last call to first return) lies inside; no other two chains do. Sorting finds a contradiction if there is one.
- Inside a chain the order is given: nothing in a block or behind it may have returned before something in front of it, or
  the block's own writer, was called.

No case is ever split on a crashed operation. What a refused cas demands is settled in `harness.checkers.linearizable.refusals`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Undecided
from harness.checkers.linearizable.moments import NEVER
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


class Block:
    """One value: who wrote it, and when it was seen. All times are positions in the history."""

    __slots__ = (
        "began",
        "chain",
        "earliest",
        "first_return",
        "follower",
        "is_cas",
        "last_call",
        "latest",
        "needed",
        "place",
        "reach",
        "source",
        "writer",
    )

    def __init__(self, writer: Operation | None, source: Hashable, is_cas: bool) -> None:
        self.writer = writer
        self.source = source
        """The value that a cas replaced."""
        self.is_cas = is_cas
        self.began: int = -1 if writer is None else writer.began
        self.last_call: int = self.began
        self.first_return: float = -1 if writer is None else _ended(writer)
        self.needed: bool = self.first_return < NEVER
        """Whether it certainly happened: completed, or seen."""
        self.follower: Block | None = None
        """The block that a cas put right behind this one."""
        self.chain: Chain | None = None
        self.place: int = 0
        self.earliest: int = self.began
        """It begins after this: its own writer's call, and every call in the blocks before it."""
        self.latest: float = NEVER
        """It begins before this: every return in it, and in the blocks behind it."""
        self.reach: int = self.began
        """The last call in it and in the blocks before it: it is complete after this."""


class Chain:
    """Blocks that stand one right behind the other. It begins before `first_return`, and ends after `last_call`."""

    __slots__ = ("blocks", "first_return", "forward", "last_call")

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.first_return: float = blocks[0].latest
        self.last_call: int = blocks[-1].reach
        self.forward: bool = self.first_return < self.last_call or blocks[0].writer is None

    @property
    def head(self) -> Block:
        return self.blocks[0]


@dataclass(slots=True, eq=False)
class Refusal:
    """A cas that returned false: at some moment of its interval the register did not hold the value of `block`."""

    operation: Operation
    block: Block
    call: int
    returned: int


def _ended(operation: Operation) -> float:
    return NEVER if operation.ended is None else operation.ended


class Blocks:
    """The blocks and chains of a history of one register. `build` raises `Contradiction` or `Undecided`."""

    def __init__(self, operations: Sequence[Operation], initial: Hashable, budget: Budget) -> None:
        self.operations = operations
        self.initial = initial
        self.budget = budget
        self.of_value: dict[Hashable, Block] = {initial: Block(None, None, False)}
        self.refusals: list[Refusal] = []
        self.chains: list[Chain] = []
        self.forward: list[Chain] = []
        """By first return; their zones don't overlap."""
        self.backward: list[Chain] = []
        """By last call; none lies inside a forward one."""

    def build(self) -> None:
        self._collect_writers()
        self._collect_observers()
        self._glue()
        self._make_chains()
        self.budget.look()
        self._compare_chains()

    def _collect_writers(self) -> None:
        of_value = self.of_value
        for operation in self.budget.each(self.operations):
            if operation.f == "write":
                value, block = canonical(operation.value), Block(operation, None, False)
            elif operation.f == "cas" and operation.result is not False:
                source, value = map(canonical, operation.value)
                if source == value:
                    continue
                block = Block(operation, source, True)
            else:
                continue
            if value in of_value:
                raise Undecided(f"the value {show(operation.value)} was not written only once")
            of_value[value] = block

    def _collect_observers(self) -> None:
        of_value = self.of_value
        for operation in self.budget.each(self.operations):
            if operation.ended is None or operation.f == "write":
                continue
            if operation.f == "read":
                seen = canonical(operation.result)
            elif operation.result is False:
                block = of_value.get(canonical(operation.value[0]))
                if block is not None:
                    self.refusals.append(Refusal(operation, block, operation.began, operation.ended))
                continue
            else:
                seen, value = map(canonical, operation.value)
                if seen != value:
                    continue
            block = of_value.get(seen)
            if block is None:
                raise Contradiction("a value was seen that nobody wrote", [operation])
            block.needed = True
            if operation.ended < block.first_return:
                block.first_return = operation.ended
            if operation.began > block.last_call:
                block.last_call = operation.began

    def _glue(self) -> None:
        """Put every cas that happened behind the block that it replaced; crashed ones that this needs happened too."""
        todo = [block for block in self.of_value.values() if block.needed and block.is_cas]
        while todo:
            block = todo.pop()
            source = self.of_value.get(block.source)
            if source is None:
                raise Contradiction("a cas replaced a value that nobody wrote", self._proof_of(block))
            if source.follower is not None:
                proof = [*self._proof_of(block), *self._proof_of(source.follower)]
                raise Contradiction("two compare-and-sets replaced one value", proof)
            source.follower = block
            if not source.needed:
                source.needed = True
                if source.is_cas:
                    todo.append(source)

    def _make_chains(self) -> None:
        placed = 0
        for head in self.budget.each(self.of_value.values()):
            if not head.needed or head.is_cas:
                continue
            blocks = [head]
            while blocks[-1].follower is not None:
                blocks.append(blocks[-1].follower)
            placed += len(blocks)
            self.chains.append(self._chain(blocks))
        needed = [block for block in self.of_value.values() if block.needed]
        if placed < len(needed):
            astray = next(block for block in needed if block.chain is None)
            raise Contradiction("compare-and-sets in a circle", self._proof_of(astray))

    def _chain(self, blocks: list[Block]) -> Chain:
        reach = -1
        for place, block in enumerate(blocks):
            block.place = place
            block.earliest = max(block.began, reach)
            reach = block.reach = max(block.last_call, reach)
        latest = NEVER
        for block in reversed(blocks):
            latest = block.latest = min(block.first_return, latest)
            if latest < block.earliest and block.writer is not None:
                proof = self.at(latest, block.earliest)
                raise Contradiction("the order inside a chain of values is reversed", [*proof, *self._proof_of(block)])
        chain = Chain(blocks)
        for block in blocks:
            block.chain = chain
        return chain

    def _compare_chains(self) -> None:
        self.forward = sorted((chain for chain in self.chains if chain.forward), key=lambda c: c.first_return)
        self.backward = sorted((chain for chain in self.chains if not chain.forward), key=lambda c: c.last_call)
        for one, other in pairwise(self.forward):
            if other.first_return < one.last_call:
                raise self._mutual(one, other)
        begins = [chain.first_return for chain in self.forward]
        for chain in self.backward:
            place = bisect_left(begins, chain.last_call) - 1
            if place >= 0 and chain.first_return < self.forward[place].last_call:
                raise self._mutual(self.forward[place], chain)

    def dissolve(self) -> None:
        """Forget the chains, so that nothing refers to itself in a circle: memory is free at once, without the collector."""
        for chain in self.chains:
            for block in chain.blocks:
                block.chain = None
        self.chains, self.forward, self.backward = [], [], []

    def _mutual(self, one: Chain, other: Chain) -> Contradiction:
        proof = self.at(one.first_return, one.last_call, other.first_return, other.last_call)
        return Contradiction("two values each precede the other", proof)

    # What follows is needed only once, to explain a contradiction.

    def at(self, *positions: float) -> list[Operation]:
        """The operations that began or ended at these positions."""
        wanted = set(positions)
        return [operation for operation in self.operations if operation.began in wanted or operation.ended in wanted]

    def _proof_of(self, block: Block) -> list[Operation]:
        """Operations that show that a block is needed: its completed writer, or somebody who saw it or what followed."""
        proof: list[Operation] = []
        seen: set[int] = set()
        while block.writer is not None and id(block) not in seen:
            seen.add(id(block))
            proof.append(block.writer)
            if block.writer.ended is not None:
                break
            if block.first_return < NEVER:
                proof += self.at(block.first_return)
                break
            if block.follower is None:
                break
            block = block.follower
        return proof

    def with_reasons(self, operations: Iterable[Operation]) -> list[Operation]:
        """The operations, with the writers of all they saw, and for crashed ones a proof that they happened."""
        todo, kept = list(operations), set[Operation]()
        while todo:
            operation = todo.pop()
            if operation in kept:
                continue
            kept.add(operation)
            for value in observed(operation):
                block = self.of_value.get(value)
                if block is not None and block.writer is not None:
                    todo.append(block.writer)
            if operation.ended is None:
                block = self.of_value.get(written(operation))
                todo += [] if block is None else self._proof_of(block)
        return sorted(kept, key=lambda operation: operation.began)


def observed(operation: Operation) -> list[Hashable]:
    """The value that the operation saw, if it happened: what it read or replaced."""
    if operation.f == "read":
        return [canonical(operation.result)] if operation.type == "ok" else []
    if operation.f == "cas":
        return [canonical(operation.value[0])]
    return []


def written(operation: Operation) -> Hashable:
    """The value that a write or a cas wrote, if it was carried out."""
    return canonical(operation.value if operation.f == "write" else operation.value[1])
