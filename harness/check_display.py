"""What a person sees of `rashomon check` besides verdict and findings: how far it is, and the order that explains all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.bars import asked_and_answered, span
from harness.checkers.checker import Status
from harness.checkers.result import CheckResult
from harness.terminal import console

_MOST_SHOWN = 50
"""Lines of an order; `--json` has all."""
_AFTER_SECONDS = 0.5


class CheckProgress:
    """One line on standard error, as long as the check runs, if that is a terminal and the check takes a while."""

    def __init__(self, out: Console | None = None) -> None:
        out = out or Console(stderr=True, highlight=False)
        self._live = Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: Status) -> None:
        seconds = time.monotonic() - self._began
        if self._live is None or seconds < _AFTER_SECONDS:
            return
        if not self._live.is_started:
            self._live.start()
        self._live.update(Text(in_words(status, seconds), no_wrap=True, overflow="ellipsis"), refresh=True)


def in_words(status: Status, seconds: float) -> str:
    """`judging: 12 of 300 keys, 1,200 of 40,000 operations, 1,234,567 configurations, 12 s`."""
    if status.phase == "reading":
        told = f"{status.operations:,} events"
    else:
        told = f"{status.keys_done:,} of {status.keys:,} keys, {status.operations_done:,} of {status.operations:,} operations"
        if status.configurations:
            told += f", {status.configurations:,} configurations"
    return f"{status.phase}: {told}, {seconds:.0f} s"


def print_witness(results: Sequence[CheckResult]) -> None:
    """The orders that were asked for, key by key, as far as a person reads."""
    out = console()
    for result in results:
        left = _MOST_SHOWN
        for key, order in (result.witness or {}).items():
            if left <= 0:
                break
            out.print(f"an order that explains {f'key {key}' if key else 'everything'}:", markup=False, soft_wrap=True)
            for place, operation in enumerate(order[:left], 1):
                shown = operation.as_json()
                who = f"process {operation.process}" if isinstance(operation.process, int) else operation.process
                unknown = "" if operation.type == "ok" else "  (its outcome was unknown)"
                line = f"{place:>6}  {span(shown):>22}  {who}  {asked_and_answered(shown)}{unknown}"
                out.print(line, markup=False, soft_wrap=True)
            left -= len(order)
        more = sum(map(len, (result.witness or {}).values())) - _MOST_SHOWN
        if more > 0:
            out.print(f"and {more:,} more operations: --json gives all")
