"""f failures of 2f + 1 replicas (of f + 1 for a primary with backups) are survived; one more stops it, and safely.

One simulated run for each protocol and f: one replica after the other is killed and stays dead. After each of the first f
somebody has to answer again; after one more nobody may answer what needs agreement; and when all are restarted, everybody
is served again. Throughout, what clients saw must be linearizable and no law broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.checkers.checker import Limits, judge
from harness.checkers.linearizable import Linearizable
from harness.history import Event
from harness.simulation.simulate import simulate
from harness.spec import RunSpec
from harness.workloads import WORKLOADS
from node.protocols import PROTOCOLS
from tests.support.simulations import simulated_spec

APART_SECONDS = 3.0
"""From one death to the next; an election, or the end of a lease, is over by half of it."""


def is_ok(event: Event) -> bool:
    return bool(event["type"] == "ok")


def is_new_decision(event: Event) -> bool:
    """What is decided may be told by anybody who knows it; to decide takes a majority."""
    return bool(event["type"] == "ok" and event["f"] == "write" and event["result"])


@dataclass(frozen=True)
class Survivor:
    """A protocol, and how to tell that it serves."""

    replicas: Callable[[int], int] = lambda f: 2 * f + 1
    workload: dict[str, Any] = field(default_factory=lambda: {"name": "register"})
    serves: Callable[[Event], bool] = is_ok
    options: dict[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 0.5
    """How long a client waits for an answer."""


SURVIVORS = {
    "leased-primary": Survivor(),
    "log-shipping": Survivor(replicas=lambda f: f + 1, options={"passive": True}),
    "multi-paxos": Survivor(),
    "paxos": Survivor(
        workload={"name": "once", "options": {"operations_per_key": 3}}, serves=is_new_decision, timeout_seconds=4.0
    ),
    "primary-backup": Survivor(replicas=lambda f: f + 1),
    "quorum": Survivor(workload={"name": "register", "options": {"cas": 0.0}}),
    "raft": Survivor(),
}


def spec_of(name: str, survivor: Survivor, f: int) -> RunSpec:
    """Deaths of `n1` or of whoever is in charge, then of the next one, up to f + 1; they end with the last one's."""
    protocol = PROTOCOLS[name]
    times = [1.0 + APART_SECONDS * number for number in range(f + 1)]
    end = times[-1] + APART_SECONDS
    streams = [
        {
            "choices": [
                {
                    "fault": "kill",
                    "options": {"target": protocol.chief or f"n{number}"},
                    "for_seconds": end - at_seconds,
                }
            ],
            "at_seconds": [at_seconds],
        }
        for number, at_seconds in enumerate(times, 1)
    ]
    return simulated_spec(
        protocol={"name": name, "options": survivor.options},
        workload=survivor.workload,
        machine=WORKLOADS[survivor.workload["name"]].machine,
        replicas=survivor.replicas(f),
        nemesis={"name": "deaths", "streams": streams},
        clients={"processes": 6, "rate_per_second": 60, "timeout_seconds": survivor.timeout_seconds},
        duration_seconds=end + APART_SECONDS,
        simulation={"liveness_seconds": 0},
    )


def served_within(events: list[Event], survivor: Survivor, first: int, last: int) -> int:
    """How many operations were both asked for and served between these times."""
    asked: dict[Any, int] = {}
    served = 0
    for event in events:
        if not isinstance(event["process"], int):
            continue
        if event["type"] == "invoke":
            asked[event["process"]] = event["time"]
        elif survivor.serves(event) and asked.get(event["process"], -1) >= first and event["time"] <= last:
            served += 1
    return served


def turning_points(events: list[Event]) -> list[int]:
    """The times of the deaths, of the first return, and of the end."""
    told = [event for event in events if event["process"] == "nemesis" and event["type"] != "invoke"]
    deaths = [event["time"] for event in told if event["f"] == "inject"]
    first_return = min(event["time"] for event in events if event.get("f") == "heal")
    return [*deaths, first_return, events[-1]["time"]]


@pytest.mark.parametrize("f", [1, 2])
@pytest.mark.parametrize("name", SURVIVORS)
def test_f_failures_are_survived_and_one_more_stops_it_safely(name: str, f: int) -> None:
    survivor = SURVIVORS[name]
    spec = spec_of(name, survivor, f)
    simulated = simulate(spec)
    times = turning_points(simulated.events)
    assert len(times) == f + 3

    def served(dead: int) -> int:
        """How many were served while so many are dead, the first half of that time left out."""
        first, last = times[dead - 1], times[dead]
        return served_within(simulated.events, survivor, (first + last) // 2, last)

    assert all(served(dead) > 0 for dead in range(1, f + 1)), "f failures are survived"
    assert served(f + 1) == 0, "f + 1 are not"
    assert served_within(simulated.events, survivor, *times[-2:]) > 0, "all are back"
    assert simulated.broken == []
    verdict = judge(Linearizable(), spec, simulated.events, Limits())
    assert (verdict.verdict, verdict.findings) == ("valid", [])
