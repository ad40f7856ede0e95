"""What `rashomon shrink` does."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness.checkers.inside import INSIDE
from harness.errors import EXIT_AS_EXPECTED, EXIT_INTERRUPTED, BadInput
from harness.explore.trial import Kind
from harness.replay import replay_spec
from harness.run import Silent, look_for_room, new_folder, run
from harness.shrink.shrink import Shrunk, Size, kinds_of, shrink
from harness.shrink.story import Line, story
from harness.spec import RunSpec
from harness.terminal import console
from node.protocols import PROTOCOLS

STORY = "story.txt"
"""The story of a shrunk run, beside its report."""
_PARTS = ("operations", "faults", "messages", "replicas", "seconds")


def shrink_run(
    folder: Path,
    wanted: str | None,
    limit_seconds: float,
    least_replicas: int,
    results: Path,
    interrupt: threading.Event,
) -> int:
    """Shrink the simulated run in the folder, save and tell what is left; returns the exit code."""
    spec = replay_spec(folder)
    if spec.cluster != "simulated":
        raise BadInput(
            f"{folder}: it ran on the cluster {spec.cluster!r}, and only simulated runs are exact enough to be shrunk: "
            "find it with `rashomon explore`, or run the campaign with --cluster simulated"
        )
    look_for_room(results)
    out = console()
    kind = _chosen(spec, folder, wanted)
    out.print(f"[bold]shrink[/]  {escape(spec.cell)}  [dim]{escape(str(kind))}[/]")
    with _Display(out) as display:
        shrunk = shrink(spec, kind, limit_seconds, display.show, interrupt.is_set, least_replicas=least_replicas)
    _print_sizes(out, shrunk)
    saved = _save(shrunk, results, interrupt)
    _tell(out, shrunk, saved)
    return EXIT_INTERRUPTED if interrupt.is_set() else EXIT_AS_EXPECTED


def _chosen(spec: RunSpec, folder: Path, wanted: str | None) -> Kind:
    """The kind of finding to keep: the one that was asked for, else one that clients can see, else any."""
    _, seen = kinds_of(spec)
    if not seen:
        raise BadInput(f"{folder}: the run has no finding, so there is nothing to shrink: name one with a violation")
    if wanted is not None:
        fitting = [one for one in seen if wanted.lower() in str(one.kind).lower()]
        if not fitting:
            known = "; ".join(str(one.kind) for one in seen)
            raise BadInput(f"{folder}: none of its findings is of a kind like {wanted!r}: it has {known}")
        return fitting[0].kind
    return min(seen, key=lambda one: one.kind.checker in INSIDE).kind


class _Display:
    """One line on a terminal that tells how small it has become; nothing elsewhere."""

    def __init__(self, out: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self._task = self._progress.add_task("written down, operation by operation")

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, size: Size, attempts: int) -> None:
        words = ", ".join(f"{getattr(size, part):g} {part}" for part in _PARTS)
        self._progress.update(self._task, description=f"{words}  ({attempts} runs tried)")


def _print_sizes(out: Console, shrunk: Shrunk) -> None:
    for part in _PARTS:
        before, after = getattr(shrunk.before, part), getattr(shrunk.after, part)
        name = "messages lost, late or twice" if part == "messages" else part
        out.print(f"  {name:<30}{before:>8g} -> {after:g}", highlight=False)
    how = "nothing more can be left out" if shrunk.minimal else "the time was up: perhaps more can be left out"
    out.print(f"  [dim]{shrunk.attempts} runs tried; {how}[/]", highlight=False)
    if shrunk.replaced:
        why = "of this run more would have remained; what is left is of a smaller one, drawn from the same faults"
        out.print(f"  [dim]{why} (seed {shrunk.spec.seed})[/]", highlight=False, soft_wrap=True)


def lines_of(shrunk: Shrunk) -> list[Line]:
    """The story of what is left."""
    protocol = PROTOCOLS[shrunk.spec.protocol.name]
    simulated = shrunk.simulated
    return story(simulated.trace or [], simulated.events, protocol, shrunk.finding.time_ns)


def _save(shrunk: Shrunk, results: Path, interrupt: threading.Event) -> Path:
    """The shrunk run as an ordinary one, with its story."""
    name = shrunk.spec.cell.removesuffix(" shrunk")
    spec = shrunk.spec.model_copy(update={"cell": f"{name} shrunk"})
    folder = new_folder(results, spec)
    told = [*map(str, lines_of(shrunk)), "", shrunk.finding.sentence]
    (folder / STORY).write_text("\n".join(told) + "\n", "utf-8")
    run(spec, folder, Silent(), interrupt)
    return folder


def _tell(out: Console, shrunk: Shrunk, folder: Path) -> None:
    out.print()
    for line in lines_of(shrunk):
        out.print(str(line), markup=False, highlight=False, soft_wrap=True)
    sentence = escape(shrunk.finding.sentence)
    out.print(f"\n[bold red]{escape(str(shrunk.finding.kind))}[/]: {sentence}", highlight=False, soft_wrap=True)
    out.print(f"\nReport: {folder / 'report.html'}", markup=False, soft_wrap=True)
    place = shlex.quote(str(folder))
    out.print(f"Exactly the same again:  rashomon replay {place}", markup=False, soft_wrap=True)
    out.print(
        f"On real replicas:        rashomon replay {place} --cluster local --times 5", markup=False, soft_wrap=True
    )
