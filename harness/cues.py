"""When each part of a script begins on real replicas: not at a time, but when all that came before it is over.

In a simulated run every message takes as long as it is told to; on real replicas a kill or a restart takes a second, an
election as long as it likes. What makes a bug show is mostly the order: the write was answered, then its leader was cut off,
then another one led, then the read was asked. So the order in which things happened in the simulated run is written down, as
cues (`harness.shrink.carry`). When the script is played each of them waits until those before it are over, and then for as
long as it did in the simulated run (`Cues`)::

    lead n1 | ask 1 | answer 1 | inject 1 | lead n2 | ask 2 | ...

Whoever leads when somebody should lead plays that part from then on: names of replicas are names of parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from harness.conversation import Wait
from harness.spec import ScriptedCue

LEAD_SECONDS = 10.0
"""How long is waited for somebody to lead. Then the script goes on, whoever does."""
_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.05
_FOR_EVER = 1e9


class Cues:
    """What is over, and what may begin. Safe to use from many threads."""

    def __init__(
        self,
        cues: Sequence[ScriptedCue],
        replicas: Sequence[str],
        now: Callable[[], float],
        in_charge: Callable[[], Sequence[str]],
    ) -> None:
        """`in_charge` tells which replicas lead just now, or believe that they do; it may take its time."""
        self._cues = list(cues)
        self._places: dict[tuple[str, int], int] = {
            (cue.what, cue.number): place for place, cue in enumerate(self._cues)
        }
        self._now = now
        self._in_charge = in_charge
        self._lock = threading.Lock()
        self._began = now()
        self._over_at: list[float | None] = [None] * len(self._cues)
        self._parts = {replica: replica for replica in replicas}
        self._looking = threading.Lock()
        """Held by the one who asks who leads."""
        self._looked = self._waiting_since = -_FOR_EVER
        self._leading: frozenset[str] = frozenset()
        """Who led when somebody was last found to lead as he should."""

    def due(self, what: str, number: int) -> Generator[Wait, Any, bool]:
        """Wait for a cue; returns whether it is time to stop instead."""
        while (left := self.left(what, number)) > 0:
            if (yield Wait(left)):
                return True
        return bool((yield Wait(0.0)))

    def left(self, what: str, number: int) -> float:
        """How long to wait at least until the cue may begin, in seconds; 0 if it may. One that never came comes last."""
        place = self._places.get((what, number), len(self._cues))
        self._look_who_leads()
        with self._lock:
            place = self._first_at_that_time(place)
            if None in self._over_at[:place]:
                return _POLL_SECONDS
            return max(0.0, self._latest(place) + self._gap(place) - self._now())

    def over(self, what: str, number: int) -> None:
        """It has happened, or it never will."""
        place = self._places.get((what, number))
        with self._lock:
            if place is not None and self._over_at[place] is None:
                self._over_at[place] = self._now()

    def all_over(self) -> bool:
        self._look_who_leads()
        with self._lock:
            return None not in self._over_at

    def player(self, part: str) -> str:
        """The replica that plays the part of this name."""
        with self._lock:
            return self._parts.get(part, part)

    def cast(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a fault, aimed at whoever plays the part."""
        target = options.get("target")
        return {**options, "target": self.player(target)} if isinstance(target, str) else dict(options)

    def _first_at_that_time(self, place: int) -> int:
        """What happened at the very same time doesn't wait for each other."""
        while 0 < place < len(self._cues) and self._cues[place - 1].at_seconds == self._cues[place].at_seconds:
            place -= 1
        return place

    def _gap(self, place: int) -> float:
        """How long after everything before it the cue came in the simulated run."""
        if place == len(self._cues):
            return 0.0
        earlier = self._cues[place - 1].at_seconds if place else 0.0
        return self._cues[place].at_seconds - earlier

    def _look_who_leads(self) -> None:
        """If what is waited for is that somebody leads: see whether somebody does."""
        with self._lock:
            now = self._now()
            place = next((place for place, moment in enumerate(self._over_at) if moment is None), None)
            if place is None or self._cues[place].what != "lead" or now - self._looked < _LOOK_SECONDS:
                return
        if not self._looking.acquire(blocking=False):
            return
        try:
            leading = frozenset(self._in_charge())
            with self._lock:
                self._looked = now
                self._waiting_since = max(self._waiting_since, self._latest(place))
                if self._leads(self._cues[place].replica, leading) or now - self._waiting_since > LEAD_SECONDS:
                    self._over_at[place] = self._over_at[place] or self._now()
                    self._leading = leading
        finally:
            self._looking.release()

    def _latest(self, place: int) -> float:
        return max((moment for moment in self._over_at[:place] if moment is not None), default=self._began)

    def _leads(self, part: str, leading: frozenset[str]) -> bool:
        """Whether the part's player leads; if somebody else does, newly, that one plays it from now on."""
        player = self._parts.get(part, part)
        if player in leading:
            return True
        newly = sorted(leading - self._leading)
        other = next((name for name, known in self._parts.items() if known in newly), None)
        if other is None:
            return False
        self._parts[part], self._parts[other] = self._parts[other], player
        return True
