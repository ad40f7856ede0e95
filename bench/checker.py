"""How long the linearizability checker takes, and how much memory.

    python bench/checker.py                 a part of everything, in less than a minute
    python bench/checker.py --full          up to a million operations: about an hour
    python bench/checker.py --models queue --sizes 1000,10000 --clients 5,50 --crashed 0,0.05

Tables:

1. Values written once: models, sizes, clients, crashed operations; valid, and with one stale answer at the end (the time
   then includes the finding). `growth` is the time in relation to that of a tenth of the operations in the row before.
2. The near-linear algorithms against the search, on the same histories of 1,000 operations.
3. Five values in a register, and a key to which equal values were appended: a search is needed.
4. The memory limit, on histories that need more: how much the process grew at most.
5. Several keys that need a search, in one process and in as many as there are processors.

One key (but for the last table), clients always busy, seed 1, one run, no warm-up. Every row has a process of its own, which
makes the history first: that is not part of any time. Times of tables 1 to 3 are of the processor (CPU seconds), those of
4 and 5 of the clock; `held` is the most that the process held, history included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable, search
from harness.checkers.linearizable.answers import processors
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.operations import Operation, Record
from harness.models import MODELS
from tests.support.brute import operation
from tests.support.simulated import MACHINES, Cell, Key, Line, Machine, simulated, spoiled

LIMITS = Limits(time_seconds=120, memory_mb=4096, jobs=1)
SEARCH_LIMITS = Limits(time_seconds=20, memory_mb=1024, jobs=1)
FEW = 5
Row = dict[str, Any]


def in_a_process(work: Callable[[], Row]) -> Row:
    """What the function gives, called in a process of its own; and `held`, the most that process held, in MB."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            row = work()
            row["held"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            os.write(writing, json.dumps(row).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(told) if told else {"note": f"ended with status {status}"}


def timed(history: Sequence[Operation], model: str, expected: str, limits: Limits) -> tuple[float, str]:
    """CPU seconds of one check, and a note if its verdict is not the expected one."""
    began = time.process_time()
    result = Linearizable().check_record(Record(list(history)), MODELS[model](), limits)
    seconds = time.process_time() - began
    limits_met = ", ".join(part["limit"] for part in result.statistics["undecided"])
    return seconds, "" if result.verdict == expected else f"  {result.verdict}! ({limits_met or result.sentence})"


def cell(model: str, size: int, clients: int, crashed: float, values: int | None, limits: Limits) -> Row:
    """One row of the tables 1 and 3."""
    machine = MACHINES[model]() if values is None else _FEW_OF[model](values)
    history = simulated(machine, size, clients, crashed)
    valid, note = timed(history, model, "valid", limits)
    history = spoiled(history, machine.late)
    bad, other = timed(history, model, "violation", limits)
    return {"valid": valid, "bad": bad, "note": note + other}


def table_of_cells(
    models: Sequence[str],
    sizes: Sequence[int],
    clients: Sequence[int],
    crashed: Sequence[float],
    values: int | None,
    limits: Limits,
) -> None:
    print("model     operations clients crashed      valid  growth  stale answer  growth     held")
    for model in models:
        rows: dict[tuple[int, int, float], Row] = {}
        for size in sizes:
            for count in clients:
                for share in crashed:
                    row = in_a_process(lambda: cell(model, size, count, share, values, limits))  # noqa: B023
                    told = f"{model:8} {size:>11,} {count:>7} {share:>7.0%}"
                    if "valid" not in row:
                        print(f"{told} {row['note']}", flush=True)
                        continue
                    smaller = rows.get((size // 10, count, share))
                    print(
                        f"{told} {row['valid']:>8.3f} s {growth(row, smaller, 'valid')} {row['bad']:>11.3f} s "
                        f"{growth(row, smaller, 'bad')} {row['held']:>5,} MB{row['note']}",
                        flush=True,
                    )
                    rows[size, count, share] = row


def growth(row: Row, smaller: Row | None, name: str) -> str:
    return " " * 7 if smaller is None else f"{row[name] / max(smaller[name], 1e-4):>6.1f}x"


def table_against_search(clients: Sequence[int], limits: Limits) -> None:
    print("model    clients crashed  near-linear        search  search's end")
    for model in MACHINES:
        for count in clients:
            for share in (0.0, 0.01):
                row = in_a_process(lambda: against_search(model, count, share, limits))  # noqa: B023
                print(
                    f"{model:8} {count:>7} {share:>7.0%} {row['near']:>10.4f} s {row['search']:>11.4f} s  {row['end']}",
                    flush=True,
                )


def against_search(model: str, clients: int, crashed: float, limits: Limits) -> Row:
    history = simulated(MACHINES[model](), 1_000, clients, crashed)
    near, note = timed(history, model, "valid", limits)
    budget, began = Budget(limits), time.process_time()
    try:
        found = search.decide(history, MODELS[model](), budget, search.Progress())
        end = "valid" if found.linearizable else "violation!"
    except Stopped as stopped:
        end = str(stopped)
    return {"near": near, "search": time.process_time() - began, "end": end + note}


def exploding(operations: int = 60, key: str = "x") -> list[Operation]:
    """Open writes and compare-and-sets of few values: every subset of them is a configuration."""
    history = [operation(-1, "write", 1, None, 0, 10_000, key)]
    for number in range(operations):
        f, value = ("write", number) if number % 2 else ("cas", [number - 1, number])
        history.append(operation(number, f, value, None if f == "write" else True, number, 10_000 + number, key))
    for number, one in enumerate(history):
        one.began, one.ended, one.index = number, 10_000 + number, number
    return history


class FewKey(Key):
    """A key of which so many strings are put or appended."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self._values = values

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        f, value = super().choose(chance, number)
        return f, None if value is None else f"<{chance.randrange(self._values)}>"


_FEW_OF: dict[str, Callable[[int], Machine]] = {"register": Cell, "kv": FewKey}


class Pile(Line):
    """A stack, mostly pushed to: of five values, or of values pushed once."""

    def __init__(self, values: int | None = FEW) -> None:
        super().__init__()
        self._values = values

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        if chance.random() < 0.4:
            return "pop", None
        return "push", number if self._values is None else chance.randrange(self._values)

    def do(self, f: str, value: Any) -> Any:
        if f == "push":
            self.held.append(value)
            return None
        return self.held.pop() if self.held else None


class FewLine(Line):
    """A queue of five values."""

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        return ("enqueue", chance.randrange(FEW)) if chance.random() < 0.6 else ("dequeue", None)


class FewAppends(Key):
    """A key to which one of five strings is appended, that is never put anew, and seldom read."""

    def choose(self, chance: random.Random, number: int) -> tuple[str, Any]:
        return ("get", None) if chance.random() < 0.1 else ("append", f"<{chance.randrange(FEW)}>")


HARD: dict[str, tuple[str, Callable[[], list[Operation]], bool]] = {
    "register, all open": ("register", exploding, False),
    "stack of five values": ("stack", lambda: simulated(Pile(), 3_000, 20, 0.05), False),
    "queue of five values": ("queue", lambda: simulated(FewLine(), 3_000, 20, 0.05), False),
    "appends of five values": ("kv", lambda: simulated(FewAppends(), 3_000, 25, 0.05), False),
    "register, near-linear": ("register", lambda: simulated(Cell(), 1_000_000, 10, 0.01), False),
    "kv, near-linear": ("kv", lambda: simulated(Key(), 1_000_000, 10, 0.01), False),
    "stack, near-linear": ("stack", lambda: simulated(Pile(None), 1_000_000, 10, 0.01), False),
    "queue, with witness": ("queue", lambda: simulated(Line(), 1_000_000, 10, 0.01), True),
}
"""What takes more memory than it may: the model, the history, and whether an order is asked for."""


def table_of_memory(limits_mb: Sequence[int], names: Sequence[str]) -> None:
    print("history                    limit   grew at most   of the limit    after  verdict")
    for name in names:
        for limit in limits_mb:
            row = in_a_process(lambda: memory(name, limit))  # noqa: B023
            print(
                f"{name:24} {limit:>4} MB {row['grew']:>11.1f} MB {row['grew'] / limit:>14.0%} {row['seconds']:>6.1f} s  "
                f"{row['end']}",
                flush=True,
            )


def memory(name: str, limit_mb: int) -> Row:
    model, make, witness = HARD[name]
    history = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    checker = Linearizable(witness=witness)
    result = checker.check_record(Record(history), MODELS[model](), Limits(600, limit_mb, jobs=1))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = time.monotonic() - began
    sentence = result.sentence
    reached = "memory limit reached" if "memory limit" in sentence else sentence
    return {"grew": (after - before) / 1024, "seconds": seconds, "end": f"{result.verdict}: {reached}"}


def table_of_jobs(keys: int, operations: int) -> None:
    print(f"{keys} keys, {operations:,} operations each, five values, 10 clients, 1 % crashed")
    history: list[Operation] = []
    for number in range(keys):
        for one in simulated(Cell(FEW), operations, 10, 0.01, key=f"k{number}", seed=number):
            one.process = f"{one.process} of k{number}"
            history.append(one)
    history.sort(key=lambda one: one.began)
    for number, one in enumerate(history):
        one.index = number
    for jobs in sorted({1, processors()}):
        began = time.monotonic()
        result = Linearizable().check_record(Record(history), MODELS["register"](), Limits(120, 4096, jobs=jobs))
        print(f"{jobs:>3} at once {time.monotonic() - began:>8.2f} s  {result.verdict}", flush=True)


def numbers(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [kind(part) for part in text.split(",")]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a part of everything (the default)")
    parser.add_argument("--full", action="store_true", help="everything")
    parser.add_argument("--models", type=numbers(str), help="of table 1, separated by commas; only that table then")
    parser.add_argument("--sizes", type=numbers(int), help="operations, separated by commas; only table 1 then")
    parser.add_argument("--clients", type=numbers(int), help="separated by commas; only table 1 then")
    parser.add_argument("--crashed", type=numbers(float), help="shares of all operations; only table 1 then")
    parser.add_argument("--few", action="store_true", help="with the four above: table 3 instead of table 1")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    print(f"Python {platform.python_version()} on {processors()} processors, load {os.getloadavg()[0]:.1f}\n")
    if chosen.models or chosen.sizes or chosen.clients or chosen.crashed or chosen.few:
        table_of_cells(
            list(_FEW_OF) if chosen.few else chosen.models or list(MACHINES),
            chosen.sizes or [1_000, 10_000],
            chosen.clients or [5, 50],
            chosen.crashed or [0.0, 0.01, 0.05],
            FEW if chosen.few else None,
            SEARCH_LIMITS if chosen.few else LIMITS,
        )
        return
    full = chosen.full
    clients = [5, 10, 25, 50] if full else [10, 50]
    crashed = [0.0, 0.01, 0.05] if full else [0.0, 0.05]
    print("1. Values written once\n")
    sizes = [1_000, 10_000, 100_000, 1_000_000] if full else [1_000, 10_000]
    table_of_cells(list(MACHINES), sizes, clients, crashed, None, LIMITS)
    print("\n2. Near-linear algorithms against the search: 1,000 operations\n")
    table_against_search([5, 10, 25] if full else [10], SEARCH_LIMITS if full else Limits(2, 1024, jobs=1))
    print("\n3. Five values\n")
    few = [0.0, 0.01, 0.05] if full else [0.01]
    table_of_cells(list(_FEW_OF), [1_000, 10_000] if full else [1_000], [5, 10], few, FEW, SEARCH_LIMITS)
    print("\n4. The memory limit\n")
    table_of_memory([100, 200, 500] if full else [100], list(HARD) if full else list(HARD)[:4])
    print("\n5. Several keys at once\n")
    table_of_jobs(*((8, 5_000) if full else (4, 2_000)))


if __name__ == "__main__":
    main()
