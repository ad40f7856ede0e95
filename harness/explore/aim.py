"""Faults that aim: a long siege of whoever is in charge, and strikes, which wait for a moment.

What faults at drawn times hit is mostly nothing: a replica between two messages. Some bugs need a leader that is alone until
its lease is over while the others go on, and some a replica that dies between one message and the next. So some runs have
besides, or instead:

- a SIEGE: the partition `isolate` of whoever is in charge, for seconds, again and again, and no other partition;
- STRIKES: streams of faults each of which strikes when a replica sends or gets a message of one type, or writes a record of
  one type down, see `harness.spec.Moment`. For how long and how often differs from run to run.

Only faults that the campaign has, and of those only what it leaves open: whom they hit, and the shape of a partition.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from faults.catalogue import FAULTS
from faults.fault import Setting
from harness.explore.drawing import between, dice_of, varied
from harness.explore.variants import FAULT_VARIANTS, MESSAGES, ONLY_TOLD, RECORDS, STRIKING
from harness.spec import Choice, Moment, Named, Stream, What

SIEGES = 0.3
"""The share of runs that have a siege, if their faults have partitions."""
UNREST = 0.5
"""The share of sieges during which the others are killed now and then, if the faults have kills."""
STRIKES = 0.4
"""The share of runs that have strikes."""
TOLD = 0.9
"""The same, of what the campaign says."""
SIEGE = "siege"
"""In `ExploreSpec.moments`, in place of a moment."""

PEACE = 0.67
"""The share of the runs that aim from which the other faults are left out."""
_SIEGE_SECONDS = (3.0, 6.0)
_UNREST_EVERY_SECONDS = (0.25, 1.0)
_UNREST_FOR_SECONDS = (0.01, 0.3)
_AFTER_MS = (0.001, 30.0)
_AT_ONCE = (0.001, 0.001)
_REST_SECONDS = (0.02, 2.0)
_SHARES = (0.02, 1.0)
_TOLD_SHARES = (0.1, 1.0)
"""Of the moments that come by, at any and at told ones."""
_COUNTS = (1, 1, 2, 3)

Told = Mapping[str, Sequence[str]]
"""Faults, and the moments at which they may strike; as in `ExploreSpec.moments`."""


def aimed(
    streams: Sequence[Stream], pool: Sequence[Choice], told: Told | None, setting: Setting, seed: int
) -> list[Stream]:
    """The streams, and perhaps some that aim. With those the others are mostly left out: what has to happen in between
    needs some peace."""
    dice = dice_of(seed, "aim")
    peaceful, besieged, struck = dice.random() < PEACE, dice.random(), dice.random()
    siege, strikes = [], []
    if besieged < (TOLD if told and SIEGE in told.get("partition", ()) else SIEGES):
        siege = _siege(pool, setting, dice_of(seed, "siege"))
    if struck < (TOLD if told else STRIKES):
        strikes = list(_strikes(pool, told, setting, dice_of(seed, "strikes")))
    rest = [] if peaceful and (strikes or len(siege) > 1) else list(streams)
    if siege:  # another partition at the same time would hide it
        rest = [fewer for one in rest if (fewer := _without_fault(one, "partition")) is not None]
    return [*rest, *siege, *strikes]


def _siege(pool: Sequence[Choice], setting: Setting, dice: random.Random) -> list[Stream]:
    partition = next((choice for choice in pool if choice.fault == "partition" and _may_aim(choice)), None)
    if partition is None:
        return []
    options = {**partition.options, "shape": "isolate", "target": setting.chief or "one"}
    for_seconds = round(dice.uniform(*_SIEGE_SECONDS), 2)
    stream = Stream(
        choices=[Choice(fault="partition", options=options, for_seconds=for_seconds)],
        every_seconds=round(for_seconds * 1.25 + dice.uniform(0.3, 2.0), 2),  # with its spread, never two at a time
        first_seconds=round(dice.uniform(0.1, 1.0), 2),
    )
    unrest = _unrest(pool, setting, dice)
    return [stream, *unrest] if dice.random() < UNREST else [stream]


def _unrest(pool: Sequence[Choice], setting: Setting, dice: random.Random) -> list[Stream]:
    """Meanwhile the others are killed and restarted, one every now and then."""
    kill = next((choice for choice in pool if choice.fault == "kill" and _may_aim(choice)), None)
    if kill is None:
        return []
    options = {**kill.options, "target": "one" if setting.chief is None else "follower"}
    for_seconds = round(between(dice, *_UNREST_FOR_SECONDS), 3)
    choice = Choice(fault="kill", options=options, for_seconds=for_seconds)
    return [Stream(choices=[choice], every_seconds=round(between(dice, *_UNREST_EVERY_SECONDS), 2), first_seconds=1.0)]


def _strikes(pool: Sequence[Choice], told: Told | None, setting: Setting, dice: random.Random) -> Iterator[Stream]:
    """One for each moment that is told; else some, at any moments."""
    fit = {choice.fault: choice for choice in pool if choice.fault in STRIKING and _may_aim(choice)}
    if told is not None:
        for fault in told:
            for moment in told[fault] if fault in fit else ():
                if moment != SIEGE:
                    yield _strike(fit[fault], moment, "doer", _TOLD_SHARES, dice)
        return
    faults = sorted(set(fit) - ONLY_TOLD)
    for _ in range(dice.choice(_COUNTS) if faults else 0):
        choice, moment = fit[dice.choice(faults)], dice.choice(moments_of(setting.protocol))
        yield _strike(choice, moment, dice.choice(("doer", "doer", "peer")), _SHARES, dice)


def moments_of(protocol: str) -> list[str]:
    """What the protocol's replicas do, each as `ExploreSpec.moments` says it."""
    messages, records = MESSAGES.get(protocol, ("",)), RECORDS.get(protocol, ("",))
    pairs = [(what, kind) for what in ("send", "deliver") for kind in messages] + [("append", kind) for kind in records]
    return [f"{what} {kind}".rstrip() for what, kind in pairs]


def _strike(choice: Choice, told: str, hits: Any, shares: tuple[float, float], dice: random.Random) -> Stream:
    named = Named(name=choice.fault, options=choice.options)
    options = {**varied(named, FAULTS[choice.fault].Options, FAULT_VARIANTS, dice).options, "target": "one"}
    if choice.fault == "partition":
        shape = dice.choice(("isolate", "isolate", "isolate", "one-way"))
        options["clients"] = choice.options["clients"]  # whom its clients still reach, and nobody else, goes astray
        options["shape"] = "isolate" if options["clients"] else shape  # the other has no side for the clients
    what, _, kind = told.partition(" ")
    moment = Moment(
        what=cast(What, what),
        kind=kind,
        share=round(between(dice, *shares), 3),
        after_ms=dice.choice((*_AT_ONCE, round(between(dice, *_AFTER_MS), 3))),
        rest_seconds=dice.choice((0.0, 0.0, 0.0, round(between(dice, *_REST_SECONDS), 2))),
        hits=hits,
    )
    for_seconds = round(between(dice, *STRIKING[choice.fault]), 4)
    striking = Choice(fault=choice.fault, options=options, for_seconds=for_seconds)
    return Stream(choices=[striking], every_seconds=None, moment=moment)


def _may_aim(choice: Choice) -> bool:
    """Whether the campaign leaves open whom the fault hits, and how."""
    return _is_open(choice, "target") and (choice.fault != "partition" or _is_open(choice, "shape"))


def _is_open(choice: Choice, option: str) -> bool:
    fields = FAULTS[choice.fault].Options.model_fields
    return option in fields and choice.options.get(option, fields[option].default) == fields[option].default


def _without_fault(stream: Stream, fault: str) -> Stream | None:
    """None if nothing is left of it."""
    rest = [choice for choice in stream.choices if choice.fault != fault]
    return stream.model_copy(update={"choices": rest}) if rest else None
