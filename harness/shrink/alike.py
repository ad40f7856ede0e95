"""Small runs that are alike: made of what a run of an exploration was made of, and of less of it.

What is left of a large run is not always small: where a finding takes a coincidence (a message that is on its way just
when its sender is cut off), whatever is left out moves the rest, and the coincidence is gone. A small run in which it
happens anew is found sooner than a way to it from the large one. So small runs are drawn, in their thousands:

    alike(spec, 7)      # the same protocol, clients and weather, for a few seconds, with some of the same faults

Nothing is in them that the run didn't have: faults have the options that they had there, the network is as bad or calm.
"""

from __future__ import annotations

import random

from faults.schedule import LEAST_SECONDS, subseed
from harness.explore.swarm import without_seed
from harness.spec import Choice, Named, NemesisSpec, RunSpec, SimulationSpec, Stream
from harness.workloads import WORKLOADS
from node.protocols import PROTOCOLS

SIZES = ("snapshot_every", "compact_every")
"""Options of protocols that only say how often something is done that has to be done some time, whatever the protocol."""

FEWER = (1, 2, 4, 8)
"""Values for them with which a small run has it done."""
_FEWEST_REPLICAS = 3
_SECONDS = (1.6, 2.5, 4.0)
_OPERATIONS = (3, 5, 8, 12, 20)
_FAULTS = (0, 1, 1, 2, 2, 3, 4)
_FOR_SECONDS = (0.1, 0.4, 1.0)


def alike(spec: RunSpec, number: int, least_replicas: int = 1) -> RunSpec:
    """A small run that is made of the same as the run; `number` tells one from another. It has no script."""
    dice = random.Random(f"{spec.seed}/alike/{number}")
    seed = subseed(spec.seed, "alike", number)
    duration = dice.choice(_SECONDS)
    operations = dice.choice(_OPERATIONS)
    processes = min(dice.choice((2, 2, 3, 4)), spec.clients.processes)
    replicas = dice.choice((spec.replicas, min(spec.replicas, max(_FEWEST_REPLICAS, least_replicas))))
    if spec.clients.mode == "pinned":  # or nobody may be left to ask the survivors
        processes = max(processes, min(replicas, spec.clients.processes))
    clients = {"processes": processes, "rate_per_second": round(operations / duration, 2)}
    return spec.model_copy(
        update={
            "cell": f"{without_seed(spec.cell)}, seed {seed}",
            "seed": seed,
            "replicas": replicas,
            "duration_seconds": duration,
            "protocol": _protocol(spec, dice),
            "workload": _one_key(spec.workload, processes),
            "clients": spec.clients.model_copy(update=clients),
            "nemesis": _nemesis(spec, duration, dice),
            "simulation": _weather(spec, dice),
            "minimum_operations": 0,
        }
    )


def sizes_of(spec: RunSpec) -> list[str]:
    """Which `SIZES` its protocol has."""
    return [name for name in SIZES if name in PROTOCOLS[spec.protocol.name].Options.model_fields]


def with_size(spec: RunSpec, name: str, value: int) -> RunSpec:
    options = {**spec.protocol.options, name: value}
    return spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"options": options})})


def _protocol(spec: RunSpec, dice: random.Random) -> Named:
    for name in sizes_of(spec):
        if dice.random() < 0.5:
            spec = with_size(spec, name, dice.choice(FEWER))
    return spec.protocol


def _one_key(workload: Named, processes: int) -> Named:
    """All clients share their keys, if the workload can have it so: who has a key alone sees little."""
    if "processes_per_key" not in WORKLOADS[workload.name].Options.model_fields:
        return workload
    least = max(processes, workload.options.get("processes_per_key", 0))
    return workload.model_copy(update={"options": {**workload.options, "processes_per_key": least}})


def _nemesis(spec: RunSpec, duration: float, dice: random.Random) -> NemesisSpec:
    """A few of its faults, for as long as there or shorter: each once, or when a replica does what it waited for there."""
    pool = [stream.model_copy(update={"choices": [one]}) for stream in spec.nemesis.streams for one in stream.choices]
    chosen = [dice.choice(pool) for _ in range(dice.choice(_FAULTS))] if pool else []
    streams = [_once(stream, duration, dice) for stream in chosen]
    faults = [choice.fault for stream in streams for choice in stream.choices]
    return NemesisSpec(name="+".join(dict.fromkeys(faults)) or "none", streams=streams)


def _once(stream: Stream, duration: float, dice: random.Random) -> Stream:
    if stream.at_seconds is None and stream.every_seconds is None:  # it doesn't go by the clock
        return stream
    latest = max(0.0, duration - LEAST_SECONDS)
    choices = [_shorter(one, dice) for one in stream.choices]
    return Stream(choices=choices, at_seconds=[round(dice.uniform(0.0, latest), 3)])


def _shorter(choice: Choice, dice: random.Random) -> Choice:
    seconds = dice.choice((choice.for_seconds, *(one for one in _FOR_SECONDS if one < choice.for_seconds)))
    return choice.model_copy(update={"for_seconds": seconds})


def _weather(spec: RunSpec, dice: random.Random) -> SimulationSpec:
    """As it was, or calm; nobody waits for a majority to go on."""
    calm = SimulationSpec(liveness_seconds=0.0)
    return calm if dice.random() < 0.5 else spec.simulation.model_copy(update={"liveness_seconds": 0.0})
