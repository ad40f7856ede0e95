"""What a run came to: `results.json`, and the verdict that it begins with.

The file is one JSON object::

    {"format": 1,
     "campaign", "cell", "seed", "cluster", "replicas", "machine", "expect":   as in run.yaml,
     "protocol", "workload":   {"name", "options"},
     "nemesis":                its name,
     "verdict":                "valid", "violation" or "unknown",
     "as_expected":            true or false,
     "reason":                 why this verdict, one sentence,
     "interrupted":            whether somebody ended the run early,
     "error":                  why the run itself failed, one sentence, or null,
     "tainted":                why the network can't be trusted, one sentence, or null,
     "started":                when, ISO 8601 in UTC,
     "seconds":                {"setup", "work", "recovery", "check", "report", "total",
                                "first_operation", "after_last_operation"},
     "operations":             {"ok", "fail", "info", "by_function": {"read": {"ok", "fail", "info"}}},
     "checks":                 what each checker said, see harness.checkers.result.CheckResult,
     "findings_total":         how many findings they have,
     "faults":                 {"injected", "proved", "ineffective", "unproved"},
     "audit":                  the rules of histories that were broken, sentences,
     "notes":                  what else a reader should know, sentences,
     "replay":                 the command that repeats the run,
     "versions":               {"rashomon", "python", ...}}

Of the seconds, each null if the run didn't come so far, `recovery` is from the end of all healing to the return of
the first operation that was begun after it, `first_operation` from the start of the run to the first operation that
came back ok, and `after_last_operation` from the last one to the end. An operation without completion counts as
`info`.
"""

from __future__ import annotations

import json
import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.checkers.result import CheckResult, worst
from harness.errors import RunFailed
from harness.history import FINAL_READS, HARNESS, NEMESIS, WORK_OVER, Event
from harness.report.files import write_whole
from harness.spec import RunSpec, Verdict

FORMAT = 1
SECONDS = ("setup", "work", "recovery", "check", "report", "total", "first_operation", "after_last_operation")
_PACKAGES = ("rashomon", "flask", "requests", "urllib3", "waitress", "toxiproxy-python")


@dataclass
class Account:
    """All that is known of a run when it is over."""

    spec: RunSpec
    folder: Path
    started: datetime
    events: Sequence[Event] = ()
    checks: list[CheckResult] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Beside those in the history."""
    seconds: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(SECONDS))
    interrupted: bool = False
    error: str | None = None
    tainted: str | None = None

    def results(self) -> dict[str, Any]:
        """As in `results.json`."""
        spec = self.spec
        operations = count_operations(self.events)
        verdict, reason = self._judgement(operations["ok"])
        return {
            "format": FORMAT,
            "campaign": spec.campaign,
            "cell": spec.cell,
            "seed": spec.seed,
            "cluster": spec.cluster,
            "replicas": spec.replicas,
            "protocol": spec.protocol.model_dump(mode="json"),
            "machine": spec.machine,
            "workload": spec.workload.model_dump(mode="json"),
            "nemesis": spec.nemesis.name,
            "expect": spec.expect,
            "verdict": verdict,
            "as_expected": verdict == spec.expect and self.error is None,
            "reason": reason,
            "interrupted": self.interrupted,
            "error": self.error,
            "tainted": self.tainted,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": self.seconds,
            "operations": operations,
            "checks": [check.as_json() for check in self.checks],
            "findings_total": sum(len(check.findings) for check in self.checks),
            "faults": count_faults(self.events),
            "audit": self.audit,
            "notes": [*notes_in(self.events), *self.notes],
            "replay": shlex.join(["rashomon", "replay", str(self.folder)]),
            "versions": versions(),
        }

    def _judgement(self, succeeded: int) -> tuple[Verdict, str]:
        """The verdict and why. What makes the record itself doubtful comes before what the checkers read in it."""
        if self.error is not None:
            return "unknown", f"the run failed: {self.error}"
        if self.audit:
            return "unknown", f"the history breaks the rules of histories: {self.audit[0]}"
        if self.tainted is not None:
            return "unknown", f"the network of this run can't be trusted: {self.tainted}"
        verdict = worst(check.verdict for check in self.checks)
        decisive = [check for check in self.checks if check.verdict == verdict]
        if verdict == "violation":
            return verdict, decisive[0].findings[0].sentence if decisive[0].findings else decisive[0].sentence
        if succeeded < self.spec.minimum_operations:
            early = "the run was ended early, and " if self.interrupted else ""
            least = self.spec.minimum_operations
            return "unknown", f"{early}only {succeeded} operations succeeded: fewer than {least} prove nothing"
        if not decisive:
            return "unknown", "no checker judged this run"
        return verdict, decisive[0].sentence


def count_operations(events: Iterable[Event]) -> dict[str, Any]:
    """The clients' operations by outcome, in all and by function; one without completion is `info`."""
    invoked: Counter[str] = Counter()
    completed: dict[str, Counter[str]] = {}
    for event in events:
        if event.get("process") in (NEMESIS, HARNESS):
            continue
        f, kind = str(event.get("f")), str(event.get("type"))
        if kind == "invoke":
            invoked[f] += 1
        else:
            completed.setdefault(f, Counter())[kind] += 1
    by_function = {}
    for f in sorted({*invoked, *completed}):
        done = completed.get(f, Counter())
        ok, fail = done["ok"], done["fail"]
        by_function[f] = {"ok": ok, "fail": fail, "info": max(done["info"], invoked[f] - ok - fail)}
    totals = {kind: sum(counts[kind] for counts in by_function.values()) for kind in ("ok", "fail", "info")}
    return {**totals, "by_function": by_function}


def count_faults(events: Iterable[Event]) -> dict[str, int]:
    """The nemesis's injections: how many there were, and what measuring them gave."""
    counts = {"injected": 0, "proved": 0, "ineffective": 0, "unproved": 0}
    for event in events:
        if event.get("process") != NEMESIS or event.get("f") != "inject":
            continue
        if event.get("type") == "invoke":
            counts["injected"] += 1
            continue
        evidence = event.get("evidence")
        effective = evidence.get("effective") if isinstance(evidence, dict) else None
        counts["proved" if effective is True else "ineffective" if effective is False else "unproved"] += 1
    counts["unproved"] = counts["injected"] - counts["proved"] - counts["ineffective"]
    return counts


def notes_in(events: Iterable[Event]) -> list[str]:
    """What the harness noted that a reader should know: not that the work was over and the final reads began."""
    notes = [
        str(event.get("value")) for event in events if event.get("process") == HARNESS and event.get("f") == "note"
    ]
    return [note for note in notes if note not in (WORK_OVER, FINAL_READS)]


def versions() -> dict[str, str]:
    """What the run was made with."""
    known = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            continue
    return known


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write `results.json`, whole or not at all. Raises `RunFailed` if it can't be written."""
    path = folder / "results.json"
    try:
        write_whole(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunFailed(f"cannot write {path} ({error.strerror}): free some space, then run again") from error
