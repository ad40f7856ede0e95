"""A cluster for faults that lives in memory: its network does what the conditions say, its replicas are what they are.

It takes no time: a ping that times out says so at once. Switches make faults NOT bite, or fail, or take their time::

    cluster = FakeCluster(5, chief="leader", leader="n2")
    cluster.network.deaf.add(Mode.DROP)        # such conditions are accepted, and change nothing
    cluster.network.broken = True              # applying raises NetworkError, when half of it is done
    cluster.immortal.add("n3")                 # killing and pausing it changes nothing
    cluster.hooks["kill"] = event.wait         # called (with the replica) before the deed is done
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from faults.board import LinkBoard, ProcessBoard
from faults.cluster import (
    CLEAR,
    CLIENT,
    ClusterError,
    Condition,
    Link,
    Mode,
    NetworkError,
    Ping,
    ReplicaState,
    all_links,
)
from faults.fault import Ground

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
        if "ping" in self.hooks:
            self.hooks["ping"](str(link))
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

    def pause(self, replica: str) -> None:
        self._do("pause", replica, "paused", from_states=("up",))

    def resume(self, replica: str) -> None:
        self._do("resume", replica, "up", from_states=("paused",))

    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None:
        raise NotImplementedError

    def ground(self) -> Ground:
        """New boards, on which nobody claims anything."""
        return Ground(self, LinkBoard(self.network), ProcessBoard(self))

    def whole(self) -> bool:
        """Whether every link is clear and every replica up."""
        return not self.network.not_clear() and set(self.states.values()) == {"up"}

    def _do(self, deed: str, replica: str, state: ReplicaState, from_states: tuple[str, ...]) -> None:
        if deed in self.hooks:
            self.hooks[deed](replica)
        with self._lock:
            if self.states[replica] in from_states and replica not in self.immortal:
                self.states[replica] = state
                self.deeds.append(f"{deed} {replica}")
