"""Replicas that stop: killed and restarted later (`kill`), stopped in the middle of whatever they do (`pause`), or killed
with all that they had stored (`wipe`)."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any, ClassVar

from pydantic import Field

from faults.fault import Evidence, Fault, FaultOptions, Ground, Injection, Setting
from faults.holds import Hold
from faults.parallel import in_parallel
from faults.probing import Tally, look_at
from faults.targets import TARGET_DESCRIPTION, choose, target_problem


class ProcessFaultOptions(FaultOptions):
    target: str = Field(default="one", description=TARGET_DESCRIPTION)


class ProcessFault(Fault):
    """What `kill` and `pause` share: they hold replicas, and mend by letting go."""

    Options = ProcessFaultOptions
    options: ProcessFaultOptions
    hold: ClassVar[Hold]

    def applies_to(self, setting: Setting) -> str | None:
        return target_problem(self.options.target, setting)

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        states = dict(zip(found.replicas, in_parallel(ground.cluster.state, found.replicas), strict=True))
        ground.processes.claim(number, dict.fromkeys(found.replicas, self.hold))
        description = " ".join(found.replicas) + (f" ({found.note})" if found.note else "")
        details = {"states_before": states}
        return Injection(self.name, number, found.replicas, description, roles=found.roles, details=details)

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.processes.release(injection.number)

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        def spoiled(replica: str) -> str | None:
            stamp = ground.processes.stamp(replica)
            return f"another fault holds {replica}" if stamp.claimants or stamp.busy else None

        tally = look_at(ground, injection.targets, spoiled, lambda replica: works(ground, replica))
        return tally.evidence("{} replicas are up and answer")

    def _look(self, ground: Ground, injection: Injection, state: str, silent: bool) -> Tally:
        """Whether the targets are in this state, and silent, as far as this injection and nobody else is the reason."""

        def spoiled(replica: str) -> str | None:
            before = injection.details["states_before"][replica]
            if before in ("down", state):
                return f"{replica} was {before} already"
            deadly = (self.hold, Hold.DOWN, Hold.AILING)
            holders = frozenset().union(*(ground.processes.holders(replica, hold) for hold in deadly))
            others = holders - {injection.number}
            return f"another fault holds {replica}" if others or ground.processes.stamp(replica).busy else None

        def measure(replica: str) -> tuple[dict[str, Any], bool]:
            measured = ground.cluster.state(replica)
            if not silent:
                return {"state": measured}, measured == state
            answers = ground.cluster.status(replica) is not None
            return {"state": measured, "answers": answers}, measured == state and not answers

        return look_at(ground, injection.targets, spoiled, measure)


class Kill(ProcessFault):
    name = "kill"
    summary = "a replica is killed (SIGKILL: what it had not synced is lost), and restarted when the fault is healed"
    hold = Hold.DOWN

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, "down", silent=False).evidence("{} replicas are gone")


class Pause(ProcessFault):
    name = "pause"
    summary = "a replica stands still, its connections open, and goes on later as if no time had passed"
    hold = Hold.PAUSED

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        return self._look(ground, injection, "paused", silent=True).evidence("{} replicas are stopped and silent")


class Wipe(ProcessFault):
    """More than a protocol that keeps its promises on disk can survive in general: what a replica has promised or
    acknowledged is forgotten, and a majority that forgets may decide once more, and otherwise. What it shows is what a
    disk is good for, and whether a protocol knows a replica that has lost its memory.
    """

    name = "wipe"
    summary = "a replica is killed and forgets all that it had stored, which few protocols promise to survive"
    hold = Hold.DOWN

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        # From here on nobody else brings it up, with or without its memory.
        ground.processes.claim(number, dict.fromkeys(found.replicas, Hold.AILING))
        wiped = in_parallel(ground.cluster.wipe, found.replicas)
        ground.processes.claim(number, dict.fromkeys(found.replicas, self.hold))
        description = " ".join(found.replicas) + (f" ({found.note})" if found.note else "")
        details = {"wiped": {name: asdict(one) for name, one in zip(found.replicas, wiped, strict=True)}}
        return Injection(self.name, number, found.replicas, description, roles=found.roles, details=details)

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        wiped = injection.details["wiped"]

        def spoiled(replica: str) -> str | None:
            if not wiped[replica]["bytes_before"]:
                return f"nobody knows that {replica} had stored anything"
            return f"another fault holds {replica}" if ground.processes.stamp(replica).busy else None

        def measure(replica: str) -> tuple[dict[str, Any], bool]:
            state = ground.cluster.state(replica)
            forgot: bool = wiped[replica]["bytes_after"] < wiped[replica]["bytes_before"]
            return {"state": state, **wiped[replica]}, state == "down" and forgot

        return look_at(ground, injection.targets, spoiled, measure).evidence(
            "{} replicas are gone, with what they knew"
        )


def works(ground: Ground, replica: str) -> tuple[dict[str, Any], bool]:
    """Up, and answering within three questions: a replica that comes back has much to do at first."""
    state = ground.cluster.state(replica)
    answers = any(ground.cluster.status(replica) is not None for _ in range(3))
    return {"state": state, "answers": answers}, state == "up" and answers
