"""`python -m harness.hunt.gallery` writes docs/gallery.md: every protocol, what it costs, and what the last hunt found.

    python -m harness.hunt.gallery                                 # the page anew, from the protocols and docs/gallery.json
    python -m harness.hunt.gallery results/hunt/<...>/hunt.json    # the same, after the rows of this hunt have taken their
                                                                   # places in the table

The table is kept in the repository, as docs/gallery.json. All else comes from the protocols' own files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import BadInput
from harness.hunt.catalogue import cases, survived
from harness.hunt.cost import Line, formula, lines
from harness.hunt.docstrings import Lesson, lesson
from harness.hunt.table import (
    FALSE_ALARM,
    FOUND,
    Row,
    Summary,
    as_text,
    in_words,
    markdown_table,
    noticed_by,
    read,
    smallest,
    what_it_takes,
)
from harness.report.files import write_whole
from node.flaws import flaws_of
from node.protocol import Protocol
from node.protocols import PROTOCOLS

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE, TABLE = DOCS / "gallery.md", DOCS / "gallery.json"

ORDER = (
    "read-only-replicas",
    "primary-backup",
    "log-shipping",
    "two-phase-commit",
    "naive-two-phase",
    "paxos",
    "multi-paxos",
    "raft",
    "leased-primary",
    "quorum",
    "causal",
)
"""As the lectures come to them: from what is simple to what it takes to be right. Others follow."""

_TOLD = ("The idea", "What it promises", "What it survives", "Where it fails")
"""The sections of a protocol's docstring that are shown, by how they begin. The rest is for whoever reads the code."""

INTRODUCTION = """\
# The gallery

Every replicated system of the lectures, running: what it promises, what it costs, how it fails, and the classic mistakes
that one can make in it, each with what caught it. All of them run in [containers, in local processes and
simulated](clusters.md). `campaigns/` has a file for each, with what it promises and how it fails as `expect`; and each can
be broken by hand:

```
rashomon run campaigns/multi-paxos.yaml
rashomon explore campaigns/explore-flaws.yaml --only promise
rashomon hunt --protocol raft --shrink
```

The tables are those of a whole hunt (`rashomon hunt`): every [flaw](flaws.md) is switched on, simulated runs follow one
another, each with faults of its own ([exploring](explore.md)), and it is noted after how many runs and how many seconds of
one processor somebody notices, and who. *linearizable* and its like judge what clients were told; *invariants* look at the
replicas from inside, and often see a mistake long before a client is told anything wrong. `+ 2` are others who noticed it in
the same run. What it takes, and the smallest run, are what is left when all has been left out that can be
(`rashomon shrink`). A finding counts only if the same run without the flaw has none. And the other way round: correct
protocols go through as many runs under all that they promise to survive, and must not be accused.

This page is made by `python -m harness.hunt.gallery` from the protocols' own files and the table of the last hunt.
"""

COST = """\
## What an operation costs

Messages between replicas for one operation in a cluster of n, when nothing goes wrong, and message delays from the client's
request to its answer, of which the client's own way there and back are two. Counted on a simulated cluster in which every
message takes the same time, and disks take none; heartbeats, which flow without any operation, are left out. Beside it is
what the lectures say.
"""


def page(summary: Summary) -> str:
    """The whole page, as Markdown."""
    known = [name for name in ORDER if name in PROTOCOLS] + [name for name in PROTOCOLS if name not in ORDER]
    took = f"{summary.processor_seconds / 60:.0f} minutes of one processor"
    parts = [
        INTRODUCTION,
        f"Hunted on {summary.started[:10]}: {in_words(summary.rows)}, {took}.\n",
        _overview(known, summary),
    ]
    for name in known:
        parts.append(
            "\n\n".join(_protocol(name, PROTOCOLS[name], [row for row in summary.rows if row.protocol == name]))
        )
    parts.append(f"{COST}\n{_costs()}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _overview(names: Sequence[str], summary: Summary) -> str:
    rows = []
    for name in names:
        protocol = PROTOCOLS[name]
        flaws = [row for row in summary.rows if row.protocol == name and row.sort == "flaw"]
        right = [row for row in summary.rows if row.protocol == name and not row.to_be_found]
        found = sum(row.outcome == FOUND for row in flaws)
        alarms = sum(row.outcome == FALSE_ALARM for row in right)
        caught = f"{found} of {len(flaws)}" if flaws else ""
        runs = f"{alarms} in {sum(row.runs for row in right):,} runs" if right else ""
        rows.append((f"[`{name}`](#{name})", protocol.consistency, protocol.tolerates, caught, runs))
    return markdown_table(("protocol", "promises to be", "goes on without", "flaws found", "false alarms"), rows)


def _protocol(name: str, protocol: type[Protocol], rows: Sequence[Row]) -> Iterator[str]:
    taught = lesson(protocol)
    yield f"## `{name}`"
    yield f"**{taught.title}**"
    idea = taught.sections.get("The idea")
    if idea:
        yield idea
    yield f"**Promises:** {protocol.promises}."
    if faults := survived(name):
        yield "**Hunted under:** " + ", ".join(faults) + "."
    yield from _sections(taught)
    yield from _limits([row for row in rows if row.sort == "limit"])
    yield from _flaws(name, [row for row in rows if row.sort == "flaw"])
    place = f"{protocol.__module__.replace('.', '/')}.py"
    yield f"The whole story, with its messages, is in [`{place}`](../{place}). {taught.sources}"


def _sections(taught: Lesson) -> Iterator[str]:
    for heading, text in taught.sections.items():
        if heading.startswith(_TOLD) and heading != "The idea":
            yield f"### {heading}"
            yield text


def _limits(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield "### Where the promise ends, shown"
        cells = [(_code(row.form), row.name, noticed_by(row), what_it_takes(row), smallest(row)) for row in rows]
        yield markdown_table(("with", "what happens", "noticed by", "takes", "smallest run"), cells)
        for row in rows:
            if row.sentence and row.outcome == FOUND:
                yield f"> {row.name[0].upper()}{row.name[1:]}: {row.sentence.rstrip('.')}."


def _flaws(name: str, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    known = flaws_of(name)
    cells = []
    for row in rows:
        flaw = known.get(row.name)
        caught = noticed_by(row) if row.outcome == FOUND else f"**{row.outcome}**"
        effort = f"{row.runs:,} runs, {row.seconds:.1f} s" if row.runs != 1 else f"1 run, {row.seconds:.1f} s"
        mistake = flaw.mistake if flaw else ""
        cells.append((_code(row.name), mistake, caught, effort, what_it_takes(row), smallest(row)))
    yield "### Flaws, and what caught them"
    yield markdown_table(("flaw", "the mistake", "noticed by", "after", "takes", "smallest run"), cells)


def _code(text: str) -> str:
    return f"`{text}`"


def _costs() -> str:
    columns = ("protocol", "operation", "messages", "delays", "which", "the lectures")
    return markdown_table(columns, [_cost(line) for line in lines()])


def _cost(line: Line) -> Sequence[str]:
    one = line.costs[min(line.costs)]
    says = line.form.says.get(line.function, "")
    return f"`{line.form}`", line.function, formula(line.costs), str(one.delays), ", ".join(one.messages), says


def merged(kept: Sequence[Row], fresh: Sequence[Row]) -> tuple[Row, ...]:
    """All rows in the order of the cases, fresh ones before kept ones; those of cases that are no more are dropped.

    Folders are left out: they are on somebody's machine.
    """
    known = {(row.sort, row.title): row for row in [*kept, *fresh]}
    wanted = [(case.sort, case.title) for case in cases()]
    return tuple(replace(known[one], folder=None) for one in wanted if one in known)


def take_over(table: Path) -> None:
    """Let the rows of a hunt take their places in the table that is kept."""
    fresh = read(table)
    kept = read(TABLE).rows if TABLE.exists() else ()
    write_whole(TABLE, as_text(replace(fresh, rows=merged(kept, fresh.rows))))


def main(arguments: Sequence[str]) -> int:
    try:
        for argument in arguments:
            take_over(Path(argument))
        write_whole(PAGE, page(read(TABLE)))
    except BadInput as error:
        print(f"gallery: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
