"""What a simulated run leaves in its folder: the same files as any other run, and perhaps its trace.

history.jsonl  statuses.jsonl  logs/n1.log ...     as of a run on real replicas
trace.jsonl                                        every step, see `harness.simulation.trace`
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.simulation.simulate import Simulated
from harness.simulation.trace import Step

HISTORY = "history.jsonl"
STATUSES = "statuses.jsonl"
TRACE = "trace.jsonl"

_encode = json.JSONEncoder(separators=(",", ":")).encode


def write_simulated(folder: Path, simulated: Simulated) -> None:
    """Write all of it but the trace, in place of what is there."""
    _write_lines(folder / HISTORY, simulated.events)
    _write_lines(folder / STATUSES, simulated.statuses)
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    for replica, lines in simulated.logs.items():
        (logs / f"{replica}.log").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def write_trace(folder: Path, steps: Iterable[Step]) -> None:
    _write_lines(folder / TRACE, steps)


def _write_lines(path: Path, values: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{_encode(value)}\n" for value in values)
