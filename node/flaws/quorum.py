"""The classic mistakes in quorum replication."""

from __future__ import annotations

from collections.abc import Sequence

from node.flaws import Flaw
from node.protocol import Record, replica_number
from node.protocols.quorum import Quorum, RequestId, Task, Version


class NoWriteBack(Flaw, Quorum):
    mistake = "A read returns the newest copy that it finds, and leaves it where it found it."
    rule = "What a read has returned is on a write quorum first: or the next read may miss it and return an older one."
    shows_under = ("latency", "partition")
    shows_at = {"partition": ("send store",)}

    def _store_newest(self, task: Task) -> None:
        super()._store_newest(task)
        task.stored_by = set(self.io.replicas)


class VersionsByClock(Flaw, Quorum):
    mistake = "A version is the time on the writer's clock, so that the last one to look at its watch wins."
    rule = "A new version is above all that a read quorum knows; clocks of two replicas can't be compared."
    shows_under = ("clock",)

    def _new_version(self, highest: Version) -> Version:
        return round(self.io.now() * 1e6), replica_number(self.io.id)


class QuorumsDoNotOverlap(Flaw, Quorum):
    mistake = "Half of the replicas are a quorum, for reads and for writes."
    rule = "R + W > N: a read meets every finished write."
    shows_under = ("partition",)

    def recover(self, records: Sequence[Record]) -> None:
        self.read_quorum = self.write_quorum = max(1, len(self.io.replicas) // 2)
        super().recover(records)


class RetriesWrittenTwice(Flaw, Quorum):
    mistake = "A write that is asked for again gets a new version, by whoever receives it."
    rule = "A request is carried out once: done again later it brings back what was overwritten."
    shows_under = ("latency", "partition")

    def _numbers(self, id: RequestId) -> str:
        return self.io.id
