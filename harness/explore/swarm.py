"""What a run of an exploration is made of: `draw(cell, seed)`, a pure function.

A bug needs its circumstances, and one set of options that has everything at once hides as much as it shows: with leaders
killed all the time nobody gets as far as a snapshot; under heavy loss no two leaders live long enough to meet. So every run
draws its own SUBSET of what may go wrong, and how often and how long (swarm testing: Groce, Zhang, Eide, Chen and Regehr,
"Swarm testing", ISSTA 2012).

What is drawn, each from a source of its own, so that one more thing to draw changes nothing about the others:

- faults: a subset of the cell's, side by side or one at a time; how often, for how long; and of their options those that
  the campaign leaves at their defaults: whom they hit, which shape a partition has, how bad it is;
- weather: delays, overtaking, loss, repetition and stragglers of messages, the speed of disks and the drift of clocks,
  each calm in half of the runs. Only if the campaign's `simulation` says nothing but `liveness_seconds`;
- the protocol's tempo (one factor for all its `..._seconds`), and sizes such as how often it makes a snapshot;
- clients: how many (up to the cell's), how fast, how patient, whether they follow the leader or stay;
- the workload: how many clients share a key, for how long, and the shares of the operations;
- 3 replicas up to as many as the cell has, and 5 seconds up to as long as the cell lasts.

`explore` in a campaign (see `harness.spec.ExploreSpec`) says what must not be drawn, and what else may.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from faults.catalogue import FAULTS, fault_problem
from faults.fault import Setting
from faults.schedule import most_at_once, plan
from harness.explore.aim import aimed
from harness.explore.drawing import between, dice_of, varied
from harness.explore.variants import FAULT_VARIANTS, PROTOCOL_SIZES, WORKLOAD_VARIANTS
from harness.injecting import MOST_AT_ONCE
from harness.spec import Choice, ClientsSpec, ExploreSpec, Named, NemesisSpec, RunSpec, SimulationSpec, Stream
from harness.workloads import WORKLOADS
from node.protocols import PROTOCOLS

SHORTEST_SECONDS = 5.0
FEWEST_REPLICAS = 3

_OPERATIONS_PER_SECOND = (20.0, 60.0)
_EVERY_SECONDS = (0.4, 5.0)
_FOR_SECONDS = (0.02, 3.0)
FAIR = 0.33
"""The share of runs in which no message is lost, repeated, late or overtaken by the weather: what faults do then isn't lost
in the noise."""
_MISHAPS = ("lost", "duplicated", "late", "overtaking")
_ATTEMPTS = {"leader": (1, 2, 3, 5, 15, 15), "pinned": (1, 1, 2, 3)}
"""Who moves on may look for a leader for long; who stays with a replica that is cut off has better things to do."""
_TEMPI = (0.3, 0.5, 1.0, 1.0, 2.0)


def draw(cell: RunSpec, seed: int) -> RunSpec:
    """One run of the cell: a spec like any other, with nothing left to draw, which `rashomon run` could run as well."""
    may = cell.explore or ExploreSpec()
    replicas = _replicas(cell, may, dice_of(seed, "replicas"))
    duration = between(dice_of(seed, "duration"), min(SHORTEST_SECONDS, cell.duration_seconds), cell.duration_seconds)
    duration = round(duration, 1) or cell.duration_seconds
    return cell.model_copy(
        update={
            "cell": f"{without_seed(cell.cell)}, seed {seed}",
            "seed": seed,
            "cluster": "simulated",
            "replicas": replicas,
            "protocol": _protocol(cell, may, seed),
            "workload": varied(cell.workload, _workload_options(cell), WORKLOAD_VARIANTS, dice_of(seed, "workload")),
            "nemesis": _nemesis(cell, may, replicas, duration, seed),
            "clients": _clients(cell.clients, replicas, dice_of(seed, "clients")),
            "duration_seconds": duration,
            "simulation": _weather(cell, may, seed),
            "explore": None,
        }
    )


def without_seed(name: str) -> str:
    """The name of a cell, without the seed that a campaign gave it."""
    return re.sub(r", seed \d+", "", name)


def _replicas(cell: RunSpec, may: ExploreSpec, dice: random.Random) -> int:
    sizes = may.replicas or range(min(FEWEST_REPLICAS, cell.replicas), cell.replicas + 1)
    return dice.choice(sizes)


# Faults


def _nemesis(cell: RunSpec, may: ExploreSpec, replicas: int, duration: float, seed: int) -> NemesisSpec:
    pool = [choice for stream in cell.nemesis.streams for choice in stream.choices]
    dice = dice_of(seed, "faults")
    chosen = [number for number in range(len(pool)) if dice_of(seed, "fault", number).random() < 0.5]
    if not chosen and pool and dice.random() < 0.9:
        chosen = [dice.randrange(len(pool))]
    names = tuple(f"n{number}" for number in range(1, replicas + 1))
    setting = Setting("simulated", names, cell.protocol.name, PROTOCOLS[cell.protocol.name].chief)
    choices = [_choice(pool[number], setting, dice_of(seed, "options", number)) for number in chosen]
    streams = _streams([choice for choice in choices if choice is not None], dice)
    streams = aimed(streams, pool, may.moments, setting, seed)
    while most_at_once(plan(streams, duration, seed)) > MOST_AT_ONCE:
        streams.pop()
    faults = [choice.fault for stream in streams for choice in stream.choices]
    return NemesisSpec(name="+".join(dict.fromkeys(faults)) or "none", streams=streams)


def _choice(choice: Choice, setting: Setting, dice: random.Random) -> Choice | None:
    """The fault with other options; None if it can't be injected in this cluster."""
    named = Named(name=choice.fault, options=choice.options)
    for_seconds = round(between(dice, *_FOR_SECONDS), 2)
    for _ in range(10):
        options = varied(named, FAULTS[choice.fault].Options, FAULT_VARIANTS, dice).options
        if fault_problem(choice.fault, options, setting) is None:
            weight = dice.choice((1.0, 1.0, 4.0))
            return Choice(fault=choice.fault, options=options, for_seconds=for_seconds, weight=weight)
    return None


def _streams(choices: Sequence[Choice], dice: random.Random) -> list[Stream]:
    """Side by side, each in its own rhythm; or all in one rhythm, one at a time."""
    if not choices:
        return []
    groups = [list(choices)] if dice.random() < 0.3 else [[choice] for choice in choices]
    return [
        Stream(
            choices=group,
            every_seconds=round(between(dice, *_EVERY_SECONDS), 2),
            first_seconds=round(dice.uniform(0.0, 3.0), 2),
        )
        for group in groups
    ]


# Everything else


def _protocol(cell: RunSpec, may: ExploreSpec, seed: int) -> Named:
    """Options at their defaults may change: sizes, the tempo, and what the campaign lists."""
    defaults = PROTOCOLS[cell.protocol.name].Options().model_dump(mode="json")
    options = dict(cell.protocol.options)
    drawn: dict[str, Any] = {}
    tempo = dice_of(seed, "tempo").choice(_TEMPI) if may.tempo else 1.0
    for name, default in defaults.items():
        if options.get(name, default) != default:
            continue
        if name.endswith("_seconds") and isinstance(default, int | float) and tempo != 1.0:
            drawn[name] = round(default * tempo, 4)
        elif name in PROTOCOL_SIZES:
            drawn[name] = dice_of(seed, "size", name).choice((default, *PROTOCOL_SIZES[name]))
    for name, values in sorted(may.options.items()):
        drawn[name] = dice_of(seed, "option", name).choice(values)
    return cell.protocol.model_copy(update={"options": {**options, **drawn}})


def _workload_options(cell: RunSpec) -> type[BaseModel]:
    model: type[BaseModel] = WORKLOADS[cell.workload.name].Options
    return model


def _clients(clients: ClientsSpec, replicas: int, dice: random.Random) -> ClientsSpec:
    """They may stay with one replica only where each replica has a client: else none may be left to ask the survivors."""
    fastest = min(clients.rate_per_second or math.inf, _OPERATIONS_PER_SECOND[1])
    # The more there are, the more is noticed; so the larger of two draws.
    processes = max(dice.randint(min(2, clients.processes), clients.processes) for _ in range(2))
    rate = round(between(dice, min(_OPERATIONS_PER_SECOND[0], fastest), fastest), 1)
    mode = dice.choice(("leader", "pinned"))
    if clients.mode != ClientsSpec().mode or clients.processes < replicas:
        mode = clients.mode
    if mode == "pinned":
        processes = max(processes, min(replicas, clients.processes))
    timeout = round(between(dice, min(0.3, clients.timeout_seconds), clients.timeout_seconds), 2)
    attempts = dice.choice(_ATTEMPTS[mode])
    return clients.model_copy(
        update={
            "processes": processes,
            "rate_per_second": rate,
            "mode": mode,
            "timeout_seconds": timeout or clients.timeout_seconds,
            "attempts": attempts if clients.attempts == ClientsSpec().attempts else clients.attempts,
        }
    )


def _weather(cell: RunSpec, may: ExploreSpec, seed: int) -> SimulationSpec:
    simulation, drifts = cell.simulation, _drifts(cell.protocol)
    calm = SimulationSpec(liveness_seconds=simulation.liveness_seconds)  # which is no weather
    if not may.weather or simulation != calm:
        return simulation
    fields: dict[str, Callable[[random.Random], Any]] = {
        "delay_ms": lambda dice: round(between(dice, 0.1, 30.0), 2),
        "jitter_ms": lambda dice: round(between(dice, 0.3, 50.0), 2),
        "distribution": lambda dice: dice.choice(("uniform", "exponential")),
        "overtaking": lambda dice: dice.choice((0.05, 0.5, 1.0)),
        "lost": lambda dice: dice.choice((0.01, 0.05, 0.2)),
        "duplicated": lambda dice: dice.choice((0.01, 0.1, 0.3)),
        "late": lambda dice: dice.choice((0.01, 0.05, 0.2)),
        "late_ms": lambda dice: round(between(dice, 50.0, 2000.0)),
        "sync_ms": lambda dice: round(between(dice, 0.2, 20.0), 2),
        "clock_offset_seconds": lambda dice: round(between(dice, 0.01, 10.0), 2),
        "clock_drift": lambda dice: dice.choice(drifts),
    }
    fair = dice_of(seed, "weather").random() < FAIR
    drawn = {}
    for name, choose in fields.items():
        dice = dice_of(seed, "weather", name)
        if dice.random() < 0.5 and not (fair and name in _MISHAPS):
            drawn[name] = choose(dice)
    return simulation.model_copy(update=drawn)


def _drifts(protocol: Named) -> Sequence[float]:
    """How much clocks may drift: for a protocol that is told a bound, up to a little less than that."""
    bound = protocol.options.get("max_drift")
    return (0.001, 0.5 * bound, 0.95 * bound, 0.95 * bound) if bound else (0.001, 0.05, 0.2)
