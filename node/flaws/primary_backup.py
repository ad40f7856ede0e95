"""The classic mistakes in primary-backup. They show under crashes alone: a partition breaks the correct protocol too."""

from __future__ import annotations

from node.flaws import Flaw
from node.protocol import Message, Outcome, Request, replica_number
from node.protocols.primary_backup import PrimaryBackup, View


class AcknowledgesBeforeBackups(Flaw, PrimaryBackup):
    mistake = "The primary answers when it has sent the update to the backups, and doesn't wait for their OK."
    rule = "A client is answered when every backup has the update on its disk."
    shows_under = ("kill",)

    def _acknowledged(self) -> int:
        return self.applied


class StaleBackupPromoted(Flaw, PrimaryBackup):
    mistake = "After a crash of all the lowest-numbered replica becomes primary, also if it was left out before."
    rule = "After a crash of all, only that member of the last view becomes primary whose log is the longest."
    shows_under = ("kill",)

    def _best_of(self, known: dict[str, tuple[View, int]]) -> str | None:
        return super()._best_of(known) and min(known, key=replica_number)


class ReturnsWithoutState(Flaw, PrimaryBackup):
    mistake = "A backup that comes back takes part again, and keeps what it had instead of the state it is sent."
    rule = "Who was outside is given the whole state before its OK counts."
    shows_under = ("kill",)

    def _on_state(self, sender: str, view: View, message: Message) -> None:
        own = {"machine": self.machine.snapshot(), "clients": dict(self.clients)}
        super()._on_state(sender, view, {**message, **own})


class NoIdempotence(Flaw, PrimaryBackup):
    mistake = "A request that is sent again is carried out again."
    rule = "A request that was carried out is answered with the remembered result."
    shows_under = ("kill", "latency")

    def _remembered(self, request: Request) -> Outcome | None:
        return None


class AppliesOutOfOrder(Flaw, PrimaryBackup):
    mistake = "A backup takes updates over in the order in which they arrive, and acknowledges the highest number."
    rule = "A backup takes updates over in the order of their numbers, and acknowledges what it has without a gap."
    shows_under = ("latency", "kill")

    def _on_update(self, sender: str, view: View, message: Message) -> None:
        if self.role == "backup" and view.same_reign(self.view) and message["first"] != self.applied + 1:
            highest = max(self.applied, message["first"] + len(message["entries"]) - 1)
            self.applied = message["first"] - 1  # as if it were the next one
            super()._on_update(sender, view, message)
            self.applied = max(self.applied, highest)
        else:
            super()._on_update(sender, view, message)
