"""Long histories that are linearizable by construction, of any machine; and the same with one stale answer at the end.

Clients are always busy; each operation happens at one moment of its interval. A crashed operation may have happened or
not, and its client goes on as another process.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from harness.checkers.operations import Operation
from tests.support.brute import operation

Late = list[tuple[str, Any, Any]]
"""Operations after everything, the last one of which is wrong: function, value, result."""


class Machine(Protocol):
    late: Late

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        """What the operation of that number asks for: function and value."""

    def do(self, f: str, value: Any) -> Any:
        """Carry it out; what comes back."""


class Cell:
    """A register. Every value is written once, or drawn from so few."""

    late: Late = [("write", "old", None), ("write", "new", None), ("read", None, "old")]

    def __init__(self, values: int | None = None) -> None:
        self.held: Any = None
        self._values = values

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        roll = chance.random()
        if roll < 0.4:
            return "read", None
        new = number if self._values is None else chance.randrange(self._values)
        return ("write", new) if roll < 0.75 else ("cas", [self.held, new])

    def do(self, f: str, value: Any) -> Any:
        if f == "read":
            return self.held
        if f == "write":
            self.held = value
            return None
        if self.held != value[0]:
            return False
        self.held = value[1]
        return True


class Key:
    """A key of a store: mostly appended to, put anew now and then."""

    late: Late = [("put", "<old>", None), ("put", "<new>", None), ("get", None, "<old>")]

    def __init__(self) -> None:
        self.held: str | None = None

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        roll = chance.random()
        if roll < 0.5:
            return "get", None
        return "put" if roll < 0.55 else "append", f"<{number}>"

    def do(self, f: str, value: Any) -> Any:
        if f == "get":
            return self.held
        self.held = value if f == "put" or self.held is None else self.held + value
        return None


class Line:
    """A queue, mostly short."""

    late: Late = [("enqueue", "new", None), ("dequeue", None, 0)]

    def __init__(self) -> None:
        self.held: deque[Any] = deque()

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        return ("enqueue", number) if number == 0 or chance.random() < 0.5 else ("dequeue", None)

    def do(self, f: str, value: Any) -> Any:
        if f == "enqueue":
            self.held.append(value)
            return None
        return self.held.popleft() if self.held else None


class Elements:
    """A set: every element is added once, asked for, and perhaps removed."""

    late: Late = [("add", "new", True), ("contains", "new", False)]

    def __init__(self) -> None:
        self.held: set[int] = set()

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        if number % 4 == 0:
            return "add", number
        recent = 4 * max(0, number // 4 - chance.randint(0, 20))
        return ("remove" if chance.random() < 0.2 else "contains"), recent

    def do(self, f: str, value: Any) -> Any:
        inside = value in self.held
        if f == "add":
            self.held.add(value)
        elif f == "remove":
            self.held.discard(value)
        return inside if f != "add" else not inside


MACHINES: dict[str, Callable[[], Machine]] = {"register": Cell, "kv": Key, "queue": Line, "set": Elements}
"""By model."""


def simulated(
    machine: Machine, operations: int, processes: int, crashed: float = 0.0, key: str = "x", seed: int = 1
) -> list[Operation]:
    """So many operations of so many clients; each crashes with that probability."""
    chance = random.Random(seed)
    roll = chance.random
    names, next_name, clock = list(range(processes)), processes, 0
    busy: list[Operation | None] = [None] * processes
    happened = [False] * processes
    made: list[Operation] = []
    open_ones = 0
    while len(made) < operations or open_ones:
        slot = int(roll() * processes)
        clock += 1
        one = busy[slot]
        if one is None:
            if len(made) < operations:
                f, value = machine.choose(chance, len(made))
                one = operation(names[slot], f, value, None, clock, key=key)
                one.began = one.index = clock
                made.append(one)
                busy[slot] = one
                open_ones += 1
        elif happened[slot]:
            one.type, one.return_ns, one.ended = "ok", clock, clock
            busy[slot], happened[slot] = None, False
            open_ones -= 1
        elif crashed and roll() < crashed and len(made) > 1:
            if roll() < 0.5:
                machine.do(one.f, one.value)
            names[slot], next_name = next_name, next_name + 1
            busy[slot] = None
            open_ones -= 1
        else:
            one.result = machine.do(one.f, one.value)
            happened[slot] = True
    for one in made:
        if one.type == "info":
            one.result = None
    return made


def spoiled(history: list[Operation], late: Late) -> list[Operation]:
    """The history with these operations behind it."""
    end = max(max(one.began, one.ended or 0) for one in history) + 1
    added = []
    for number, (f, value, result) in enumerate(late):
        one = operation(-1 - number, f, value, result, end + 2 * number, end + 2 * number + 1, key=history[0].key)
        one.began = one.index = end + 2 * number
        one.ended = one.began + 1
        added.append(one)
    return [*(replace(one) for one in history), *added]
