"""What an algorithm that never explodes says of the operations of one key: yes, no and why, or that it can't tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.budget import collector_paused
from harness.checkers.operations import Operation


@dataclass
class Decision:
    """What came of it. `linearizable` is None if this algorithm can't tell, for the reason in `why`."""

    linearizable: bool | None
    why: str = ""
    proof: list[Operation] = field(default_factory=list)
    """For False: operations that contradict each other whatever else happened, if they could be told."""
    anomaly: Anomaly | None = None
    """For False: what people call it, if the algorithm knows; then `why` is the sentence, and the proof is minimal."""


class Undecided(Exception):
    """This algorithm can't tell; the message says why."""


class Contradiction(Exception):
    """No order explains the history. `operations` are enough to see it, with the writers of what they saw."""

    def __init__(self, why: str, operations: Iterable[Operation], anomaly: Anomaly | None = None) -> None:
        super().__init__(why)
        self.operations = list(dict.fromkeys(operations))
        self.anomaly = anomaly

    def decision(self) -> Decision:
        proof = sorted(self.operations, key=lambda operation: operation.began)
        return Decision(False, str(self), proof, self.anomaly)


def decided(attempt: Callable[[], object]) -> Decision:
    """What comes of an attempt to explain the history: yes, unless it raises one of the above."""
    with collector_paused():
        try:
            attempt()
        except Contradiction as contradiction:
            return contradiction.decision()
        except Undecided as undecided:
            return Decision(None, str(undecided))
    return Decision(True)
