"""The boards: who claims what, and what is in force because of it.

Several faults may be active at once and hit the same link or the same replica. So a fault changes neither itself; it
claims, under the number of its injection, what it wants, and a board puts the strongest of all claims into force::

    board.claim(1, {Link("n1", "n2"): Condition(Mode.DROP)})
    board.claim(2, {Link("n1", "n2"): Condition(Mode.LATENCY, latency_ms=50)})   # nothing changes: drop is stronger
    board.release(1)                                                             # now the link is slow
    board.release(2)                                                             # now it is clear

A claim is remembered before anything is done, so that releasing it mends whatever a claim that failed half way has
broken. Releasing what isn't claimed changes nothing.

A board also tells which claims lie on a link or a replica and whether they changed meanwhile (`stamp`): a measurement
that somebody else's fault spoiled proves nothing and has to be left out.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from faults.cluster import CLEAR, Cluster, ClusterError, Condition, Link, Mode, Network, NetworkError
from faults.parallel import in_parallel

_STRENGTH = {mode: strength for strength, mode in enumerate(Mode)}


def strongest(conditions: Iterable[Condition]) -> Condition:
    """What a link does that several claims lie on; CLEAR without any.

    The strongest mode wins. Claims of the same mode add up to the harshest of each: the longest latency and jitter, the
    lowest rate, and both streams as soon as they differ in the stream.
    """
    result = CLEAR
    for condition in conditions:
        if _STRENGTH[condition.mode] > _STRENGTH[result.mode]:
            result = condition
        elif condition.mode is result.mode:
            result = replace(
                condition,
                streams=condition.streams if condition.streams == result.streams else "both",
                latency_ms=max(condition.latency_ms, result.latency_ms),
                jitter_ms=max(condition.jitter_ms, result.jitter_ms),
                rate_bytes_per_second=min(condition.rate_bytes_per_second, result.rate_bytes_per_second),
            )
    return result


@dataclass(frozen=True)
class Stamp:
    """Who claims a link or a replica now. Two equal stamps, and no `busy` in them: nothing changed in between."""

    version: int
    claimants: frozenset[int]
    """The numbers of the injections that claim it."""
    busy: bool = False
    """Whether a change is on its way just now."""


class LinkBoard:
    """Who claims which condition of which link. Safe to use from several threads; changes take turns."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._claims: dict[int, dict[Link, Condition]] = {}
        self._in_force: dict[Link, Condition | None] = {}
        """What was applied last; None where applying failed, so that nobody knows. A link that isn't here is clear."""
        self._versions: dict[Link, int] = {}
        self._closed = False

    def claim(self, number: int, changes: Mapping[Link, Condition]) -> None:
        """Claim conditions for an injection; in force, as far as nothing stronger is, when this returns.

        Raises `NetworkError` if the network doesn't do it; the claim stands all the same, until it is released. Raises
        it too after `close`, and then nothing is claimed.
        """
        with self._lock:
            if self._closed:
                raise NetworkError("the faults of this run are over: no link is changed any more")
            self._claims.setdefault(number, {}).update(changes)
            self._touch(changes)
            self._settle()

    def release(self, number: int) -> None:
        """Take back everything that an injection claimed. Raises `NetworkError`; then call it again to try again."""
        with self._lock:
            self._touch(self._claims.pop(number, {}))
            self._settle()

    def effective(self, link: Link, without: int | None = None) -> Condition:
        """The condition that all claims together give the link; or all but those of the injection `without`."""
        with self._lock:
            return self._wanted(link, without)

    def stamp(self, link: Link) -> Stamp:
        """Who claims the link. Waits for a change that is on its way."""
        with self._lock:
            claimants = frozenset(number for number, changes in self._claims.items() if link in changes)
            return Stamp(self._versions.get(link, 0), claimants)

    def close(self, links: Iterable[Link]) -> None:
        """The end: forget every claim, take no new one, and clear all these links, whatever was known of them.

        Raises `NetworkError`; idempotent, so call it again to try again.
        """
        with self._lock:
            self._closed = True
            self._claims.clear()
            self._in_force.update(dict.fromkeys(links))
            self._touch(self._in_force)
            self._settle()

    def _wanted(self, link: Link, without: int | None = None) -> Condition:
        return strongest(
            changes[link] for number, changes in self._claims.items() if link in changes and number != without
        )

    def _touch(self, links: Iterable[Link]) -> None:
        for link in links:
            self._versions[link] = self._versions.get(link, 0) + 1
            self._in_force.setdefault(link, CLEAR)

    def _settle(self) -> None:
        """Apply what differs from what is in force, also what an earlier call failed to apply."""
        wanted = {link: self._wanted(link) for link in self._in_force}
        changes = {link: condition for link, condition in wanted.items() if self._in_force[link] != condition}
        if not changes:
            return
        self._in_force.update(dict.fromkeys(changes, None))
        self._network.apply(changes)
        self._in_force.update(changes)


class Hold(enum.Enum):
    """How an injection keeps a replica from working. Listed from the weaker to the stronger."""

    PAUSED = "paused"
    DOWN = "down"


class ProcessBoard:
    """Who keeps which replica down or paused. Safe to use from several threads; actions on one replica take turns.

    A replica is down as long as anybody holds it down, else paused as long as anybody holds it paused, else up. So a
    replica that is killed while it is paused goes down; when the kill is healed first, it is restarted and paused again;
    when the pause is healed first, it stays down.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
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
                self._bring_into(replica, self._strongest_hold(replica))
        finally:
            with self._lock:
                self._under_way[replica] -= 1
                self._versions[replica] += 1

    def _strongest_hold(self, replica: str) -> Hold | None:
        if self.holders(replica, Hold.DOWN):
            return Hold.DOWN
        return Hold.PAUSED if self.holders(replica, Hold.PAUSED) else None

    def _bring_into(self, replica: str, hold: Hold | None) -> None:
        """From whatever state the replica is measured to be in, since it may also have died on its own."""
        state = self._cluster.state(replica)
        if hold is Hold.DOWN:
            self._cluster.kill(replica)
            return
        if state == "down":
            self._cluster.restart(replica)
        if hold is Hold.PAUSED and state != "paused":
            self._cluster.pause(replica)
        if hold is None and state == "paused":
            self._cluster.resume(replica)
