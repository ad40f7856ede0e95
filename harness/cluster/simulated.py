"""A simulated cluster as faults see it: everything is done, and measured, at one instant of virtual time.

Nothing here is remembered instead of measured: a ping is carried by the same function that carries the messages, with
what holds for its link just now, and a clock or a disk is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faults.cluster import (
    CLIENT,
    ClockReading,
    ClusterError,
    Disk,
    DiskProbe,
    Link,
    Ping,
    ReplicaState,
    Sounding,
    Weather,
    Wiped,
)
from harness.simulation.copies import copy
from harness.simulation.network import VirtualNetwork
from harness.simulation.world import World


class SimulatedCluster:
    """Is a `faults.cluster.Cluster`."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def replicas(self) -> tuple[str, ...]:
        return self._world.replicas

    @property
    def chief(self) -> str | None:
        return self._world.protocol.chief

    @property
    def network(self) -> VirtualNetwork:
        return self._world.network

    def state(self, replica: str) -> ReplicaState:
        return self._world.hosts[replica].state

    def status(self, replica: str) -> dict[str, Any] | None:
        host = self._world.hosts[replica]
        if host.protocol is None or host.paused:
            return None
        status: dict[str, Any] = copy(host.protocol.status())
        return status

    def ping(self, link: Link, timeout_seconds: float) -> Ping:
        if link.source != CLIENT and (state := self.state(link.source)) != "up":
            return Ping(link, "unprobed", 0.0, f"{link.source} is {state}")
        return self.network.ping(link, timeout_seconds, self.state(link.target))

    def kill(self, replica: str) -> None:
        self._world.hosts[replica].kill()

    def restart(self, replica: str) -> None:
        host = self._world.hosts[replica]
        if host.state != "down":
            return
        host.start()
        if host.epitaph is not None:
            raise ClusterError(f"{replica} did not start: {host.epitaph}")

    def pause(self, replica: str) -> None:
        self._world.hosts[replica].pause()

    def resume(self, replica: str) -> None:
        self._world.hosts[replica].resume()

    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None:
        host = self._world.hosts[replica]
        if host.state != "up":
            raise ClusterError(f"{replica} is {host.state}, so its clock can't be set")
        host.set_clock(offset_seconds, rate)

    def clock(self, replica: str) -> ClockReading | None:
        host = self._world.hosts[replica]
        if host.state != "up":
            return None
        return ClockReading(host.unskewed_seconds, host.clock.now())

    def wipe(self, replica: str) -> Wiped:
        host = self._world.hosts[replica]
        before = host.disk.size_bytes
        host.wipe()
        return Wiped(before, host.disk.size_bytes)

    @property
    def usual_weather(self) -> Weather:
        return self.network.usual_weather

    def set_weather(self, changes: Mapping[Link, Weather]) -> None:
        self.network.set_weather(changes)

    def sound(self, link: Link, messages: int) -> Sounding:
        return self.network.sound(link, messages)

    def set_disk(self, replica: str, disk: Disk) -> None:
        self._world.hosts[replica].disk.state = disk

    def probe_disk(self, replica: str) -> DiskProbe:
        disk = self._world.hosts[replica].disk
        sync_ms = self._world.spec.simulation.sync_ms + disk.state.slow_ms
        return DiskProbe(disk.outcome, sync_ms / 1000)

    def deaths(self) -> list[str]:
        """Sentences about replicas that died on their own since the last call."""
        sentences = []
        for replica, host in self._world.hosts.items():
            if host.epitaph is not None and host.state == "down" and host.incarnation not in host.mourned:
                host.mourned.add(host.incarnation)
                sentences.append(f"{replica} died on its own: {host.epitaph}")
        return sentences
