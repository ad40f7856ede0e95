"""The classic mistakes in log shipping, beside those of primary-backup, which fit it too."""

from __future__ import annotations

from node.flaws import Flaw
from node.protocols.log_shipping import LogShipping


class PromotedWithoutReplay(Flaw, LogShipping):
    mistake = "A backup that becomes primary answers at once, from what it has carried out of its log so far."
    rule = "A promoted backup replays its log to the end before it answers anybody."
    shows_under = ("kill",)
    shows_with = {"passive": True}

    def _prepare_to_rule(self) -> None:
        self.unapplied.clear()


class LogCutTooEarly(Flaw, LogShipping):
    mistake = "When a backup cuts its log to a checkpoint, what it has not carried out yet goes with it."
    rule = "A log is cut up to what the checkpoint contains, and no further."
    shows_under = ("kill",)
    shows_with = {"apply_seconds": 1.0, "compact_every": 30}

    def _compact(self) -> None:
        if not self.options.passive:
            self.unapplied.clear()
        super()._compact()
