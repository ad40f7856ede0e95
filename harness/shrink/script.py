"""A simulated run, written down as a script: what was drawn becomes what is said.

Targets become the replicas that were hit, an injection that hit several becomes one for each where it can, and a message
that was lost, late or repeated becomes an entry of its own in an otherwise calm network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from faults.catalogue import FAULTS
from faults.schedule import Planned
from harness.checkers.injections import Injected, injections
from harness.history import FINAL_READS, Event
from harness.simulation.simulate import Simulated
from harness.simulation.trace import Step
from harness.spec import NemesisSpec, RunSpec, ScriptedFault, ScriptedOperation, ScriptSpec

_CALM = {"lost": 0.0, "duplicated": 0.0, "late": 0.0}
_FAULTS_OF_MESSAGES = ("message-loss", "duplicate", "reorder")
"""What they do is in the fates of single messages already."""
_PAUSE_SECONDS = 0.25
"""Who reads at the end begins at once; in a script it may be a client that pauses after a failure, and that has to wait."""
_FAULTS_OF_LINKS = ("partition", "latency", "slow", "reset")


def scripted(spec: RunSpec, simulated: Simulated) -> RunSpec:
    """The same run as a script. `simulated` is the run of the spec, with its trace.

    What the phase for liveness kills is written down as faults too, unless that phase is what went wrong.
    """
    stalled = simulated.stalled is not None
    script = ScriptSpec(
        operations=_operations(spec, simulated.events),
        faults=_faults(simulated) + ([] if stalled else _killed_for_liveness(spec, simulated)),
        messages=_messages(simulated),
    )
    changes: dict[str, Any] = {
        "script": script,
        "nemesis": NemesisSpec(name="script"),
        "explore": None,
        "minimum_operations": 0,
        "duration_seconds": _until_seconds(simulated),
        "simulation": spec.simulation.model_copy(update=_CALM if stalled else {**_CALM, "liveness_seconds": 0.0}),
    }
    return spec.model_copy(update=changes)


def _operations(spec: RunSpec, events: Sequence[Event]) -> list[ScriptedOperation]:
    """Whoever reads at the end follows the leader. Pinned clients don't: so they ask at once who answered in the run."""
    operations: list[ScriptedOperation] = []
    finally_asked = False
    for number, event in enumerate(events):
        finally_asked = finally_asked or event.get("value") == FINAL_READS
        if event["type"] != "invoke" or not isinstance(event["process"], int):
            continue
        moved = finally_asked and spec.clients.mode == "pinned"
        replica = _answering(events[number + 1 :], event) if moved else event["replica"]
        operations.append(
            ScriptedOperation(
                at_seconds=event["time"] / 1e9,
                process=event["process"],
                replica=replica,
                f=event["f"],
                key=event["key"],
                value=event["value"],
            )
        )
    return operations


def _answering(later: Iterable[Event], invoked: Event) -> str:
    """The replica that an operation ended at; the one that it began at if it never ended."""
    ends = (event["replica"] for event in later if event["process"] == invoked["process"])
    return str(next(ends, invoked["replica"]))


def _faults(simulated: Simulated) -> list[ScriptedFault]:
    hits = {one.number: one for one in injections(simulated.events)}
    faults = []
    for planned in simulated.plan:
        hit = hits.get(planned.number)
        if hit is None or hit.applied_at is None or planned.fault in _FAULTS_OF_MESSAGES:
            continue
        for options in _aimed(planned.fault, planned.options, hit):
            faults.append(
                ScriptedFault(
                    fault=planned.fault,
                    options=options,
                    at_seconds=planned.at_seconds,
                    until_seconds=_until(planned, hit),
                    seed=planned.seed,
                )
            )
    return faults


def _until(planned: Planned, hit: Injected) -> float:
    """When it was healed: before its time if the nemesis had to stop, later if its proof took longer."""
    return planned.until_seconds if hit.healing_at is None else hit.healing_at / 1e9


def _aimed(fault: str, options: dict[str, Any], hit: Injected) -> list[dict[str, Any]]:
    """The options, once for each replica that was hit, by its name; as they are for a fault that has no target, or that
    hit links of several, since a link between two of them would be hit twice."""
    defaults = FAULTS[fault].Options().model_dump()
    if "target" not in defaults or not hit.targets:
        return [options]
    if fault == "partition" and options.get("shape", defaults["shape"]) not in ("isolate", "one-way"):
        return [options]
    if fault in _FAULTS_OF_LINKS and len(hit.targets) > 1:
        return [options]
    return [{**options, "target": replica} for replica in hit.targets]


def _killed_for_liveness(spec: RunSpec, simulated: Simulated) -> list[ScriptedFault]:
    """The replicas that were killed after the nemesis had ended, and for how long."""
    kills: list[ScriptedFault] = []
    down: dict[str, float] = {}
    for step in simulated.trace or []:
        seconds = step["time"] / 1e9
        if step["what"] == "kill" and seconds >= spec.duration_seconds:
            down[step["replica"]] = seconds
        elif step["what"] == "start" and step["replica"] in down:
            kills.append(_kill(step["replica"], down.pop(step["replica"]), seconds))
    return kills + [_kill(replica, since, _end_seconds(simulated)) for replica, since in down.items()]


def _kill(replica: str, since: float, until: float) -> ScriptedFault:
    return ScriptedFault(fault="kill", options={"target": replica}, at_seconds=since, until_seconds=until)


def delays_written_down(spec: RunSpec, simulated: Simulated) -> RunSpec:
    """The run of a script in a network where every message takes the same time, but for those that the script names as late.
    `simulated` is the run of the spec, with its trace.

    How long a message takes is drawn for its number among those of its kind: it changes when one before it is taken out.
    What is said of it by its time doesn't.
    """
    assert spec.script is not None
    steps = simulated.trace or []
    arrivals: dict[str, int] = {}
    for step in steps:
        if step["what"] in ("deliver", "lost"):
            arrivals.setdefault(step["key"], step["time"])
    under_way = steps[-1]["time"] if steps else 0
    """When what had not arrived by then arrives at the earliest."""
    delay_ns = round(spec.simulation.delay_ms * 1e6)
    messages = dict(spec.script.messages)
    for name, step in _named(simulated):
        late_ns = arrivals.get(step["key"], under_way) - step["time"] - delay_ns
        if late_ns > 0 and step.get("fate", "on time") in ("on time", "late"):
            messages[name] = f"late {late_ns / 1e6:.6f}"
    script = spec.script.model_copy(update={"messages": messages})
    simulation = spec.simulation.model_copy(update={"jitter_ms": 0.0, "overtaking": 0.0})
    return spec.model_copy(update={"script": script, "simulation": simulation})


def _messages(simulated: Simulated) -> dict[str, Any]:
    """What became of those that did not fare as usual."""
    return {name: _fate(step) for name, step in _named(simulated) if step.get("fate", "on time") != "on time"}


def _named(simulated: Simulated) -> Iterator[tuple[str, Step]]:
    """Every message that is sent, named by its time, so that the name stays true when others are taken out; by its number
    before the run begins."""
    sent: Counter[tuple[int, str]] = Counter()
    for step in simulated.trace or []:
        if step["what"] != "send":
            continue
        kind = step["key"].rpartition(" ")[0]
        before = sent[step["time"], kind]
        sent[step["time"], kind] += 1
        name = f"{kind} @{step['time'] / 1e9:.9f}" + (f"+{before}" if before else "")
        yield (step["key"] if step["time"] < 0 else name), step


def _fate(step: Step) -> str:
    late_ns = step.get("late_ns")
    return str(step["fate"]) if late_ns is None else f"{step['fate']} {late_ns / 1e6:.6f}"


def _until_seconds(simulated: Simulated) -> float:
    """How long the script is."""
    if simulated.stalled is not None:
        return simulated.stalled.time_ns / 1e9
    return _end_seconds(simulated) + _PAUSE_SECONDS


def _end_seconds(simulated: Simulated) -> float:
    return max(1.0, max((event["time"] for event in simulated.events), default=0) / 1e9)
