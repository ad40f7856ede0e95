"""What a hunt came to: a row for each case, as JSON, as Markdown, and the exit code.

`hunt.json` is one JSON object::

    {"format": 1, "started": when, ISO 8601 in UTC, "cluster", "jobs": processes, "interrupted": true or false,
     "seconds": of true time, "processor_seconds": of all runs, "runs": of all cases, "shrunk": true or false,
     "rows": [see `Row`]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from harness.errors import (
    EXIT_AS_EXPECTED,
    EXIT_INTERRUPTED,
    EXIT_RUN_FAILED,
    EXIT_UNKNOWN,
    EXIT_VIOLATION,
    BadInput,
    RunFailed,
)
from harness.hunt.catalogue import Case, Sort
from harness.report.files import write_whole
from harness.spec import Verdict

FORMAT = 1

FOUND = "found"
NOT_FOUND = "not found"
IN_PEACE = "left in peace"
FALSE_ALARM = "false alarm"
UNKNOWN = "unknown"
FAILED = "failed"


@checked_dataclass(frozen=True)
class Row:
    """What became of one case."""

    protocol: str
    form: str
    """The protocol with the options that aren't its defaults."""
    sort: Sort
    name: str
    """The flaw; for a limit, what goes wrong there; empty for a correct protocol."""
    verdict: Verdict
    """Of all its runs together."""
    runs: int
    """Until it was found, or in all."""
    seconds: float
    """The same in time: of one processor, if simulated."""
    seed: int | None = None
    """Of the run that found it."""
    by: tuple[str, ...] = ()
    """Who noticed, in that run: each `checker: what it is called`."""
    sentence: str | None = None
    """What was found, in words; of the smallest run, if there is one. Without a finding, why not."""
    mattered: tuple[str, ...] | None = None
    """What the finding can't do without: faults, and what the network or the clocks did; None if nobody looked."""
    operations: int | None = None
    """Of the smallest run; None if it wasn't looked for, as for the next two."""
    faults: int | None = None
    messages: int | None = None
    """Those with a fate of their own."""
    minimal: bool = False
    """Whether nothing more could be left out."""
    folder: str | None = None
    """Where the run is saved that found it."""
    problem: str | None = None
    """Why the row can't be trusted; None if it can."""
    false: bool = False
    """Whether what was found can't be the flaw's doing: the same run without it has a finding as well."""

    @property
    def to_be_found(self) -> bool:
        return self.sort in ("flaw", "limit")

    @property
    def outcome(self) -> str:
        """One of the words above."""
        if self.problem is not None and not self.by:
            return FAILED
        if self.by:
            return FOUND if self.to_be_found and not self.false else FALSE_ALARM
        if self.to_be_found:
            return NOT_FOUND if self.runs else UNKNOWN
        return IN_PEACE if self.verdict == "valid" else UNKNOWN

    @property
    def title(self) -> str:
        return f"{self.form_shown}: {self.name}" if self.sort == "limit" else f"{self.form_shown} {self.name}".rstrip()

    @property
    def form_shown(self) -> str:
        """The protocol; with its options, unless they only bring out a flaw sooner."""
        return self.form if self.sort in ("limit", "correct") else self.protocol


@dataclass(frozen=True)
class Summary:
    """A hunt when it is over."""

    started: str
    cluster: str
    jobs: int
    interrupted: bool
    seconds: float
    rows: tuple[Row, ...]
    shrunk: bool = False

    @property
    def runs(self) -> int:
        return sum(row.runs for row in self.rows)

    @property
    def processor_seconds(self) -> float:
        return sum(row.seconds for row in self.rows)

    def with_outcome(self, *outcomes: str) -> list[Row]:
        return [row for row in self.rows if row.outcome in outcomes]

    def as_json(self) -> dict[str, Any]:
        figures = asdict(self)
        rows = [_plain(row) for row in figures.pop("rows")]
        extra = {"runs": self.runs, "processor_seconds": round(self.processor_seconds, 1)}
        return {"format": FORMAT, **figures, **extra, "rows": rows}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without what a row leaves at its default."""
    defaults = {field.name: field.default for field in fields(Row)}
    return {name: value for name, value in row.items() if value is not defaults[name]}


def row_of(case: Case, **fields: Any) -> Row:
    return Row(protocol=case.protocol, form=case.form, sort=case.sort, name=case.name, **fields)


def in_words(rows: Sequence[Row]) -> str:
    """`81 of 82 found, no false alarm in 9,000 runs of what is correct; 11,204 runs`."""
    hunted = [row for row in rows if row.to_be_found]
    left = [row for row in rows if not row.to_be_found]
    parts = []
    if hunted:
        parts.append(f"{sum(row.outcome == FOUND for row in hunted)} of {len(hunted)} found")
    false = sum(row.outcome == FALSE_ALARM for row in rows)
    alarms = {0: "no false alarm", 1: "1 false alarm"}.get(false, f"{false} false alarms")
    if left:
        alarms += f" in {counted_runs(left)} of what is correct"
    parts.append(alarms)
    return f"{', '.join(parts)}; {counted_runs(rows)}"


def counted_runs(rows: Sequence[Row]) -> str:
    """`1 run`, `9,000 runs`: of all of them together."""
    runs = sum(row.runs for row in rows)
    return "1 run" if runs == 1 else f"{runs:,} runs"


def exit_code(summary: Summary) -> int:
    """As of `rashomon explore`: a run that failed is the worst, then a surprise, then what nobody could judge."""
    rows = summary.rows
    if any(row.problem for row in rows):
        return EXIT_RUN_FAILED
    if summary.with_outcome(FALSE_ALARM):
        return EXIT_VIOLATION
    if summary.interrupted:
        return EXIT_INTERRUPTED
    if summary.with_outcome(NOT_FOUND):
        return EXIT_VIOLATION
    return EXIT_UNKNOWN if summary.with_outcome(UNKNOWN) else EXIT_AS_EXPECTED


# ---- as text


_TITLES = {
    "flaw": "Flaws",
    "limit": "Where promises end",
    "harmless": "Flaws that a correct protocol survives",
    "correct": "Correct protocols",
}
_HUNTED = ("", "found", "by", "runs", "seconds", "what it takes", "smallest")
_LEFT = ("", "", "runs", "seconds", "why")


class Part(NamedTuple):
    """One table of a hunt: all cases of a sort."""

    title: str
    columns: Sequence[str]
    rows: list[tuple[Row, Sequence[str]]]
    """Each with its cells."""


def parts(rows: Iterable[Row]) -> Iterator[Part]:
    by_sort: dict[str, list[Row]] = {sort: [] for sort in _TITLES}
    for row in rows:
        by_sort[row.sort].append(row)
    for sort, fitting in by_sort.items():
        if fitting:
            columns, cells = (_HUNTED, _hunted) if fitting[0].to_be_found else (_LEFT, _left)
            yield Part(_TITLES[sort], columns, [(row, cells(row)) for row in fitting])


def _hunted(row: Row) -> Sequence[str]:
    found = row.outcome if row.problem is None else f"{row.outcome} ({row.problem})"
    return (row.title, found, noticed_by(row), f"{row.runs:,}", f"{row.seconds:.1f}", what_it_takes(row), smallest(row))


def _left(row: Row) -> Sequence[str]:
    why = row.problem or ("" if row.outcome == IN_PEACE else row.sentence or "")
    return row.title, row.outcome, f"{row.runs:,}", f"{row.seconds:.0f}", why


def noticed_by(row: Row) -> str:
    """Who noticed it: one whom clients can see before one that looks inside."""
    more = len(row.by) - 1
    return (row.by[0] + (f" (+ {more})" if more else "")) if row.by else ""


def what_it_takes(row: Row) -> str:
    if row.mattered is None:
        return ""
    return ", ".join(row.mattered) or "load alone"


def smallest(row: Row) -> str:
    """`5 operations, 2 faults`."""
    if row.operations is None:
        return ""
    words = [_counted(row.operations, "operation"), _counted(row.faults or 0, "fault")]
    words += [_counted(row.messages, "message")] if row.messages else []
    return ", ".join(words)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_markdown(summary: Summary) -> str:
    """The whole table as a page."""
    begun = f"Hunted on {summary.started[:10]} on the {summary.cluster} cluster"
    ended = " It was interrupted: the table is what there was by then." if summary.interrupted else ""
    lines = ["# The hunt", "", f"{begun}: {in_words(summary.rows)} in {summary.seconds:.0f} s.{ended}", ""]
    for part in parts(summary.rows):
        lines += [f"## {part.title}", "", markdown_table(part.columns, [cells for _, cells in part.rows]), ""]
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# ---- files


def write(folder: Path, summary: Summary) -> tuple[Path, Path]:
    """Write `hunt.json` and `hunt.md`. Raises `RunFailed` if they can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = write_whole(folder / "hunt.json", as_text(summary))
        return data, write_whole(folder / "hunt.md", as_markdown(summary))
    except OSError as error:
        raise RunFailed(
            f"cannot write in {folder} ({error.strerror}): free some space, or name another --out"
        ) from error


def as_text(summary: Summary) -> str:
    """`hunt.json`: a row a line."""
    data = summary.as_json()
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in data.pop("rows"))
    return json.dumps(data, indent=1, ensure_ascii=False)[:-2] + ',\n "rows": [\n' + rows + "\n ]\n}\n"


def read(path: Path) -> Summary:
    """A hunt's table, read back. Raises `BadInput` for what is none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        known = {name: data[name] for name in ("started", "cluster", "jobs", "interrupted", "seconds", "shrunk")}
        return Summary(**known, rows=TypeAdapter(tuple[Row, ...]).validate_python(data["rows"]))
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): name the hunt.json of a hunt") from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise BadInput(f"{path} is not the table of a hunt: name the hunt.json of one") from error
