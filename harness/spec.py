"""The resolved specification of a run: every default filled in, enough to repeat the run. It is saved as `run.yaml`.

`harness.campaign` makes these from a campaign file, `harness.run` executes one, `rashomon replay` reads one back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.explore.variants import STRIKING

Verdict = Literal["valid", "violation", "unknown"]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Named(Spec):
    """Something by name, with its options: `{name: primary-backup, options: {acknowledge: none}}`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.options.items())})"


class ProtocolSpec(Named):
    """A protocol, with the mistakes that are switched on in it: see `node.flaws`."""

    flaws: list[str] = Field(default_factory=list)

    def __str__(self) -> str:
        marks = [f"{name}={value}" for name, value in self.options.items()] + self.flaws
        return f"{self.name}({', '.join(marks)})" if marks else self.name


class Choice(Spec):
    """One fault that a stream may inject."""

    fault: str
    options: dict[str, Any] = Field(default_factory=dict)
    for_seconds: float = Field(default=3.0, gt=0, description="healed this long after it was injected")
    weight: float = Field(default=1.0, gt=0, le=1e6, description="how often it is drawn, against the other choices")


What = Literal["send", "deliver", "append"]


class Moment(Spec):
    """Something that a replica does, which an injection follows at once. Only a simulated cluster can tell of it."""

    what: What = Field(
        default="send",
        description="a message leaves the replica, or is handed to it, or a record is appended to its journal, and not "
        "yet synced; words as in the trace",
    )
    kind: str = Field(default="", max_length=80, description="the type of the message or the record; empty: any")
    share: float = Field(default=1.0, gt=0, le=1, description="of all such moments, each by a draw of its own")
    after_ms: float = Field(default=0.001, ge=0.001, le=60_000, description="how long after it the fault is injected")
    rest_seconds: float = Field(default=0.0, ge=0, description="how long after a healing the next moment may be taken")
    hits: Literal["doer", "peer", "target"] = Field(
        default="doer",
        description="whom the fault hits: the replica itself, the other end of the message (of a record: itself), or "
        "whoever the fault's own target is",
    )


class Stream(Spec):
    """One sequence of injections. Injections of one stream may overlap each other and those of other streams.

    Either `at_seconds` (fixed times since the clients began), or `every_seconds` (the first one after `first_seconds`,
    each interval drawn within +- 20 % by the seed), or `moment` (whenever a replica does that, one injection at a time).
    """

    choices: list[Choice] = Field(min_length=1)
    every_seconds: float | None = Field(default=6.0, ge=0.05)
    first_seconds: float = Field(default=2.0, ge=0)
    at_seconds: list[Annotated[float, Field(ge=0)]] | None = None
    moment: Moment | None = None


class NemesisSpec(Spec):
    """The faults of a run: a name for tables, and streams that go on side by side. No stream: no fault."""

    name: str = "none"
    streams: list[Stream] = Field(default_factory=list)


class ClientsSpec(Spec):
    """How the workload's operations are sent."""

    processes: int = Field(default=10, ge=1, le=200, description="logical clients at work at the same time")
    rate_per_second: float = Field(default=0.0, ge=0, description="operations a second of all together; 0: no limit")
    mode: Literal["leader", "pinned"] = Field(default="leader", description="follow the leader hint, or stay")
    timeout_seconds: float = Field(default=2.0, gt=0, description="after this an operation's outcome is unknown")
    attempts: int = Field(
        default=3,
        ge=1,
        description="how often one operation is sent, with the same id, before "
        "its outcome counts as it is; a later attempt never turns an unknown outcome into a failure",
    )


class ChecksSpec(Spec):
    """What the run is judged by, and the limits of each checker."""

    checkers: list[str] = Field(default_factory=list, description="empty: those of the workload")
    time_limit_seconds: float = Field(default=60.0, gt=0)
    memory_limit_mb: int = Field(default=1024, ge=16)
    staleness_limit_ms: float | None = Field(
        default=None, ge=0, description="a read that is certainly staler is a violation, for the checker `staleness`"
    )


class SimulationSpec(Spec):
    """The world of a simulated run when no fault is at work: by default a calm local network and healthy disks."""

    delay_ms: float = Field(default=0.2, ge=0, le=60_000, description="what every message takes at least")
    jitter_ms: float = Field(default=0.3, ge=0, le=60_000, description="how much longer messages take, give or take")
    distribution: Literal["uniform", "exponential"] = Field(
        default="exponential", description="`jitter_ms` is the most (uniform) or the mean (exponential)"
    )
    overtaking: float = Field(
        default=0.0, ge=0, le=1, description="share of the messages that may overtake others of their link"
    )
    lost: float = Field(default=0.0, ge=0, lt=1, description="share of the messages that are lost")
    duplicated: float = Field(default=0.0, ge=0, le=1, description="share of the messages that arrive twice")
    late: float = Field(default=0.0, ge=0, le=1, description="share of the messages that are late")
    late_ms: int = Field(default=300, ge=1, le=60_000, description="how late they, and second copies, are at most")
    sync_ms: float = Field(
        default=1.0, ge=0, le=60_000, description="what a sync of the journal takes, give or take half"
    )
    clock_offset_seconds: float = Field(
        default=0.0, ge=0, description="how far clocks are apart: drawn for each replica"
    )
    clock_drift: float = Field(
        default=0.0, ge=0, lt=1, description="how much faster or slower clocks run at most: drawn for each replica"
    )
    liveness_seconds: float = Field(
        default=60.0,
        ge=0,
        description="how long a majority, alone and healed, may take to answer after the faults; 0: not asked",
    )


class ExploreSpec(Spec):
    """What `rashomon explore` may draw anew for every run of a cell; other commands ignore it. See `docs/explore.md`."""

    replicas: list[Annotated[int, Field(ge=1, le=25)]] = Field(
        default_factory=list, description="the sizes of clusters; empty: 3 up to the cell's replicas"
    )
    weather: bool = Field(
        default=True, description="whether delays, loss and repetition of messages, disks and clocks are drawn"
    )
    tempo: bool = Field(default=True, description="whether the protocol's times are drawn, all by one factor")
    moments: (
        dict[str, list[Annotated[str, Field(pattern=r"^((send|deliver|append)( \S+)?|siege)$", max_length=90)]]] | None
    ) = Field(
        default=None,
        description="faults, and the moments at which they may strike, such as `kill: [send vote, append]`; "
        "none said: at any, whatever replicas do; an empty mapping: at times only",
    )
    options: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict, description="options of the protocol, each with the values to draw from"
    )

    @field_validator("moments")
    @classmethod
    def _can_strike(cls, moments: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        for fault, told in (moments or {}).items():
            if fault not in STRIKING:
                raise ValueError(f"{fault!r} is no fault that strikes at a moment: those are {', '.join(STRIKING)}")
            if "siege" in told and fault != "partition":
                raise ValueError(f"a siege is a partition, and no {fault!r}: write `partition: [siege]`")
        return moments


class ScriptedOperation(Spec):
    """One operation of a script. A process that has another one open by then begins it when that is over."""

    at_seconds: float = Field(ge=0, description="since the clients began")
    process: int = Field(ge=0)
    replica: str = Field(description="whom the process asks first")
    f: str
    key: str
    value: Any = None
    outcome: Literal["ok", "fail", "info"] | None = Field(
        default=None, description="what has to become of it, for the checker `script`; nothing said: anything may"
    )
    results: list[Any] | None = Field(default=None, description="of an `ok`: the results that are right; else any is")


class ScriptedFault(Spec):
    """One injection of a script."""

    fault: str
    options: dict[str, Any] = Field(default_factory=dict)
    at_seconds: float = Field(ge=0, description="since the clients began")
    until_seconds: float = Field(ge=0)
    seed: int = Field(default=0, description="the source of every choice that the fault makes")


class ScriptedCue(Spec):
    """One thing that happened in a simulated run, for real replicas to keep to its order: see `harness.cues`."""

    what: Literal["ask", "answer", "inject", "heal", "lead"]
    number: int = Field(default=0, description="of the operation or the fault, in the order of their times, from 1 on")
    replica: str = Field(default="", description="of `lead`: who is in charge from then on")
    at_seconds: float


class ScriptSpec(Spec):
    """All that happens in a run, one by one, instead of what a workload and a nemesis draw: what a shrunk run is."""

    name: str = Field(default="script", max_length=80, description="what it plays, in a few words")
    operations: list[ScriptedOperation] = Field(default_factory=list, max_length=100_000)
    faults: list[ScriptedFault] = Field(default_factory=list, max_length=10_000)
    messages: dict[str, Annotated[str, Field(pattern=r"^(lost|on time|(late|duplicated)( \d{1,6}(\.\d+)?)?)$")]] = (
        Field(
            default_factory=dict,
            description="on a simulated cluster: messages by name (`n1->n2 accept 3`, or `@1.25`), and what becomes of them "
            "(`late 731.5`: so many milliseconds)",
        )
    )
    cues: list[ScriptedCue] = Field(
        default_factory=list,
        description="on real clusters: what waits for what; without, everything begins at its time",
    )

    def in_order(self) -> list[ScriptedOperation]:
        """The operations by time; their numbers in cues count from 1."""
        return sorted(self.operations, key=lambda one: one.at_seconds)


class RunSpec(Spec):
    """One run, resolved."""

    campaign: str
    cell: str = Field(description="a name for tables and folders: `multi-paxos register everything seed 1`")
    seed: int
    cluster: Literal["local", "docker", "simulated"] = "local"
    replicas: int = Field(default=5, ge=1, le=25)
    protocol: ProtocolSpec
    machine: str
    workload: Named
    nemesis: NemesisSpec = Field(default_factory=NemesisSpec)
    clients: ClientsSpec = Field(default_factory=ClientsSpec)
    duration_seconds: float = Field(default=20.0, gt=0, description="how long clients and nemesis work")
    recovery_seconds: float = Field(
        default=20.0, gt=0, description="how long, after healing, the cluster has to answer"
    )
    minimum_operations: int = Field(default=50, ge=0, description="with fewer successful ones a run proves nothing")
    simulation: SimulationSpec = Field(default_factory=SimulationSpec)
    checks: ChecksSpec = Field(default_factory=ChecksSpec)
    expect: Verdict = "valid"
    explore: ExploreSpec | None = None
    script: ScriptSpec | None = None

    @property
    def replica_names(self) -> tuple[str, ...]:
        return tuple(f"n{number}" for number in range(1, self.replicas + 1))

    def as_yaml(self) -> str:
        """All of it, but for a world of simulated runs that is the usual one and not used."""
        used = self.cluster == "simulated" or self.simulation != SimulationSpec()
        data = self.model_dump(mode="json", exclude=None if used else {"simulation"})
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)

    def save(self, path: Path) -> None:
        path.write_text(self.as_yaml(), "utf-8")

    @classmethod
    def load(cls, path: Path) -> RunSpec:
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")))
