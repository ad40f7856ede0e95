"""What an operation costs when nothing goes wrong: messages between replicas, and message delays until the answer.

Counted, not estimated: on a simulated cluster in which every message takes the same time and disks and replicas take none,
a run with one operation more is laid beside the same run without it. What was sent more is what the operation costs, and
the time until its answer is a whole number of message delays; of those the client's own way there and back are two.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.history import Event
from harness.simulation.simulate import Simulated, simulate
from harness.spec import ClientsSpec, Named, ProtocolSpec, RunSpec, ScriptedOperation, ScriptSpec, SimulationSpec
from node.protocols import PROTOCOLS

SIZES = (3, 5)
"""Clusters of so many replicas are measured."""

_DELAY_MS = 10.0
_BEFORE_SECONDS, _SECONDS, _END_SECONDS = 0.5, 1.0, 1.7
"""When the operation comes that there is in both runs, when the one that is counted, and when counting ends."""


@dataclass(frozen=True)
class Form:
    """A protocol with options, and what the lectures say that it costs."""

    protocol: str
    options: Mapping[str, Any] = field(default_factory=dict)
    workload: str = "register"
    reads_at: str | None = None
    """The replica that reads are sent to; None: where writes are."""
    says: Mapping[str, str] = field(default_factory=dict)
    """By function, `write` or `read`."""

    def __str__(self) -> str:
        return str(Named(name=self.protocol, options=dict(self.options)))


@dataclass(frozen=True)
class Cost:
    """What one operation takes."""

    messages: Mapping[str, int]
    """Between replicas, by type."""
    delays: int
    """From the client's request until it has the answer."""

    @property
    def total(self) -> int:
        return sum(self.messages.values())


FORMS = (
    Form(
        "primary-backup",
        says={
            "write": "the update to each backup, an OK from each, then the answer: 2 (n - 1) messages, 4 delays",
            "read": "the primary alone: nothing, 2 delays",
        },
    ),
    Form(
        "primary-backup",
        {"acknowledge": "none"},
        says={"write": "asynchronous: the answer before anybody else knows, 2 delays; the messages follow"},
    ),
    Form(
        "log-shipping",
        says={"write": "the log to each backup, on its disk before it answers: 2 (n - 1) messages, 4 delays"},
    ),
    Form(
        "two-phase-commit",
        says={"write": "request, vote and decision for each replica: 3 (n - 1) messages; answered after the votes"},
    ),
    Form(
        "naive-two-phase",
        workload="once",
        says={"write": '"value V", ACK, "commit!": 3 (n - 1) messages, 4 delays'},
    ),
    Form(
        "paxos",
        workload="once",
        says={
            "write": "prepare, ok, accept, ok, decide: 5 (n - 1) messages; two round trips between replicas, 6 delays"
        },
    ),
    Form(
        "multi-paxos",
        says={
            "write": "the leader orders, the others accept: no prepare; accept, ok, commit: 3 (n - 1) messages, 4 delays",
            "read": "like a write: its place in the order has to be agreed upon, too",
        },
    ),
    Form(
        "raft",
        says={"write": "(not in the lectures) a commit rides on later messages: 2 (n - 1) messages, 4 delays"},
    ),
    Form(
        "leased-primary",
        says={
            "write": "tells the replicas before it commits: 2 (n - 1) messages, 4 delays",
            "read": "under the lease, alone: nothing, 2 delays",
        },
    ),
    Form(
        "quorum",
        says={
            "write": "written to all, a majority answers: 2 (n - 1) messages, 4 delays. Several writers have to ask for the "
            "newest version first; and here a hop more, there and back, if another replica numbers the write",
            "read": "all are asked, a majority answers: 2 (n - 1) messages, 4 delays",
        },
    ),
    Form(
        "read-only-replicas",
        {"balancer": "none"},
        reads_at="n2",
        says={
            "write": "the origin alone; then it is pushed to each copy",
            "read": "a copy answers alone: nothing, 2 delays",
        },
    ),
    Form("read-only-replicas", reads_at="n2", says={"read": "through the load balancer: a hop more, there and back"}),
    Form("causal", says={"write": "local; spread in the background: 2 delays", "read": "local: nothing, 2 delays"}),
)
"""All that is measured, in the order of the lectures. Protocols that there aren't are passed over."""


@dataclass(frozen=True)
class Line:
    """A line of the table: what an operation costs, by the number of replicas."""

    form: Form
    function: str
    costs: Mapping[int, Cost]


@functools.cache
def lines() -> tuple[Line, ...]:
    """The whole table; it takes a second or so, once."""
    measured = []
    for form in FORMS:
        if form.protocol in PROTOCOLS:
            chiefs = {size: chief_of(form, size) for size in SIZES}
            for function in ("write", "read"):
                measured.append(
                    Line(form, function, {size: cost(form, function, size, chiefs[size]) for size in SIZES})
                )
    return tuple(measured)


def cost(form: Form, function: str, replicas: int, chief: str) -> Cost:
    """What one operation takes in a cluster of that size, when nothing goes wrong and clients ask who is in charge."""
    place = form.reads_at if function == "read" and form.reads_at else chief
    before = _operation(_BEFORE_SECONDS, chief, "write", "k0" if function == "read" else "k1", 5)
    counted = _operation(_SECONDS, place, function, "k0", 7 if function == "write" else None)
    without = simulate(_spec(form, replicas, [before]), trace=True)
    simulated = simulate(_spec(form, replicas, [before, counted]), trace=True)
    messages = _messages(simulated)
    messages.subtract(_messages(without))
    return Cost({name: number for name, number in sorted(messages.items()) if number}, _delays(simulated.events))


def formula(costs: Mapping[int, Cost]) -> str:
    """The number of messages as a function of the number of replicas: `2 (n - 1)`, `4 (n - 1) + 2`, `0`."""
    (few, first), (many, second) = sorted(costs.items())[0], sorted(costs.items())[-1]
    slope, rest = divmod(second.total - first.total, many - few)
    offset = first.total - slope * (few - 1)
    if rest:
        return ", ".join(f"{one.total} of {size}" for size, one in sorted(costs.items()))
    terms = [f"{slope} (n - 1)" if slope != 1 else "n - 1"] if slope else []
    terms += [str(offset)] if offset or not slope else []
    return " + ".join(terms)


def chief_of(form: Form, replicas: int) -> str:
    """Who is in charge; any replica, if nobody is."""
    role = PROTOCOLS[form.protocol].chief
    statuses = simulate(_spec(form, replicas, [])).statuses if role else []
    return next((status["replica"] for status in reversed(statuses) if status["role"] == role), "n1")


def _operation(at_seconds: float, replica: str, function: str, key: str, value: Any) -> ScriptedOperation:
    return ScriptedOperation(at_seconds=at_seconds, process=0, replica=replica, f=function, key=key, value=value)


def _spec(form: Form, replicas: int, operations: list[ScriptedOperation]) -> RunSpec:
    return RunSpec(
        campaign="cost",
        cell=f"{form}",
        seed=1,
        cluster="simulated",
        replicas=replicas,
        protocol=ProtocolSpec(name=form.protocol, options=dict(form.options)),
        machine="kv" if form.workload == "register" else "register",
        workload=Named(name=form.workload),
        clients=ClientsSpec(processes=1),
        duration_seconds=_END_SECONDS,
        minimum_operations=0,
        simulation=SimulationSpec(delay_ms=_DELAY_MS, jitter_ms=0.0, sync_ms=0.0, liveness_seconds=0.0),
        script=ScriptSpec(operations=operations),
    )


def _messages(simulated: Simulated) -> Counter[str]:
    """Messages between replicas while clients worked, by type."""
    sent = (step for step in simulated.trace or [] if step["what"] == "send" and 0 <= step["time"] < _END_SECONDS * 1e9)
    return Counter(step["message"]["type"] for step in sent if "client" not in (step["replica"], step.get("peer")))


def _delays(events: Iterable[Event]) -> int:
    """Of the last operation."""
    asked, answered = [event for event in events if event["process"] == 0][-2:]
    assert answered["type"] == "ok", answered
    return round(float(answered["time"] - asked["time"]) / (_DELAY_MS * 1e6))
