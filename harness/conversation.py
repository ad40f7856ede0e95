"""One operation of one process: whom it asks, how often, how long it waits, and what it may say came of it. Pure.

A conversation is a generator. It yields what it wants next and is resumed with what came of it; who drives it decides
what time is and what a network is. Threads drive it against real replicas, an event loop against simulated ones, and
the rules of outcomes are the same for both because they are these::

    conversation = carry_out(route, attempts=3, client="p5", number=8, operation=write)
    Ask("n1", "p5", 8, write)     -> Outcome.info("no answer within 2 s")
    Wait(0.041)                   -> False: nobody said stop
    Ask("n2", "p5", 8, write)     -> Outcome.ok(None)
    returns Tried(Outcome.ok(None), "n2", attempts=2)

An operation is sent up to `attempts` times with the same `(client, number)`, so that a replica can tell a repetition
from a new wish, and the outcome follows strictly from what was learned:

- `ok` if any attempt came back ok;
- `fail` only if every attempt certainly did nothing: the connection was refused, or the replica itself said so;
- `info` otherwise, also if a later attempt failed definitely: the one that was lost may still take effect.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from node.machine import Operation
from node.protocol import Outcome

_BACKOFF_SECONDS = (0.05, 0.25)
"""The wait after the first failure in a row, doubled with each further one up to the second figure."""


class Ask(NamedTuple):
    """Send the operation to the replica, once. Resumed with its `Outcome`, after a timeout at the latest."""

    replica: str
    client: str
    number: int
    operation: Operation


class Wait(NamedTuple):
    """Let so much time pass, if any. Resumed with whether it is time to stop, which also ends a wait early."""

    seconds: float


Returned = TypeVar("Returned")
Steps = Generator[Ask | Wait, Any, Returned]
"""A conversation: yields what it wants, is sent an `Outcome` for an `Ask` and a bool for a `Wait`."""


class Route:
    """Whom a worker asks, and how long it waits before."""

    def __init__(self, replicas: Sequence[str], place: int, moves: bool, chance: random.Random) -> None:
        self._replicas = replicas
        self._place = place % len(replicas)
        self._chance = chance
        self.moves = moves
        """Whether it may leave its replica."""
        self._failures = 0
        self._hinted = False

    @property
    def replica(self) -> str:
        return self._replicas[self._place]

    def start_at(self, replica: str) -> None:
        self._place = self._replicas.index(replica)

    def learn(self, outcome: Outcome) -> None:
        """Take the answer of the present replica into account."""
        if outcome.type == "ok":
            self._failures = 0
            return
        self._failures += 1
        self._hinted = False
        if not self.moves:
            return
        hint = outcome.leader
        if hint is not None and hint in self._replicas and hint != self.replica:
            self._hinted = True
            self.start_at(hint)
        else:
            self._place = (self._place + 1) % len(self._replicas)

    def pause_seconds(self) -> float:
        """How long to wait before the next attempt: not at all after a success or a first hint, which is no trouble."""
        if self._failures == 0 or (self._failures == 1 and self._hinted):
            return 0.0
        first, longest = _BACKOFF_SECONDS
        return min(longest, first * 2.0 ** min(self._failures - 1, 8)) * self._chance.uniform(0.5, 1.0)


class Tried(NamedTuple):
    """What came of one operation after all its attempts."""

    outcome: Outcome
    replica: str
    """Whom it was sent to last."""
    attempts: int


def carry_out(route: Route, attempts: int, client: str, number: int, operation: Operation) -> Steps[Tried]:
    """Carry out one operation, by as many attempts as it may take. Told to stop, it begins no further one."""
    unknown: Outcome | None = None
    for attempt in range(1, attempts + 1):
        replica = route.replica
        outcome: Outcome = yield Ask(replica, client, number, operation)
        route.learn(outcome)
        if outcome.type == "ok":
            return Tried(outcome, replica, attempt)
        if outcome.type == "info":
            unknown = outcome
        if unknown is None and not route.moves:
            break  # the same replica would say the same again
        if attempt < attempts and (yield Wait(route.pause_seconds())):
            break
    return Tried(unknown or outcome, replica, attempt)
