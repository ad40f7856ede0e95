"""A tiny checker of linearizability for one register at a time, after Wing and Gong, for short histories in tests.

It is a witness apart from the product's own checkers: a plain search over the orders in which the operations of one key
can have happened, which remembers what it has tried. An operation of unknown outcome may happen at any time after its
call, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

NEVER = 1 << 60


@dataclass
class Told:
    """One operation as its client tells it. `call` and `end` are places in the order of all events."""

    client: str
    f: str
    key: str
    value: Any
    call: int
    end: int = NEVER
    type: Literal["open", "ok", "fail", "info"] = "open"
    result: Any = None

    @property
    def certain(self) -> bool:
        return self.type == "ok"

    def step(self, held: Any) -> tuple[bool, Any]:
        """Whether the operation could have happened while the register held this, and what it holds then."""
        if self.f == "read":
            return not self.certain or self.result == held, held
        if self.f == "write":
            return True, self.value
        expected, new = self.value
        succeeds = held == expected
        return not self.certain or self.result is succeeds, new if succeeds else held


def unexplained(told: Iterable[Told]) -> list[str]:
    """The keys whose operations no order explains."""
    by_key: dict[str, list[Told]] = defaultdict(list)
    for operation in told:
        pointless = operation.type == "fail" or (operation.f == "read" and not operation.certain)
        if not pointless:
            by_key[operation.key].append(operation)
    return [key for key, operations in by_key.items() if not explained(operations)]


def explained(operations: list[Told]) -> bool:
    """Whether some order of these operations on one register, at first null, fits all that was told."""
    operations = sorted(operations, key=lambda operation: operation.call)
    ends = [operation.end if operation.certain else NEVER for operation in operations]
    goal = sum(1 << index for index, operation in enumerate(operations) if operation.certain)
    seen = values_seen(operations)
    tried: set[tuple[int, Any]] = set()
    stack: list[tuple[int, Any]] = [(0, None)]
    while stack:
        done, held = stack.pop()
        if done & goal == goal:
            return True
        if (done, held) in tried:
            continue
        tried.add((done, held))
        left = [index for index in range(len(operations)) if not done >> index & 1]
        horizon = min(ends[index] for index in left)
        next_ones = [index for index in left if operations[index].call < horizon]
        next_ones = without_idle(next_ones, operations, seen, held)
        # The one that ended first is on top of the stack; what may never have happened is tried last.
        for index in sorted(next_ones, key=lambda index: -ends[index]):
            possible, then = operations[index].step(held)
            if possible:
                stack.append((done | 1 << index, then))
    return False


def values_seen(operations: list[Told]) -> set[Any]:
    """What the register must have held at some time: it was read, replaced, or led to what was."""
    seen = {operation.result for operation in operations if operation.f == "read"}
    seen |= {operation.value[0] for operation in operations if operation.f == "cas" and operation.result}
    while True:
        led = {one.value[0] for one in operations if one.f == "cas" and not one.certain and one.value[1] in seen}
        if led <= seen:
            return seen
        seen |= led


def without_idle(places: list[int], operations: list[Told], seen: set[Any], held: Any) -> list[int]:
    """Leave out what may never have happened and would explain nothing just now.

    What nobody saw explains at most that a cas failed; then one write is as good as any other of the kind.
    """
    candidates = [operations[place] for place in places]
    must_fail = any(one.certain and one.f == "cas" and not one.result and one.value[0] == held for one in candidates)
    kept = []
    has_write = False
    for place in places:
        operation = operations[place]
        if not operation.certain:
            if operation.step(held)[1] == held:
                continue
            if (operation.value if operation.f == "write" else operation.value[1]) not in seen:
                if not must_fail or (operation.f == "write" and has_write):
                    continue
                has_write = has_write or operation.f == "write"
        kept.append(place)
    return kept
