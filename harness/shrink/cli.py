"""The command `rashomon shrink`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.durations import A_DAY_IN_SECONDS


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--kind", metavar="TEXT",
              help="Which finding of the run to keep: a part of its kind, such as 'lost write'.")  # fmt: skip
@click.option("--time-limit", type=A_DAY_IN_SECONDS, default=60.0, show_default=True, metavar="SECONDS",
              help="How long to look for something smaller.")  # fmt: skip
@click.option("--replicas", type=click.IntRange(1, 25), default=1, show_default=True,
              help="Leave no fewer: a bug of one replica is easier to see among three.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              help="The folder that gets the folders of campaigns.")  # fmt: skip
def shrink(run_folder: Path, kind: str | None, time_limit: float, replicas: int, results: Path) -> None:
    """Make the smallest run that still shows a finding of the simulated run RUN, and tell what happens in it.

    Operations, faults, lost and late messages, replicas and time are left out for as long as the same kind of finding is
    still made. What is left is saved as a run of its own, with a report; it can be repeated exactly, and carried to real
    replicas.

    \b
    rashomon shrink results/latest
    rashomon shrink results/latest --kind "stale read" --time-limit 120
    rashomon shrink results/latest --replicas 3

    Exit codes: 0 shrunk, 3 bad input, 4 failed, 130 interrupted.
    """
    from harness.cli import find_run
    from harness.shrink.command import shrink_run
    from harness.signals import interruptible

    with interruptible() as interrupt:
        sys.exit(shrink_run(find_run(run_folder), kind, time_limit, replicas, results, interrupt))
