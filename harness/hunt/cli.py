"""The command `rashomon hunt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness.durations import A_WEEK_IN_MINUTES
from harness.errors import BadInput
from harness.explore.cli import usable_cores

RUNS = 1000
SHRINK_SECONDS = 60.0


@click.command()
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="Only this protocol; may be repeated.")
@click.option("--flaw", "flaws", multiple=True, metavar="NAME", help="Only this flaw; may be repeated.")
@click.option("--runs", type=click.IntRange(1, 100_000_000),
              help=f"How many runs of each case; {RUNS} if nothing else is said, and 1 on real replicas.")  # fmt: skip
@click.option("--minutes", type=A_WEEK_IN_MINUTES, help="For how long to look for findings, all cases together.")
@click.option("--jobs", type=click.IntRange(1, 1024),
              help="Processes at work at the same time: one per core if left out.")  # fmt: skip
@click.option("--cluster", type=click.Choice(["simulated", "local", "docker"]), default="simulated", show_default=True,
              help="Real ones get, of each protocol, its correct form and one flaw.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), help="The seed of the first run; the next ones count up from it.")
@click.option(
    "--shrink", is_flag=True, help="Make each finding as small as can be, to tell its size and what it takes."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              help="The folder that gets the table, and the runs that found something.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List the cases, run nothing.")
def hunt(
    protocols: tuple[str, ...],
    flaws: tuple[str, ...],
    runs: int | None,
    minutes: float | None,
    jobs: int | None,
    cluster: Any,
    seed: int | None,
    shrink: bool,
    out: Path,
    dry_run: bool,
) -> None:
    """Make every classic mistake in every protocol, and see which are found; correct protocols must be left in peace.

    Each flaw (see `rashomon list flaws`) is switched on, and the simulated cluster goes through one run after the other,
    each with faults of its own, until somebody notices. Correct protocols get just as many runs under all that they
    promise to survive. The table says what was found by which checker or invariant, after how many runs and seconds of
    one processor, and which faults it took; it is printed, and written as hunt.json and hunt.md.

    \b
    rashomon hunt                                          everything: some twenty minutes on two cores
    rashomon hunt --protocol raft --shrink                 one protocol, with the smallest run of each finding
    rashomon hunt --protocol paxos --flaw local-reads
    rashomon hunt --minutes 2
    rashomon hunt --cluster local --protocol multi-paxos   real replicas

    Exit codes: 0 all found and no false alarm, 1 a false alarm or a flaw that wasn't found, 2 unknown, 3 bad input, 4 a
    run failed, 130 interrupted (the table is kept as far as it goes).
    """
    from harness.explore.explore import Budget
    from harness.hunt.catalogue import cases
    from harness.hunt.command import hunt_simulated
    from harness.hunt.real import hunt_for_real, real_cases
    from harness.signals import interruptible

    hunted = cases(protocols, flaws) if cluster == "simulated" else real_cases(protocols, flaws, cluster)
    if not hunted:
        raise BadInput(
            f"there is nothing to hunt on the cluster {cluster!r} with that: `rashomon hunt --dry-run` lists it"
        )
    if dry_run:
        for case in hunted:
            click.echo(f"{case.sort:<9} {case.title}")
        return
    if cluster != "simulated" and (minutes or shrink or jobs or seed is not None):
        raise BadInput(
            f"--minutes, --jobs, --seed and --shrink are for simulated runs: leave them out with --cluster {cluster}"
        )
    with interruptible() as interrupt:
        if cluster != "simulated":
            sys.exit(hunt_for_real(hunted, runs or 1, out, interrupt)[1])
        budget = Budget(RUNS if runs is None and minutes is None else runs, minutes)
        seconds = SHRINK_SECONDS if shrink else 0.0
        _, code = hunt_simulated(
            hunted, budget, out, interrupt, jobs=jobs or usable_cores(), first_seed=seed, shrink_seconds=seconds
        )
    sys.exit(code)
