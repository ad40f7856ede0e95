"""What a replica of primary-backup claims of itself: see `node.invariants`.

Most of it holds whatever happens, two primaries included: each has a reign of its own. That nothing acknowledged is lost
holds with `acknowledge: all`, and only until a failure detector was wrong: so the protocol promises it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from node.invariants import Agreed, Claim, Exclusive, Grows, LeavesOut, Relied, Serves, Stored, TakesPart, is_compared

if TYPE_CHECKING:
    from node.protocols.primary_backup import PrimaryBackup

VIEW = "a replica never goes back to an earlier view"
REIGN = "a reign belongs to one primary, in one life of it"
UPDATE = "within a reign a number names one update"
SAME_STATE = "within a reign replicas that have installed as much are equal"
ON_ALL_DISKS = "what is acknowledged is on the disk of every member"
NOTHING_LOST = "a new primary knows everything that was acknowledged before"

INSTALLED_KEPT = 1_024
"""More than a replica installs between two questions of a witness; where nobody asks, the bound."""


class Installed(NamedTuple):
    """An update that was taken over: in which reign, with which number."""

    reign: tuple[str, int]
    number: int
    entry: list[Any]


class PrimaryBackupClaims:
    """Finds out what is new by comparing with what it last told."""

    def __init__(self, replica: PrimaryBackup) -> None:
        self.replica = replica
        self._active = False
        self._view: Any = None
        self._served: tuple[str, int] | None = None
        self._stored: tuple[tuple[str, int], int] | None = None
        self._relied: Any = None

    def new(self) -> Iterator[Claim]:
        replica = self.replica
        if replica.active != self._active:
            self._active = replica.active
            yield TakesPart(replica.active)
        if replica.view != self._view:
            self._view = replica.view
            yield Grows(VIEW, replica.view.rank, "rank")
            if replica.role == "primary":
                yield LeavesOut(tuple(peer for peer in replica.io.peers if peer not in replica.view.members))
        if replica.role == "primary" and replica.view.reign != self._served:
            yield from self._begin(replica.view.reign)
        yield from self._updates()
        if replica.role == "primary" and replica.options.acknowledge == "all":
            yield from self._acknowledgements()

    def _begin(self, reign: tuple[str, int]) -> Iterator[Claim]:
        self._served = reign
        yield Exclusive(REIGN, _words(reign))
        if self.replica.options.acknowledge == "all":
            known = {client: sequence for client, (sequence, _) in self.replica.clients.items()}
            yield Serves(NOTHING_LOST, _words(reign), known, assumes_detector=True)

    def _updates(self) -> Iterator[Claim]:
        replica = self.replica
        installed = list(replica.installed)
        replica.installed.clear()
        for reign, number, entry in installed:
            yield Agreed(UPDATE, f"update {number} of {_words(reign)}", entry, "effect")
        stored = (replica.view.reign, replica.applied)
        if stored != self._stored:
            self._stored = stored
            yield Stored(ON_ALL_DISKS, _words(replica.view.reign), replica.applied)
            if is_compared(replica.applied):
                place = f"after update {replica.applied} of {_words(replica.view.reign)}"
                yield Agreed(SAME_STATE, place, [replica.machine.digest(), _digest(replica.clients)], "state")

    def _acknowledgements(self) -> Iterator[Claim]:
        replica = self.replica
        relied = (replica.view.reign, replica._acknowledged(), tuple(replica.progress))
        if relied != self._relied:
            self._relied = relied
            reign, number, peers = relied
            yield Relied(ON_ALL_DISKS, _words(reign), number, peers)


def _words(reign: tuple[str, int]) -> str:
    return f"the reign of {reign[0] or 'nobody'} since view {reign[1]}"


def _digest(value: Any) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())
