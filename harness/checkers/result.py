"""What a checker says: a verdict, findings, and figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.checkers.operations import Operation
    from harness.spec import Verdict

_RANK: dict[Verdict, int] = {"valid": 0, "unknown": 1, "violation": 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """`violation` before `unknown` before `valid`; nothing to judge is `valid`."""
    return max(verdicts, key=_RANK.__getitem__, default="valid")


@dataclass(frozen=True)
class Finding:
    """One violation, with the few operations that prove it and a sentence that says it."""

    checker: str
    anomaly: str
    """What people call it: `stale read`, `lost write`, `value from nowhere`, ..."""
    sentence: str
    """Whole and plain, with processes, values, times (seconds since the run began) and replicas."""
    key: str | None = None
    operations: list[dict[str, Any]] = field(default_factory=list)
    """The operations that prove it, in order of their invocation, each `{"process", "f", "key", "value", "result",
    "type", "replica", "call", "return", "index"}`; times in nanoseconds since the run began, `return` None if unknown;
    `index` is that of the invocation in the history."""
    prefix_end: int | None = None
    """The time (nanoseconds) at which the shortest prefix of the history that already fails ends."""
    minimal: bool = True
    """Whether it was verified that these operations prove it and that none of them can be left out. If not, a limit was
    reached on the way: they are what is known so far, and surely not more than a hint."""


@dataclass(frozen=True)
class CheckResult:
    """The judgement of one checker over one history."""

    checker: str
    verdict: Verdict
    sentence: str
    """One sentence: what was judged and what came of it; for `unknown` the reason and the remedy."""
    findings: list[Finding] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    """Figures as JSON values."""
    witness: dict[str, list[Operation]] | None = None
    """If it was asked for and the verdict is `valid`: for each key an order of its operations that explains them all."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values; with `witness` only if there is one."""
        told = asdict(replace(self, witness=None))
        del told["witness"]
        if self.witness is not None:
            told["witness"] = {key: [one.as_json() for one in order] for key, order in self.witness.items()}
        return told
