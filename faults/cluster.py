"""What a fault may ask of a cluster. The kinds of clusters themselves live in `harness.cluster`.

Links, conditions and pings are the vocabulary of the network between replicas and clients, weather that of single
messages, disks and clock readings that of one replica. `Cluster` is what any cluster offers a fault, and `Network` the
part of it that changes links.

Not every kind of cluster can do everything: a proxy carries bytes and cannot lose one message of many. What a kind can't
do raises `ClusterError`; a fault that needs it says so beforehand, in `applies_to`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

CLIENT = "client"
"""The source of every link from the harness's clients to a replica."""


class Link(NamedTuple):
    """One DIRECTED connection, with a proxy of its own: requests flow from source to target, answers flow back."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


def all_links(replicas: tuple[str, ...]) -> tuple[Link, ...]:
    """Every directed link of a cluster: between replicas first, then `client->` each replica."""
    between = [Link(source, target) for source in replicas for target in replicas if source != target]
    return (*between, *(Link(CLIENT, target) for target in replicas))


class Mode(enum.Enum):
    """What a link does. Listed from the weakest to the strongest: where faults overlap, the strongest wins."""

    CLEAR = "clear"
    LATENCY = "latency"
    SLOW = "slow"
    RESET = "reset"
    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Condition:
    """The state of one link.

    `latency`: every chunk of a request waits `latency_ms`, give or take up to `jitter_ms` (drawn by seed or by the
    proxy). `slow`: `rate_bytes_per_second`. `reset`: connections are torn with an RST. `drop`: a black hole, connections
    open and nothing comes of them. `refuse`: connecting is refused at once. `streams` tells which way the harm goes:
    `requests` (source to target), `responses` (target to source), or `both`; refuse and reset always hit both.
    """

    mode: Mode = Mode.CLEAR
    streams: Literal["requests", "responses", "both"] = "both"
    latency_ms: int = 0
    jitter_ms: int = 0
    rate_bytes_per_second: int = 0

    def __str__(self) -> str:
        if self.mode is Mode.LATENCY:
            return f"latency {self.latency_ms} ms" + (f" +- {self.jitter_ms} ms" if self.jitter_ms else "")
        if self.mode is Mode.SLOW:
            return f"slow {self.rate_bytes_per_second} bytes/s"
        return str(self.mode.value)


CLEAR = Condition()


@dataclass(frozen=True)
class Weather:
    """What befalls single messages on a link, each message by a draw of its own.

    `lost`, `duplicated` and `late` are shares of the messages, from 0 to 1. A message that is duplicated arrives a second
    time, some time within `late_ms` after the first. One that is late arrives up to `late_ms` after its time, evenly
    drawn, and whatever was sent after it may overtake it. Requests, answers and messages between replicas suffer alike,
    on top of the link's condition and of what its messages suffer anyway (see `Cluster.usual_weather`).
    """

    lost: float = 0.0
    duplicated: float = 0.0
    late: float = 0.0
    late_ms: int = 0

    def __str__(self) -> str:
        shares = {"lost": self.lost, "twice": self.duplicated, f"up to {self.late_ms} ms late": self.late}
        return ", ".join(f"{share * 100:g}% {word}" for word, share in shares.items() if share) or "calm"


CALM = Weather()


@dataclass(frozen=True)
class Sounding:
    """What became of test messages that were sent over a link."""

    sent: int
    lost: int
    duplicated: int
    late: int
    """How many arrived after their time."""


@dataclass(frozen=True)
class Disk:
    """The state of a replica's disk. Its faults add up.

    `slow_ms`: every sync takes so much longer. `full`: nothing more can be appended. `sync_fails`: every sync fails. A
    replica that can't append or sync any more ends itself, before anything that depends on it gets out.
    """

    slow_ms: int = 0
    full: bool = False
    sync_fails: bool = False


SOUND = Disk()


@dataclass(frozen=True)
class DiskProbe:
    """One measured attempt to append a record to a replica's disk and to sync it; the record is gone afterwards."""

    outcome: Literal["ok", "full", "failed"]
    seconds: float


@dataclass(frozen=True)
class ClockReading:
    """What a replica's clock shows, and what a clock shows at the same moment that no fault ever touches.

    Each has a zero of its own. Where clocks go wrong by themselves (those of a simulated cluster may), the other one does
    so in the same way.
    """

    true_seconds: float
    shown_seconds: float
    within_seconds: float = 0.0
    """How far apart the two looks may have been."""


@dataclass(frozen=True)
class Wiped:
    """What a replica's journal held, measured before and after it was erased."""

    bytes_before: int | None
    """None if nobody could tell, because it was down."""
    bytes_after: int


@dataclass(frozen=True)
class Ping:
    """One measured attempt to pass a request over a link and get its answer.

    `outcome`: `ok`, or how it failed: `timeout`, `refused`, `closed` (cut in flight), or `unprobed` when nobody could
    try (the source is down), with the reason in `detail`. `seconds` is how long it took, whatever came of it.
    """

    link: Link
    outcome: Literal["ok", "timeout", "refused", "closed", "unprobed"]
    seconds: float
    detail: str = ""


class Network(Protocol):
    """The proxies of a cluster, one for each directed link."""

    def apply(self, changes: Mapping[Link, Condition]) -> None:
        """Put links into conditions, all of them verified when this returns. Raises `NetworkError` if that fails.

        Idempotent; a link that isn't named stays as it is. Not instantaneous: a partition of five replicas takes some
        ten milliseconds, so callers record when it began and when it was complete.
        """

    def conditions(self) -> dict[Link, Condition]:
        """The condition of every link, as asked for last."""

    def traffic(self) -> dict[Link, dict[str, int]]:
        """Live counters of every link, `{"passed_bytes", "dropped_bytes", "connections"}`; empty if not to be had."""

    @property
    def tainted(self) -> str | None:
        """Why this run can't be trusted any more (the proxy server had to be restarted), or None."""


class NetworkError(Exception):
    """The proxies did not do as they were told; the message is one sentence."""


ReplicaState = Literal["up", "down", "paused"]


class Cluster(Protocol):
    """What faults see of a cluster. Everything here is measured or done now, has a limit of time, and may be called
    from several threads."""

    @property
    def replicas(self) -> tuple[str, ...]:
        """All replicas: `n1`, `n2`, ..."""

    @property
    def chief(self) -> str | None:
        """The role that is in charge in the protocol that runs (`leader`, `primary`), or None if it has none."""

    @property
    def network(self) -> Network: ...

    def state(self, replica: str) -> ReplicaState:
        """Measured at the operating system or the engine, not remembered."""

    def status(self, replica: str) -> dict[str, Any] | None:
        """The replica's own status (see `node.protocol.Status`), asked directly and not over a faulty link; None if it
        doesn't answer within a second."""

    def ping(self, link: Link, timeout_seconds: float) -> Ping:
        """Pass a small request over the link's proxy, from the link's source: the replica itself, or the harness."""

    def kill(self, replica: str) -> None:
        """SIGKILL, at once; returns when the process is gone. Nothing happens if it is down."""

    def restart(self, replica: str) -> None:
        """Start a replica that is down, with the data it had; returns when it answers or raises `ClusterError`."""

    def pause(self, replica: str) -> None:
        """Stop the process from running (SIGSTOP, docker pause); returns when it is stopped."""

    def resume(self, replica: str) -> None:
        """Let a paused process run on; nothing happens if it isn't paused."""

    def set_clock(self, replica: str, offset_seconds: float, rate: float) -> None:
        """Skew the replica's clock: `offset_seconds` added, running `rate` times as fast; (0, 1) is true time.

        The clock never goes back: set into the past, it stands still until the skewed time has caught up with what it
        has shown. A restart makes it true again. A replica that is down or paused can't be told: `ClusterError`.
        """

    def clock(self, replica: str) -> ClockReading | None:
        """Read the replica's clock; None if it doesn't answer within a second."""

    def wipe(self, replica: str) -> Wiped:
        """Kill the replica and erase all that it had stored. It is down afterwards, and `restart` brings it up as empty
        as a new one, though a member of the run that goes on."""

    # What only a simulated cluster can do; the others raise `ClusterError`.

    @property
    def usual_weather(self) -> Weather:
        """What messages suffer on every link when no fault is at work."""

    def set_weather(self, changes: Mapping[Link, Weather]) -> None:
        """Put links into a weather; those that aren't named stay as they are."""

    def sound(self, link: Link, messages: int) -> Sounding:
        """Send test messages over the link, at once, and count what becomes of them. What the link's condition does to
        them doesn't count. No other message's fate depends on it."""

    def set_disk(self, replica: str, disk: Disk) -> None:
        """Put the replica's disk into a state. It stays so through kills and restarts."""

    def probe_disk(self, replica: str) -> DiskProbe:
        """Append to the replica's disk and sync it, also of a replica that is down."""


class ClusterError(Exception):
    """The cluster did not do as it was told; the message is one sentence: what is wrong, where, what to do."""
