"""Values that were taken out of a queue or a stack and can't have been."""

from __future__ import annotations

from typing import NamedTuple

from harness.checkers.anomalies import Anomaly
from harness.checkers.linearizable.decision import Contradiction
from harness.checkers.linearizable.explain import asked, called, did, returned, who
from harness.checkers.linearizable.moments import end_of
from harness.checkers.operations import Operation


class Words(NamedTuple):
    """How one puts in and takes out."""

    put: str
    did_put: str
    took: str
    twice: Anomaly
    """What it is called to take a value a second time."""


def wrongly_taken(take: Operation, put: Operation | None, other: Operation | None, words: Words) -> Contradiction:
    """Why that can't be: nobody `put` the value in, or an `other` operation took it, or it was put in only afterwards."""
    shown = f"{did(take)} at {returned(take)}"
    if put is None:
        return Contradiction(f"{shown}, but nobody ever {words.did_put} it", [take], "value from nowhere")
    if other is not None:
        return Contradiction(
            f"{shown}, but {who(other)} {'had ' * (end_of(other) < end_of(take))}{words.took} it too{asked(other)}, at "
            f"{returned(other)}, and it was {words.did_put} only once",
            [put, other, take],
            words.twice,
        )
    return Contradiction(
        f"{shown}, but its {words.put} by {who(put)}{asked(put)} began only at {called(put)}",
        [put, take],
        "value from the future",
    )
