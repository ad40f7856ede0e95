"""A replica's disk: what was synced stays, what was not is gone with the replica.

As with `node.journal`, records gather in memory and a sync writes them all. A sync that fails, or is cut short by a kill,
may have written the first few of them: nobody knows. Replacing the whole journal is all or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from faults.cluster import SOUND, Disk
from harness.simulation.copies import decode, encode
from node.protocol import Record


class SyncFailed(Exception):
    """The disk took no more; the message is one sentence. The replica must stop."""


class VirtualDisk:
    """The records of one replica, each as JSON text."""

    def __init__(self) -> None:
        self.state: Disk = SOUND
        self.durable: list[bytes] = []
        self.syncs = 0
        self.dirty = False
        """Whether there is anything that a sync would write."""
        self._pending: list[bytes] = []
        self._replaces = False

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.durable))

    @property
    def outcome(self) -> Literal["ok", "full", "failed"]:
        """What a sync comes to just now."""
        if self.state.full:
            return "full"
        return "failed" if self.state.sync_fails else "ok"

    def append(self, record: Record) -> None:
        self._pending.append(encode(record))
        self.dirty = True

    def compact(self, records: Sequence[Record]) -> None:
        """Replace everything before by `records`, at the next sync."""
        self._pending = [encode(record) for record in records]
        self._replaces = self.dirty = True

    def sync(self) -> None:
        """Make everything durable. Raises `SyncFailed`; what of it is durable then is for `tear` to say."""
        if self.outcome != "ok":
            why = "no space is left on the disk" if self.state.full else "the disk reports an error"
            raise SyncFailed(f"cannot write the journal ({why})")
        self.tear(1.0)
        self.syncs += 1

    def tear(self, share: float) -> None:
        """The end of what is not synced: of the records in order, this share (from 0 to 1) makes it to the disk."""
        if not self._replaces:
            self.durable += self._pending[: round(share * len(self._pending))]
        elif share == 1.0:
            self.durable = self._pending
        self._pending = []
        self._replaces = self.dirty = False

    def records(self) -> list[Record]:
        """Copies of all durable records, in order."""
        return [decode(text) for text in self.durable]

    def wipe(self) -> None:
        """Erase everything, synced or not."""
        self.durable, self._pending = [], []
        self._replaces = self.dirty = False
