"""What the nemesis did, one entry for each injection: put together from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.history import NEMESIS, Event

Proof = Literal["proved", "ineffective", "unproved", "failed", "unfinished"]


@dataclass
class Injected:
    """One injection and its healing. Times are nanoseconds since the run began, None if it didn't come so far."""

    number: int
    fault: str
    begun_at: int
    applied_at: int | None = None
    """When it was in effect."""
    healing_at: int | None = None
    """When healing began."""
    healed_at: int | None = None
    """When it was mended, before that was proved."""
    targets: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    description: str = ""
    proof: Proof = "unfinished"
    """`proved`: measured. `ineffective`: measured, and nothing was broken. `unproved`: nothing could be measured.
    `failed`: injecting failed. `unfinished`: the run ended on the way."""
    detail: str = ""
    """The evidence, or the error."""
    healing: Proof = "unfinished"
    healing_detail: str = ""


def injections(events: Iterable[Event]) -> list[Injected]:
    """In the order in which they began."""
    by_number: dict[Any, Injected] = {}
    for event in events:
        if event.get("process") != NEMESIS:
            continue
        number, function, kind = event.get("number"), event.get("f"), event.get("type")
        time = int(event.get("time", 0))
        if function == "inject" and kind == "invoke":
            by_number[number] = Injected(int(number or 0), str(event.get("fault", "?")), begun_at=time)
        injected = by_number.get(number)
        if injected is None:
            continue
        if function == "inject" and kind != "invoke":
            _complete_injecting(injected, event, time)
        elif function == "heal" and kind == "invoke":
            injected.healing_at = time
        elif function == "heal":
            _complete_healing(injected, event, time)
    return list(by_number.values())


def _complete_injecting(injected: Injected, event: Event, time: int) -> None:
    injected.targets = list(event.get("targets") or [])
    injected.roles = dict(event.get("roles") or {})
    injected.description = str(event.get("description") or "")
    injected.proof, injected.detail = _proof(event)
    if injected.proof != "failed":
        injected.applied_at = int(event.get("applied", time))


def _complete_healing(injected: Injected, event: Event, time: int) -> None:
    injected.healing, injected.healing_detail = _proof(event)
    if injected.healing != "failed":
        injected.healed_at = int(event.get("applied", time))


def _proof(event: Event) -> tuple[Proof, str]:
    if event.get("type") == "fail":
        return "failed", str(event.get("error") or "")
    evidence = event.get("evidence") or {}
    effective, detail = evidence.get("effective"), str(evidence.get("detail") or "")
    if effective is None:
        return "unproved", detail
    return ("proved" if effective else "ineffective"), detail
