"""What a teller is given: the operations of a proof, and what it may look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.explain import called, did, returned, span
from harness.checkers.operations import Operation
from harness.models.model import Model, State


@dataclass
class Case:
    """Operations that contradict each other, in order of their invocation."""

    certain: list[Operation]
    """Those without which there would be no contradiction."""
    shown: list[Operation]
    """With the sources of what they saw."""
    prefix: Sequence[Operation]
    """The whole history of the key up to there."""
    history: Sequence[Operation]
    """All operations of the key, also those that came later."""
    failed: Sequence[Operation]
    """What was tried on the key and certainly did not happen."""
    culprit: Operation
    """The one that returned last."""
    model: Model
    budget: Budget
    states: Sequence[State] = ()
    """What is possible when it returns, if it has not happened yet: it fits none of these."""
    owners: bool = False
    """Whether it is supposed that each process releases only what it acquired itself."""

    @property
    def others(self) -> list[Operation]:
        return [one for one in self.certain if one is not self.culprit]

    @property
    def known(self) -> list[Operation]:
        """All that had begun when the culprit returned: what comes later can't explain it."""
        return [one for one in self.history if one.began < (self.culprit.ended or 0)]


def done(one: Operation) -> str:
    """`p2 added 5 (n1) by 2.000 s`."""
    return f"{did(one)} by {returned(one)}"


def begun(one: Operation) -> str:
    """`p2 added 5 (n1), from 1.000 s to 2.000 s`."""
    return f"{did(one)} ({span(one)})"


def after(one: Operation) -> str:
    """`p3 read 5 (n1), asked at 3.000 s`."""
    return f"{did(one)}, asked at {called(one)}"
