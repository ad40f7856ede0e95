"""Telling how far a check is to whoever asked, and hearing whether it shall go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harness.checkers.checker import Limits, Status
from harness.checkers.linearizable.parts import Part


class Watch:
    """One check as it is seen from outside. `limits` are those it was given, which `tell` may call off."""

    def __init__(self, limits: Limits) -> None:
        self._given = limits
        self._called_off = False
        self.limits = replace(limits, cancelled=self.cancelled)
        self._status = Status("judging")
        self._looking_at: set[Part] = set()
        self._configurations = 0

    def cancelled(self) -> bool:
        return self._called_off or self._given.cancelled()

    def parts(self, parts: Sequence[Part]) -> None:
        operations = sum(len(part.operations) for part in parts)
        self._status = replace(self._status, keys=len(parts), operations=operations)

    def begins(self, part: Part) -> None:
        self._looking_at.add(part)

    def ends(self, part: Part) -> None:
        """No more time is spent on this part for now."""
        self._looking_at.discard(part)
        self._configurations += part.progress.explored
        if part.answer is not None:
            status = self._status
            self._status = replace(
                status,
                keys_done=status.keys_done + 1,
                operations_done=status.operations_done + len(part.operations),
            )

    def phase(self, phase: Literal["judging", "explaining", "ordering"]) -> None:
        self._status = replace(self._status, phase=phase)
        self.tell()

    def tell(self) -> None:
        if self._given.progress is not None:
            now = sum(part.progress.explored for part in self._looking_at)
            status = replace(self._status, configurations=self._configurations + now)
            if self._given.progress(status) is False:
                self._called_off = True
