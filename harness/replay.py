"""Repeating a run: its spec read back, and two runs of one spec laid side by side.

What a seed fixes is what is planned: the schedule of faults with their targets, and the sequence of operations of each
process. How far a process comes, and how the replicas answer, is not repeated by real clusters. A simulated cluster
repeats everything: there the files of the two runs are compared byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from faults.schedule import Planned
from harness.errors import BadInput
from harness.history import FINAL_READS, HARNESS, NEMESIS, BadHistory, Event, read_history
from harness.scripted import planned
from harness.spec import RunSpec
from harness.workloads import make_workload
from node.machine import Operation

_EXACT = ("history.jsonl", "statuses.jsonl", "trace.jsonl")
_LONGEST_LINE = 200
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

    Of two simulated runs: everything. Of two runs of which one was ended earlier, the common beginning counts. Raises
    `BadInput` if one can't be read.
    """
    comparison = Comparison()
    specs = replay_spec(first), replay_spec(second)
    if all(spec.cluster == "simulated" for spec in specs):
        _compare_exactly(comparison, first, second)
        return comparison
    histories = _events(first), _events(second)
    _compare_faults(comparison, specs, histories)
    _compare_operations(comparison, specs, histories)
    return comparison


def _compare_exactly(comparison: Comparison, first: Path, second: Path) -> None:
    """Byte by byte: what simulated runs leave, as far as both have it."""
    for name in _EXACT:
        paths = first / name, second / name
        if name != _EXACT[0] and not all(path.exists() for path in paths):
            continue
        one, other = (_lines(path) for path in paths)
        if one == other:
            comparison.say(f"{name} is byte-identical: {len(one)} lines")
            continue
        place = next(
            (number for number, lines in enumerate(zip(one, other, strict=False)) if len(set(lines)) > 1), None
        )
        if place is not None:
            comparison.object(
                f"{name} differs from line {place + 1} on: {_shortened(one[place])} against {_shortened(other[place])}"
            )
        elif _interrupted(first) or _interrupted(second):
            comparison.say(f"{name} is byte-identical as far as both go: {min(len(one), len(other))} lines")
        else:
            comparison.object(f"{name} has {len(one)} lines in the one run and {len(other)} in the other")


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): a run without it can't be compared") from error


def _shortened(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."


def _interrupted(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "results.json").read_text("utf-8"))["interrupted"])
    except (OSError, ValueError, KeyError, TypeError):
        return True  # it did not come so far as to say


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
    plans = [planned(spec) for spec in specs]
    # On cue, who leads plays the part of whoever led, so that others may be hit.
    by_name = not any(spec.script is not None and spec.script.cues for spec in specs)
    for one, other in zip_longest(*plans):
        if one != other:
            comparison.object(f"the schedules differ: {_told(one)} against {_told(other)}")
            return
    begun = [_injections(events) for events in histories]
    both = sorted(set(begun[0]) & set(begun[1]))
    by_number = {one.number: one for one in plans[0]}
    for number in both:
        one = by_number.get(number)
        hits = [_hit(injections[number]) for injections in begun]
        if one is None or any(injections[number]["fault"] != one.fault for injections in begun):
            comparison.object(f"injection {number} is not the one that was planned")
        elif by_name and one.options.get("target") not in _BY_ROLE and None not in hits and hits[0] != hits[1]:
            comparison.object(f"{_told(one)} hit {hits[0]} in the one run and {hits[1]} in the other")
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
