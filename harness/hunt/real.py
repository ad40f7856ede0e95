"""Hunting on real replicas: of each protocol one flaw and its correct form, run as a campaign would run them.

Real runs are slow and no two are alike; so these cases, which `real.yaml` has, are few, and their flaws are those that show
at once. A case whose flaw is not found in its first run gets the other runs; one that is found is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from harness import cluster as clusters
from harness.campaign import Overrides, load_campaign
from harness.errors import RashomonError
from harness.explore.swarm import without_seed
from harness.explore.trial import Kind
from harness.hunt.catalogue import Case, check_names
from harness.hunt.command import CAMPAIGN, tell
from harness.hunt.table import Row, Summary, exit_code, row_of
from harness.run import new_folder, new_place, run
from harness.spec import RunSpec
from harness.terminal import TerminalProgress, console, counted

REAL = Path(__file__).with_name("real.yaml")


def real_cases(protocols: Sequence[str], flaws: Sequence[str], cluster: Literal["local", "docker"]) -> list[Case]:
    """The cases for real replicas; those of these protocols and flaws, if any are named. Raises `BadInput` for names
    that nothing has."""
    check_names(protocols, flaws)
    cells = load_campaign(REAL, Overrides(cluster=cluster))
    cases = [_case(cell.model_copy(update={"cell": without_seed(cell.cell)})) for cell in cells]
    cases = [case for case in cases if not protocols or case.protocol in protocols]
    return [case for case in cases if not flaws or case.name in flaws]


def _case(cell: RunSpec) -> Case:
    flaws = cell.protocol.flaws
    if cell.expect == "violation" and not flaws:
        return Case(cell.protocol.name, "limit", cell.nemesis.name, cell)
    return Case(cell.protocol.name, "flaw" if flaws else "correct", "+".join(flaws), cell)


def hunt_for_real(
    cases: Sequence[Case], runs: int, out_folder: Path, interrupt: threading.Event
) -> tuple[Summary, int]:
    """Run every case, at most so many times; returns the table and the exit code."""
    started, began = datetime.now(UTC), time.monotonic()
    cluster = cases[0].spec.cluster
    clusters.create(cluster, 1)  # what it needs of this machine's Python is missed before anything starts
    folder = new_place(out_folder, CAMPAIGN, f"{CAMPAIGN}-{cluster}")
    rows = []
    for case in cases:
        if interrupt.is_set():
            break
        rows.append(_hunted(case, runs, out_folder, interrupt))
    summary = Summary(
        started=started.isoformat(timespec="seconds"),
        cluster=cluster,
        jobs=1,
        interrupted=interrupt.is_set(),
        seconds=round(time.monotonic() - began, 1),
        rows=tuple(rows),
    )
    tell(summary, folder)
    return summary, exit_code(summary)


def _hunted(case: Case, runs: int, out_folder: Path, interrupt: threading.Event) -> Row:
    """What became of a case."""
    began = time.monotonic()
    verdicts: list[str] = []
    outcome: dict[str, Any] = {"verdict": "unknown", "reason": "interrupted", "checks": []}
    place: Path | None = None
    while len(verdicts) < runs and outcome["verdict"] != "violation" and not interrupt.is_set():
        spec = case.spec.model_copy(update={"seed": case.spec.seed + len(verdicts)})
        try:
            place = new_folder(out_folder, spec)
            outcome = _run(case, spec, place, interrupt)
        except RashomonError as error:
            took = round(time.monotonic() - began, 1)
            return row_of(case, verdict="unknown", runs=len(verdicts), seconds=took, problem=str(error))
        verdicts.append(outcome["verdict"])
    worst = "violation" if "violation" in verdicts else "unknown" if "unknown" in verdicts or not verdicts else "valid"
    findings = [one for check in outcome["checks"] for one in check["findings"]]
    kinds = dict.fromkeys(str(Kind(one["checker"], one["anomaly"])) for one in findings)
    return row_of(
        case,
        verdict=worst,
        runs=len(verdicts),
        seconds=round(time.monotonic() - began, 1),
        seed=case.spec.seed + len(verdicts) - 1 if findings else None,
        by=tuple(kinds),
        sentence=findings[0]["sentence"] if findings else outcome["reason"],
        folder=str(place) if findings else None,
    )


def _run(case: Case, spec: RunSpec, place: Path, interrupt: threading.Event) -> dict[str, Any]:
    out = console()
    size = f"{counted(spec.replicas, 'replica', 'replicas')}, {spec.duration_seconds:g} s"
    out.print(f"[bold]{escape(case.title)}[/]  [dim]({size})[/]")
    with TerminalProgress(out, spec.duration_seconds) as progress:
        outcome = run(spec, place, progress, interrupt)
    out.print(f"  {outcome['verdict']}: {escape(outcome['reason'])}", soft_wrap=True)
    return outcome
