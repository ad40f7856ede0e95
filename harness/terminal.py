"""What a person sees in the terminal: live progress, tables of verdicts, findings, catalogues."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.bars import asked_and_answered, bars, span
from harness.checkers.result import CheckResult

VERDICT_STYLE = {"valid": "bold green", "violation": "bold red", "unknown": "bold yellow"}
_LINE_EVERY_SECONDS = 5.0
_ROOMY = 90
"""From this width on the summary keeps its figures on one line."""


class _LastingConsole(Console):
    """One whose reader may go away, or whose disk may fill up: it falls silent, and the run goes on."""

    def on_broken_pipe(self) -> None:
        """Rich would end the thread that prints."""
        self._fall_silent()

    def print(self, *objects: Any, **how: Any) -> None:
        try:
            super().print(*objects, **how)
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        self.quiet = True
        with suppress(OSError):  # what is still in the buffer would fail again when the interpreter ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def console(log_columns: int = 100) -> Console:
    """Standard output; so many columns where it is no terminal, so that logs stay readable."""
    plain = _LastingConsole(highlight=False)
    return plain if plain.is_terminal else _LastingConsole(highlight=False, width=log_columns)


class LiveDisplay(ABC):
    """Something that is shown while it goes on: live in a terminal, a line every five seconds anywhere else."""

    def __init__(self, out: Console, live: bool = True) -> None:
        self._out = out
        self._printed = time.monotonic()
        shown = live and out.is_terminal
        self._live = Live(self, console=out, refresh_per_second=4, transient=True) if shown else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def _line_is_due(self) -> bool:
        """Whether a line is to be printed now; the next one is due five seconds later."""
        if self._live or time.monotonic() - self._printed < _LINE_EVERY_SECONDS:
            return False
        self._printed = time.monotonic()
        return True

    @abstractmethod
    def __rich__(self) -> RenderableType:
        """What the terminal shows just now."""


class TerminalProgress(LiveDisplay):
    """Progress of one cell: a live display in a terminal, a line every five seconds anywhere else."""

    def __init__(self, out: Console, work_seconds: float) -> None:
        super().__init__(out)
        self._work_seconds = work_seconds
        self._phase = "starting"
        self._left = work_seconds
        self._counts: Mapping[str, int] = {}
        self._faults: Sequence[str] = ()
        self._printed = 0.0  # so that the first tick prints a line

    def phase(self, name: str) -> None:
        self._phase = name
        self._printed = time.monotonic()
        if not self._live:
            self._out.print(f"  {name}", markup=False)

    def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
        """How far the clients are: operations by outcome, the faults in effect just now, seconds left."""
        self._left, self._counts, self._faults = seconds_left, outcomes, faults
        if self._line_is_due():
            self._out.print(f"  {self._phase}: {self._figures()}; {'; '.join(faults) or 'no fault'}", markup=False)

    def _figures(self) -> str:
        counts = ", ".join(f"{self._counts.get(outcome, 0):,} {outcome}" for outcome in ("ok", "fail", "info"))
        return f"{max(0.0, self._left):.0f} s left, {counts}"

    def __rich__(self) -> RenderableType:
        done = self._work_seconds - max(0.0, min(self._left, self._work_seconds))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(self._phase, style="bold"),
            ProgressBar(total=self._work_seconds, completed=done, width=30),
            Text(self._figures() if self._counts else ""),
        )
        faults = [Text(f"    {fault}", style="red", overflow="ellipsis", no_wrap=True) for fault in self._faults]
        return Group(Padding(bar, (0, 0, 0, 2)), *faults)


def print_verdict(out: Console, result: Mapping[str, Any], folder: Path) -> None:
    """The verdict of one run, right after it: what came of it and why, and its findings."""
    verdict = result["verdict"]
    expected = "as expected" if result["as_expected"] else f"NOT as expected ({result['expect']})"
    # A violation's reason is its first finding, which comes right below.
    reason = _counted(result["findings_total"], "finding") if _findings(result) else result["reason"]
    out.print(f"  [{VERDICT_STYLE[verdict]}]{verdict}[/], {expected}: {escape(reason)}")
    for finding in _findings(result)[:3]:
        _print_hanging(out, f"    [red]{escape(finding['anomaly'])}[/]: {escape(finding['sentence'])}", "      ")
    more = result["findings_total"] - min(3, len(_findings(result)))
    if more > 0:
        out.print(f"    and {more} more in the report")
    for note in result["notes"][:5]:
        out.print(f"    note: {escape(str(note))}")
    report = folder / "report.html"
    if report.exists():  # else a note has said why not
        out.print(f"    report: {report}", markup=False, soft_wrap=True)
    if _findings(result):
        place = shlex.quote(str(folder))
        out.print(f"    repeat: rashomon replay {place}", markup=False, soft_wrap=True)
        if result["cluster"] == "simulated" and not result["cell"].endswith(" shrunk"):
            out.print(f"    shrink: rashomon shrink {place}", markup=False, soft_wrap=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _findings(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [finding for check in result["checks"] for finding in check["findings"]]


def counted(number: int, one: str, several: str) -> str:
    """`1 run`, `1,204 runs`."""
    return f"{number:,} {one if number == 1 else several}"


def print_summary(out: Console, results: Sequence[Mapping[str, Any]]) -> None:
    """The table of a campaign: a row for each cell."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cell", overflow="fold", ratio=1, min_width=14)
    for column in ("verdict", "expected", "operations", "faults proved"):
        table.add_column(column, no_wrap=out.width >= _ROOMY)
    for result in results:
        counts = result["operations"]
        table.add_row(
            escape(result["cell"]),
            f"[{VERDICT_STYLE[result['verdict']]}]{result['verdict']}[/]",
            "yes" if result["as_expected"] else f"[bold red]no: {result['expect']}[/]",
            f"{counts['ok']:,} ok, {counts['fail']:,} fail, {counts['info']:,} info",
            _proved(result["faults"]),
        )
    out.print()
    out.print(table)


def _proved(faults: Mapping[str, int]) -> str:
    """`7 of 7`, or in capitals that no fault bit."""
    injected, proved = faults.get("injected", 0), faults.get("proved", 0)
    if not injected:
        return "none injected"
    if not proved:
        return f"[bold yellow]NO FAULT BIT (0 of {injected})[/]"
    ineffective = faults.get("ineffective", 0)
    return f"{proved} of {injected}" + (f", [yellow]{ineffective} ineffective[/]" if ineffective else "")


def print_checks(results: Sequence[CheckResult], explain: bool = False) -> None:
    """The judgement of a history that was checked again; `explain` draws the operations of the findings."""
    out = console()
    for result in results:
        verdict = f"[{VERDICT_STYLE[result.verdict]}]{result.verdict}[/]"
        _print_hanging(out, f"{verdict} ({result.checker}): {escape(result.sentence)}", "  ")
        for finding in result.findings:
            _print_hanging(out, f"  [red]{escape(finding.anomaly)}[/]: {escape(finding.sentence)}", "    ")
            for line in bars(finding.operations) if explain else map(_operation, finding.operations):
                out.print(f"    {line}", markup=False, soft_wrap=explain)


def _print_hanging(out: Console, markup: str, indent: str) -> None:
    """Print a sentence whose further lines begin behind an indent, so that it stays one thing to the eye."""
    first, *rest = Text.from_markup(markup).wrap(out, out.width - len(indent))
    first.rstrip()
    out.print(first, soft_wrap=True)
    for line in Text(" ").join(rest).wrap(out, out.width - len(indent)) if rest else ():
        line.rstrip()
        out.print(Text(indent) + line, soft_wrap=True)


def _operation(operation: Mapping[str, Any]) -> str:
    """`12.410 - 12.431 s  process 3  read k0.1 -> 17  (ok, n2)`."""
    replica = f", {operation['replica']}" if operation.get("replica") else ""
    process = operation["process"]
    who = f"process {process}" if isinstance(process, int) else process
    what = f"{who}  {asked_and_answered(operation)}  ({operation['type']}{replica})"
    return f"{span(operation):>22}  {what}"


def print_catalogue(what: str) -> None:
    """All protocols, flaws, machines, faults, workloads, checkers or models: what each is, and options with their defaults."""
    out = console()
    for name, sentence, options in _catalogue(what):
        out.print(f"[bold]{escape(name)}[/]")
        out.print(Padding(Text(sentence), (0, 0, 0, 2)))
        fields = options.model_fields if options else {}
        if fields:
            table = Table.grid(padding=(0, 2, 0, 0))
            for field_name, field in fields.items():
                default = json.dumps(field.get_default(call_default_factory=True))
                table.add_row(Text(f"{field_name}: {default}", style="cyan"), Text(field.description or ""))
            out.print(Padding(table, (0, 0, 0, 2)))
        out.print()


def _catalogue(what: str) -> list[tuple[str, str, type[BaseModel] | None]]:
    from faults.catalogue import FAULTS
    from harness.checkers import CHECKERS
    from harness.models import MODELS
    from harness.workloads import WORKLOADS
    from node.flaws import all_flaws
    from node.machines import MACHINES
    from node.protocols import PROTOCOLS

    if what == "protocols":
        from harness.hunt.listing import entries

        return [(name, words, kind.Options) for name, words, kind in entries(PROTOCOLS)]
    if what == "flaws":
        return [(f"{name} ({protocol})", flaw.in_words(), None) for protocol, name, flaw in all_flaws()]
    if what == "machines":
        return [(name, _functions(kind.functions), None) for name, kind in MACHINES.items()]
    if what == "faults":
        return [(name, fault.summary, fault.Options) for name, fault in FAULTS.items()]
    if what == "models":
        return [(name, _functions(kind.functions), None) for name, kind in MODELS.items()]
    if what == "workloads":
        return [(name, kind.summary, kind.Options) for name, kind in WORKLOADS.items()]
    return [(name, str(kind.question), None) for name, kind in CHECKERS.items()]


def _functions(functions: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {sentence}" for name, sentence in functions.items())
