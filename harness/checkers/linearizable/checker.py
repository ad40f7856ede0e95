"""The checker itself: keys, limits, and what is said in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.checkers.checker import Checker, Limits
from harness.checkers.linearizable.appends import as_register
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.decide import Answer, decide, quick
from harness.checkers.linearizable.explain import explain, seconds
from harness.checkers.linearizable.findings import Violation, violations
from harness.checkers.linearizable.search import Progress
from harness.checkers.operations import Operation, Record, operations
from harness.checkers.result import CheckResult, Finding
from harness.history import BadHistory, Event
from harness.models import MODELS
from harness.models.kv import KeyValue
from harness.models.model import Model
from harness.models.register import Register
from harness.models.values import canonical
from harness.spec import RunSpec
from harness.workloads import WORKLOADS
from node.registry import UnknownName

MOST_FINDINGS = 20
"""Of a history; a key that fails has at least one, whatever others have."""
MOST_FINDINGS_OF_A_KEY = 5
_LONGEST_PROOF = 12
"""Of a finding that could not be made minimal, so many operations are shown."""
_SECONDS_FOR_FINDINGS = 20.0
"""Findings may take so long when the verdicts have used up the time."""


@dataclass
class _Part:
    """One partition of the history, by itself."""

    key: str
    operations: list[Operation] = field(default_factory=list)
    failed: list[Operation] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    answer: Answer | None = None
    stopped: Stopped | None = None


class Linearizable(Checker):
    name = "linearizable"
    question = "Is there one order of the operations, each at a moment while it was open, that explains what all saw?"

    def __init__(self, model: Model | None = None) -> None:
        """`model` is what to judge by; by default that of the workload that ran."""
        self.model = model

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        try:
            model = self.model or MODELS[WORKLOADS[spec.workload.name].model]()
            record = operations(events)
        except UnknownName as error:
            return self._unknown(f"it is not known what to judge by: {error}")
        except BadHistory as error:
            return self._unknown(f"this is no history that can be judged: {error}")
        return self.check_record(record, model, limits)

    def check_record(self, record: Record, model: Model, limits: Limits) -> CheckResult:
        """Judge operations that are paired already."""
        for operation in record.operations:
            problem = model.problem(operation)
            if problem is not None:
                return self._unknown(f"the operation of event {operation.index} can't be judged: {problem}")
        budget = Budget(limits)
        parts = _parts(record, model)
        _answer(parts, model, budget)
        broken = [part for part in parts if part.answer is not None and not part.answer.linearizable]
        open_parts = [part for part in parts if part.answer is None]
        findings = _findings(broken, model, limits, budget)
        statistics = _statistics(parts, record)
        if broken:
            return CheckResult(self.name, "violation", _broken_sentence(broken, open_parts), findings, statistics)
        if open_parts:
            return CheckResult(self.name, "unknown", _open_sentence(open_parts), statistics=statistics)
        return CheckResult(self.name, "valid", _valid_sentence(parts, record), statistics=statistics)

    def _unknown(self, sentence: str) -> CheckResult:
        return CheckResult(self.name, "unknown", sentence)


def _parts(record: Record, model: Model) -> list[_Part]:
    parts: dict[str, _Part] = {}
    for operation in record.operations:
        if operation.type == "info" and model.pure(operation):
            continue  # nobody heard what it saw, and it changed nothing
        key = model.partition(operation)
        part = parts.get(key)
        if part is None:
            part = parts[key] = _Part(key)
        part.operations.append(operation)
    for operation in record.failed:
        part = parts.get(model.partition(operation))
        if part is not None:
            part.failed.append(operation)
    return list(parts.values())


def _answer(parts: list[_Part], model: Model, budget: Budget) -> None:
    """First whatever is quick, for all; then the searches, each with its share of the time that is left."""
    try:
        for part in parts:
            part.answer = quick(part.operations, model, budget)
    except Stopped as stopped:
        for part in parts:
            if part.answer is None:
                part.stopped = stopped
        return
    waiting = sorted((part for part in parts if part.answer is None), key=lambda part: len(part.operations))
    for number, part in enumerate(waiting):
        budget.allow(max(0.0, budget.seconds_left / (len(waiting) - number)))
        try:
            part.answer = decide(part.operations, model, budget, part.progress)
        except Stopped as stopped:
            part.stopped = stopped


def _findings(broken: list[_Part], model: Model, limits: Limits, budget: Budget) -> list[Finding]:
    if not broken:
        return []
    seconds_each = max(budget.seconds_left, _SECONDS_FOR_FINDINGS) / len(broken)
    firsts: list[Finding] = []
    others: list[Finding] = []
    for part in broken:
        own = Budget(Limits(seconds_each, limits.memory_mb, limits.cancelled))
        stories: set[frozenset[object]] = set()
        seen_as = _as_register(part, model, own)
        for violation in violations(
            seen_as.part.operations, seen_as.model, seen_as.answer, own, MOST_FINDINGS_OF_A_KEY
        ):
            finding = _finding(seen_as, violation)
            told = _gist(violation)
            if told not in stories:
                (others if stories else firsts).append(finding)
                stories.add(told)
    # What was acknowledged and is gone weighs most; then comes what happened first.
    found = firsts + others[: max(0, MOST_FINDINGS - len(firsts))]
    return sorted(found, key=lambda finding: (finding.anomaly != "lost write", finding.prefix_end or 0))


def _gist(violation: Violation) -> frozenset[object]:
    """What a violation is about: who wrote and what was read, not by whom. The same loss is seen by many."""
    return frozenset(
        canonical(operation.result) if operation.f == "read" else operation for operation in violation.operations
    )


@dataclass
class _View:
    """A partition as its violations are told: as it is, or as a register."""

    part: _Part
    model: Model
    answer: Answer
    original: Callable[[Sequence[Operation]], list[Operation]] = list


def _as_register(part: _Part, model: Model, budget: Budget) -> _View:
    """A key of a key-value store is told like a register, where it is one."""
    assert part.answer is not None
    if type(model) is KeyValue and part.answer.algorithm == "near-linear" and not part.answer.anomaly:
        try:
            register = as_register(part.operations, model.initial(), budget)
        except Stopped:
            return _View(part, model, part.answer)
        indexes = {operation.index for operation in part.answer.proof}
        answer = replace(part.answer, proof=[one for one in register.operations if one.index in indexes])
        failed = [replace(one, f="write") if one.f in ("put", "append") else one for one in part.failed]
        return _View(_Part(part.key, register.operations, failed), Register(model.initial()), answer, register.told_by)
    return _View(part, model, part.answer)


def _finding(seen_as: _View, violation: Violation) -> Finding:
    part, model = seen_as.part, seen_as.model
    proof = violation.operations
    shown = proof
    if len(proof) > _LONGEST_PROOF and not violation.minimal:
        near = sorted(proof, key=lambda operation: abs(operation.began - violation.culprit.began))[:_LONGEST_PROOF]
        shown = sorted(near, key=lambda operation: operation.began)
    anomaly, sentence = "no order", ""
    if violation.story is not None:
        anomaly, sentence = violation.story.anomaly, violation.story.sentence
    elif isinstance(model, Register):
        story = explain(proof, part.operations, part.failed)
        anomaly, sentence = story.anomaly, story.sentence
    else:
        culprit = violation.culprit
        result = f" = {culprit.result!r}" if culprit.type == "ok" else ""
        sentence = (
            f"process {culprit.process}'s {culprit.f}({culprit.value!r}){result} fits nowhere "
            f"by the time it returns, at {seconds(culprit.return_ns or culprit.call_ns)}"
        )
    return Finding(
        checker=Linearizable.name,
        anomaly=anomaly,
        sentence=sentence,
        key=part.key,
        operations=[operation.as_json() for operation in seen_as.original(shown)],
        prefix_end=violation.culprit.return_ns,
    )


def _statistics(parts: list[_Part], record: Record) -> dict[str, Any]:
    algorithms = Counter(part.answer.algorithm for part in parts if part.answer is not None)
    most_open = [(most_open_at_once(part.operations), part.key) for part in parts]
    largest, key = max(most_open, default=(0, None))
    return {
        "keys": len(parts),
        "operations": len(record.operations) + len(record.failed),
        "ok": sum(operation.type == "ok" for operation in record.operations),
        "crashed": sum(operation.type == "info" for operation in record.operations),
        "failed": len(record.failed),
        "algorithms": dict(algorithms),
        "undecided_keys": [part.key for part in parts if part.answer is None],
        "violating_keys": [part.key for part in parts if part.answer is not None and not part.answer.linearizable],
        "most_open_at_once": largest,
        "most_open_key": key,
        "configurations": sum(part.progress.explored for part in parts),
    }


def most_open_at_once(operations: Sequence[Operation]) -> int:
    """How many operations, crashed ones included, were open at the same time at most."""
    ends = sorted(operation.ended for operation in operations if operation.ended is not None)
    returned = most = 0
    for number, operation in enumerate(operations):
        while returned < len(ends) and ends[returned] < operation.began:
            returned += 1
        most = max(most, number + 1 - returned)
    return most


def _valid_sentence(parts: list[_Part], record: Record) -> str:
    if not parts:
        return "there is nothing to judge: no client completed an operation"
    crashed = sum(operation.type == "info" for operation in record.operations)
    unknown = f", {crashed} of them of unknown outcome" if crashed else ""
    keys = "1 key" if len(parts) == 1 else f"{len(parts)} keys"
    return f"one order explains all {len(record.operations)} operations on {keys}{unknown}"


def _broken_sentence(broken: list[_Part], undecided: list[_Part]) -> str:
    keys = _names(broken)
    sentence = f"no order explains what the clients saw of {'key' if len(broken) == 1 else 'keys'} {keys}"
    if undecided:
        sentence += f"; {_open_sentence(undecided)}"
    return sentence


def _names(parts: list[_Part]) -> str:
    names = [part.key or "(none)" for part in parts[:5]]
    return ", ".join(names) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


def _open_sentence(undecided: list[_Part]) -> str:
    part = next((part for part in undecided if part.progress.reached is not None), undecided[0])
    stopped, progress = part.stopped, part.progress
    assert stopped is not None
    reached = progress.reached
    where = ""
    if reached is not None:
        where = (
            f" at {seconds(reached.return_ns or reached.call_ns)}, where {progress.open_then} operations were open at "
            f"once ({progress.crashed_then} of them of unknown outcome), after {progress.explored} configurations"
        )
    others = f" ({len(undecided) - 1} more keys are undecided too)" if len(undecided) > 1 else ""
    return (
        f"key {part.key or '(none)'} is undecided{others}: {stopped.sentence}{where}; "
        f"write every value once, use fewer processes per key, rotate keys sooner, or {stopped.remedy}"
    )
