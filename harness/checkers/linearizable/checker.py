"""The checker itself: from a record of operations to a verdict with its findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.checkers.checker import Checker, Limits
from harness.checkers.linearizable.answers import judge_parts
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.parts import Part, parts_of
from harness.checkers.linearizable.proven import orders_of
from harness.checkers.linearizable.sentences import broken_sentence, statistics, undecided_sentence, valid_sentence
from harness.checkers.linearizable.stories import findings_of
from harness.checkers.linearizable.watch import Watch
from harness.checkers.operations import Record, operations
from harness.checkers.result import CheckResult
from harness.history import BadHistory, Event
from harness.models import MODELS
from harness.models.model import Model
from node.registry import UnknownName

if TYPE_CHECKING:
    from harness.spec import RunSpec

_LEAST_MB = 16
"""So much memory findings have at least, whatever the verdicts left."""


class Linearizable(Checker):
    name = "linearizable"
    question = "Is there one order of the operations, each at a moment while it was open, that explains what all saw?"

    def __init__(self, model: Model | None = None, witness: bool = False) -> None:
        """`model` is what to judge by; by default that of the workload that ran. `witness`: give the order, if there is one."""
        self.model = model
        self.witness = witness

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        from harness.workloads import WORKLOADS

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
        return self.judge_record(record, model, limits)

    def judge_record(self, record: Record, model: Model, limits: Limits) -> CheckResult:
        """The same for operations that are known to be the model's, all of them."""
        watch = Watch(limits)
        budget = Budget(watch.limits, watch.tell)
        parts = parts_of(record, model)
        judge_parts(parts, model, budget, watch)
        figures = statistics(parts, record)
        broken = [part for part in parts if part.broken]
        undecided = [part for part in parts if part.answer is None]
        if broken:
            watch.phase("explaining")
            left_mb = max(_LEAST_MB, watch.limits.memory_mb - round(max(0.0, budget.grown_mb())))
            limits = replace(watch.limits, memory_mb=left_mb)
            findings = findings_of(broken, model, limits, budget.seconds_left)
            return CheckResult(self.name, "violation", broken_sentence(broken, undecided), findings, figures)
        if undecided:
            return CheckResult(self.name, "unknown", undecided_sentence(undecided), statistics=figures)
        sentence = valid_sentence(parts, record)
        if not self.witness:
            return CheckResult(self.name, "valid", sentence, statistics=figures)
        watch.phase("ordering")
        return self._with_witness(parts, model, budget, sentence, figures)

    def _with_witness(
        self, parts: Sequence[Part], model: Model, budget: Budget, sentence: str, figures: dict[str, Any]
    ) -> CheckResult:
        try:
            witness = orders_of(parts, model, budget)
        except Stopped as stopped:
            sentence += f"; the order itself was not found: {stopped.sentence}; {stopped.remedy}"
            return CheckResult(self.name, "valid", sentence, statistics=figures)
        return CheckResult(self.name, "valid", sentence, statistics=figures, witness=witness)

    def _unknown(self, sentence: str) -> CheckResult:
        return CheckResult(self.name, "unknown", sentence)
