"""Running the cells of a campaign one after the other, with progress and tables in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from harness import cluster as clusters
from harness.errors import (
    EXIT_AS_EXPECTED,
    EXIT_INTERRUPTED,
    EXIT_RUN_FAILED,
    EXIT_UNKNOWN,
    EXIT_VIOLATION,
    RashomonError,
)
from harness.replay import compare, replay_spec
from harness.run import new_folder, run
from harness.shrink.carry import on_cluster
from harness.spec import RunSpec
from harness.terminal import TerminalProgress, console, counted, print_summary, print_verdict


def run_campaign(specs: Sequence[RunSpec], results: Path, interrupt: threading.Event) -> int:
    """Run every cell; a cell that fails doesn't keep the others from running. Returns the exit code."""
    out = console()
    for kind in {spec.cluster for spec in specs} - {"simulated"}:
        clusters.create(kind, 1)  # what a kind needs of this machine's Python is missed before anything starts
    finished: list[dict[str, Any]] = []
    folders: list[Path] = []
    code = EXIT_AS_EXPECTED
    for number, spec in enumerate(specs, 1):
        title = f"{spec.campaign} {number}/{len(specs)}"
        outcome, folder = _run_cell(out, title, spec, results, interrupt)
        folders.append(folder)
        code = max(code, outcome.exit_code if isinstance(outcome, RashomonError) else 0)
        if isinstance(outcome, dict):
            finished.append(outcome)
        if interrupt.is_set():
            left = len(specs) - number
            out.print(f"[yellow]Interrupted[/]: this cell was ended early, {left} of {len(specs)} were not begun.")
            break
    _conclude(out, finished, folders, results)
    return code or _exit_code(finished, interrupt.is_set())


def replay_run(folder: Path, cluster: Any, results: Path, interrupt: threading.Event) -> int:
    """Repeat a run from its folder, and say whether the repetition did what the first run did. Returns the exit code."""
    out = console()
    spec = replay_spec(folder)
    spec = on_cluster(spec, cluster or spec.cluster)
    outcome, again = _run_cell(out, "replay", spec, results, interrupt)
    if isinstance(outcome, RashomonError):
        return outcome.exit_code
    if interrupt.is_set():
        out.print("[yellow]Interrupted[/]: the repetition was ended early, so it says nothing about the first run.")
        return _exit_code([outcome], interrupted=True)
    comparison = compare(folder, again)
    for sentence in comparison.sentences:
        out.print(f"  {'[green]same[/]' if comparison.same else '[red]differs[/]'}: {escape(sentence)}")
    if not comparison.same:
        return EXIT_RUN_FAILED
    return _exit_code([outcome])


def _run_cell(
    out: Console, title: str, spec: RunSpec, results: Path, interrupt: threading.Event
) -> tuple[dict[str, Any] | RashomonError, Path]:
    """One cell: its results, or why it failed."""
    folder = new_folder(results, spec)
    out.print(
        f"[bold]{escape(title)}[/]  {escape(spec.cell)}  "
        f"[dim]({counted(spec.replicas, 'replica', 'replicas')}, {spec.cluster}, {_length(spec)}, expect {spec.expect})[/]"
    )
    try:
        with TerminalProgress(out, spec.duration_seconds) as progress:
            outcome = run(spec, folder, progress, interrupt)
    except RashomonError as error:
        out.print(f"  [bold red]failed[/]: {escape(str(error))}")
        out.print(f"    what there is of it: {folder}", markup=False, soft_wrap=True)
        return error, folder
    print_verdict(out, outcome, folder)
    return outcome, folder


def _length(spec: RunSpec) -> str:
    on_cue = spec.script is not None and spec.script.cues
    return "on cue" if on_cue else f"{spec.duration_seconds:g} s"


def _conclude(out: Console, finished: Sequence[Mapping[str, Any]], folders: Sequence[Path], results: Path) -> None:
    """The table of what was run just now; the campaign's index of all runs, and its JUnit file of these."""
    from harness.report import write_index, write_junit

    if finished:
        print_summary(out, finished)
    campaign = folders[0].parent
    try:
        write_junit(campaign, runs=folders)
        index = write_index(campaign)
        out.print(f"\nAll runs of this campaign: {index}", markup=False, soft_wrap=True)
    except Exception as error:  # the verdicts stand, whatever becomes of their list
        out.print(f"\nThe list of all runs could not be written: {type(error).__name__}: {error}", markup=False)
    out.print(f"In a browser: rashomon serve {results}", markup=False, soft_wrap=True)


def _exit_code(finished: Sequence[Mapping[str, Any]], interrupted: bool = False) -> int:
    """The worst of the cells: a violation (or a missing one) before unknown; 0 if all is as expected.

    Interrupted, it is that, unless there is a violation too much: what a run that was cut short lacks says nothing.
    """
    surprises = [result for result in finished if not result["as_expected"]]
    if interrupted:
        too_much = any(result["verdict"] == "violation" for result in surprises)
        return EXIT_VIOLATION if too_much else EXIT_INTERRUPTED
    if any(result["verdict"] != "unknown" for result in surprises):
        return EXIT_VIOLATION
    return EXIT_UNKNOWN if surprises else EXIT_AS_EXPECTED
