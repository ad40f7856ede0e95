"""A failure detector by heartbeats, as the protocols share it. It may be wrong, and a protocol has to say what then."""

from __future__ import annotations

from node.protocol import Io


class Detector:
    """Believes a peer alive if it was heard within the last `suspect_seconds`."""

    def __init__(self, io: Io, tick_seconds: float, suspect_seconds: float) -> None:
        self.io = io
        self.tick_seconds = tick_seconds
        self.suspect_seconds = suspect_seconds
        self._heard_at: dict[str, float] = {}
        self._ticked_at = io.now()

    def hear(self, peer: str) -> None:
        self._heard_at[peer] = self.io.now()

    def is_alive(self, peer: str) -> bool:
        return peer in self._heard_at and self.io.now() - self._heard_at[peer] <= self.suspect_seconds

    def alive(self) -> list[str]:
        """The peers believed alive, sorted by number."""
        return [peer for peer in self.io.peers if self.is_alive(peer)]

    def tick(self) -> float:
        """To be called every `tick_seconds`. Returns the seconds for which this replica itself was absent.

        A replica that was stopped has heard nobody meanwhile, which says nothing about the others: that time is not
        held against them, nor should it be against anybody elsewhere in the protocol.
        """
        now = self.io.now()
        absence = now - self._ticked_at - self.tick_seconds
        self._ticked_at = now
        if absence <= self.suspect_seconds / 2:
            return 0.0
        for peer in self._heard_at:
            self._heard_at[peer] += absence
        return absence
