"""All faults by name, and how to make one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from faults.clocks import Clock
from faults.disks import DiskFull, DiskSlow, SyncFails
from faults.fault import Fault, Setting
from faults.links import Latency, Reset, Slow
from faults.messages import Duplicate, MessageLoss, Reorder
from faults.partitions import Partition
from faults.processes import Kill, Pause, Wipe

_ALL: tuple[type[Fault], ...] = (
    *(Partition, Latency, Slow, Reset),
    *(Kill, Pause, Wipe, Clock),
    *(MessageLoss, Duplicate, Reorder),
    *(DiskSlow, DiskFull, SyncFails),
)

FAULTS: dict[str, type[Fault]] = {fault.name: fault for fault in _ALL}


class BadFault(ValueError):
    """There is no such fault, or not with these options; the message is one sentence."""


def make_fault(name: str, options: Mapping[str, Any]) -> Fault:
    """The fault of that name with these options. Raises `BadFault`."""
    if name not in FAULTS:
        raise BadFault(f"unknown fault {name!r}: {_nearest(name, FAULTS)}")
    fault = FAULTS[name]
    try:
        return fault(fault.Options.model_validate(dict(options)))
    except ValidationError as error:
        raise BadFault(f"fault {name!r}: {_sentence(error, fault)}") from error


def fault_problem(name: str, options: Mapping[str, Any], setting: Setting) -> str | None:
    """None if the fault can be injected in this setting, else one sentence: why not, and what would do."""
    try:
        return make_fault(name, options).applies_to(setting)
    except BadFault as error:
        return str(error)


def _sentence(error: ValidationError, fault: type[Fault]) -> str:
    """What is wrong with the first option that is wrong."""
    first = error.errors()[0]
    option = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown option {option!r}: {_nearest(option, fault.Options.model_fields)}"
    what = first["msg"].removeprefix("Value error, ")
    return f"option {option!r}: {what}, and not {first['input']!r}" if option else what


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
