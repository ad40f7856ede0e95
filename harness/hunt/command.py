"""What `rashomon hunt` does: hunts, saves what is found as runs, and writes the table."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.checkers.inside import INSIDE
from harness.errors import RunFailed
from harness.explore.explore import Attempt, Budget, CellTally, Found
from harness.explore.keep import keep
from harness.hunt.catalogue import Case, place
from harness.hunt.display import TABLE_COLUMNS, Display, print_tables
from harness.hunt.hunt import Hunt, attempt
from harness.hunt.proof import Proof
from harness.hunt.table import Row, Summary, exit_code, row_of, write
from harness.run import new_place
from harness.terminal import console, counted

CAMPAIGN = "hunt"


def hunt_simulated(
    cases: Sequence[Case],
    budget: Budget,
    out_folder: Path,
    interrupt: threading.Event,
    *,
    jobs: int,
    first_seed: int | None = None,
    shrink_seconds: float = 0.0,
    attempt: Attempt = attempt,
) -> tuple[Summary, int]:
    """Hunt on the simulated cluster; returns the table and the exit code. `shrink_seconds` is for each finding."""
    started, began = datetime.now(UTC), time.monotonic()
    hunt = Hunt(cases, budget, jobs=jobs, first_seed=first_seed, attempt=attempt)
    folder = new_place(out_folder, CAMPAIGN, CAMPAIGN)
    out = console(TABLE_COLUMNS)
    out.print(f"[bold]hunt[/]  {counted(len(cases), 'case', 'cases')}, {counted(jobs, 'process', 'processes')}")
    failure: RunFailed | None = None
    with Display(out, hunt) as display:

        def on_found(number: int, seed: int, fresh: list[Found]) -> None:
            tally = hunt.tallies[number]
            keep(dataclasses.replace(tally, spec=place(tally.spec, seed)), seed, fresh, out_folder, interrupt)
            display.found(number, fresh)

        try:
            hunt.go(interrupt, on_found, display.look)
            hunt.look_closer(interrupt, shrink_seconds, display.look)
        except RunFailed as error:  # what was found until then is told all the same
            failure = error
    summary = Summary(
        started=started.isoformat(timespec="seconds"),
        cluster="simulated",
        jobs=jobs,
        interrupted=interrupt.is_set(),
        seconds=round(time.monotonic() - began, 1),
        rows=tuple(rows_of(hunt)),
        shrunk=shrink_seconds > 0,
    )
    tell(summary, folder)
    if failure is not None:
        raise failure
    return summary, exit_code(summary)


def tell(summary: Summary, folder: Path) -> None:
    """Print the tables, and write them."""
    out = console(TABLE_COLUMNS)
    data, page = write(folder, summary)
    print_tables(out, summary)
    out.print(f"The table: {page}, and as JSON {data}", markup=False, soft_wrap=True)


def rows_of(hunt: Hunt) -> list[Row]:
    """A row for each case, by protocol as the cases come."""
    numbered = zip(hunt.cases, hunt.tallies, strict=True)
    return [_row(case, tally, hunt.proofs.get(number)) for number, (case, tally) in enumerate(numbered)]


def _row(case: Case, tally: CellTally, proof: Proof | None) -> Row:
    found = list(tally.found.values())
    if not found:
        failed = f"{tally.failed_total} runs failed; {tally.reason}" if tally.failed_total else None
        return row_of(
            case,
            verdict=tally.verdict,
            runs=tally.runs,
            seconds=round(tally.seconds, 2),
            sentence=tally.reason,
            problem=failed,
        )
    first = found[0]
    proof = proof or Proof(None, None)
    seen_by_clients_first = sorted(found, key=lambda one: one.kind.checker in INSIDE)
    size = proof.size
    return row_of(
        case,
        verdict=tally.verdict,
        runs=tally.runs,
        seconds=round(tally.seconds, 2),
        seed=first.seed,
        by=tuple(str(one.kind) for one in seen_by_clients_first),
        sentence=proof.without_flaw or proof.sentence or first.sentence,
        mattered=proof.mattered,
        operations=size and size.operations,
        faults=size and size.faults,
        messages=size and size.messages,
        minimal=proof.minimal,
        folder=first.folder,
        problem=first.problem,
        false=proof.without_flaw is not None,
    )
