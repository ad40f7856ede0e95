"""The history of a simulated run, in memory: the same events as `harness.history` writes, on virtual time."""

from __future__ import annotations

from harness.history import HARNESS, Event
from harness.simulation.world import World


class Record:
    """What `harness.history.History` is to a real run."""

    def __init__(self, world: World) -> None:
        self.events: list[Event] = []
        self._world = world

    def now(self) -> int:
        """Nanoseconds since the run began; 0 while the cluster is being set up."""
        return self._world.time_ns if self._world.begun else 0

    def append(self, event: Event) -> Event:
        stamped = {"index": len(self.events), "time": self.now(), **event}
        self.events.append(stamped)
        return stamped

    def note(self, text: str, replica: str | None = None) -> Event:
        event: Event = {"type": "info", "process": HARNESS, "f": "note", "value": text}
        if replica is not None:
            event["replica"] = replica
        return self.append(event)
