"""The classic mistakes in causal replication."""

from __future__ import annotations

from node.flaws import Flaw
from node.protocol import replica_number
from node.protocols.causal import Causal, Update


class IgnoresCauses(Flaw, Causal):
    mistake = "A replica takes over an update although it lacks another that this one depends on."
    rule = "An update becomes visible after all that its writer had seen."
    shows_under = ("partition", "latency")

    def _causes_are_here(self, update: Update) -> bool:
        return True


class ForgetsWhatWasRead(Flaw, Causal):
    mistake = "An update depends on the earlier updates of its writer alone, and not on what was read there."
    rule = "What a client has read before it writes is a cause of what it writes."
    shows_under = ("partition", "latency")

    def _dependencies(self) -> dict[str, int]:
        return {**dict.fromkeys(self.vector, 0), self.io.id: self.vector[self.io.id]}


class SkipsUpdates(Flaw, Causal):
    mistake = (
        "A replica takes over the updates of another that reach it, and never notices that one between is missing."
    )
    rule = "Updates of one writer are taken over in the order of their numbers, without a gap."
    shows_under = ("partition", "message-loss", "reorder")

    def _is_next(self, update: Update) -> bool:
        return update.number > self.vector[update.writer]


class LastToArriveWins(Flaw, Causal):
    mistake = "Of two writes of one key a replica keeps the one that reaches it last."
    rule = "All replicas choose the same one of two writes that don't know of each other, by their versions."
    shows_under = ()

    def _wins(self, version: tuple[int, int], held: tuple[int, int]) -> bool:
        return True


class CountsOnlyItsOwn(Flaw, Causal):
    mistake = "The counter in a version counts the writer's own updates, and not all that it has seen."
    rule = "A write's version is above those of all its causes: or it loses against what it was meant to replace."
    shows_under = ()

    def _new_version(self, key: str) -> tuple[int, int]:
        return self.vector[self.io.id] + 1, replica_number(self.io.id)
