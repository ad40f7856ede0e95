"""The short account of a run, as the head of its report, the index of a campaign and the JUnit file all tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.report.folder import read_results, read_spec
from harness.report.operations import OUTCOMES, Operation
from harness.report.text import named, number, plain_text, whole

VERDICTS = ("valid", "violation", "unknown")


@dataclass(frozen=True)
class Summary:
    """One run. What nobody knows is None or empty; everything from outside is text that may be shown as it is."""

    folder: str
    campaign: str
    cell: str
    seed: str
    cluster: str
    replicas: int | None
    protocol: str
    machine: str
    workload: str
    nemesis: str
    verdict: str
    expect: str
    as_expected: bool
    reason: str
    error: str
    interrupted: bool
    started: str
    seconds: dict[str, float]
    """`setup`, `work`, `recovery`, `check`, `total`, as far as they were measured."""
    operations: dict[str, int]
    """By outcome."""
    success_fraction: float | None
    longest_unavailable_seconds: float | None
    faults_injected: int | None
    faults_proved: int | None
    findings: list[dict[str, Any]]
    """As in `harness.checkers.result.Finding`."""
    findings_total: int
    """There may be more than are listed."""
    replay: str

    @property
    def sentences(self) -> list[str]:
        """One of each finding."""
        return [plain_text(finding.get("sentence") or "", 2000) for finding in self.findings]


def read_summary(folder: Path) -> Summary:
    """The account of the run in `folder`, whatever state it is in."""
    problems: list[str] = []
    return summarize(folder, read_results(folder, problems), read_spec(folder, problems)[0])


def summarize(
    folder: Path, results: dict[str, Any], spec: dict[str, Any], operations: Iterable[Operation] = ()
) -> Summary:
    """`results` first, `spec` where they are silent; `operations` are counted if the results don't count them."""
    known = {**spec, **results}
    verdict = results.get("verdict")
    verdict = verdict if verdict in VERDICTS else "unknown"
    expect = known.get("expect")
    expect = expect if expect in VERDICTS else "valid"
    as_expected = results.get("as_expected")
    availability = statistics(results, "availability")
    outcomes = _outcomes(results, operations)
    faults = dictionary(results.get("faults"))
    found = [finding for check in checks(results) for finding in dictionaries(check.get("findings"))]
    return Summary(
        folder=folder.name,
        campaign=_text(known.get("campaign"), folder.parent.name),
        cell=_text(known.get("cell"), folder.name),
        seed=_text(known.get("seed"), "–"),
        cluster=_text(known.get("cluster"), "–"),
        replicas=_replicas(known.get("replicas")),
        protocol=named(known.get("protocol")),
        machine=named(known.get("machine")),
        workload=named(known.get("workload")),
        nemesis=named(known.get("nemesis")),
        verdict=verdict,
        expect=expect,
        as_expected=as_expected if isinstance(as_expected, bool) else bool(results) and verdict == expect,
        reason=_text(results.get("reason"), _silence(results)),
        error=_text(results.get("error"), ""),
        interrupted=results.get("interrupted") is True,
        started=_text(results.get("started"), ""),
        seconds={
            name: length
            for name, value in dictionary(results.get("seconds")).items()
            if (length := number(value)) is not None
        },
        operations=outcomes,
        success_fraction=_success(availability, outcomes),
        longest_unavailable_seconds=number(availability.get("longest_unavailable_seconds")),
        faults_injected=whole(faults.get("injected")),
        faults_proved=whole(faults.get("proved")),
        findings=found,
        findings_total=max(whole(results.get("findings_total")) or 0, len(found)),
        replay=_text(results.get("replay"), f"rashomon replay {folder}"),
    )


def checks(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What each checker said."""
    return dictionaries(results.get("checks"))


def statistics(results: dict[str, Any], checker: str) -> dict[str, Any]:
    """The figures of one checker; empty if it didn't run."""
    found = next((check for check in checks(results) if check.get("checker") == checker), {})
    return dictionary(found.get("statistics"))


def dictionary(value: Any) -> dict[str, Any]:
    """The value if it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def dictionaries(value: Any) -> list[dict[str, Any]]:
    """The dictionaries in the value if it is a list, else none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def sentences(value: Any) -> list[str]:
    """The entries of a list as text; a single value is a list of one."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [plain_text(entry, 2000) for entry in entries]


def _text(value: Any, otherwise: str) -> str:
    return otherwise if value is None or value == "" else plain_text(value, 2000)


def _silence(results: dict[str, Any]) -> str:
    return "No reason was recorded." if results else "The run ended before it was judged, and left no verdict."


def _replicas(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else whole(value)


def _outcomes(results: dict[str, Any], operations: Iterable[Operation]) -> dict[str, int]:
    recorded = dictionary(results.get("operations"))
    if any(whole(recorded.get(outcome)) is not None for outcome in OUTCOMES):
        return {outcome: whole(recorded.get(outcome)) or 0 for outcome in OUTCOMES}
    counted = dict.fromkeys(OUTCOMES, 0)
    for operation in operations:
        counted[operation.outcome] += 1
    return counted


def _success(availability: dict[str, Any], outcomes: dict[str, int]) -> float | None:
    measured = number(availability.get("success_fraction"))
    total = sum(outcomes.values())
    return measured if measured is not None else outcomes["ok"] / total if total else None
