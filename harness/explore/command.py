"""What `rashomon explore` does: reads the campaign, explores, saves what is found, and writes the summary."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from harness.campaign import Overrides, load_campaign
from harness.errors import RunFailed
from harness.explore.display import Display, print_summary
from harness.explore.explore import Attempt, Budget, CellTally, Exploration, Found
from harness.explore.keep import keep
from harness.explore.summary import as_json, exit_code, write
from harness.explore.swarm import without_seed
from harness.explore.trial import attempt
from harness.explore.variants import EVERYTHING
from harness.run import new_place
from harness.spec import RunSpec
from harness.terminal import console, counted


def cells_of(campaign: Path) -> list[RunSpec]:
    """The cells of a campaign, as they are on a simulated cluster; one that names no faults has everything.

    Cells that differ in nothing but their seed are one, which begins with the first of these. Raises `BadInput` as
    `harness.campaign.load_campaign` does.
    """
    overrides = Overrides(cluster="simulated", faults_unless_said=[{"everything": EVERYTHING}])
    cells: list[RunSpec] = []
    known: list[RunSpec] = []
    for cell in load_campaign(campaign, overrides):
        seedless = cell.model_copy(update={"seed": 0, "cell": without_seed(cell.cell)})
        if seedless not in known:
            known.append(seedless)
            cells.append(cell.model_copy(update={"cell": seedless.cell}))
    return cells


def explore_campaign(
    cells: Sequence[RunSpec],
    budget: Budget,
    results: Path,
    interrupt: threading.Event,
    started: datetime,
    *,
    jobs: int,
    first_seed: int | None = None,
    quiet: bool = False,
    attempt: Attempt = attempt,
) -> tuple[dict[str, Any], int]:
    """Explore the cells of one campaign; returns what lies in `explore.json`, and the exit code."""
    exploration = Exploration(cells, budget, jobs=jobs, first_seed=first_seed, attempt=attempt)
    campaign = cells[0].campaign
    folder = new_place(results, campaign, "explore")
    out = console()
    if not quiet:
        what = f"{counted(len(cells), 'cell', 'cells')}, {_in_words(budget)}, {counted(jobs, 'process', 'processes')}"
        out.print(f"[bold]explore {escape(campaign)}[/]  {what}")
    with Display(out, exploration, quiet) as display:

        def on_found(cell: CellTally, seed: int, fresh: list[Found]) -> None:
            keep(cell, seed, fresh, results, interrupt)
            display.found(cell, fresh)

        failure: RunFailed | None = None
        try:
            exploration.go(interrupt, on_found, display.look)
        except RunFailed as error:  # what was found until then is saved all the same
            failure = error
    summary = as_json(exploration, campaign, started)
    saved = write(folder, summary)
    if failure is not None:
        raise failure
    if not quiet:
        print_summary(out, exploration, saved)
    return summary, exit_code(exploration)


def _in_words(budget: Budget) -> str:
    words = []
    if budget.runs is not None:
        words.append(f"{budget.runs:,} runs of each")
    if budget.minutes is not None:
        words.append(f"{budget.minutes:g} min")
    return " or ".join(words)
