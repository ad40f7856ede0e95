"""The commands `rashomon check` and `rashomon convert`: anybody's history."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.durations import SECONDS
from harness.errors import EXIT_AS_EXPECTED, EXIT_UNKNOWN, EXIT_VIOLATION, BadInput
from harness.signals import interruptible


@click.command()
@click.argument("history", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--model", default="auto", show_default=True, metavar="NAME",
              help="What to judge by: see `rashomon list models`, or your own as package.module:Class or file.py:Class. "
              "`auto`: the one that has the functions of the history.")  # fmt: skip
@click.option("--format", default="auto", show_default=True, metavar="NAME",
              help="jsonl, edn, edn-keyed, jepsen-log, porcupine or csv. `auto`: what the file looks like.")  # fmt: skip
@click.option("--initial", metavar="JSON", help="What a register or a key holds at first; null if left out.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N",
              help="Keys that are searched at once. Left out: as many as there are processors, where that pays.")  # fmt: skip
@click.option("--time-limit", type=SECONDS, default=60.0, show_default=True,
              metavar="SECONDS", help="After this the verdict is `unknown`; reading takes its time apart.")  # fmt: skip
@click.option("--memory-limit", type=click.IntRange(min=16), default=1024, show_default=True, metavar="MB",
              help="How much memory the check may take, the history apart.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Draw the operations of each finding as bars.")
@click.option("--witness", is_flag=True, help="If the verdict is `valid`: show an order that explains everything.")
@click.option("--json", "as_json", is_flag=True, help="The whole result as JSON on standard output.")
def check(
    history: Path,
    model: str,
    format: str,
    initial: str | None,
    jobs: int | None,
    time_limit: float,
    memory_limit: int,
    explain: bool,
    witness: bool,
    as_json: bool,
) -> None:
    """Judge the history in FILE: whether one order of its operations explains what every client saw.

    FILE is a history.jsonl, the folder of a run, Jepsen's EDN or log lines, a key-value log of Porcupine, or a CSV table
    with the columns f, value, result, call and return. It may be a pipe, and - is standard input.

    \b
    rashomon check results/latest
    rashomon check history.edn --model register --initial 0 --explain
    rashomon check operations.csv --model queue --time-limit 300 --json
    rashomon check history.jsonl --model mypackage.models:Ledger
    zcat history.edn.gz | rashomon check -

    Ctrl-C ends the check early: what was decided by then is told, the rest is unknown. A second Ctrl-C ends it at once.

    Exit codes: 0 valid, 1 a violation, 2 unknown, 3 not a history that can be judged.
    """
    from harness.check_display import CheckProgress, print_witness
    from harness.checkers.again import check_again
    from harness.checkers.checker import Limits

    limits = Limits(time_limit, memory_limit, jobs=jobs)
    start = json_value(initial)
    with interruptible() as interrupt, CheckProgress() as progress:
        limits = replace(limits, cancelled=interrupt.is_set, progress=progress.show)
        results = check_again(history_file(history), limits, model, format, start, witness)
    for warning in (result.statistics.get("warning") for result in results):
        if warning:
            click.echo(f"rashomon: warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False))
    else:
        from harness.terminal import print_checks

        print_checks(results, explain)
        print_witness(results)
    verdicts = {result.verdict for result in results}
    sys.exit(EXIT_VIOLATION if "violation" in verdicts else EXIT_UNKNOWN if "unknown" in verdicts else EXIT_AS_EXPECTED)


def json_value(text: str | None) -> Any:
    from harness.formats.lines import parse_json

    try:
        value = None if text is None else parse_json(text)
        json.dumps(value, allow_nan=False)  # 1e400 is JSON, but no number that we know
    except ValueError as error:
        hint = "strings need quotes, as in --initial '\"\"', and numbers must be finite"
        raise BadInput(f"--initial {text!r} is not JSON: {hint}") from error
    return value


def history_file(path: Path) -> Path:
    """The file that is meant, or the pipe; `-` is standard input."""
    from harness.formats.spooling import STANDARD_INPUT

    if path == Path("-"):
        return STANDARD_INPUT
    file = path / "history.jsonl" if path.is_dir() else path
    if not file.exists():
        raise BadInput(f"{file}: there is no such history: name a file or the folder of a run")
    return file


@click.command()
@click.argument("history", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, metavar="NAME", help="jsonl, edn, jepsen-log, porcupine or csv.")
@click.option("--format", default="auto", show_default=True, metavar="NAME", help="The format of FILE.")
def convert(history: Path, out: Path, to: str, format: str) -> None:
    """Write the history in FILE in another format to OUT, for another checker's opinion. FILE may be a pipe; - is
    standard input.

    \b
    rashomon convert results/latest history.edn --to edn
    rashomon convert history.edn history.csv --to csv
    """
    from harness.formats import open_history, write_history

    write_history(open_history(history_file(history), format).events(), out, to)
    click.echo(str(out))
