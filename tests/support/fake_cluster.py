"""A cluster for faults that lives in memory: its network does what the conditions say, its replicas are what they are.

It takes no time: a ping that times out says so at once. Switches make faults NOT bite, or fail, or take their time::

    cluster = FakeCluster(5, chief="leader", leader="n2")
    cluster.network.deaf.add(Mode.DROP)        # such conditions are accepted, and change nothing
    cluster.network.broken = True              # applying raises NetworkError, when half of it is done
    cluster.immortal.add("n3")                 # killing, pausing, skewing, wiping it and spoiling its disk changes nothing
    cluster.weatherproof.add(Link("n1", "n2")) # whatever its weather is said to be, it is calm
    cluster.true_time = lambda: 5.0            # what its clocks go by
    cluster.hooks["kill"] = event.wait         # called (with the replica) before the deed is done; so are restart, pause,
                                               # resume, clock, wipe and disk, and ping with the link
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from faults.cluster import (
    CALM,
    CLEAR,
    CLIENT,
    SOUND,
    ClockReading,
    ClusterError,
    Condition,
    Disk,
    DiskProbe,
    Link,
    Mode,
    NetworkError,
    Ping,
    ReplicaState,
    Sounding,
    Weather,
    Wiped,
    all_links,
)
from faults.fault import Ground
from node.clock import SkewableClock

PING_BYTES = 190
"""A request and its answer."""


class FakeNetwork:
    def __init__(self, links: tuple[Link, ...]) -> None:
        self.asked: dict[Link, Condition] = dict.fromkeys(links, CLEAR)
        self.real: dict[Link, Condition] = dict.fromkeys(links, CLEAR)
        self.applied: list[dict[Link, Condition]] = []
        """The changes of every call, in order, failed ones included."""
        self.deaf: set[Mode] = set()
        self.broken = False

    def apply(self, changes: Mapping[Link, Condition]) -> None:
        unknown = set(changes) - set(self.asked)
        assert not unknown, f"no such link: {unknown}"
        self.applied.append(dict(changes))
        if self.broken:
            self.real.update(list(changes.items())[: len(changes) // 2])
            raise NetworkError("the proxies don't answer: this is a test")
        self.asked.update(changes)
        self.real.update({link: condition for link, condition in changes.items() if condition.mode not in self.deaf})

    def conditions(self) -> dict[Link, Condition]:
        return dict(self.asked)

    def traffic(self) -> dict[Link, dict[str, int]]:
        return {}

    @property
    def tainted(self) -> str | None:
        return None

    def not_clear(self) -> dict[Link, Condition]:
        return {link: condition for link, condition in self.real.items() if condition != CLEAR}


class FakeCluster:
    def __init__(self, replicas: int = 5, chief: str | None = "leader", leader: str | None = "n1") -> None:
        self.replicas = tuple(f"n{number}" for number in range(1, replicas + 1))
        self.chief = chief
        self.network = FakeNetwork(all_links(self.replicas))
        self.states: dict[str, ReplicaState] = dict.fromkeys(self.replicas, "up")
        self.roles = {name: str(chief) if name == leader else "follower" for name in self.replicas}
        self.terms: dict[str, Any] = dict.fromkeys(self.replicas, 1)
        self.immortal: set[str] = set()
        self.silent: set[str] = set()
        """Replicas that are up and answer nothing."""
        self.hooks: dict[str, Callable[[str], object]] = {}
        self.deeds: list[str] = []
        """`kill n1`, `restart n1`, `pause n2`, `resume n2`: what was really done, in order."""
        self.pings: list[Link] = []
        self.hop_seconds = 0.001
        """What a ping takes on a link that is clear."""
        self.true_time: Callable[[], float] = time.monotonic
        self.clocks = {replica: SkewableClock(lambda: self.true_time()) for replica in self.replicas}
        self.usual = CALM
        self.weather: dict[Link, Weather] = dict.fromkeys(all_links(self.replicas), CALM)
        self.weatherproof: set[Link] = set()
        """Links that stay calm whatever is asked."""
        self.dice = random.Random(1)
        self.disks: dict[str, Disk] = dict.fromkeys(self.replicas, SOUND)
        self.stored_bytes = dict.fromkeys(self.replicas, 1000)
        self._lock = threading.Lock()

    def state(self, replica: str) -> ReplicaState:
        return self.states[replica]

    def status(self, replica: str) -> dict[str, Any] | None:
        if self.states[replica] != "up" or replica in self.silent:
            return None
        return {"role": self.roles[replica], "term": self.terms[replica]}

    def ping(self, link: Link, timeout_seconds: float) -> Ping:
        with self._lock:
            self.pings.append(link)
        self._call_hook("ping", str(link))
        if link.source != CLIENT and self.states[link.source] != "up":
            return Ping(link, "unprobed", 0.0, f"{link.source} is {self.states[link.source]}")
        condition = self.network.real[link]
        if condition.mode is Mode.REFUSE:
            return Ping(link, "refused", self.hop_seconds)
        if condition.mode is Mode.RESET:
            return Ping(link, "closed", self.hop_seconds)
        if condition.mode is Mode.DROP or self.states[link.target] == "paused":
            return Ping(link, "timeout", timeout_seconds)
        if self.states[link.target] == "down":
            return Ping(link, "closed", self.hop_seconds)
        seconds = self.hop_seconds + condition.latency_ms / 1000 * (2 if condition.streams == "both" else 1)
        if condition.mode is Mode.SLOW:
            seconds += PING_BYTES / condition.rate_bytes_per_second
        return Ping(link, "ok", seconds) if seconds < timeout_seconds else Ping(link, "timeout", timeout_seconds)

    def kill(self, replica: str) -> None:
        self._do("kill", replica, "down", from_states=("up", "paused"))

    def restart(self, replica: str) -> None:
        if replica in self.silent:
            raise ClusterError(f"{replica} did not answer within 20 s after its restart")
        self._do("restart", replica, "up", from_states=("down",))
        if self.deeds[-1] == f"restart {replica}":
            self.clocks[replica].set(0, 1)

    def pause(self, replica: str) -> None:
        self._do("pause", replica, "paused", from_states=("up",))

    def resume(self, replica: str) -> None:
        self._do("resume", replica, "up", from_states=("paused",))

    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None:
        self._call_hook("clock", replica)
        if self.states[replica] != "up":
            raise ClusterError(f"{replica} did not answer /control/clock: it is {self.states[replica]}")
        if replica not in self.immortal:
            self.clocks[replica].set(offset_seconds, rate)
        self.deeds.append(f"clock {replica} {offset_seconds:g} {rate:g}")

    def clock(self, replica: str) -> ClockReading | None:
        if self.states[replica] != "up" or replica in self.silent:
            return None
        return ClockReading(self.true_time(), self.clocks[replica].now())

    def wipe(self, replica: str) -> Wiped:
        self._call_hook("wipe", replica)
        self.kill(replica)
        before = self.stored_bytes[replica]
        if replica not in self.immortal:
            self.stored_bytes[replica] = 0
            self.deeds.append(f"wipe {replica}")
        return Wiped(before, self.stored_bytes[replica])

    @property
    def usual_weather(self) -> Weather:
        return self.usual

    def set_weather(self, changes: Mapping[Link, Weather]) -> None:
        if self.network.broken:
            self.weather.update(list(changes.items())[: len(changes) // 2])
            raise ClusterError("the weather doesn't change: this is a test")
        self.weather.update({link: weather for link, weather in changes.items() if link not in self.weatherproof})

    def sound(self, link: Link, messages: int) -> Sounding:
        with self._lock:
            lost, duplicated, late = (
                sum(
                    self.dice.random() >= (1 - getattr(self.usual, what)) * (1 - getattr(self.weather[link], what))
                    for _ in range(messages)
                )
                for what in ("lost", "duplicated", "late")
            )
        return Sounding(messages, lost, duplicated, late)

    def set_disk(self, replica: str, disk: Disk) -> None:
        self._call_hook("disk", replica)
        if replica not in self.immortal:
            self.disks[replica] = disk

    def probe_disk(self, replica: str) -> DiskProbe:
        disk = self.disks[replica]
        if disk.full:
            return DiskProbe("full", 0.0)
        return DiskProbe("failed" if disk.sync_fails else "ok", 0.001 + disk.slow_ms / 1000)

    def ground(self) -> Ground:
        """New boards, on which nobody claims anything."""
        return Ground.on(self)

    def whole(self) -> bool:
        """Whether every link is clear and calm, every replica up, every clock true and every disk sound."""
        return (
            not self.network.not_clear()
            and set(self.states.values()) == {"up"}
            and set(self.weather.values()) == {CALM}
            and set(self.disks.values()) == {SOUND}
            and {(clock.offset_seconds, clock.rate) for clock in self.clocks.values()} == {(0, 1)}
        )

    def reality(self) -> Callable[[], None]:
        """Returns what brings everything back to how it is now, whatever anybody asked for since."""
        real, states, weather, disks = (
            dict(part) for part in (self.network.real, self.states, self.weather, self.disks)
        )
        clocks = {replica: (clock.offset_seconds, clock.rate) for replica, clock in self.clocks.items()}

        def put_back() -> None:
            self.network.real, self.states = dict(real), dict(states)
            self.weather, self.disks = dict(weather), dict(disks)
            for replica, skew in clocks.items():
                self.clocks[replica].set(*skew)

        return put_back

    def _call_hook(self, deed: str, name: str) -> None:
        if deed in self.hooks:
            self.hooks[deed](name)

    def _do(self, deed: str, replica: str, state: ReplicaState, from_states: tuple[str, ...]) -> None:
        self._call_hook(deed, replica)
        with self._lock:
            if self.states[replica] in from_states and replica not in self.immortal:
                self.states[replica] = state
                self.deeds.append(f"{deed} {replica}")
