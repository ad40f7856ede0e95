"""The checker `script`: did the run come out as its script says?

An operation of a script may say what becomes of it: its `outcome`, and which `results` are right. That a run went another
way is no violation, since on real replicas a moment may come too late: it is `unknown`, with the first difference.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from harness.checkers.checker import Checker, Limits
from harness.checkers.operations import Operation, operations
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.models.values import canonical, show
from harness.spec import RunSpec, ScriptedOperation


class Script(Checker):
    name = "script"
    question = "Did the operations of a script come out as the script says?"

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        if spec.script is None:
            return CheckResult(self.name, "unknown", "the run has no script: leave this checker out")
        record = operations(events)
        done: dict[Any, deque[Operation]] = defaultdict(deque)
        for one in sorted([*record.operations, *record.failed], key=lambda one: one.began):
            done[one.process].append(one)
        told = 0
        for number, asked in enumerate(spec.script.in_order(), 1):
            played = done[asked.process].popleft() if done[asked.process] else None
            if asked.outcome is None:
                continue
            told += 1
            problem = difference(asked, played)
            if problem:
                sentence = f"operation {number} of the script, {_words(asked)}, {problem}: the run went another way"
                return CheckResult(self.name, "unknown", sentence, statistics={"told": told})
        sentence = f"all {told} outcomes are those that the script tells"
        return CheckResult(self.name, "valid", sentence, statistics={"told": told})


def difference(asked: ScriptedOperation, played: Operation | None) -> str | None:
    """What is other than the script says, as the end of a sentence; None if nothing is."""
    if played is None:
        return "was not begun"
    if played.type != asked.outcome:
        return f"was {played.type} and not {asked.outcome}"
    if asked.results is None or canonical(played.result) in [canonical(result) for result in asked.results]:
        return None
    return f"returned {show(played.result)} and not {' or '.join(map(show, asked.results))}"


def _words(asked: ScriptedOperation) -> str:
    value = "" if asked.value is None else f" {show(asked.value)}"
    return f"{asked.f} {asked.key}{value} by p{asked.process}"
