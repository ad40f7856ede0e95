"""THE CONTRACT of a checker: history in, verdict out.

A checker is a pure function of the run's spec and its history. It keeps its limits of time and memory itself, checks them
as it goes, and says `unknown` when one is reached: with the key, the reason and what to change. It may be wrong never.
`judge` is how checkers are run: a crash of a checker is `unknown`, never `valid`.

Whoever wants to know how far a long check is, or to end it early, hands in a function::

    def progress(status: Status) -> bool:
        print(status.keys_done, "of", status.keys, "keys")
        return not enough       # False calls the check off: what was decided so far stands

    check(history, "register", limits=Limits(progress=progress))
"""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.checkers.result import CheckResult
from harness.history import Event

if TYPE_CHECKING:  # the processes that help a check start quicker without it
    from harness.spec import RunSpec


@dataclass(frozen=True)
class Status:
    """How far a check is."""

    phase: Literal["reading", "judging", "explaining", "ordering"]
    keys: int = 0
    keys_done: int = 0
    operations: int = 0
    """All, or those that were read so far."""
    operations_done: int = 0
    """Those of the keys that are done."""
    configurations: int = 0
    """What searches have looked at."""


@dataclass(frozen=True)
class Limits:
    """How long and how large a check may grow, over how many processes, who watches it, and who may stop it."""

    time_seconds: float = 60.0
    memory_mb: int = 1024
    """How much the memory of all processes together may grow, the history apart."""
    cancelled: Callable[[], bool] = field(default=lambda: False)
    jobs: int | None = None
    """Keys judged at once, each in a process of its own; None: as many as there are processors, where that pays."""
    progress: Callable[[Status], object] | None = None
    """Called ten times a second at most, by the thread that checks; if it returns False, the check is called off."""


class Checker(ABC):
    name: ClassVar[str]
    question: ClassVar[str]
    """What it asks of a history, in one sentence, for `rashomon list checkers`."""

    @abstractmethod
    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        """Judge the history."""


def judge(checker: Checker, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
    """Run a checker; whatever it raises becomes `unknown`, with the place of the crash in the statistics."""
    began = time.monotonic()
    try:
        result = checker.check(spec, events, limits)
    except Exception as error:
        result = crashed(checker.name, error)
    result.statistics.setdefault("seconds", round(time.monotonic() - began, 3))
    return result


def crashed(name: str, error: Exception) -> CheckResult:
    """What a checker says that came to no end of its own. To be called while the exception is handled."""
    statistics: dict[str, Any] = {"traceback": traceback.format_exc()}
    sentence = f"the checker crashed ({type(error).__name__}: {error}): this is a bug of the checker, please report it"
    return CheckResult(name, "unknown", sentence, statistics=statistics)
