"""What a person sees of a hunt: a live count, every finding as it comes, and the tables at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.explore.explore import Found
from harness.explore.keep import repeat_command, shrink_command
from harness.hunt.catalogue import Case
from harness.hunt.hunt import Hunt
from harness.hunt.table import FALSE_ALARM, FOUND, IN_PEACE, Summary, in_words, parts
from harness.terminal import LiveDisplay

_RATIOS = {"by": 3, "what it takes": 2, "smallest": 2, "why": 3}
"""How the columns of words share what the others leave."""
TABLE_COLUMNS = 160
"""How wide the tables are in a log; in a terminal they are as wide as that."""
_STYLES = {FOUND: "green", IN_PEACE: "green", FALSE_ALARM: "bold red"}


class Display(LiveDisplay):
    """A live display in a terminal, a line every five seconds anywhere else."""

    def __init__(self, out: Console, hunt: Hunt) -> None:
        super().__init__(out)
        self._hunt = hunt

    def look(self) -> None:
        """To be called several times a second."""
        if self._line_is_due():
            self._out.print(f"  {figures(self._hunt)}", markup=False)

    def found(self, number: int, fresh: Sequence[Found]) -> None:
        """Tell of what a case's run has shown just now."""
        case, tally, first = self._hunt.cases[number], self._hunt.tallies[number], fresh[0]
        if case.to_be_found:
            took = f"[dim]run {tally.runs:,}, {tally.seconds:.1f} s[/]"
            self._out.print(
                f"  [green]found[/] {escape(case.title)}: {escape(str(first.kind))}  {took}", soft_wrap=True
            )
        else:
            print_false_alarm(self._out, case, first)
        if first.problem:
            self._out.print(f"    [yellow]{escape(first.problem)}[/]")

    def __rich__(self) -> RenderableType:
        return Text(f"  {figures(self._hunt)}", style="bold", no_wrap=True, overflow="ellipsis")


def print_false_alarm(out: Console, case: Case, found: Found) -> None:
    """A correct protocol is accused: all that helps to find out why."""
    out.print(
        f"  [bold red]{FALSE_ALARM}[/] {escape(case.title)}, seed {found.seed}: "
        f"{escape(str(found.kind))}: {escape(found.sentence)}",
        soft_wrap=True,
    )
    if found.folder is not None:
        out.print(f"    repeat: {repeat_command(found.folder)}", markup=False, soft_wrap=True)
        out.print(f"    shrink: {shrink_command(found.folder)}", markup=False, soft_wrap=True)


def figures(hunt: Hunt) -> str:
    """`812 runs, 14.2 runs/s; 43 of 81 found, no false alarm`."""
    exploration = hunt.exploration
    hunted = [tally for case, tally in zip(hunt.cases, hunt.tallies, strict=True) if case.to_be_found]
    false = sum(bool(tally.found) for case, tally in zip(hunt.cases, hunt.tallies, strict=True) if not case.to_be_found)
    alarms = (f"{false} FALSE ALARMS" if false > 1 else "1 FALSE ALARM") if false else "no false alarm"
    rate = exploration.runs / max(exploration.seconds, 0.001)
    words = (
        f"{exploration.runs:,} runs, {rate:.1f} runs/s; {sum(bool(tally.found) for tally in hunted)} of {len(hunted)} "
    )
    words += f"found, {alarms}"
    if hunt.looked_at is not None:
        words += f"; {hunt.looked_at} looked at closely"
    return words


def print_tables(out: Console, summary: Summary) -> None:
    """What became of every case."""
    for part in parts(summary.rows):
        table = Table(
            title=part.title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for column in part.columns:
            number = column in ("runs", "seconds")
            table.add_column(
                column, justify="right" if number else "left", no_wrap=number or column == "", ratio=_RATIOS.get(column)
            )
        protocol = None
        for row, cells in part.rows:
            if row.name and row.form_shown != protocol:
                protocol = row.form_shown
                table.add_row(f"[bold]{escape(protocol)}[/]")
            first, outcome, *rest = cells
            style = _STYLES.get(row.outcome, "bold yellow")
            name = f"  {row.name}" if row.name else first
            table.add_row(escape(name), f"[{style}]{escape(outcome)}[/]", *map(escape, rest))
        out.print()
        out.print(table)
    out.print()
    if summary.interrupted:
        out.print("[yellow]Interrupted[/]: the table is what there was by then.")
    out.print(f"{in_words(summary.rows)} in {summary.seconds:.0f} s", markup=False, soft_wrap=True)
