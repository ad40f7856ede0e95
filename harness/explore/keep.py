"""Keeping what was found: the run once more, this time as an ordinary one, with its folder, its trace and its report."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RashomonError
from harness.explore.explore import CellTally, Found
from harness.explore.swarm import draw
from harness.explore.trial import Kind
from harness.run import Silent, new_folder, run

NOT_AGAIN = (
    "the same run did not show it again: something in it doesn't follow from its seed, such as a protocol that reads the "
    "clock or iterates over a set"
)


def keep(tally: CellTally, seed: int, fresh: Sequence[Found], results: Path, interrupt: threading.Event) -> None:
    """Run the seed again and save it; notes folder or problem in each of the findings, which are of that run."""
    spec = draw(tally.spec, seed)
    try:
        folder = new_folder(results, spec)
        outcome = run(spec, folder, Silent(), interrupt)
    except RashomonError as error:
        for found in fresh:
            found.problem = f"it could not be saved: {error}"
        return
    again = {Kind(one["checker"], one["anomaly"]) for check in outcome["checks"] for one in check["findings"]}
    for found in fresh:
        found.folder = str(folder)
        if found.kind not in again:
            ended = "the run that was to be saved was ended early" if outcome["interrupted"] else NOT_AGAIN
            found.problem = ended


def repeat_command(folder: str) -> str:
    return shlex.join(["rashomon", "replay", folder])


def shrink_command(folder: str) -> str:
    return shlex.join(["rashomon", "shrink", folder])
