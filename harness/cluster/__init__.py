"""THE CONTRACT of a cluster, as the harness uses it. The kinds: `local` and `docker`.

A cluster is what `faults.cluster.Cluster` offers to faults, plus its life::

    cluster = create("local", replicas=5)
    with cluster:                                    # up: processes or containers, proxies; all answering
        cluster.provision(protocol, options, machine, run, seed)   # wiped, configured, healthy
        ... clients use cluster.address("n2"), faults do their worst ...
        cluster.save_logs(folder)
                                                     # down: everything that was started is stopped

Leaving the `with` block undoes what entering did, whatever happened in between: kills, pauses and proxies included. A
docker cluster that was up before stays up, healed and healthy. What a SIGKILL of the harness leaves behind is written
down in `harness.cluster.leftovers` when it is started, and is cleaned by the next `rashomon` command.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from faults.cluster import (
    ClockReading,
    ClusterError,
    Disk,
    DiskProbe,
    Link,
    Network,
    Ping,
    ReplicaState,
    Sounding,
    Weather,
    Wiped,
)


class Cluster(ABC):
    """See the module. All methods but the life cycle's may be called from several threads."""

    kind: ClassVar[str]
    replicas: tuple[str, ...]
    chief: str | None
    """The role in charge in the protocol that was provisioned, or None."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Bring everything up; raises `faults.cluster.ClusterError` and leaves nothing behind if that fails."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take down what `__enter__` brought up. Never raises for something that is gone already."""

    @abstractmethod
    def provision(
        self,
        protocol: str,
        options: Mapping[str, Any],
        machine: str,
        run: str,
        seed: int,
        timeout_seconds: float = 20.0,
        flaws: Sequence[str] = (),
    ) -> None:
        """Clear every link, restart what is down, wipe every replica's data, and start protocol and machine on all.

        `run` names the run: replicas refuse operations and messages of any other, so that nothing left over in a proxy
        from an earlier run can touch this one. `flaws` names mistakes of `node.flaws` that every replica shall make.
        Returns when every replica answers and, for a protocol with a chief, one replica says that it is in charge;
        raises `ClusterError` if that takes too long.
        """

    @abstractmethod
    def address(self, replica: str) -> str:
        """Where clients reach the replica, through the proxy of `client->replica`: `http://127.0.0.1:21001`."""

    @abstractmethod
    def deaths(self) -> list[str]:
        """Sentences about replicas that died on their own (not by `kill`) since the last call."""

    @abstractmethod
    def save_logs(self, folder: Path) -> None:
        """Write `<replica>.log` of every replica into the folder."""

    @property
    @abstractmethod
    def network(self) -> Network: ...

    @abstractmethod
    def state(self, replica: str) -> ReplicaState: ...

    @abstractmethod
    def status(self, replica: str) -> dict[str, Any] | None: ...

    @abstractmethod
    def ping(self, link: Link, timeout_seconds: float) -> Ping: ...

    @abstractmethod
    def kill(self, replica: str) -> None: ...

    @abstractmethod
    def restart(self, replica: str) -> None: ...

    @abstractmethod
    def pause(self, replica: str) -> None: ...

    @abstractmethod
    def resume(self, replica: str) -> None: ...

    @abstractmethod
    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None: ...

    @abstractmethod
    def clock(self, replica: str) -> ClockReading | None: ...

    @abstractmethod
    def wipe(self, replica: str) -> Wiped: ...

    # What a cluster of real replicas can't do

    @property
    def usual_weather(self) -> Weather:
        raise self._cannot("change the weather of its links")

    def set_weather(self, changes: Mapping[Link, Weather]) -> None:
        raise self._cannot("change the weather of its links")

    def sound(self, link: Link, messages: int) -> Sounding:
        raise self._cannot("change the weather of its links")

    def set_disk(self, replica: str, disk: Disk) -> None:
        raise self._cannot("spoil its replicas' disks")

    def probe_disk(self, replica: str) -> DiskProbe:
        raise self._cannot("spoil its replicas' disks")

    def _cannot(self, deed: str) -> ClusterError:
        return ClusterError(f"a {self.kind} cluster cannot {deed}: use a simulated one")


def create(kind: str, replicas: int) -> Cluster:
    """A cluster of that kind, not yet up. Imports what the kind needs, so that `local` works without the docker SDK."""
    if kind == "docker":
        from harness.cluster.docker import DockerCluster

        return DockerCluster(replicas)
    from harness.cluster.local import LocalCluster

    return LocalCluster(replicas)
