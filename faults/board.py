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

Here are the boards of links (their conditions and their weather) and of disks; `faults.holds` has that of replicas, and
`faults.clock_board` that of their clocks.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from faults.cluster import (
    CALM,
    CLEAR,
    SOUND,
    Cluster,
    ClusterError,
    Condition,
    Disk,
    Link,
    Mode,
    Network,
    NetworkError,
    Weather,
)

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


def worst_weather(weathers: Iterable[Weather]) -> Weather:
    """What a link suffers that several claims lie on: the largest of each share; CALM without any."""
    result = CALM
    for weather in weathers:
        result = Weather(
            lost=max(weather.lost, result.lost),
            duplicated=max(weather.duplicated, result.duplicated),
            late=max(weather.late, result.late),
            late_ms=max(weather.late_ms, result.late_ms),
        )
    return result


def worst_disk(disks: Iterable[Disk]) -> Disk:
    """A disk with the faults of all these; SOUND without any."""
    result = SOUND
    for disk in disks:
        result = Disk(
            slow_ms=max(disk.slow_ms, result.slow_ms),
            full=disk.full or result.full,
            sync_fails=disk.sync_fails or result.sync_fails,
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


Thing = TypeVar("Thing", Link, str)
State = TypeVar("State")


class StateBoard(ABC, Generic[Thing, State]):
    """Who claims which state of which thing. Safe to use from several threads; changes take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[int, dict[Thing, State]] = {}
        self._in_force: dict[Thing, State | None] = {}
        """What was applied last; None where applying failed, so that nobody knows. What isn't here is at rest."""
        self._versions: dict[Thing, int] = {}
        self._closed = False

    @abstractmethod
    def _combined(self, states: Iterable[State]) -> State:
        """What several claims make together; the state of rest without any."""

    @abstractmethod
    def _apply(self, changes: Mapping[Thing, State]) -> None:
        """Bring the things into these states. Idempotent; raises if that fails."""

    @abstractmethod
    def _over(self) -> Exception:
        """What is raised to whoever claims something after the end."""

    def claim(self, number: int, changes: Mapping[Thing, State]) -> None:
        """Claim states for an injection; in force, as far as nothing stronger is, when this returns.

        Raises the error of the cluster if it doesn't do it; the claim stands all the same, until it is released. Raises
        it too after `close`, and then nothing is claimed.
        """
        with self._lock:
            if self._closed:
                raise self._over()
            self._claims.setdefault(number, {}).update(changes)
            self._touch(changes)
            self._settle()

    def release(self, number: int) -> None:
        """Take back everything that an injection claimed. Raises; then call it again to try again."""
        with self._lock:
            self._touch(self._claims.pop(number, {}))
            self._settle()

    def effective(self, thing: Thing, without: int | None = None) -> State:
        """What all claims together make of the thing; or all but those of the injection `without`."""
        with self._lock:
            return self._wanted(thing, without)

    def stamp(self, thing: Thing) -> Stamp:
        """Who claims the thing. Waits for a change that is on its way."""
        with self._lock:
            claimants = frozenset(number for number, changes in self._claims.items() if thing in changes)
            return Stamp(self._versions.get(thing, 0), claimants)

    def close(self, things: Iterable[Thing] = ()) -> None:
        """The end: forget every claim, take no new one, and put everything to rest that was ever claimed, and all these
        things, whatever was known of them.

        Raises the error of the cluster; idempotent, so call it again to try again.
        """
        with self._lock:
            self._closed = True
            self._claims.clear()
            self._in_force.update(dict.fromkeys(things))
            self._touch(self._in_force)
            self._settle()

    def _wanted(self, thing: Thing, without: int | None = None) -> State:
        return self._combined(
            changes[thing] for number, changes in self._claims.items() if thing in changes and number != without
        )

    def _touch(self, things: Iterable[Thing]) -> None:
        for thing in things:
            self._versions[thing] = self._versions.get(thing, 0) + 1
            self._in_force.setdefault(thing, self._combined(()))

    def _settle(self) -> None:
        """Apply what differs from what is in force, also what an earlier call failed to apply."""
        wanted = {thing: self._wanted(thing) for thing in self._in_force}
        changes = {thing: state for thing, state in wanted.items() if self._in_force[thing] != state}
        if not changes:
            return
        self._in_force.update(dict.fromkeys(changes, None))
        self._apply(changes)
        self._in_force.update(changes)


class LinkBoard(StateBoard[Link, Condition]):
    """Who claims which condition of which link. Raises `NetworkError`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def _combined(self, states: Iterable[Condition]) -> Condition:
        return strongest(states)

    def _apply(self, changes: Mapping[Link, Condition]) -> None:
        self._network.apply(changes)

    def _over(self) -> NetworkError:
        return NetworkError("the faults of this run are over: no link is changed any more")


class WeatherBoard(StateBoard[Link, Weather]):
    """Who claims which weather of which link. Raises `ClusterError`."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    def _combined(self, states: Iterable[Weather]) -> Weather:
        return worst_weather(states)

    def _apply(self, changes: Mapping[Link, Weather]) -> None:
        self._cluster.set_weather(changes)

    def _over(self) -> ClusterError:
        return ClusterError("the faults of this run are over: the weather stays as it is")

    def rivals(self, link: Link, number: int, kind: str) -> frozenset[int]:
        """The other injections that claim this kind of weather (a field of `Weather`) of the link."""
        with self._lock:
            return frozenset(
                other
                for other, changes in self._claims.items()
                if other != number and link in changes and getattr(changes[link], kind)
            )


class DiskBoard(StateBoard[str, Disk]):
    """Who claims which state of which replica's disk. Raises `ClusterError`."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    def _combined(self, states: Iterable[Disk]) -> Disk:
        return worst_disk(states)

    def _apply(self, changes: Mapping[str, Disk]) -> None:
        for replica, disk in changes.items():
            self._cluster.set_disk(replica, disk)

    def _over(self) -> ClusterError:
        return ClusterError("the faults of this run are over: no disk is spoiled any more")
