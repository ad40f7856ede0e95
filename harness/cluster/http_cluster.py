"""What the clusters of real replicas have in common: everything that goes over their control ports.

A kind adds how replicas are started, killed and paused, and where they listen.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from faults.cluster import CLIENT, ClockReading, ClusterError, Link, NetworkError, Ping, Wiped, all_links
from faults.toxiproxy import ToxiproxyNetwork
from harness.cluster import Cluster
from harness.cluster.replica_api import ReplicaApi, ping_from_here
from node.protocols import PROTOCOLS
from node.registry import UnknownName

READY_SECONDS = 20.0
"""How long a replica that was started may take to answer."""
_POLL_SECONDS = 0.02
_WORKERS = 16


class HttpCluster(Cluster):
    """See the module. Kinds call `_assign` with addresses when their replicas have some."""

    def __init__(self, replicas: int) -> None:
        self.replicas = tuple(f"n{number}" for number in range(1, replicas + 1))
        self.chief: str | None = None
        self.links = all_links(self.replicas)
        self._apis: dict[str, ReplicaApi] = {}
        self._network: ToxiproxyNetwork | None = None
        self._run: str | None = None
        self._provision: dict[str, Any] = {}
        """What every replica was provisioned with, but for its peers."""
        self._down_on_purpose: set[str] = set()
        self._reported_dead: set[str] = set()
        self._skewed: set[str] = set()
        self._locks = {replica: threading.RLock() for replica in self.replicas}
        """Killing, restarting, pausing and resuming one replica: one at a time."""

    # What a kind adds

    @abstractmethod
    def peer_url(self, link: Link) -> str:
        """Where the source replica of the link reaches its proxy."""

    @abstractmethod
    def client_port(self, replica: str) -> int:
        """The port on 127.0.0.1 of the proxy of `client->replica`."""

    @abstractmethod
    def leave_running(self) -> None:
        """Within the `with` block: let the cluster go on when the block and this process end."""

    @abstractmethod
    def _start_replica(self, replica: str) -> None:
        """Start a replica that is down, without waiting for its answer."""

    @abstractmethod
    def _kill_replica(self, replica: str) -> None:
        """SIGKILL; returns when the replica is gone."""

    @abstractmethod
    def _obituary(self, replica: str) -> str:
        """How a replica that is down ended: `exit code 5; its last words: ...`."""

    # The contract

    @property
    def network(self) -> ToxiproxyNetwork:
        if self._network is None:
            raise ClusterError("the cluster is not up, so it has no network")
        return self._network

    def address(self, replica: str) -> str:
        return f"http://127.0.0.1:{self.client_port(replica)}"

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
        deadline = time.monotonic() + timeout_seconds
        self.chief = _chief_of(protocol)
        self._run = None  # whatever a replica comes back with is wiped in a moment
        self._make_whole()
        self._run = run
        self._provision = {
            "run": run,
            "protocol": protocol,
            "options": dict(options),
            "flaws": list(flaws),
            "machine": machine,
            "seed": seed,
            "replicas": list(self.replicas),
        }
        in_parallel(lambda replica: self._configure(replica, deadline - time.monotonic()), self.replicas)
        self._wait_until_healthy(deadline, timeout_seconds)

    def status(self, replica: str) -> dict[str, Any] | None:
        return self._apis[replica].status()

    def ping(self, link: Link, timeout_seconds: float) -> Ping:
        if link.source == CLIENT:
            return ping_from_here(link, "127.0.0.1", self.client_port(link.target), timeout_seconds)
        state = self.state(link.source)
        if state != "up":
            return Ping(link, "unprobed", 0.0, f"{link.source} is {state}")
        return self._apis[link.source].ping_peer(link.target, timeout_seconds)

    def kill(self, replica: str) -> None:
        with self._locks[replica]:
            self._down_on_purpose.add(replica)
            self._kill_replica(replica)

    def restart(self, replica: str) -> None:
        with self._locks[replica]:
            if self.state(replica) != "down":
                return
            self._start_replica(replica)
            self._down_on_purpose.discard(replica)
            self._reported_dead.discard(replica)
            self._apis[replica].wait_until_ready(
                READY_SECONDS, partial(self._is_back, replica), partial(self._death_of, replica)
            )

    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None:
        self._skewed.add(replica)
        self._apis[replica].set_clock(offset_seconds, rate)
        if (offset_seconds, rate) == (0, 1):
            self._skewed.discard(replica)

    def clock(self, replica: str) -> ClockReading | None:
        asked = time.monotonic()
        status = self.status(replica) or {}
        answered = time.monotonic()
        shown = status.get("host", {}).get("clock_seconds")
        return None if shown is None else ClockReading((asked + answered) / 2, float(shown), answered - asked)

    def wipe(self, replica: str) -> Wiped:
        """The replica itself erases what it has, as it does for a new run, and is killed at once.

        One that is down has to be brought up for that: for some milliseconds it is there with what it knows.
        """
        with self._locks[replica]:
            if self.state(replica) != "up":
                self.kill(replica)
                self.restart(replica)
            before = self._journal_bytes(replica)
            self._configure(replica, READY_SECONDS)
            after = self._journal_bytes(replica)
            self.kill(replica)
        if after is None:
            raise ClusterError(f"{replica} did not tell what its journal holds after it was wiped: see its log")
        return Wiped(before, after)

    def deaths(self) -> list[str]:
        sentences = []
        for replica in self.replicas:
            if replica in self._reported_dead or replica in self._down_on_purpose:
                continue
            sentence = self._death_of(replica)
            # Asked again: a kill may have come in between.
            if sentence and replica not in self._down_on_purpose:
                self._reported_dead.add(replica)
                sentences.append(sentence)
        return sentences

    def _configure(self, replica: str, timeout_seconds: float) -> None:
        """Erase all that the replica has, and start on it what was provisioned."""
        peers = {peer: self.peer_url(Link(replica, peer)) for peer in self.replicas if peer != replica}
        self._apis[replica].provision({**self._provision, "peers": peers}, max(1.0, timeout_seconds))

    def _journal_bytes(self, replica: str) -> int | None:
        size = (self.status(replica) or {}).get("host", {}).get("journal_bytes")
        return size if isinstance(size, int) else None

    # For kinds

    def _make_whole(self) -> None:
        """Undo whatever faults left: paused, dead and skewed replicas, and links that are not clear."""
        in_parallel(self._revive, self.replicas)
        try:
            self.network.clear()
        except NetworkError as error:
            raise ClusterError(f"the links could not be cleared: {error}") from error

    def _revive(self, replica: str) -> None:
        self.resume(replica)
        self.restart(replica)
        if replica in self._skewed:
            self.set_clock(replica, 0, 1)

    def _wait_until_answering(self, replicas: Iterable[str]) -> None:
        for replica in replicas:
            self._apis[replica].wait_until_ready(READY_SECONDS, gone=partial(self._death_of, replica))

    def _is_back(self, replica: str) -> bool:
        """After a restart a replica comes back by itself with the protocol that it was provisioned with."""
        status = self._apis[replica].status()
        return status is not None and (self._run is None or status.get("run") == self._run)

    def _death_of(self, replica: str) -> str | None:
        if self.state(replica) != "down":
            return None
        return f"{replica} died on its own: {self._obituary(replica)}"

    def _wait_until_healthy(self, deadline: float, timeout_seconds: float) -> None:
        """Every replica runs this run's protocol and, where there is such a role, one says that it is in charge."""
        while True:
            statuses = {replica: self.status(replica) for replica in self.replicas}
            missing = [name for name, status in statuses.items() if not status or status.get("run") != self._run]
            roles = [status.get("role") for status in statuses.values() if status]
            if not missing and (self.chief is None or self.chief in roles):
                return
            deaths = self.deaths()
            if deaths:
                raise ClusterError("; ".join(deaths))
            if time.monotonic() > deadline:
                lacking = f"{', '.join(missing)} did not answer" if missing else f"no replica became {self.chief}"
                raise ClusterError(f"the cluster was not healthy within {timeout_seconds:.0f} s: {lacking}")
            time.sleep(_POLL_SECONDS)


def in_parallel(function: Callable[[str], None], replicas: Iterable[str]) -> None:
    """Call it for every replica at once, wait for all, and raise the first error there was."""
    names = list(replicas)
    if not names:
        return
    with ThreadPoolExecutor(max_workers=min(len(names), _WORKERS)) as pool:
        calls = [pool.submit(function, name) for name in names]
    for call in calls:
        call.result()


def _chief_of(protocol: str) -> str | None:
    try:
        chief: str | None = PROTOCOLS[protocol].chief
    except UnknownName as error:
        raise ClusterError(str(error)) from error
    return chief
