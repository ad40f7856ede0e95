"""What an exploration came to: `explore.json`, and the exit code.

The file is one JSON object::

    {"format": 1, "campaign", "started": when, ISO 8601 in UTC, "seconds": of true time, "jobs": processes,
     "interrupted": whether somebody ended it early, "runs": of all cells, "virtual_seconds": of all runs,
     "verdict": the worst of the cells, "as_expected": true or false,
     "cells": [{"cell", "expect", "verdict", "as_expected", "reason": one sentence,
                "first_seed", "runs", "proving": runs with enough operations, "violations": runs with a finding,
                "virtual_seconds",
                "findings": [{"checker", "anomaly", "sentence", "seed", "runs": how many had it, "folder": its run,
                              "problem": why it could not be saved or repeated, or null, "repeat", "shrink": commands}],
                "undecided_total", "undecided": [{"seed", "why"}],
                "failed_total", "failed": [{"seed", "why"}],
                "coverage": see harness.explore.coverage}]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.checkers.result import worst
from harness.errors import EXIT_AS_EXPECTED, EXIT_INTERRUPTED, EXIT_RUN_FAILED, EXIT_UNKNOWN, EXIT_VIOLATION, RunFailed
from harness.explore.explore import CellTally, Exploration, Found
from harness.explore.keep import repeat_command, shrink_command
from harness.report.files import write_whole

FORMAT = 1


def exit_code(exploration: Exploration) -> int:
    """As of `rashomon run`: a run that failed is the worst, then a surprise, then what nobody could judge."""
    cells = exploration.cells
    if any(cell.failed_total or any(found.problem for found in cell.found.values()) for cell in cells):
        return EXIT_RUN_FAILED
    surprises = [cell for cell in cells if not cell.as_expected]
    if any(cell.verdict == "violation" for cell in surprises):
        return EXIT_VIOLATION
    if exploration.interrupted:
        return EXIT_INTERRUPTED
    if any(cell.verdict == "valid" for cell in surprises):
        return EXIT_VIOLATION
    return EXIT_UNKNOWN if surprises else EXIT_AS_EXPECTED


def as_json(exploration: Exploration, campaign: str, started: datetime) -> dict[str, Any]:
    cells = exploration.cells
    return {
        "format": FORMAT,
        "campaign": campaign,
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round(exploration.seconds, 3),
        "jobs": exploration.jobs,
        "interrupted": exploration.interrupted,
        "runs": exploration.runs,
        "virtual_seconds": round(exploration.virtual_seconds, 3),
        "verdict": worst(cell.verdict for cell in cells),
        "as_expected": all(cell.as_expected for cell in cells),
        "cells": [_cell(cell) for cell in cells],
    }


def _cell(cell: CellTally) -> dict[str, Any]:
    return {
        "cell": cell.spec.cell,
        "expect": cell.spec.expect,
        "verdict": cell.verdict,
        "as_expected": cell.as_expected,
        "reason": cell.reason,
        "first_seed": cell.first_seed,
        "runs": cell.runs,
        "proving": cell.proving,
        "violations": cell.violations,
        "virtual_seconds": round(cell.virtual_seconds, 3),
        "findings": [_finding(found) for found in cell.found.values()],
        "undecided_total": cell.undecided_total,
        "undecided": _seeds(cell.undecided),
        "failed_total": cell.failed_total,
        "failed": _seeds(cell.failed),
        "coverage": cell.coverage.as_json(),
    }


def _finding(found: Found) -> dict[str, Any]:
    folder = found.folder
    return {
        "checker": found.kind.checker,
        "anomaly": found.kind.anomaly,
        "sentence": found.sentence,
        "seed": found.seed,
        "runs": found.runs,
        "folder": folder,
        "problem": found.problem,
        "repeat": None if folder is None else repeat_command(folder),
        "shrink": None if folder is None else shrink_command(folder),
    }


def _seeds(noted: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    return [{"seed": seed, "why": why} for seed, why in noted]


def write(folder: Path, summary: dict[str, Any]) -> Path:
    """Write `explore.json`. Raises `RunFailed` if it can't be written."""
    path = folder / "explore.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write_whole(path, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunFailed(f"cannot write {path} ({error.strerror}): free some space, or choose another folder") from error
