"""How long the linearizability checker takes, by size of history, clients and crashed operations.

    python bench/checker.py [--largest 100000] [--few]

One register, clients always busy, seed 1: valid histories, and the same with one stale read at the end (the time then
includes the finding). Values are written once, unless `--few`: then there are five values and a search is needed; each
search may take 20 s and 1 GB. Making the history is not part of any time. Times are of one run on this machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.operations import Operation, Record
from harness.models.register import Register
from tests.support.brute import operation, simulated_register_history

LIMITS = Limits(time_seconds=20, memory_mb=1024)


def with_a_stale_read(history: list[Operation]) -> list[Operation]:
    """A write, another one, and a read of the first, after everything."""
    end = max(max(one.began, one.ended or 0) for one in history) + 1
    late = []
    for number, (f, value, result) in enumerate(
        [("write", "old", None), ("write", "new", None), ("read", None, "old")]
    ):
        one = operation(-1 - number, f, value, result, end + 2 * number, end + 2 * number + 1)
        one.began = one.index = end + 2 * number
        one.ended = one.began + 1
        late.append(one)
    return [*(replace(one) for one in history), *late]


def measure(history: list[Operation], expected: str) -> str:
    began = time.perf_counter()
    result = Linearizable().check_record(Record(history), Register(), LIMITS)
    seconds = time.perf_counter() - began
    note = "" if result.verdict == expected else f" {result.verdict}!"
    return f"{seconds:8.3f} s {1000 * seconds / (len(history) / 1000):8.2f} ms{note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=100_000, help="largest history, in operations")
    parser.add_argument("--few", action="store_true", help="five values instead of values written once")
    options = parser.parse_args()
    print("operations clients crashed        valid    per 1,000      stale read    per 1,000")
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= options.largest]
    for size in sizes:
        for clients in (5, 10, 25):
            for crashed in (0.0, 0.01, 0.05):
                values = 5 if options.few else None
                history = simulated_register_history(random.Random(1), size, clients, crashed, values)
                bad = with_a_stale_read(history)
                valid, spoiled = measure(history, "valid"), measure(bad, "violation")
                print(f"{size:>10} {clients:>7} {crashed:>7.0%}   {valid}   {spoiled}", flush=True)


if __name__ == "__main__":
    main()
