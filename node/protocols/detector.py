"""A failure detector by heartbeats, as the protocols share it. It may be wrong, and a protocol has to say what then."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from node.protocol import Io, ProtocolOptions


class DetectorOptions(ProtocolOptions):
    """The options of every protocol with such a detector."""

    heartbeat_seconds: float = Field(default=0.15, gt=0, description="how often each replica tells all others it lives")
    suspect_seconds: float = Field(default=0.75, gt=0, description="a replica silent for so long is believed dead")

    @model_validator(mode="after")
    def _has_patience(self) -> Self:
        if self.suspect_seconds <= self.heartbeat_seconds:
            raise ValueError("suspect_seconds must be larger than heartbeat_seconds, or everybody suspects everybody")
        return self


class Detector:
    """Believes a peer alive if it was heard within the last `suspect_seconds`."""

    def __init__(self, io: Io, options: DetectorOptions) -> None:
        self.io = io
        self.tick_seconds = options.heartbeat_seconds
        self.suspect_seconds = options.suspect_seconds
        self._heard_at: dict[str, float] = {}
        self._ticked_at = io.now()

    def hear(self, peer: str) -> None:
        self._heard_at[peer] = self.io.now()

    def is_alive(self, peer: str) -> bool:
        return peer in self._heard_at and self.io.now() - self._heard_at[peer] <= self.suspect_seconds

    def alive(self) -> list[str]:
        """The peers believed alive, sorted by number."""
        heard_at, now, limit = self._heard_at, self.io.now(), self.suspect_seconds
        return [peer for peer in self.io.peers if peer in heard_at and now - heard_at[peer] <= limit]

    def tick(self) -> float:
        """To be called every `heartbeat_seconds`. Returns the seconds for which this replica itself was absent.

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
