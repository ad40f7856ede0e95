"""The same thing done to several replicas or links at once, by a bounded number of threads that end with the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

MOST_THREADS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")

_in_turn: ContextVar[bool] = ContextVar("in_turn", default=False)


@contextmanager
def in_turn() -> Iterator[None]:
    """Within the block, and in this thread, `in_parallel` does one after the other, without threads.

    For a simulated cluster, where everything happens at one instant and in an order that has to be repeated.
    """
    token = _in_turn.set(True)
    try:
        yield
    finally:
        _in_turn.reset(token)


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of every item, in the order of the items.

    Returns when all are done, also if some fail; then the first error, in the order of the items, is raised. How long it
    takes is bounded by `function` alone.
    """
    if len(items) < 2:
        return [function(item) for item in items]
    if _in_turn.get():
        return _one_after_the_other(function, items)
    with ThreadPoolExecutor(min(len(items), MOST_THREADS), thread_name_prefix="in-parallel") as pool:
        futures = [pool.submit(function, item) for item in items]
    return [future.result() for future in futures]


def _one_after_the_other(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    results: list[Result] = []
    first_error: Exception | None = None
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return results
