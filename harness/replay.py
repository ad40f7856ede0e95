"""Repeating a run: its spec read back, and two runs of one spec laid side by side.

What a seed fixes is what is planned: the schedule of faults with their targets, and the sequence of operations of each
process. How far a process comes, and how the replicas answer, is not repeated by real clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from faults.schedule import Planned, plan
from harness.errors import BadInput
from harness.history import FINAL_READS, HARNESS, NEMESIS, BadHistory, Event, read_history
from harness.spec import RunSpec
from harness.workloads import make_workload
from node.machine import Operation

_BY_ROLE = ("leader", "primary", "follower")


def replay_spec(folder: Path) -> RunSpec:
    """The spec of the run in the folder. Raises `BadInput` if there is none, or none that can be used."""
    path = folder / "run.yaml"
    try:
        return RunSpec.load(path)
    except OSError as error:
        raise BadInput(
            f"cannot read {path} ({error.strerror}): name the folder of a run, such as results/latest"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{place}: {first['msg']}" if place else "this is not the specification of a run"
        raise BadInput(f"{path}: {what}: mend it, or repeat another run") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path} is not YAML ({' '.join(str(error).split())}): mend it, or repeat another run"
        ) from error


@dataclass
class Comparison:
    """Whether two runs did what one plan says, in sentences for people."""

    same: bool = True
    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def object(self, sentence: str) -> None:
        self.same = False
        self.sentences.append(sentence)


def compare(first: Path, second: Path) -> Comparison:
    """Lay the runs in two folders side by side: schedule of faults, whom they hit, and each process's operations.

    Of two runs of which one was ended earlier, the common beginning counts. Raises `BadInput` if one can't be read.
    """
    comparison = Comparison()
    specs = replay_spec(first), replay_spec(second)
    histories = _events(first), _events(second)
    _compare_faults(comparison, specs, histories)
    _compare_operations(comparison, specs, histories)
    return comparison


def _events(folder: Path) -> list[Event]:
    path = folder / "history.jsonl"
    try:
        return list(read_history(path))
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): a run without a history can't be compared") from error
    except BadHistory as error:
        raise BadInput(str(error)) from error


Specs = tuple[RunSpec, RunSpec]
Histories = tuple[list[Event], list[Event]]


def _compare_faults(comparison: Comparison, specs: Specs, histories: Histories) -> None:
    plans = [plan(spec.nemesis.streams, spec.duration_seconds, spec.seed) for spec in specs]
    for one, other in zip_longest(*plans):
        if one != other:
            comparison.object(f"the schedules differ: {_told(one)} against {_told(other)}")
            return
    begun = [_injections(events) for events in histories]
    both = sorted(set(begun[0]) & set(begun[1]))
    by_number = {planned.number: planned for planned in plans[0]}
    for number in both:
        planned = by_number.get(number)
        hits = [_hit(injections[number]) for injections in begun]
        if planned is None or any(injections[number]["fault"] != planned.fault for injections in begun):
            comparison.object(f"injection {number} is not the one that was planned")
        elif planned.options.get("target") not in _BY_ROLE and None not in hits and hits[0] != hits[1]:
            comparison.object(f"{_told(planned)} hit {hits[0]} in the one run and {hits[1]} in the other")
    if plans[0]:
        comparison.say(f"the same schedule of {len(plans[0])} faults, of which both runs injected {len(both)}")
    else:
        comparison.say("no faults in either run")


def _told(planned: Planned | None) -> str:
    if planned is None:
        return "none"
    return f"{planned.fault} {planned.number} at {planned.at_seconds:g} s"


def _injections(events: list[Event]) -> dict[int, dict[str, Any]]:
    """The completions of injections (their invocations, where there is none) by number."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.get("process") == NEMESIS and event.get("f") == "inject":
            found[event["number"]] = event
    return found


def _hit(injection: dict[str, Any]) -> tuple[list[str], list[str]] | None:
    """Targets and links, or None for an injection that failed or didn't end."""
    if "targets" not in injection:
        return None
    return injection["targets"], injection.get("links", [])


def _compare_operations(comparison: Comparison, specs: Specs, histories: Histories) -> None:
    sequences = [dict(_sequences(spec, events)) for spec, events in zip(specs, histories, strict=True)]
    processes = sorted(set(sequences[0]) & set(sequences[1]))
    compared = 0
    for process in processes:
        pairs = list(zip(sequences[0][process], sequences[1][process], strict=False))
        compared += len(pairs)
        for number, (one, other) in enumerate(pairs):
            if one != other:
                comparison.object(f"operation {number} of process {process} differs: {one!r} against {other!r}")
                return
    comparison.say(
        f"the same sequence of operations for each of {len(processes)} processes, {compared} operations in all"
    )


def _sequences(spec: RunSpec, events: list[Event]) -> Iterator[tuple[int, list[Any]]]:
    """Each process and what the plan made it do: without the final operations, which follow from what was touched."""
    workload = make_workload(spec)
    sequences: dict[int, list[Any]] = {}
    for event in events:
        if event.get("process") == HARNESS and event.get("value") == FINAL_READS:
            break
        if event.get("type") == "invoke" and isinstance(process := event.get("process"), int):
            operation: Operation = {"f": event["f"], "key": event["key"], "value": event["value"]}
            sequences.setdefault(process, []).append(workload.essence(operation))
    yield from sequences.items()
