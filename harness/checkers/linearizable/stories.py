"""The findings of the keys that no order explains: told here, or, where a user's model has its say, in another process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.checkers.checker import Limits
from harness.checkers.linearizable.answers import is_apart
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.crew import Crew, Foreign, Job
from harness.checkers.linearizable.explain import seconds
from harness.checkers.linearizable.parts import Part
from harness.checkers.linearizable.search import Progress
from harness.checkers.linearizable.telling import Broken, tell
from harness.checkers.linearizable.telling.tell import SECONDS_MORE, SHARE_MORE
from harness.checkers.result import Finding
from harness.models.guarded import Guarded, guarded
from harness.models.model import Model

_SECONDS_APART = 6.0
"""Findings with a user's model take a tenth of the time limit or so many seconds, whichever is more, and never more than is
left. A step that never returns would take it all, and all that the reader got for it would be a rough finding."""


def findings_of(parts: Sequence[Part], model: Model, limits: Limits, seconds_left: float) -> list[Finding]:
    """At least one for each part. `seconds_left` is what the verdicts left of the time limit."""
    broken = []
    for part in parts:
        assert part.answer is not None
        broken.append(Broken(part.key, part.operations, part.failed, part.answer))
    if not is_apart(model):
        return tell(broken, model, limits, seconds_left)
    assert isinstance(model, Guarded)
    seconds_left = min(seconds_left, max(_SECONDS_APART, SHARE_MORE * limits.time_seconds))
    job = Job(_tell_apart, (broken, model.model, limits.time_seconds, limits.memory_mb, seconds_left))
    deadline = time.monotonic() + max(seconds_left, min(SHARE_MORE * limits.time_seconds, SECONDS_MORE))

    def look() -> None:
        if limits.cancelled():
            raise Stopped("cancelled", "", "")

    try:
        with Crew(1) as crew:
            (done,) = crew.run([job], limits, deadline, look)
            found: list[Finding] | None = done.value
    except Stopped:
        found = None
    except Foreign:
        return tell(broken, model, limits, seconds_left)
    return [_rough(part) for part in broken] if found is None else found


def _tell_apart(
    budget: Budget,
    progress: Progress,
    broken: list[Broken],
    model: Model,
    time_seconds: float,
    memory_mb: int,
    seconds_left: float,
) -> list[Finding]:
    return tell(broken, guarded(model), Limits(time_seconds, memory_mb), seconds_left)


def _rough(part: Broken) -> Finding:
    """What can be said without another look at the model."""
    culprit = part.answer.failed_at or part.operations[-1]
    sentence = (
        f"{culprit.f} of process {culprit.process} fits nowhere by the time it returns, at "
        f"{seconds(culprit.return_ns or culprit.call_ns)}; what it contradicts was not found out in time"
    )
    return Finding(
        "linearizable", "no order", sentence, part.key, [culprit.as_json()], culprit.return_ns, minimal=False
    )
