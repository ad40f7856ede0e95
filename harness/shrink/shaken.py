"""Scripts that are shaken: a little is left out, and the rest is moved a little.

Where no part of a script can be left out as it is, that need not be since the part matters: whatever it does, a delay here
and an election there, changes when all else happens. So what remains is moved about at random; perhaps it falls into place
again.
"""

from __future__ import annotations

import random
from typing import TypeVar

from harness.spec import RunSpec, ScriptedFault, ScriptedOperation

_SPREADS_SECONDS = (0.001, 0.01, 0.05, 0.2)
"""How far things are moved, give or take."""

Item = TypeVar("Item")


def shaken(spec: RunSpec, dice: random.Random, fewer_faults: bool) -> RunSpec:
    """The run of a script without one or two of its faults or of its operations, the rest of it at slightly other times,
    or in a world of other chances."""
    assert spec.script is not None
    operations, faults = spec.script.operations, spec.script.faults
    if fewer_faults:
        faults = _fewer(faults, dice)
    else:
        operations = _fewer(operations, dice)
    spread = dice.choice(_SPREADS_SECONDS)
    share = dice.choice((0.0, 0.3, 1.0))
    script = spec.script.model_copy(
        update={
            "operations": [_operation(one, spread, dice) if dice.random() < share / 2 else one for one in operations],
            "faults": [_fault(one, spread, dice) if dice.random() < share else one for one in faults],
        }
    )
    seed = dice.randrange(1_000_000) if share == 0.0 or dice.random() < 0.3 else spec.seed
    return spec.model_copy(update={"script": script, "seed": seed})


def _fewer(items: list[Item], dice: random.Random) -> list[Item]:
    gone = set(dice.sample(range(len(items)), min(len(items), dice.choice((1, 1, 2)))))
    return [one for place, one in enumerate(items) if place not in gone]


def _operation(one: ScriptedOperation, spread: float, dice: random.Random) -> ScriptedOperation:
    return one.model_copy(update={"at_seconds": _moved(one.at_seconds, spread, dice)})


def _fault(one: ScriptedFault, spread: float, dice: random.Random) -> ScriptedFault:
    begin, end = _moved(one.at_seconds, spread, dice), _moved(one.until_seconds, spread, dice)
    return one.model_copy(update={"at_seconds": min(begin, end), "until_seconds": max(begin, end)})


def _moved(moment: float, spread: float, dice: random.Random) -> float:
    return max(0.0, round(moment + dice.gauss(0.0, spread), 6))
