"""The few operations that prove a violation: as few as possible, and nothing that was not checked again.

- Values of a container that can be left out are left out (`projection`).
- A register whose values are written once: no operation can be left out, with those that wrote what it saw (`support`).
- Everything else, and what is still long: the core (`cores`). Shown with it are the SOURCES of what it saw: a read of 17
  beside no write of 17 would look like a value from nowhere. Where it is open who wrote it, the last who may have.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.decide import Answer, decide
from harness.checkers.linearizable.explain import Story
from harness.checkers.linearizable.support import Support
from harness.checkers.linearizable.telling.cores import Core, core
from harness.checkers.linearizable.telling.forgetful import forgetful
from harness.checkers.linearizable.telling.minimal import minimal
from harness.checkers.linearizable.telling.projection import projected, values_of
from harness.checkers.linearizable.telling.sources import sources
from harness.checkers.operations import Operation
from harness.models.lock import Lock
from harness.models.model import Model, State
from harness.models.register import Register

_MINIMAL_FROM = 2000
"""Where no proof is at hand, only the last so many operations of the prefix are tried to be enough."""
_FEW = 5
"""A proof of more operations is looked at once more."""


@dataclass
class Proof:
    operations: list[Operation]
    """In order of invocation; where nothing could be proved in time, those around the one that fits nowhere."""
    minimal: bool
    """Whether it was verified that these fail, and that none of them can be left out."""
    certain: list[Operation] = field(default_factory=list)
    """Without the sources."""
    owners: bool = False
    """Whether it supposes that each process releases only what it acquired itself."""
    states: list[State] = field(default_factory=list)
    """What was possible when the last one returned; none if it can't be told in the model's own states."""
    story: Story | None = None
    """What it is, if the algorithm that found it knows."""


def prove(prefix: Sequence[Operation], model: Model, answer: Answer, culprit: Operation, budget: Budget) -> Proof:
    """A proof for the shortest prefix of a history that fails. It ends early, with what it has, if the budget is spent."""
    kept = list(prefix)
    try:
        if answer.anomaly and len(answer.proof) > _FEW:
            kept = _of_few_values(prefix, model, answer, budget)
            again = decide(kept, model, budget)
            answer = again if len(again.proof) < len(answer.proof) else answer
        if answer.anomaly:
            proof = _originals(answer.proof, prefix)
            return Proof(proof, True, proof, story=Story(answer.anomaly, answer.sentence))
        if answer.algorithm == "near-linear" and type(model) is Register:
            kept, whole = _supported(prefix, model, answer, budget)
            if len(kept) <= _FEW:
                return Proof(kept, whole, kept)
        else:
            kept = _of_few_values(prefix, model, answer, budget)
        found, owners = _core(kept, model, budget)
    except Stopped:
        return _rough(kept if len(kept) < len(prefix) else prefix, culprit)
    if found is None:
        return _rough(kept, culprit)
    certain = _originals(found.operations, prefix)
    states = found.states if kept == list(prefix) else []
    return Proof(_with_sources(certain, prefix, model), found.minimal, certain, owners, states)


def _originals(operations: Iterable[Operation], prefix: Sequence[Operation]) -> list[Operation]:
    by_index = {one.index: one for one in prefix}
    return [by_index.get(one.index, one) for one in operations]


def _rough(operations: Sequence[Operation], culprit: Operation) -> Proof:
    return Proof([one for one in operations if _overlap(one, culprit)], False)


def _overlap(one: Operation, other: Operation) -> bool:
    return (one.ended is None or one.ended > other.began) and (other.ended is None or other.ended > one.began)


def _supported(
    prefix: Sequence[Operation], model: Model, answer: Answer, budget: Budget
) -> tuple[list[Operation], bool]:
    def fails(operations: list[Operation]) -> bool:
        return not decide(operations, model, budget).linearizable

    if answer.proof:
        support = Support(prefix, model.initial(), answer.proof)
        if support.is_closed(answer.proof) and fails(answer.proof):
            return minimal(answer.proof, support.closed, fails)
    support = Support(prefix, model.initial())
    start = list(prefix)
    if len(start) > _MINIMAL_FROM:
        recent = support.closed(start[-_MINIMAL_FROM:])
        start = recent if fails(recent) else start
    return minimal(start, support.closed, fails)


def _of_few_values(prefix: Sequence[Operation], model: Model, answer: Answer, budget: Budget) -> list[Operation]:
    values = values_of(prefix, model)
    if values is None:
        return list(prefix)

    def fails(kept: list[Hashable]) -> bool:
        return not decide(projected(prefix, model, set(kept)), model, budget).linearizable

    in_proof = values_of(answer.proof, model) or []
    for start in (in_proof, values):
        if start and fails(start):
            few, _ = minimal(start, list, fails)
            return projected(prefix, model, set(few))
    return list(prefix)  # a log's places are what doesn't fit


def _core(operations: list[Operation], model: Model, budget: Budget) -> tuple[Core | None, bool]:
    """The core, and whether it supposes owners of a lock that names none."""
    if type(model) is Lock and all(one.value is None for one in operations):
        owned = [replace(one, value=one.process) for one in operations]
        if not decide(owned, model, budget).linearizable:
            supposed = core(owned, model, budget)
            if supposed is not None and supposed.minimal:
                return supposed, True
    return core(operations, forgetful(model, operations), budget), False


def _with_sources(certain: list[Operation], prefix: Sequence[Operation], model: Model) -> list[Operation]:
    shown = {one.index: one for one in (*certain, *sources(certain, prefix, model))}
    return sorted(shown.values(), key=lambda one: one.began)
