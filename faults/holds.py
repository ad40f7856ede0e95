"""The board of replicas: who keeps which one down or paused. The rules of boards are in `faults.board`."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Mapping

from faults.board import Stamp
from faults.cluster import Cluster, ClusterError
from faults.parallel import in_parallel


class Hold(enum.Enum):
    """How an injection keeps a replica from working. Listed from the weaker to the stronger.

    `AILING`: it may die at any moment, since its disk is spoiled, and is not to be brought up as long as that lasts.
    """

    AILING = "ailing"
    PAUSED = "paused"
    DOWN = "down"


class ProcessBoard:
    """Who keeps which replica down or paused. Safe to use from several threads; actions on one replica take turns.

    A replica is down as long as anybody holds it down, else paused as long as anybody holds it paused, else up. So a
    replica that is killed while it is paused goes down; when the kill is healed first, it is restarted and paused again;
    when the pause is healed first, it stays down. One that is ailing is not restarted until nobody holds it so.

    `revived` is called with the name of a replica that was restarted or goes on after a pause.
    """

    def __init__(self, cluster: Cluster, revived: Callable[[str], None] = lambda replica: None) -> None:
        self._cluster = cluster
        self._revived = revived
        self._lock = threading.Lock()
        """Guards what follows; never held while the cluster is at work, which may take seconds."""
        self._claims: dict[int, dict[str, Hold]] = {}
        self._versions = dict.fromkeys(cluster.replicas, 0)
        self._under_way = dict.fromkeys(cluster.replicas, 0)
        self._closed = False
        self._turns = {replica: threading.Lock() for replica in cluster.replicas}

    def claim(self, number: int, holds: Mapping[str, Hold]) -> None:
        """Hold replicas down or paused for an injection; done when this returns.

        Raises `ClusterError` if the cluster doesn't do it; the claim stands all the same, until it is released. Raises
        it too after `close`, and then nothing is claimed.
        """
        with self._lock:
            if self._closed:
                raise ClusterError("the faults of this run are over: no replica is killed or paused any more")
            self._claims.setdefault(number, {}).update(holds)
            self._begin(holds)
        self._settle(list(holds))

    def release(self, number: int) -> None:
        """Let go of every replica that an injection holds; those that nobody else holds are up when this returns.

        Raises `ClusterError` if one can't be brought up, after trying them all.
        """
        with self._lock:
            replicas = list(self._claims.pop(number, {}))
            self._begin(replicas)
        self._settle(replicas)

    def holders(self, replica: str, hold: Hold) -> frozenset[int]:
        """The numbers of the injections that hold the replica in this way."""
        with self._lock:
            return frozenset(number for number, holds in self._claims.items() if holds.get(replica) is hold)

    def stamp(self, replica: str) -> Stamp:
        """Who holds the replica, and whether it is being killed, restarted, paused or resumed just now."""
        with self._lock:
            claimants = frozenset(number for number, holds in self._claims.items() if replica in holds)
            return Stamp(self._versions[replica], claimants, self._under_way[replica] > 0)

    def close(self) -> None:
        """The end: forget every claim, take no new one, and bring every replica up, also one that died on its own.

        Raises `ClusterError` if one can't be brought up, after trying them all; idempotent.
        """
        with self._lock:
            self._closed = True
            self._claims.clear()
            replicas = list(self._turns)
            self._begin(replicas)
        self._settle(replicas)

    def _begin(self, replicas: Iterable[str]) -> None:
        for replica in replicas:
            self._versions[replica] += 1
            self._under_way[replica] += 1

    def _settle(self, replicas: list[str]) -> None:
        in_parallel(self._settle_one, replicas)

    def _settle_one(self, replica: str) -> None:
        try:
            with self._turns[replica]:
                self._bring_into(replica, self._holds_on(replica))
        finally:
            with self._lock:
                self._under_way[replica] -= 1
                self._versions[replica] += 1

    def _holds_on(self, replica: str) -> list[Hold]:
        with self._lock:
            return [holds[replica] for holds in self._claims.values() if replica in holds]

    def _bring_into(self, replica: str, holds: list[Hold]) -> None:
        """From whatever state the replica is measured to be in, since it may also have died on its own."""
        state = self._cluster.state(replica)
        if Hold.DOWN in holds:
            self._cluster.kill(replica)
            return
        if state == "down":
            if Hold.AILING in holds:
                return
            self._cluster.restart(replica)
            self._revived(replica)
        if Hold.PAUSED in holds:
            if state != "paused":
                self._cluster.pause(replica)
        elif state == "paused":
            self._cluster.resume(replica)
            self._revived(replica)
