"""What a person sees of an exploration: a live count, every finding as it comes, and the tables at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.explore.coverage import Coverage
from harness.explore.explore import CellTally, Exploration, Found
from harness.explore.keep import repeat_command, shrink_command
from harness.terminal import VERDICT_STYLE, LiveDisplay, counted

_MOST_ROWS = 12
"""Message types in a table; those that were sent most."""
_OUTCOMES = ("ok", "fail", "info")
_FATES = ("sent", "lost", "late", "duplicated")


class Display(LiveDisplay):
    """A live display in a terminal, a line every five seconds anywhere else. `quiet` shows nothing at all."""

    def __init__(self, out: Console, exploration: Exploration, quiet: bool = False) -> None:
        super().__init__(out, live=not quiet)
        self._exploration = exploration
        self._quiet = quiet

    def look(self) -> None:
        """To be called several times a second."""
        if not self._quiet and self._line_is_due():
            self._out.print(f"  {figures(self._exploration)}", markup=False)

    def found(self, cell: CellTally, fresh: Sequence[Found]) -> None:
        """Tell of findings that were saved just now; all are of one run."""
        if not self._quiet:
            print_found(self._out, cell, fresh)

    def __rich__(self) -> RenderableType:
        coverage = total(self._exploration.cells)
        kinds = self._exploration.kinds
        lines: list[RenderableType] = [Text(figures(self._exploration), style="bold")]
        lines += [
            Text(f"  {kind}  ({counted(number, 'run', 'runs')})", style="red", no_wrap=True)
            for kind, number in kinds.items()
        ]
        lines += [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in in_words(coverage)]
        return Padding(Group(*lines), (0, 0, 0, 2))


def figures(exploration: Exploration) -> str:
    """`812 runs, 14.2 runs/s, 131 simulated seconds a second, 1 distinct finding`."""
    seconds = max(exploration.seconds, 0.001)
    return (
        f"{counted(exploration.runs, 'run', 'runs')}, {exploration.runs / seconds:.1f} runs/s, "
        f"{exploration.virtual_seconds / seconds:.0f} simulated seconds a second, "
        f"{counted(len(exploration.kinds), 'distinct finding', 'distinct findings')}"
    )


def total(cells: Sequence[CellTally]) -> Coverage:
    coverage = Coverage()
    for cell in cells:
        coverage.add(cell.coverage)
    return coverage


def in_words(coverage: Coverage) -> list[str]:
    """The coverage in a few short lines, for the live display."""
    lines = []
    roles = [f"{role}: {_listed(faults)}" for role, faults in coverage.rows("roles").items()]
    if roles:
        lines.append("hit " + "; ".join(roles))
    fates = {fate: sum(row.get(fate, 0) for row in coverage.rows("messages").values()) for fate in _FATES}
    if fates["sent"]:
        lines.append("messages " + _listed(fates))
    operations = coverage.rows("operations").values()
    outcomes = {outcome: sum(row.get(outcome, 0) for row in operations) for outcome in _OUTCOMES}
    lines.append("operations " + _listed(outcomes))
    events = {name: row["count"] for name, row in coverage.rows("events").items()}
    if events:
        lines.append("cluster " + _listed(events))
    sizes = {name: row["runs"] for name, row in coverage.rows("sizes").items()}
    lines.append("runs with " + _listed(sizes))
    return lines


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def print_found(out: Console, cell: CellTally, fresh: Sequence[Found]) -> None:
    """What was found, in which run, and the commands that repeat and shrink it."""
    for found in fresh:
        out.print(f"  [red]{escape(str(found.kind))}[/], seed {found.seed}: {escape(found.sentence)}")
        if found.problem:
            out.print(f"    [yellow]{escape(found.problem)}[/]")
    folder = fresh[0].folder
    if folder is None:
        return
    out.print(f"    report: {Path(folder) / 'report.html'}", markup=False, soft_wrap=True)
    out.print(f"    repeat: {repeat_command(folder)}", markup=False, soft_wrap=True)
    out.print(f"    shrink: {shrink_command(folder)}", markup=False, soft_wrap=True)


def print_summary(out: Console, exploration: Exploration, saved: Path) -> None:
    """Verdicts of all cells, what was gone through, and where it is saved."""
    out.print()
    if exploration.interrupted:
        out.print("[yellow]Interrupted[/]: what was under way then isn't counted.")
    _print_verdicts(out, exploration.cells)
    coverage = total(exploration.cells)
    _print_counts(out, "fault", *_faults(coverage))
    _print_counts(out, "operation", coverage.rows("operations"), _OUTCOMES)
    messages = coverage.rows("messages")
    busiest = sorted(messages, key=lambda name: -messages[name].get("sent", 0))[:_MOST_ROWS]
    _print_counts(out, "message", {name: messages[name] for name in busiest}, _FATES)
    out.print()
    took = f"in {exploration.seconds:.0f} s on {counted(exploration.jobs, 'process', 'processes')}"
    for line in (*in_words(coverage)[-2:], f"{figures(exploration)}, {took}"):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
    out.print(f"All figures: {saved}", markup=False, soft_wrap=True)


def _faults(coverage: Coverage) -> tuple[dict[str, dict[str, int]], list[str]]:
    """One row for each fault: how often it was injected and proved, and whom it hit then, by role."""
    rows = {
        fault: {name: row.get(name, 0) for name in ("injected", "proved")}
        for fault, row in coverage.rows("faults").items()
    }
    roles = coverage.rows("roles")
    for role, hits in roles.items():
        for fault, number in hits.items():
            rows[fault][f"hit {role}"] = number
    return rows, ["injected", "proved", *(f"hit {role}" for role in roles)]


def _print_verdicts(out: Console, cells: Sequence[CellTally]) -> None:
    table = _table("cell", "verdict", "expected", "runs", "with findings", "why")
    for cell in cells:
        table.add_row(
            escape(cell.spec.cell),
            f"[{VERDICT_STYLE[cell.verdict]}]{cell.verdict}[/]",
            "yes" if cell.as_expected else f"[bold red]no: {cell.spec.expect}[/]",
            f"{cell.runs:,}",
            f"{cell.violations:,}",
            escape(cell.reason),
        )
    out.print(table)


def _print_counts(out: Console, title: str, rows: dict[str, dict[str, int]], columns: Sequence[str]) -> None:
    if not rows:
        return
    table = _table(title, *columns)
    for name, row in rows.items():
        table.add_row(escape(name), *(f"{row.get(column, 0):,}" for column in columns))
    out.print()
    out.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for column in others:
        table.add_column(column, justify="left" if column in ("verdict", "expected", "why") else "right")
    return table
