"""Disks that go wrong: slow (`disk-slow`), full (`disk-full`), or failing to sync (`sync-fails`).

A replica that can't write its journal any more ends itself before anything that depends on it gets out, and nobody can
bring it up as long as its disk is spoiled. So the last two are kills that strike in the middle of the work: what was
handled since the last sync is lost, with answers that were never given.

The disk of a real replica is that of the machine, so these faults need a simulated cluster.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import Any, Literal

from pydantic import Field

from faults.cluster import Disk, DiskProbe
from faults.fault import Evidence, Fault, FaultOptions, Ground, Injection, Setting
from faults.holds import Hold
from faults.probing import Tally, look_at
from faults.processes import works
from faults.targets import TARGET_DESCRIPTION, choose, target_problem


class DiskFaultOptions(FaultOptions):
    target: str = Field(default="one", description=TARGET_DESCRIPTION)


class DiskFault(Fault):
    """What the faults of this file share. The proof is to write to the disk oneself, also to that of a dead replica."""

    Options = DiskFaultOptions
    options: DiskFaultOptions

    def applies_to(self, setting: Setting) -> str | None:
        if setting.cluster != "simulated":
            return (
                f"{self.name}: the replicas of a {setting.cluster} cluster share the machine's own disk, which is not "
                "to be spoiled: use `cluster: simulated`, or the fault kill or pause"
            )
        return target_problem(self.options.target, setting)

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        details = {"before_seconds": {name: _usual_seconds(ground, name) for name in found.replicas}}
        self._claim(ground, number, found.replicas)
        description = f"{self._words()}on {' '.join(found.replicas)}" + (f" ({found.note})" if found.note else "")
        return Injection(self.name, number, found.replicas, description, roles=found.roles, details=details)

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.disks.release(injection.number)

    @abstractmethod
    def _disk(self) -> Disk:
        """The state into which it puts a disk."""

    def _claim(self, ground: Ground, number: int, replicas: tuple[str, ...]) -> None:
        ground.disks.claim(number, dict.fromkeys(replicas, self._disk()))

    def _words(self) -> str:
        """How bad it is, in words with a blank at the end, if there is anything to say."""
        return ""

    def _look(self, ground: Ground, injection: Injection, spoilt: bool) -> Tally:
        """Whether the targets' disks show the fault, or don't."""

        def spoiled(replica: str) -> str | None:
            others = ground.disks.stamp(replica).claimants - {injection.number}
            return f"another fault spoils the disk of {replica} too" if others else None

        def measure(replica: str) -> tuple[dict[str, Any], bool]:
            probe = ground.cluster.probe_disk(replica)
            measurement = {"outcome": probe.outcome, "milliseconds": round(probe.seconds * 1000, 3)}
            return measurement, self._shows(probe, injection.details["before_seconds"][replica]) == spoilt

        return look_at(ground, injection.targets, spoiled, measure)

    @abstractmethod
    def _shows(self, probe: DiskProbe, before_seconds: float) -> bool:
        """Whether a probe shows the fault; a probe before it was injected took so long."""


def _usual_seconds(ground: Ground, replica: str) -> float:
    """What a write takes now, less what other faults add to it."""
    added_seconds = ground.disks.effective(replica).slow_ms / 1000
    return max(0.0, ground.cluster.probe_disk(replica).seconds - added_seconds)


class DiskSlowOptions(DiskFaultOptions):
    slow_ms: int = Field(default=100, ge=1, le=60_000, description="how much longer every sync takes")


class DiskSlow(DiskFault):
    name = "disk-slow"
    summary = "a replica's disk takes its time for every sync, and the replica waits for it (simulated clusters only)"
    Options = DiskSlowOptions
    options: DiskSlowOptions

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, True).evidence("{} disks take longer for a sync by what was added")

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, False).evidence("{} disks sync as quickly as before")

    def _disk(self) -> Disk:
        return Disk(slow_ms=self.options.slow_ms)

    def _words(self) -> str:
        return f"{self.options.slow_ms} ms "

    def _shows(self, probe: DiskProbe, before_seconds: float) -> bool:
        return probe.outcome == "ok" and probe.seconds > before_seconds + self.options.slow_ms / 2000


class DeadlyDiskFault(DiskFault):
    """A fault of a disk that ends the replica as soon as it writes."""

    outcome: Literal["full", "failed"]
    """What a probe shows."""

    def heal(self, ground: Ground, injection: Injection) -> None:
        try:
            super().heal(ground, injection)
        finally:
            ground.processes.release(injection.number)

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        disks = self._look(ground, injection, False)

        def spoiled(replica: str) -> str | None:
            stamp = ground.processes.stamp(replica)
            return f"another fault holds {replica}" if stamp.claimants or stamp.busy else None

        replicas = look_at(ground, injection.targets, spoiled, lambda replica: works(ground, replica))
        first, second = (
            disks.evidence("{} disks take what is written"),
            replicas.evidence("{} replicas are up and answer"),
        )
        if disks.effective is None or replicas.effective is None:
            return first if disks.effective is None else second
        detail = f"{first.detail}; {second.detail}"
        return Evidence(disks.effective and replicas.effective, detail, [*first.measurements, *second.measurements])

    def _claim(self, ground: Ground, number: int, replicas: tuple[str, ...]) -> None:
        ground.processes.claim(number, dict.fromkeys(replicas, Hold.AILING))
        super()._claim(ground, number, replicas)

    def _shows(self, probe: DiskProbe, before_seconds: float) -> bool:
        return probe.outcome == self.outcome


class DiskFull(DeadlyDiskFault):
    name = "disk-full"
    summary = (
        "a replica's disk is full: the replica ends at its next write, until it is healed (simulated clusters only)"
    )
    outcome = "full"

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, True).evidence("{} disks take nothing more")

    def _disk(self) -> Disk:
        return Disk(full=True)


class SyncFails(DeadlyDiskFault):
    name = "sync-fails"
    summary = "a replica's disk fails to sync: the replica ends, and is up when it is healed (simulated clusters only)"
    outcome = "failed"

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, True).evidence("{} disks fail to sync")

    def _disk(self) -> Disk:
        return Disk(sync_fails=True)
