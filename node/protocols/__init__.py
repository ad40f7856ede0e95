"""The protocols, one file each; the file's docstring teaches it."""

from __future__ import annotations

from node.registry import Registry

PROTOCOLS = Registry(
    "protocol",
    {
        "multi-paxos": "node.protocols.multi_paxos:MultiPaxos",
        "primary-backup": "node.protocols.primary_backup:PrimaryBackup",
    },
)
"""By name. A protocol of your own is named as `package.module:Class`."""
