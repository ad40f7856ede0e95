"""What all of an exploration draws with: sources of chance that have nothing to do with each other."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from pydantic import BaseModel

from faults.schedule import subseed
from harness.explore.variants import Variants
from harness.spec import Named


def dice_of(seed: int, *names: object) -> random.Random:
    """A source of its own for each name: one more thing to draw changes nothing about the others."""
    return random.Random(subseed(seed, "swarm", *names))


def between(dice: random.Random, least: float, most: float) -> float:
    """As likely between 1 and 2 as between 10 and 20."""
    return math.exp(dice.uniform(math.log(least), math.log(most))) if 0 < least < most else most


def varied(named: Named, model: type[BaseModel], variants: Mapping[str, Variants], dice: random.Random) -> Named:
    """Its options, of which those at their defaults may have become one of their variants."""
    options = dict(named.options)
    for option, values in variants.get(named.name, {}).items():
        if option not in model.model_fields:
            continue
        default = model.model_fields[option].get_default(call_default_factory=True)
        value = dice.choice(values)  # drawn in any case: what follows doesn't depend on it
        if options.get(option, default) == default:
            options[option] = value
    return named.model_copy(update={"options": options})
