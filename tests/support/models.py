"""Models as users write them: a good one, and all the ways to get one wrong."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from harness.models.model import Model


class Auction(Model):
    name = "auction"
    functions = {"bid": "value is a price; the result is whether it is the highest so far"}

    def initial(self) -> Any:
        return 0

    def step(self, state, operation):
        higher = operation.value > state
        if operation.type == "ok" and operation.result is not None and operation.result is not higher:
            return f"the highest bid was {state}"
        return [max(state, operation.value)]


class Demanding(Auction):
    def __init__(self, house: str) -> None:
        self.house = house


class RaisesInStep(Auction):
    def step(self, state, operation):
        return {}["highest"]


class ExitsInStep(Auction):
    def step(self, state, operation):
        sys.exit(5)


class ExitsWhenMade(Auction):
    def __init__(self) -> None:
        sys.exit(5)


class GivesNothing(Auction):
    def step(self, state, operation):
        return None


class GivesEmptyList(Auction):
    def step(self, state, operation):
        return []


class GivesLists(Auction):
    def step(self, state, operation):
        return [[operation.value]]


class BeginsWithList(Auction):
    def initial(self):
        return []


class RaisesInPure(Auction):
    def pure(self, operation):
        raise ValueError("no idea")


class RaisesInPartition(Auction):
    def partition(self, operation):
        raise ValueError("no idea")


class PartitionsByNumber(Auction):
    def partition(self, operation):
        return operation.value


class RaisesInProblem(Auction):
    def problem(self, operation):
        raise ValueError("no idea")


class Slow(Auction):
    """Every bid leads to a state of its own, and takes its time."""

    def step(self, state, operation):
        time.sleep(0.02)
        return [state + 2**operation.value]


class NeverReturns(Auction):
    """A bid of 13 is thought about for ever."""

    def step(self, state, operation):
        while operation.value == 13:
            pass
        return super().step(state, operation)

    def partition(self, operation):
        return operation.key


class Greedy(Auction):
    """Asks for much more memory than there is, in one step."""

    def step(self, state, operation):
        return [bytes(1 << 38)]


class Talks(Auction):
    """Prints, which must not end up between the lines of a result."""

    def step(self, state, operation):
        print("bid", operation.value)
        return super().step(state, operation)


class Dies(Auction):
    """Its process is killed, as the system does when memory runs out."""

    def step(self, state, operation):
        if operation.value == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(state, operation)
