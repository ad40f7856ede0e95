"""The protocols, one file each; the file's docstring teaches it."""

from __future__ import annotations

from node.registry import Registry

PROTOCOLS = Registry(
    "protocol",
    {
        "causal": "node.protocols.causal:Causal",
        "leased-primary": "node.protocols.leased_primary:LeasedPrimary",
        "log-shipping": "node.protocols.log_shipping:LogShipping",
        "multi-paxos": "node.protocols.multi_paxos:MultiPaxos",
        "naive-two-phase": "node.protocols.naive_two_phase:NaiveTwoPhase",
        "paxos": "node.protocols.paxos:Paxos",
        "primary-backup": "node.protocols.primary_backup:PrimaryBackup",
        "quorum": "node.protocols.quorum:Quorum",
        "raft": "node.protocols.raft:Raft",
        "read-only-replicas": "node.protocols.read_only_replicas:ReadOnlyReplicas",
        "two-phase-commit": "node.protocols.two_phase_commit:TwoPhaseCommit",
    },
)
"""By name. A protocol of your own is named as `package.module:Class`."""
