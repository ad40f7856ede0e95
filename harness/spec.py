"""The resolved specification of a run: every default filled in, enough to repeat the run. It is saved as `run.yaml`.

`harness.campaign` makes these from a campaign file, `harness.run` executes one, `rashomon replay` reads one back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

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


class Choice(Spec):
    """One fault that a stream may inject."""

    fault: str
    options: dict[str, Any] = Field(default_factory=dict)
    for_seconds: float = Field(default=3.0, gt=0, description="healed this long after it was injected")
    weight: float = Field(default=1.0, gt=0, le=1e6, description="how often it is drawn, against the other choices")


class Stream(Spec):
    """One sequence of injections. Injections of one stream may overlap each other and those of other streams.

    Either `at_seconds` (fixed times since the clients began) or `every_seconds` (the first one after `first_seconds`,
    each interval drawn within +- 20 % by the seed).
    """

    choices: list[Choice] = Field(min_length=1)
    every_seconds: float | None = Field(default=6.0, ge=0.05)
    first_seconds: float = Field(default=2.0, ge=0)
    at_seconds: list[Annotated[float, Field(ge=0)]] | None = None


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


class RunSpec(Spec):
    """One run, resolved."""

    campaign: str
    cell: str = Field(description="a name for tables and folders: `multi-paxos register everything seed 1`")
    seed: int
    cluster: Literal["local", "docker"] = "local"
    replicas: int = Field(default=5, ge=1, le=25)
    protocol: Named
    machine: str
    workload: Named
    nemesis: NemesisSpec = Field(default_factory=NemesisSpec)
    clients: ClientsSpec = Field(default_factory=ClientsSpec)
    duration_seconds: float = Field(default=20.0, gt=0, description="how long clients and nemesis work")
    recovery_seconds: float = Field(
        default=20.0, gt=0, description="how long, after healing, the cluster has to answer"
    )
    minimum_operations: int = Field(default=50, ge=0, description="with fewer successful ones a run proves nothing")
    checks: ChecksSpec = Field(default_factory=ChecksSpec)
    expect: Verdict = "valid"

    @property
    def replica_names(self) -> tuple[str, ...]:
        return tuple(f"n{number}" for number in range(1, self.replicas + 1))

    def save(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True), "utf-8")

    @classmethod
    def load(cls, path: Path) -> RunSpec:
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")))
