"""The same thing done to several replicas or links at once, by a bounded number of threads that end with the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of every item, in the order of the items.

    Returns when all are done, also if some fail; then the first error, in the order of the items, is raised. How long it
    takes is bounded by `function` alone.
    """
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(len(items), MOST_THREADS), thread_name_prefix="in-parallel") as pool:
        futures = [pool.submit(function, item) for item in items]
    return [future.result() for future in futures]
