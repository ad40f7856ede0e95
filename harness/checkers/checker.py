"""THE CONTRACT of a checker: history in, verdict out.

A checker is a pure function of the run's spec and its history. It keeps its limits of time and memory itself, checks them
as it goes, and says `unknown` when one is reached: with the key, the reason and what to change. It may be wrong never.
`judge` is how checkers are run: a crash of a checker is `unknown`, never `valid`.
"""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.checkers.result import CheckResult
from harness.history import Event
from harness.spec import RunSpec


@dataclass(frozen=True)
class Limits:
    """How long and how large a check may grow, and who may stop it."""

    time_seconds: float = 60.0
    memory_mb: int = 1024
    cancelled: Callable[[], bool] = field(default=lambda: False)


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
