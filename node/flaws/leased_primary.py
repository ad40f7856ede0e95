"""The classic mistakes with leases."""

from __future__ import annotations

from collections.abc import Sequence

from node.flaws import Flaw
from node.protocol import Message, Record
from node.protocols.leased_primary import LeasedPrimary


class DoesNotWait(Flaw, LeasedPrimary):
    mistake = "A replica that believes the primary dead helps to name another, although it granted a lease."
    rule = "Nobody is named before every lease that was granted has surely ended."
    shows_under = ("partition",)
    shows_with = {"lease_seconds": 3.0}

    def _bound_for(self) -> float:
        return 0.0


class IgnoresDrift(Flaw, LeasedPrimary):
    mistake = "Who granted a lease waits exactly as long as the lease lasts, by its own clock."
    rule = "Clocks run at different speeds: who granted waits longer, by all that two clocks may differ."
    shows_under = ("partition", "clock")
    shows_at = {"partition": ("siege",)}
    shows_with = {"lease_seconds": 3.0}

    def _grant_seconds(self) -> float:
        return self.options.lease_seconds


class ServesAfterExpiry(Flaw, LeasedPrimary):
    mistake = "Once named, a primary answers reads until somebody tells it that there is another."
    rule = "A primary looks at its clock before each answer: after its lease it is nobody."
    shows_under = ("partition",)

    def _has_lease(self) -> bool:
        return True

    def _resign_if_alone(self) -> None:
        """It goes on."""


class NoFencing(Flaw, LeasedPrimary):
    mistake = "A backup takes entries from whoever sends them, also from a primary of an earlier reign."
    rule = "A backup refuses what comes from an earlier reign than the latest that it knows of."
    shows_under = ("partition", "pause")
    shows_at = {"pause": ("append entries",)}
    shows_with = {"lease_seconds": 0.3, "election_seconds": 0.2}

    def on_message(self, sender: str, message: Message) -> None:
        if message["type"] != "append" or message["term"] >= self.term or self.leading:
            super().on_message(sender, message)
            return
        latest, self.term = self.term, message["term"]
        self._on_append(sender, message)
        self.term = latest


class ForgetsGrants(Flaw, LeasedPrimary):
    mistake = "A replica that was restarted votes at once, as if it had granted nothing."
    rule = "Who can't remember what it granted waits until any such lease has ended."
    shows_under = ("kill", "partition")
    shows_at = {"partition": ("siege",)}
    shows_with = {"lease_seconds": 6.0}

    def recover(self, records: Sequence[Record]) -> None:
        super().recover(records)
        self.granted_at = None
