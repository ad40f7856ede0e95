"""Parts of scripts, and what may stand in their place: pure functions for `harness.shrink.seeker`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from harness.shrink.minimize import Item, minimize
from harness.spec import RunSpec, ScriptedFault, ScriptedOperation, ScriptSpec

PLAINER = ("kill", "pause", "isolate")
"""What is tried in place of another fault, the plainest first."""


def cuts(replicas: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The options of partitions that cut one replica off: wholly first, then in one direction."""
    for replica in replicas:
        yield {"shape": "isolate", "target": replica}
    for replica in replicas:
        for direction in ("outgoing", "incoming"):
            yield {"shape": "one-way", "target": replica, "direction": direction}


def joined(faults: Sequence[ScriptedFault], one: ScriptedFault, other: ScriptedFault) -> list[ScriptedFault]:
    """The faults, with one that lasts from the begin of these two to their end in their stead."""
    begin, end = min(one.at_seconds, other.at_seconds), max(one.until_seconds, other.until_seconds)
    both = one.model_copy(update={"at_seconds": begin, "until_seconds": end})
    return [both if fault is one else fault for fault in faults if fault is not other]


def plainer(fault: ScriptedFault, targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What may stand for the fault, the plainest first."""
    for name in PLAINER[: plainness(fault)]:
        for target in targets:
            if name == "isolate":
                yield {"fault": "partition", "options": {"shape": "isolate", "target": target}}
            else:
                yield {"fault": name, "options": {"target": target}}


def plainness(fault: ScriptedFault) -> int:
    """Its place among the plainer faults; behind them if it is none."""
    name = "isolate" if fault.fault == "partition" and fault.options.get("shape") == "isolate" else fault.fault
    return PLAINER.index(name) if name in PLAINER else len(PLAINER)


def tidy(spec: RunSpec) -> RunSpec:
    """Without the faults that begin after the end, and with those that would outlast it ending with it."""
    assert spec.script is not None
    end = spec.duration_seconds
    faults = [
        one if one.until_seconds <= end else one.model_copy(update={"until_seconds": end})
        for one in spec.script.faults
        if one.at_seconds < end
    ]
    return spec.model_copy(update={"script": spec.script.model_copy(update={"faults": faults})})


def processes(script: ScriptSpec) -> Iterator[int]:
    """Every process, in the order in which they begin."""
    seen: set[int] = set()
    for one in sorted(script.operations, key=lambda one: one.at_seconds):
        if one.process not in seen:
            seen.add(one.process)
            yield one.process


def by_groups(items: Sequence[Item], group: Callable[[Item], Any], still: Callable[[list[Item]], bool]) -> None:
    """Leave out whole groups of items, of which those that come last are tried first."""
    groups = list(dict.fromkeys(group(one) for one in items))
    if len(groups) > 1:
        minimize(groups, lambda part: still([one for one in items if group(one) in part]))


def type_of(message: str) -> str:
    """The type in a message's name: `accept` in `n1->n2 accept 3`."""
    return message.split(" ")[1]


def ends(message: str) -> set[str]:
    """The replicas that a message's name tells of: `n1->n2 accept 3`."""
    return set(message.split(" ", 1)[0].replace("<-", "->").split("->"))


def without_quiet(script: ScriptSpec, longest: float) -> Callable[[float], float]:
    """A function of time that leaves no two moments of the script further apart than `longest` seconds."""
    moments = sorted(
        {0.0}
        | {one.at_seconds for one in script.operations}
        | {moment for one in script.faults for moment in (one.at_seconds, one.until_seconds)}
        | {moment for name in script.messages if (moment := moment_of(name)) is not None}
    )
    cuts = [(later, later - earlier - longest) for earlier, later in pairwise(moments) if later - earlier > longest]

    def shift(moment: float) -> float:
        return moment - sum(amount for begin, amount in cuts if moment >= begin)

    return shift


def among(script: ScriptSpec, replicas: int) -> ScriptSpec:
    """The script for the first so many replicas: n1 is asked in place of the others."""
    known = {f"n{number}" for number in range(1, replicas + 1)}
    operations = [
        one if one.replica in known else one.model_copy(update={"replica": "n1"}) for one in script.operations
    ]
    faults = [one for one in script.faults if one.options.get("target", "n1") in known]
    messages = {name: fate for name, fate in script.messages.items() if ends(name) <= known | {"client"}}
    return script.model_copy(update={"operations": operations, "faults": faults, "messages": messages})


def swapped(script: ScriptSpec, one: str, other: str) -> ScriptSpec:
    """The script with two replicas in each other's place."""
    names = {one: other, other: one}
    operations = [
        each.model_copy(update={"replica": names.get(each.replica, each.replica)}) for each in script.operations
    ]
    faults = [
        each.model_copy(update={"options": {**each.options, "target": names.get(target, target)}})
        if isinstance(target := each.options.get("target"), str)
        else each
        for each in script.faults
    ]
    messages = {re.sub(r"\bn\d+\b", lambda found: names.get(found[0], found[0]), name): fate
                for name, fate in script.messages.items()}  # fmt: skip
    return script.model_copy(update={"operations": operations, "faults": faults, "messages": messages})


def since(script: ScriptSpec, begin: float) -> ScriptSpec:
    """What of the script happens from `begin` on, which is the new beginning."""
    later = script.model_copy(
        update={
            "operations": [one for one in script.operations if one.at_seconds >= begin],
            "faults": [one for one in script.faults if one.until_seconds > begin],
            "messages": {
                name: fate
                for name, fate in script.messages.items()
                if (at := moment_of(name)) is not None and at >= begin
            },
        }
    )
    return shifted(later, lambda moment: max(0.0, moment - begin))


def shifted(script: ScriptSpec, shift: Callable[[float], float]) -> ScriptSpec:
    operations: list[ScriptedOperation] = [
        one.model_copy(update={"at_seconds": round(shift(one.at_seconds), 6)}) for one in script.operations
    ]
    faults: list[ScriptedFault] = [
        one.model_copy(
            update={
                "at_seconds": round(shift(one.at_seconds), 6),
                "until_seconds": round(shift(one.until_seconds), 6),
            }
        )
        for one in script.faults
    ]
    messages = {moved(name, shift): fate for name, fate in script.messages.items()}
    return script.model_copy(update={"operations": operations, "faults": faults, "messages": messages})


def moment_of(message: str) -> float | None:
    """When a message that is named by its time is sent, or later."""
    which = message.rpartition(" ")[2]
    return float(which[1:].partition("+")[0]) if which.startswith("@") else None


def moved(message: str, shift: Callable[[float], float]) -> str:
    moment = moment_of(message)
    if moment is None:
        return message
    kind, _, which = message.rpartition(" ")
    _, plus, before = which.partition("+")
    # Rounded down: a message that is sent at this very moment has to be met.
    return f"{kind} @{shift(moment) - 5e-7:.6f}{plus}{before}"
