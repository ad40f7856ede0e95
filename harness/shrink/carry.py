"""A shrunk run, carried to real replicas: played there again and again, in the order in which things happened.

    on_cluster(spec, "local")      # the script, and what waits for what; see `harness.cues`

How often that ends in a violation is told as k of n. It tells how much a bug needs its circumstances, no more: messages
can't be lost one by one there, and nobody decides who is elected.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from harness.checkers.injections import injections
from harness.checkers.inside import INSIDE
from harness.errors import EXIT_AS_EXPECTED, EXIT_INTERRUPTED, EXIT_RUN_FAILED, EXIT_UNKNOWN, RashomonError
from harness.history import Event
from harness.replay import replay_spec
from harness.run import Silent, new_folder, run
from harness.simulation.simulate import simulate
from harness.spec import RunSpec, ScriptedCue, ScriptSpec
from harness.terminal import console
from node.protocols import PROTOCOLS

_SAMPLE_SECONDS = 0.005
_PER_CUE_SECONDS = 10.0


def carry(folder: Path, cluster: Any, times: int, results: Path, interrupt: threading.Event) -> int:
    """Play the run in the folder `times` times, and tell how often that ends in a violation.

    Returns 0 if it ever does, `unknown`'s exit code if it never does, 4 if a run failed.
    """
    spec, out = replay_spec(folder), console()
    if cluster != "simulated":
        _warn(out, folder, spec)
    spec = on_cluster(spec, cluster)
    outcomes: list[dict[str, Any]] = []
    while len(outcomes) < times and not interrupt.is_set():
        place = new_folder(results, spec)
        try:
            outcomes.append(run(spec, place, Silent(), interrupt))
        except RashomonError as error:
            out.print(f"  {len(outcomes) + 1:>3}  [red]failed[/]: {escape(str(error))}", soft_wrap=True)
            return EXIT_RUN_FAILED
        told = ", ".join(_anomalies(outcomes[-1])) or "nothing found"
        verdict = outcomes[-1]["verdict"]
        out.print(f"  {len(outcomes):>3}  {verdict:<10}{told}  [dim]{escape(str(place))}[/]", soft_wrap=True)
    violations = _conclude(out, cluster, outcomes)
    if interrupt.is_set():
        return EXIT_INTERRUPTED
    return EXIT_AS_EXPECTED if violations else EXIT_UNKNOWN


def _conclude(out: Console, cluster: str, outcomes: Sequence[Mapping[str, Any]]) -> int:
    violations = [outcome["verdict"] for outcome in outcomes].count("violation")
    counts = Counter(anomaly for outcome in outcomes for anomaly in _anomalies(outcome))
    kinds = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    said = f"[bold]{violations} of {len(outcomes)}[/] runs on {cluster} replicas ended in a violation"
    out.print(f"{said}: {kinds}" if kinds else said)
    return violations


def _anomalies(outcome: Mapping[str, Any]) -> list[str]:
    """The names of what was found, each once."""
    return list(dict.fromkeys(one["anomaly"] for check in outcome["checks"] for one in check["findings"]))


def _warn(out: Console, folder: Path, spec: RunSpec) -> None:
    """Say what can't be carried."""
    if spec.script is not None and spec.script.messages:
        count = len(spec.script.messages)
        what = "message that was" if count == 1 else "messages that were"
        out.print(
            f"[dim]The {count} {what} lost, late or repeated can't be arranged on real replicas: faults and operations "
            "are played without.[/]"
        )
    if _seen_from_within_only(folder):
        out.print(
            "[dim]What was found there was seen from within the replicas; here only what their clients see is judged.[/]"
        )


def _seen_from_within_only(folder: Path) -> bool:
    try:
        checks = json.loads((folder / "results.json").read_text("utf-8"))["checks"]
        finders = {check["checker"] for check in checks if check["findings"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(finders) and finders <= set(INSIDE)


def on_cluster(spec: RunSpec, cluster: Any) -> RunSpec:
    """The run, to be played on this kind of cluster: a script that was simulated is played on cue by real replicas."""
    if spec.script is not None and spec.cluster == "simulated" != cluster:
        spec = with_cues(spec)
    return spec.model_copy(update={"cluster": cluster})


def with_cues(spec: RunSpec) -> RunSpec:
    """The script, to be played in the order in which things happen when it is simulated."""
    assert spec.script is not None
    simulated = simulate(spec, sample_seconds=_SAMPLE_SECONDS)
    chief = PROTOCOLS[spec.protocol.name].chief
    end = spec.duration_seconds
    cues = [
        *_of_leaders(simulated.statuses, chief),
        *_of_faults(simulated.events),
        *_of_operations(spec.script, simulated.events),
    ]
    cues = sorted((cue for cue in cues if cue.at_seconds < end), key=lambda cue: cue.at_seconds)
    script = spec.script.model_copy(update={"cues": cues})
    # It is over when all cues are; this is how long it may take.
    return spec.model_copy(update={"script": script, "duration_seconds": end + _PER_CUE_SECONDS * len(cues)})


def _of_leaders(samples: Sequence[Mapping[str, Any]], chief: str | None) -> Iterator[ScriptedCue]:
    """Whenever a replica is found to lead that didn't before."""
    leading: set[str] = set()
    for sample in samples:
        leads = chief is not None and sample["role"] == chief
        if leads and sample["replica"] not in leading:
            yield ScriptedCue(what="lead", replica=sample["replica"], at_seconds=sample["time"] / 1e9, number=0)
        (leading.add if leads else leading.discard)(sample["replica"])


def _of_faults(events: Sequence[Event]) -> Iterator[ScriptedCue]:
    for one in injections(events):
        if one.applied_at is not None:
            yield ScriptedCue(what="inject", number=one.number, at_seconds=one.applied_at / 1e9)
        if one.healed_at is not None:
            yield ScriptedCue(what="heal", number=one.number, at_seconds=one.healed_at / 1e9)


def _of_operations(script: ScriptSpec, events: Sequence[Event]) -> Iterator[ScriptedCue]:
    """The operations of a process are those that the script has for it, in their order, as far as it came."""
    numbers: dict[int, list[int]] = {}
    for number, one in enumerate(script.in_order(), 1):
        numbers.setdefault(one.process, []).append(number)
    open_: dict[int, int] = {}
    for event in events:
        process = event["process"]
        if not isinstance(process, int) or process not in numbers:
            continue
        begins = event["type"] == "invoke"
        if begins:
            open_[process] = numbers[process].pop(0)
        number, seconds = open_[process], event["time"] / 1e9
        yield ScriptedCue(what="ask" if begins else "answer", number=number, at_seconds=seconds)
