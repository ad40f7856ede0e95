"""THE CONTRACT of a fault: something that goes wrong, on purpose, with its healing and the proof of both.

A fault is made once from its options, and may be injected many times, also while others (or itself) are still active.
The nemesis of the harness calls, for each injection::

    injection = fault.inject(ground, number, random)   # break it; says whom it hit and how
    evidence = fault.prove(ground, injection)           # measure that it bit
    ...                                                # for as long as the schedule says
    fault.heal(ground, injection)                       # mend it
    evidence = fault.prove_healed(ground, injection)    # measure that it is mended

Healing is idempotent, and is called for every injection whatever happened in between (also when `inject` raised half
way: faults register what they do before they do it, in `Ground`). A fault never changes a link itself: it claims a
condition on the `LinkBoard`, which puts the strongest claim of all active faults into force, so that overlapping faults
neither hide nor heal one another.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from faults.board import DiskBoard, LinkBoard, WeatherBoard
from faults.clock_board import ClockBoard
from faults.cluster import Cluster, ClusterError, Link, NetworkError, all_links
from faults.holds import ProcessBoard


class FaultOptions(BaseModel):
    """The base of a fault's options: every field has a default and a description; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Setting:
    """What is known of a run before it starts: enough to say whether a fault makes sense in it."""

    cluster: str
    """The kind of cluster: `local`, `docker`, `simulated`."""
    replicas: tuple[str, ...]
    protocol: str
    chief: str | None
    """The protocol's role in charge, or None; the targets `leader` and `primary` need one."""


@dataclass
class Ground:
    """Where faults are injected: the cluster, and the boards that remember who claims what."""

    cluster: Cluster
    links: LinkBoard
    weather: WeatherBoard
    disks: DiskBoard
    processes: ProcessBoard
    clocks: ClockBoard

    @classmethod
    def on(cls, cluster: Cluster) -> Self:
        """New boards, on which nobody claims anything yet."""
        clocks = ClockBoard(cluster)
        processes = ProcessBoard(cluster, revived=clocks.set_again)
        return cls(cluster, LinkBoard(cluster.network), WeatherBoard(cluster), DiskBoard(cluster), processes, clocks)

    def close(self) -> list[str]:
        """The end: mend everything, whoever broke it, and let nobody break anything any more.

        Returns sentences about what could not be mended; may be called again to try again.
        """
        problems = []
        steps: list[Callable[[], None]] = [
            lambda: self.links.close(all_links(self.cluster.replicas)),
            self.weather.close,
            self.disks.close,  # before replicas come up, which a full disk would kill again
            self.processes.close,
            self.clocks.close,
        ]
        for step in steps:
            try:
                step()
            except (NetworkError, ClusterError) as error:
                problems.append(str(error))
        return problems


@dataclass(frozen=True)
class Injection:
    """One time that a fault was injected: whom it hit, and how, in words."""

    fault: str
    number: int
    """Unique in the run."""
    targets: tuple[str, ...]
    """The replicas that were hit."""
    description: str
    """For people, to stand after the fault's name: `halves: n1 n4 | n2 n3 n5, drop`."""
    links: tuple[Link, ...] = ()
    """The links that were changed, if any."""
    roles: dict[str, str] = field(default_factory=dict)
    """The role that each target had when it was hit, as far as it told."""
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever the fault needs to prove and to heal, as JSON values."""


@dataclass(frozen=True)
class Evidence:
    """Measured proof that an injection (or a healing) took effect.

    `effective` is None if nothing could be measured, for the reason in `detail`: that proves nothing.
    """

    effective: bool | None
    detail: str
    """One sentence with figures: `12 of 12 cut links let no ping through`."""
    measurements: list[dict[str, Any]] = field(default_factory=list)
    """The single measurements, as JSON objects."""


class Fault(ABC):
    name: ClassVar[str]
    """As in campaigns: `partition`."""
    summary: ClassVar[str]
    """One sentence for `rashomon list faults`."""
    Options: ClassVar[type[FaultOptions]] = FaultOptions

    def __init__(self, options: FaultOptions) -> None:
        self.options = options

    def applies_to(self, setting: Setting) -> str | None:
        """None if the fault makes sense there, else one sentence: why not, and what would."""
        return None

    @abstractmethod
    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        """Break something. All choices come from `random` and from the state of the cluster."""

    @abstractmethod
    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        """Measure, now, that the injection is in effect. Takes at most a few seconds."""

    @abstractmethod
    def heal(self, ground: Ground, injection: Injection) -> None:
        """Take this injection back, and nothing else. Idempotent."""

    @abstractmethod
    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        """Measure, now, that what this injection broke works, as far as no other fault holds it broken."""
