"""What options an exploration draws from, for what the campaign leaves at its default.

A value that stands there more than once is drawn more often. What a fault can't do in a cluster (a bridge of two replicas,
the leader of a protocol without one) is drawn again.

Clocks that are skewed by several injections are skewed by all of them together, and one that is put right stands still until
it is right. So they don't jump far, or run fast: with a replica whose clock stands still no majority could answer in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Variants = Mapping[str, Sequence[Any]]

_TARGETS = ("one", "one", "leader", "leader", "primary", "primary", "follower", "minority", "majority", "all")
_LINKS = ("replicas", "replicas", "both", "clients")

FAULT_VARIANTS: Mapping[str, Variants] = {
    "partition": {
        "shape": ("halves", "random-halves", "isolate", "isolate", "bridge", "ring", "one-way", "one-way"),
        "target": ("one", "leader", "leader", "primary", "primary", "minority"),
        "direction": ("outgoing", "incoming"),
        "block": ("drop", "refuse"),
        "clients": (False, False, True),
    },
    "latency": {
        "target": ("all", *_TARGETS),
        "links": _LINKS,
        "latency_ms": (10, 50, 200, 600, 1500),
        "jitter_ms": (0, 5, 9),
    },
    "slow": {"target": _TARGETS, "links": _LINKS, "rate_bytes_per_second": (1_000, 5_000, 50_000)},
    "reset": {"target": _TARGETS, "links": _LINKS},
    "kill": {"target": _TARGETS},
    "pause": {"target": _TARGETS},
    "wipe": {"target": ("one", "one", "leader", "primary", "follower", "minority")},
    "clock": {
        "target": ("all", *_TARGETS),
        "offset_seconds": (-5.0, -0.5, 0.5, 2.0),
        "rate": (0.5, 0.8, 1.0, 1.0, 1.25),
    },
    "message-loss": {"target": ("all", "all", *_TARGETS), "links": _LINKS, "share": (0.05, 0.2, 0.5, 0.9)},
    "duplicate": {"target": ("all", "all", *_TARGETS), "share": (0.1, 0.5, 1.0), "within_ms": (5, 50, 200, 1000)},
    "reorder": {
        "target": ("all", "all", *_TARGETS),
        "links": _LINKS,
        "share": (0.05, 0.2, 0.5, 1.0),
        "late_ms": (20, 200, 1000),
    },
    "disk-slow": {"target": _TARGETS, "slow_ms": (10, 100, 500)},
    "disk-full": {"target": _TARGETS},
    "sync-fails": {"target": _TARGETS},
}

EVERYTHING = [name for name in FAULT_VARIANTS if name != "wipe"]
"""The pool of a campaign that names no faults. A protocol that promises to survive a wiped disk has to be asked for it."""

STRIKING: Mapping[str, tuple[float, float]] = {
    "kill": (0.001, 0.5),
    "pause": (0.05, 3.0),
    "clock": (0.5, 4.0),
    "partition": (0.15, 1.0),
    "sync-fails": (0.001, 1.0),
    "message-loss": (0.005, 1.0),
    "duplicate": (0.005, 1.0),
    "disk-slow": (0.05, 1.0),
}
"""Faults that may strike at a moment, and the least and most seconds that they last then: a replica that is back before the
next message is there has another story to tell than one that is away for long."""

ONLY_TOLD = frozenset({"clock"})
"""Those that do so only where a campaign says at which moment: a clock that is set again and again mostly stands still."""

MESSAGES: Mapping[str, Sequence[str]] = {
    "causal": ("updates", "heartbeat"),
    "leased-primary": ("prevote", "prevoted", "vote", "voted", "append", "appended", "heartbeat"),
    "log-shipping": ("update", "ok", "state", "heartbeat"),
    "multi-paxos": ("prepare", "promise", "accept", "accepted", "commit", "fetch", "decrees", "heartbeat"),
    "naive-two-phase": ("value", "ack", "commit", "behind", "state"),
    "paxos": ("prepare", "prepare-ok", "accept", "accept-ok", "decide"),
    "primary-backup": ("update", "ok", "state", "heartbeat"),
    "quorum": ("ask", "copy", "forward", "store", "stored"),
    "raft": ("prevote", "prevoted", "vote", "voted", "append", "appended", "heartbeat"),
    "read-only-replicas": ("read", "answer", "change", "effects", "state"),
    "two-phase-commit": ("prepare", "vote", "decide", "ask"),
}
"""By protocol: messages whose sending or arrival is a moment. Of a protocol that isn't here any message is."""

RECORDS: Mapping[str, Sequence[str]] = {
    "leased-primary": ("term", "entries"),
    "log-shipping": ("view", "entry"),
    "multi-paxos": ("promise", "accepted", "chosen"),
    "naive-two-phase": ("acked", "committed"),
    "paxos": ("promise", "accepted", "decided"),
    "primary-backup": ("view", "entry"),
    "quorum": ("numbered", "copy"),
    "raft": ("term", "entries"),
    "two-phase-commit": ("prepared", "decision"),
}
"""The same with what a replica writes down."""

PROTOCOL_SIZES: Variants = {
    "snapshot_every": (5, 20, 100),
    "window": (1, 2, 16),
}
"""Options of protocols that only say how much or how often, whatever the protocol: no promise depends on them."""

WORKLOAD_VARIANTS: Mapping[str, Variants] = {
    "register": {
        "read": (1.0, 5.0, 5.0),
        "write": (1.0, 3.0, 3.0),
        "cas": (0.0, 2.0, 6.0),
        "processes_per_key": (2, 3, 5, 10, 10),
        "operations_per_key": (20, 100, 100),
        "final_reads_per_key": (1, 3),
        "readers": (0.0, 0.5, 0.5),
    },
}
