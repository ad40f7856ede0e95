"""Findings of a history: for each key that no order explains, its violations in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from harness.checkers.checker import Limits
from harness.checkers.linearizable.appends import AsRegister, as_register
from harness.checkers.linearizable.budget import Budget, Stopped, collector_paused
from harness.checkers.linearizable.decide import Answer
from harness.checkers.linearizable.decision import Contradiction, Undecided
from harness.checkers.linearizable.explain import Story, did, seconds
from harness.checkers.linearizable.telling import counting, failures, generic, lines, locks, logs, mail, sets
from harness.checkers.linearizable.telling.case import Case
from harness.checkers.linearizable.telling.keys import lost_append, story_of_key
from harness.checkers.linearizable.telling.named import Named
from harness.checkers.linearizable.telling.proofs import Proof
from harness.checkers.linearizable.telling.register import story_of_register
from harness.checkers.linearizable.telling.violations import Violation, violations
from harness.checkers.operations import Operation
from harness.checkers.result import Finding
from harness.models.counter import Counter
from harness.models.guarded import watched
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.mailbox import Mailbox
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register
from harness.models.sets import Set
from harness.models.values import canonical

CHECKER = "linearizable"
MOST_FINDINGS = 20
"""Of a history; a key that fails has at least one, whatever others have."""
MOST_FINDINGS_OF_A_KEY = 5
_LONGEST_PROOF = 12
"""Of a finding that could not be made minimal, so many operations are shown."""
SECONDS_MORE = 5.0
SHARE_MORE = 0.1
"""When the verdicts have used up the time limit, findings may take so much of it more, but no more than SECONDS_MORE."""
_UNSURE = " (a limit was reached: not all that is shown may be needed)"


@dataclass
class Broken:
    """A partition that no order explains."""

    key: str
    operations: list[Operation]
    failed: list[Operation]
    """Those of the key that certainly did not happen."""
    answer: Answer


def tell(broken: Sequence[Broken], model: Model, limits: Limits, seconds_left: float) -> list[Finding]:
    """The findings of a history, at least one for each of its broken partitions; `seconds_left` is what the verdicts left
    of the time limit. When the time is spent, what is known so far is told, and marked as not minimal."""
    if not broken:
        return []
    deadline = time.monotonic() + max(seconds_left, min(SHARE_MORE * limits.time_seconds, SECONDS_MORE))
    firsts: list[Finding] = []
    others: list[Finding] = []
    for number, part in enumerate(broken):
        share = max(0.0, deadline - time.monotonic()) / (len(broken) - number)
        own = Budget(Limits(share, limits.memory_mb, limits.cancelled))
        with collector_paused() if part.answer.algorithm == "near-linear" else nullcontext():
            found = _findings_of(part, watched(model, own), own)
        firsts += found[:1]
        others += found[1:]
    # What was acknowledged and is gone weighs most; then comes what happened first.
    found = firsts + others[: max(0, MOST_FINDINGS - len(firsts))]
    return sorted(found, key=lambda finding: (not finding.anomaly.startswith("lost"), finding.prefix_end or 0))


def _findings_of(part: Broken, model: Model, budget: Budget) -> list[Finding]:
    """Those of one partition; of several that tell the same only the first."""
    seen_as = _as_register(part, model, budget)
    findings: dict[frozenset[object], Finding] = {}
    for violation in violations(seen_as.part.operations, seen_as.model, seen_as.answer, budget, MOST_FINDINGS_OF_A_KEY):
        findings.setdefault(_gist(violation), _finding(seen_as, violation, budget))
    by_sentence: dict[str, Finding] = {}
    for finding in findings.values():
        by_sentence.setdefault(finding.sentence, finding)
    return list(by_sentence.values())


def _gist(violation: Violation) -> frozenset[object]:
    """What a violation is about: who wrote and what was read, not by whom. The same loss is seen by many."""
    return frozenset(
        canonical(operation.result) if operation.f == "read" else operation for operation in violation.proof.operations
    )


@dataclass
class _View:
    """A partition as its violations are told: as it is, or as a register."""

    part: Broken
    model: Model
    answer: Answer
    register: AsRegister | None = None
    failed: dict[int, Operation] = field(default_factory=dict)
    """Of the key, by index, where it is told as a register."""

    def original(self, one: Operation) -> Operation:
        if self.register is None:
            return one
        return self.register.original.get(one.index) or self.failed[one.index]

    def shown(self, proof: Proof) -> list[Operation]:
        """The operations of the history. With an append that is told as a compare-and-set goes who read it."""
        operations = set(map(self.original, proof.operations))
        operations |= {reader for one in proof.certain if (reader := self.reader_of(one)) is not None}
        return sorted(operations, key=lambda one: one.began)

    def reader_of(self, one: Operation) -> Operation | None:
        """Of an append that is told as a compare-and-set: who read what it was appended to."""
        if self.register is None or one.f != "cas" or self.original(one).f != "append":
            return None
        return next(reversed(self.register.shown_by(self.original(one))), None)


def _as_register(part: Broken, model: Model, budget: Budget) -> _View:
    """A key of a key-value store is told like a register, where it is one."""
    if type(model) is KeyValue and part.answer.algorithm == "near-linear" and not part.answer.anomaly:
        try:
            register = part.answer.register or as_register(part.operations, model.initial(), budget)
        except (Stopped, Undecided, Contradiction):
            return _View(part, model, part.answer)
        indexes = {operation.index for operation in part.answer.proof}
        answer = replace(part.answer, proof=[one for one in register.operations if one.index in indexes])
        failed = [replace(one, f="write") if one.f in ("put", "append") else one for one in part.failed]
        seen_as = Broken(part.key, register.operations, failed, answer)
        return _View(seen_as, Register(model.initial()), answer, register, {one.index: one for one in part.failed})
    return _View(part, model, part.answer)


def _finding(seen_as: _View, violation: Violation, budget: Budget) -> Finding:
    shown = seen_as.shown(violation.proof)
    if len(shown) > _LONGEST_PROOF and not violation.proof.minimal:
        near = sorted(shown, key=lambda operation: abs(operation.began - violation.culprit.began))[:_LONGEST_PROOF]
        shown = sorted(near, key=lambda operation: operation.began)
    story = violation.proof.story or _story(seen_as, violation, budget)
    story = _with_the_rest(seen_as, violation, story, budget)
    if isinstance(story, Named):
        by_index = {one.index: one for one in (*map(seen_as.original, story.also), *shown)}
        shown = sorted(by_index.values(), key=lambda operation: operation.began)
    unsure = "" if violation.proof.minimal or not violation.proof.certain else _UNSURE
    return Finding(
        checker=CHECKER,
        anomaly=story.anomaly,
        sentence=story.sentence + unsure,
        key=seen_as.part.key,
        operations=[operation.as_json() for operation in shown],
        prefix_end=_end(seen_as, violation),
        minimal=violation.proof.minimal,
    )


def _end(seen_as: _View, violation: Violation) -> int | None:
    """When all is known that proves it; behind what something was appended is known by who read it, perhaps later."""
    readers = [seen_as.reader_of(one) for one in violation.proof.certain]
    ends = [one.return_ns for one in (violation.culprit, *readers) if one is not None and one.return_ns is not None]
    return max(ends, default=None)


_TELLERS: dict[type[Model], Callable[[Case], Story]] = {
    KeyValue: story_of_key,
    Counter: counting.story,
    Lock: locks.story,
    Queue: lines.story,
    Stack: lines.story,
    Set: sets.story,
    Log: logs.story,
    Mailbox: mail.story,
}


def _story(seen_as: _View, violation: Violation, budget: Budget) -> Story:
    part, model, proof = seen_as.part, seen_as.model, violation.proof
    if not proof.certain:
        return _unproved(violation.culprit)
    if seen_as.register is not None:
        lost = lost_append(seen_as.shown(proof), list(seen_as.register.original.values()), once=True)
        if lost is not None:
            return lost
    if isinstance(model, Register):
        return story_of_register(
            proof.operations,
            proof.certain,
            part.operations,
            part.failed,
            seen_as.original,
            _plain(model.initial()),
            seen_as.reader_of,
        )
    case = _case(seen_as, violation, budget)
    try:
        return _TELLERS.get(type(model), generic.story)(case)
    except Stopped:
        return generic.story(case)


def _case(seen_as: _View, violation: Violation, budget: Budget) -> Case:
    part, proof = seen_as.part, violation.proof
    return Case(
        proof.certain,
        proof.operations,
        violation.prefix,
        part.operations,
        part.failed,
        max(proof.certain, key=lambda one: one.ended or 0),
        seen_as.model,
        budget,
        proof.states,
        proof.owners,
    )


def _with_the_rest(seen_as: _View, violation: Violation, story: Story, budget: Budget) -> Story:
    """What the algorithms tell knows nothing of what failed, and perhaps not of what came later."""
    if not violation.proof.certain:
        return story
    try:
        return failures.with_the_rest(_case(seen_as, violation, budget), story)
    except Stopped:
        return story


def _plain(state: Any) -> Any:
    """The JSON value of which this is the canonical form; of an object, only that it is one."""
    if not isinstance(state, tuple):
        return state
    if state[0] == "array":
        return [_plain(item) for item in state[1:]]
    return {"true": True, "false": False}.get(state[0], {})


def _unproved(culprit: Operation) -> Story:
    return Story(
        "no order",
        f"{did(culprit)}, which fits nowhere by the time it returns, at {seconds(culprit.return_ns or culprit.call_ns)}; "
        "what it contradicts was not found out within the limits",
    )
