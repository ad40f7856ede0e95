"""A protocol that counts its records, so that it can replace them by one snapshot when they have become many."""

from __future__ import annotations

from node.machine import Machine
from node.protocol import Io, Protocol, ProtocolOptions, Record


class CountsRecords(Protocol):
    """What appends through `_append` is counted; whoever recovers or compacts says in `records` where it begins anew."""

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        super().__init__(io, machine, options)
        self.records = 0
        """In the journal by now."""

    def _append(self, record: Record) -> None:
        self.io.append(record)
        self.records += 1
