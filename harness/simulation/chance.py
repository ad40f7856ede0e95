"""Chance: everything that is drawn in a simulated run comes from its seed, through sources with names.

A source has nothing to do with any other: whoever draws more from one changes nothing for the others. So a client that is
added leaves the faults as they were, and a fault that is taken out leaves the clients' operations as they were::

    chance = Chance(7)
    chance.stream("link", "n1->n2", "accept").random()     # one after the other
    chance.draw("torn write", "n1", 3)                      # the same number for the same names, however often
"""

from __future__ import annotations

import random

from harness.generator import draw_number


class Chance:
    """All the chance of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, *names: object) -> random.Random:
        """A source of its own; asked for again, it begins anew."""
        return random.Random("/".join(map(str, (self.seed, *names))))

    def draw(self, *names: object) -> float:
        """A number from 0 up to 1, which follows from the seed and the names alone."""
        return draw_number(self.seed, *names)
