"""Making a run smaller while it still ends in a finding of the same kind.

    shrunk = shrink(spec, kind, limit_seconds=60)
    shrunk.spec          # a script: the smallest run that was found
    shrunk.finding       # what it ends in

The run is written down as a script, of which part after part is left out (`harness.shrink.seeker`). Where too much remains
of it to be read, small runs that are made of the same are looked at (`harness.shrink.alike`); the first one that ends in a
finding of the same kind is made smaller in its stead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.checkers.inside import INSIDE
from harness.errors import BadInput
from harness.explore.trial import Kind, Seen, judged
from harness.shrink.alike import alike
from harness.shrink.script import scripted
from harness.shrink.seeker import Budget, Progress, Seeker, Size, findings
from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec

__all__ = ["NotShown", "Shrunk", "Size", "kinds_of", "shrink"]

_FIRST_SHARE = 0.4
"""Of the time, what the run itself gets before others are looked at."""
_SPARE_SHARE = 0.6
"""When one will do that shows it under another name."""
_OTHERS_SHARE = 0.8
"""When, if none was found by then, it is returned to the run itself."""


@dataclass(frozen=True)
class Shrunk:
    """What is left of a run."""

    spec: RunSpec
    finding: Seen
    simulated: Simulated
    """The run of that spec, with its trace."""
    before: Size
    after: Size
    attempts: int
    minimal: bool
    """Whether nothing more could be left out; False if the time was up first."""
    replaced: bool = False
    """Whether it is what is left of another run, which was made of the same."""


class NotShown(BadInput):
    """The run does not end in a finding of that kind; the message is one sentence."""


def kinds_of(spec: RunSpec) -> tuple[Simulated, list[Seen]]:
    """A run with its trace, and what it ends in."""
    simulated = simulate(spec, trace=True)
    return simulated, list(judged(spec, simulated)[0])


def shrink(
    spec: RunSpec,
    kind: Kind | None = None,
    limit_seconds: float = 60.0,
    progress: Progress = lambda size, attempts: None,
    cancelled: Callable[[], bool] = lambda: False,
    most_attempts: int | None = None,
    least_replicas: int = 1,
) -> Shrunk:
    """Shrink a simulated run to one that ends in a finding of this kind; of its first one if no kind is given.

    Where the run, written down as a script, shows the bug under another name, that is the kind that is kept. It keeps
    `least_replicas` replicas or more. Ends after `limit_seconds`, or after so many attempts, with the smallest
    run that was found by then.

    Raises `NotShown` if the run has no such finding, or loses it when it is written down as a script.
    """
    simulated, seen = kinds_of(spec)
    if not seen:
        raise NotShown("the run has no finding, so there is nothing to shrink: name a run with a violation")
    found = next((one for one in seen if kind in (None, one.kind)), None)
    if found is None:
        known = "; ".join(str(one.kind) for one in seen)
        raise NotShown(f"the run has no finding of the kind {str(kind)!r}: it has {known}")
    budget = Budget(limit_seconds, most_attempts, cancelled)
    search = _Search(spec, found, budget, progress, least_replicas)
    script = spec if spec.script is not None else scripted(spec, simulated)
    kept = found if script is spec else _kept(script, found)
    best = search.smallest(None if kept is None else search.seeker(script, kept))
    if best is None:
        raise NotShown(
            f"written down operation by operation the run does not show {str(found.kind)!r} any more: "
            "shrink another run with this finding"
        )
    simulated, seen = kinds_of(best.best)
    finding = next((one for one in seen if one.kind == best.kind), best.finding)
    sizes = Size.of(script), Size.of(best.best)
    return Shrunk(best.best, finding, simulated, *sizes, budget.attempts, best.minimal, search.replaced)


class _Search:
    """Looks for the smallest run that shows a finding of one kind."""

    def __init__(self, spec: RunSpec, found: Seen, budget: Budget, progress: Progress, least_replicas: int) -> None:
        self.replaced = False
        """Whether another run was found that can be made smaller."""
        self._spec = spec
        self._kind = found.kind
        self._budget = budget
        self._progress = progress
        self._least_replicas = least_replicas
        self._number = 0
        self._spare: tuple[RunSpec, Kind] | None = None
        """A small run that shows the bug to the same checker, under another name."""

    def seeker(self, script: RunSpec, kept: Seen) -> Seeker:
        self._kind = kept.kind
        return Seeker(script, kept, self._budget, self._progress, self._least_replicas)

    def smallest(self, own: Seeker | None) -> Seeker | None:
        """Whoever has made the run itself smaller, or one that is alike; None if there is neither.

        What is small enough for its story to be read is only made smaller. Else other runs are looked at; and once nothing
        more can be left out, what is left is shaken.
        """
        liveness = self._kind.checker == "liveness"
        others = self._spec.script is None and not liveness
        best = own
        if best is not None:
            best.seek(_FIRST_SHARE if others else 1.0)
        while not self._budget.over() and not (best is not None and Size.of(best.best).is_small):
            looking = others and not self._budget.over(_OTHERS_SHARE)
            if looking:
                best = self._smaller(best, self._other())
            if best is None or not best.minimal:
                if looking:
                    continue
                if best is None:
                    break
                best.seek()
            elif liveness:
                break
            elif best.shake():
                best.seek()
        if best is not None:
            best.seek()
        return best

    def _smaller(self, best: Seeker | None, other: Seeker | None) -> Seeker | None:
        if other is None:
            return best
        other.seek()
        if best is not None and _weight(best) <= _weight(other):
            return best
        self.replaced = True
        return other

    def _other(self) -> Seeker | None:
        """The next small run that is alike, if it shows the finding, also when it is written down."""
        self._number += 1
        self._budget.attempts += 1
        spec, kind = alike(self._spec, self._number, self._least_replicas), self._kind
        seen = findings(spec)
        if all(one.kind != kind for one in seen):
            if kind.checker not in INSIDE and self._spare is None:
                self._spare = next(((spec, one.kind) for one in seen if one.kind.checker == kind.checker), None)
            if self._spare is None or not self._budget.over(_SPARE_SHARE):
                return None
            (spec, kind), self._spare = self._spare, None
        script = scripted(spec, simulate(spec, trace=True))
        found = next((one for one in findings(script) if one.kind == kind), None)
        return None if found is None else self.seeker(script, found)


def _weight(seeker: Seeker) -> tuple[bool, int]:
    size = Size.of(seeker.best)
    return not size.is_small, size.operations + 2 * size.faults + size.messages


def _kept(script: RunSpec, found: Seen) -> Seen | None:
    """The finding of the run, once it is a script, or else another one of the same checker: one bug has many names."""
    seen = judged(script, simulate(script, statuses=False))[0]
    same = (one for one in seen if one.kind == found.kind)
    return next(same, None) or next((one for one in seen if one.kind.checker == found.kind.checker), None)
