"""The command `rashomon explore`."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from harness.durations import A_WEEK_IN_MINUTES
from harness.errors import BadInput


@click.command()
@click.argument("campaign", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1, 100_000_000), help="How many runs of each cell.")
@click.option("--minutes", type=A_WEEK_IN_MINUTES, help="For how long, all cells together; 1 if nothing else is said.")
@click.option(
    "--jobs", type=click.IntRange(1, 1024), help="Processes at work at the same time: one per core if left out."
)
@click.option("--seed", type=click.IntRange(min=0), help="The seed of the first run; the next ones count up from it.")
@click.option("--only", metavar="TEXT", help="Only the cells whose name contains TEXT.")
@click.option("--keep-going", is_flag=True, help="Don't be content with a cell's first run that has a finding.")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              help="The folder that gets the folders of campaigns.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on standard output, and nothing else.")
@click.option("--dry-run", is_flag=True, help="Print the first run of each cell as it was drawn, run nothing.")
def explore(
    campaign: Path,
    runs: int | None,
    minutes: float | None,
    jobs: int | None,
    seed: int | None,
    only: str | None,
    keep_going: bool,
    results: Path,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Go through thousands of simulated runs of CAMPAIGN, each with its own faults, on all cores.

    Every run draws from its seed a subset of the cell's faults, their targets and rates, the weather of the network, the
    size of the cluster, and more; it is judged at once. A cell is done with its first run that has a finding. The first
    finding of each kind is saved like any other run, with its report; it prints the command that repeats it exactly.

    \b
    rashomon explore campaigns/explore.yaml --minutes 5
    rashomon explore campaigns/explore.yaml --only raft --runs 10000 --keep-going
    rashomon explore campaigns/explore.yaml --only raft --seed 1742 --runs 1
    rashomon explore campaigns/explore-flaws.yaml --runs 500 --json

    Exit codes: 0 as expected, 1 a violation (or none where one was expected), 2 unknown, 3 bad input, 4 a run failed,
    130 interrupted.
    """
    from harness.explore.command import cells_of, explore_campaign
    from harness.explore.explore import Budget
    from harness.explore.swarm import draw
    from harness.signals import interruptible

    cells = cells_of(campaign)
    if only is not None:
        names = [cell.cell for cell in cells]
        cells = [cell for cell in cells if only in cell.cell]
        if not cells:
            raise BadInput(f"--only {only!r} fits no cell: the cells are {'; '.join(names)}")
    if dry_run:
        for cell in cells:
            click.echo(f"--- # {cell.cell}")
            click.echo(draw(cell, cell.seed if seed is None else seed).as_yaml(), nl=False)
        return
    if runs is None and minutes is None:
        minutes = 1.0
    budget = Budget(runs, minutes, keep_going)
    with interruptible() as interrupt:
        started = datetime.now(UTC)
        summary, code = explore_campaign(
            cells, budget, results, interrupt, started, jobs=jobs or usable_cores(), first_seed=seed, quiet=as_json
        )
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    sys.exit(code)


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
