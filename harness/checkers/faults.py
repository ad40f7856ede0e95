"""The checker `faults`: did the faults bite? A run that survived faults which never took effect proves nothing.

`valid` if at least one injection is proved by a measurement, or none was asked for; `unknown` if faults were asked for and
none is proved. Its statistics::

    {"injections": [{"number": 3, "fault": "kill", "targets": ["n1"], "roles": {"n1": "leader"}, "description": "...",
                     "proof": "proved", "detail": "...", "healing": "proved", "healing_detail": "...",
                     "at": 11.05, "healed_at": 14.1}],
     "proved": 7, "ineffective": 0, "unproved": 1, "failed": 0, "unfinished": 0, "healing_failed": 0,
     "by_fault": {"kill": {"injected": 3, "proved": 3}},
     "roles_hit": {"leader": 2, "follower": 5}}

`roles_hit` counts the replicas that proved injections hit, by the role that they had then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.checkers.checker import Checker, Limits
from harness.checkers.injections import Injected, Proof, injections
from harness.checkers.result import CheckResult
from harness.history import Event
from harness.spec import RunSpec, Verdict

_PROOFS: tuple[Proof, ...] = ("proved", "ineffective", "unproved", "failed", "unfinished")


class Faults(Checker):
    name = "faults"
    question = "Did the faults really take effect, on whom, and were they mended?"

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        found = injections(events)
        statistics = _statistics(found)
        verdict, sentence = _judge(found, asked=bool(spec.nemesis.streams))
        unhealed = [one for one in found if one.healing in ("failed", "ineffective")]
        if unhealed:
            one = unhealed[0]
            more = f" (and {len(unhealed) - 1} more)" if len(unhealed) > 1 else ""
            sentence += f"; healing {_title(one)} failed{more}: {one.healing_detail or 'it was still in effect'}"
        return CheckResult(self.name, verdict, sentence, statistics=statistics)


def _judge(found: Sequence[Injected], asked: bool) -> tuple[Verdict, str]:
    if not found:
        if asked:
            return "unknown", "no fault bit: faults were asked for and none was injected; let the run last longer"
        return "valid", "no fault was asked for"
    proved = sum(one.proof == "proved" for one in found)
    if not proved:
        one = next((one for one in found if one.detail), found[0])
        reason = f" ({_title(one)}: {one.detail})" if one.detail else ""
        return "unknown", f"no fault bit: none of the {len(found)} injected is proved{reason}"
    if proved == len(found):
        return "valid", "the fault is proved" if proved == 1 else f"all {proved} faults are proved"
    counts = Counter(one.proof for one in found)
    others = ", ".join(f"{counts[proof]} {proof}" for proof in _PROOFS[1:] if counts[proof])
    return "valid", f"{proved} of {len(found)} faults are proved ({others})"


def _title(one: Injected) -> str:
    return f"{one.fault} {one.number}"


def _statistics(found: Sequence[Injected]) -> dict[str, Any]:
    proofs: Counter[Proof] = Counter(one.proof for one in found)
    by_fault: dict[str, dict[str, int]] = {}
    roles: Counter[str] = Counter()
    for one in found:
        counts = by_fault.setdefault(one.fault, {"injected": 0, "proved": 0})
        counts["injected"] += 1
        if one.proof == "proved":
            counts["proved"] += 1
            roles.update(one.roles.values())
    return {
        "injections": [_entry(one) for one in found],
        **{str(proof): proofs[proof] for proof in _PROOFS},
        "healing_failed": sum(one.healing in ("failed", "ineffective") for one in found),
        "by_fault": by_fault,
        "roles_hit": dict(roles),
    }


def _entry(one: Injected) -> dict[str, Any]:
    return {
        "number": one.number,
        "fault": one.fault,
        "targets": one.targets,
        "roles": one.roles,
        "description": one.description,
        "proof": one.proof,
        "detail": one.detail,
        "healing": one.healing,
        "healing_detail": one.healing_detail,
        "at": None if one.applied_at is None else round(one.applied_at / 1e9, 3),
        "healed_at": None if one.healed_at is None else round(one.healed_at / 1e9, 3),
    }
