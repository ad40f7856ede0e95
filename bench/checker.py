"""How long the linearizability checker takes, by model, size of history, clients and crashed operations.

    python bench/checker.py [--models register,kv,queue,set] [--largest 100000] [--clients 5,10,25,50] [--few]

One key, clients always busy, seed 1: valid histories, and the same with one stale answer at the end (the time then
includes the finding). Values are written once, unless `--few`: then there are five values in a register and a search is
needed; each search may take 20 s and 1 GB. Making the history is not part of any time. Times are of the processor (CPU
seconds of one process), of one run on this machine; memory is the most that the process held up to then, history included.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.operations import Operation, Record
from harness.models import MODELS
from tests.support.brute import operation, simulated_register_history

SEARCH_LIMITS = Limits(time_seconds=20, memory_mb=1024)
LIMITS = Limits(time_seconds=120, memory_mb=4096)

Late = list[tuple[str, Any, Any]]
"""Operations after everything, the last one of which is wrong: function, value, result."""


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


REGISTER_LATE: Late = [("write", "old", None), ("write", "new", None), ("read", None, "old")]
MACHINES: dict[str, Callable[[], Any]] = {"kv": Key, "queue": Line, "set": Elements}


def simulated(machine: Any, operations: int, processes: int, crashed: float) -> list[Operation]:
    """A history that is linearizable by construction: each operation happens at one moment of its interval."""
    chance = random.Random(1)
    names, next_name, clock = list(range(processes)), processes, 0
    busy: list[tuple[Operation, bool] | None] = [None] * processes
    made: list[Operation] = []
    while len(made) < operations or any(busy):
        slot = chance.randrange(processes)
        clock += 1
        running = busy[slot]
        if running is None:
            if len(made) < operations:
                f, value = machine.choose(chance, len(made))
                one = operation(names[slot], f, value, None, clock)
                one.began = one.index = clock
                made.append(one)
                busy[slot] = (one, False)
            continue
        one, happened = running
        if happened:
            one.type, one.return_ns, one.ended = "ok", clock, clock
            busy[slot] = None
        elif chance.random() < crashed and len(made) > 1:
            if chance.random() < 0.5:
                machine.do(one.f, one.value)
            names[slot], next_name = next_name, next_name + 1
            busy[slot] = None
        else:
            one.result = machine.do(one.f, one.value)
            busy[slot] = (one, True)
    return made


def spoiled(history: list[Operation], late: Late) -> list[Operation]:
    end = max(max(one.began, one.ended or 0) for one in history) + 1
    added = []
    for number, (f, value, result) in enumerate(late):
        one = operation(-1 - number, f, value, result, end + 2 * number, end + 2 * number + 1)
        one.began = one.index = end + 2 * number
        one.ended = one.began + 1
        added.append(one)
    return [*(replace(one) for one in history), *added]


def measure(history: list[Operation], model: str, expected: str, limits: Limits) -> str:
    began = time.process_time()
    result = Linearizable().check_record(Record(history), MODELS[model](), limits)
    seconds = time.process_time() - began
    note = "" if result.verdict == expected else f" {result.verdict}!"
    return f"{seconds:8.3f} s {1000 * seconds / (len(history) / 1000):8.2f} ms{note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="register,kv,queue,set", help="separated by commas")
    parser.add_argument("--smallest", type=int, default=1_000, help="smallest history, in operations")
    parser.add_argument("--largest", type=int, default=100_000, help="largest history, in operations")
    parser.add_argument("--clients", default="5,10,25,50", help="separated by commas")
    parser.add_argument("--few", action="store_true", help="five values in a register instead of values written once")
    options = parser.parse_args()
    limits = SEARCH_LIMITS if options.few else LIMITS
    print("model    operations clients crashed        valid    per 1,000    stale answer    per 1,000      held")
    sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if options.smallest <= n <= options.largest]
    for model in ["register"] if options.few else options.models.split(","):
        for size in sizes:
            for clients in map(int, options.clients.split(",")):
                for crashed in (0.0, 0.01, 0.05):
                    if model == "register":
                        few = 5 if options.few else None
                        history = simulated_register_history(random.Random(1), size, clients, crashed, few)
                        late = REGISTER_LATE
                    else:
                        history = simulated(MACHINES[model](), size, clients, crashed)
                        late = MACHINES[model].late  # type: ignore[attr-defined]
                    valid = measure(history, model, "valid", limits)
                    bad = measure(spoiled(history, late), model, "violation", limits)
                    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                    print(
                        f"{model:8} {size:>10} {clients:>7} {crashed:>7.0%}   {valid}   {bad} {held:>6} MB", flush=True
                    )


if __name__ == "__main__":
    main()
