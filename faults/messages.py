"""Single messages that get lost (`message-loss`), arrive twice (`duplicate`) or late (`reorder`).

Protocols must live with all three: links are fair-loss. A proxy carries a stream of bytes in which no message can be lost
alone, or overtake another; so these faults need a simulated cluster, whose network carries messages one by one.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from faults.cluster import Sounding, Weather
from faults.fault import Evidence, Fault, Ground, Injection, Setting
from faults.links import LinkFaultOptions, links_of
from faults.probing import Tally
from faults.targets import TARGET_DESCRIPTION, choose, target_problem

MOST_LINKS_SOUNDED = 4
"""Of more links than that a sample is measured."""

MOST_TEST_MESSAGES = 2_000
"""For each link."""

SIGMAS = 5.0
"""How sure a measurement has to be: that chance alone makes it wrong happens less than once in a million."""

LEAST_TEST_MESSAGES = 10

Kind = Literal["lost", "duplicated", "late"]


class MessageFaultOptions(LinkFaultOptions):
    target: str = Field(default="all", description=TARGET_DESCRIPTION)
    share: float = Field(default=0.2, ge=0.01, le=1, description="of all messages, from 0.01 to 1")


class MessageFault(Fault):
    """What the faults of this file share: they change the weather of a target's links.

    The proof is by test messages. Where such a thing never befalls messages without a fault, one of them is enough;
    elsewhere what befalls them must be nearer to what was asked than to what is usual. And the other way round when it
    is healed.
    """

    Options = MessageFaultOptions
    options: MessageFaultOptions
    kind: Kind
    words: str
    """What befalls a message, to stand after a share: `10% of messages lost`."""

    def applies_to(self, setting: Setting) -> str | None:
        if setting.cluster != "simulated":
            return (
                f"{self.name}: the proxies of a {setting.cluster} cluster carry bytes and can't single out messages: "
                "use `cluster: simulated`, or the fault partition, latency or reset"
            )
        if self.options.links == "replicas" and len(setting.replicas) < 2:
            return f"{self.name} on links between replicas needs 2 replicas or more: use `links: clients`"
        return target_problem(self.options.target, setting)

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        links = links_of(found.replicas, ground.cluster.replicas, self.options.links)
        ground.weather.claim(number, dict.fromkeys(links, self._weather()))
        which = {"replicas": "", "clients": "client ", "both": "replica and client "}[self.options.links]
        description = (
            f"{self.options.share * 100:g}% of messages {self.words}{self._how()} on {len(links)} {which}"
            f"link{'' if len(links) == 1 else 's'} of {' '.join(found.replicas)}"
        )
        if found.note:
            description += f" ({found.note})"
        return Injection(self.name, number, found.replicas, description, links, found.roles)

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.weather.release(injection.number)

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        tally = self._sound(ground, injection, lambda share, limit: share > limit)
        return tally.evidence(f"{{}} links have messages {self.words}")

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        tally = self._sound(ground, injection, lambda share, limit: share <= limit)
        return tally.evidence(f"{{}} links have no more messages {self.words} than usual")

    @abstractmethod
    def _weather(self) -> Weather: ...

    def _how(self) -> str:
        """More of how it befalls them, in words with a blank in front."""
        return ""

    def _sound(self, ground: Ground, injection: Injection, meets: Callable[[float, float], bool]) -> Tally:
        """Measure the share of test messages that it befalls, against the limit between usual and asked."""
        tally = Tally()
        usual: float = getattr(ground.cluster.usual_weather, self.kind)
        asked = 1 - (1 - usual) * (1 - self.options.share)
        limit = (usual + asked) / 2 if usual else 0.0
        messages = messages_to_tell(usual, asked)
        if messages > MOST_TEST_MESSAGES:
            tally.left_out.append(f"{asked * 100:.3g}% can't be told from the usual {usual * 100:.3g}%")
            return tally
        chance = random.Random(injection.number)
        for link in sorted(chance.sample(injection.links, min(MOST_LINKS_SOUNDED, len(injection.links)))):
            stamp = ground.weather.stamp(link)
            if ground.weather.rivals(link, injection.number, self.kind):
                tally.left_out.append(f"another fault has messages {self.words} on {link} too")
                continue
            sounding = ground.cluster.sound(link, messages)
            if ground.weather.stamp(link) != stamp:
                tally.left_out.append(f"another fault touched {link} meanwhile")
                continue
            share = self._share(sounding)
            if share is None:
                tally.left_out.append(f"no test message arrived over {link}")
                continue
            measurement = {"link": str(link), "messages": messages, self.kind: round(share, 3)}
            tally.add({**measurement, "limit": round(limit, 3)}, meets(share, limit))
        return tally

    def _share(self, sounding: Sounding) -> float | None:
        """The share of those messages that it could have befallen."""
        possible = sounding.sent - (0 if self.kind == "lost" else sounding.lost)
        found: int = getattr(sounding, self.kind)
        return found / possible if possible else None


class MessageLoss(MessageFault):
    name = "message-loss"
    summary = "messages get lost, each by a draw of its own (simulated clusters only)"
    kind = "lost"
    words = "lost"

    def _weather(self) -> Weather:
        return Weather(lost=self.options.share)


class DuplicateOptions(MessageFaultOptions):
    within_ms: int = Field(default=200, ge=1, le=60_000, description="how long after the first one the second arrives")


class Duplicate(MessageFault):
    name = "duplicate"
    summary = "messages arrive twice, the second time a little later (simulated clusters only)"
    Options = DuplicateOptions
    options: DuplicateOptions
    kind = "duplicated"
    words = "delivered twice"

    def _weather(self) -> Weather:
        return Weather(duplicated=self.options.share, late_ms=self.options.within_ms)

    def _how(self) -> str:
        return f" within {self.options.within_ms} ms"


class ReorderOptions(MessageFaultOptions):
    late_ms: int = Field(default=200, ge=1, le=60_000, description="how late a straggler is at most, evenly drawn")


class Reorder(MessageFault):
    name = "reorder"
    summary = "messages straggle, so that those sent after them overtake them (simulated clusters only)"
    Options = ReorderOptions
    options: ReorderOptions
    kind = "late"
    words = "late"

    def _weather(self) -> Weather:
        return Weather(late=self.options.share, late_ms=self.options.late_ms)

    def _how(self) -> str:
        return f" by up to {self.options.late_ms} ms"


def messages_to_tell(usual: float, asked: float) -> int:
    """How many messages it takes to tell two probabilities from one another, by the middle between them.

    If the usual one is 0, so many that the other one shows at least once.
    """
    if usual:
        spread = max(math.sqrt(share * (1 - share)) for share in (usual, asked))
        needed = (SIGMAS * spread / ((asked - usual) / 2)) ** 2
    else:
        needed = math.log(1e-6) / math.log(1 - asked) if asked < 1 else 1.0
    return max(LEAST_TEST_MESSAGES, math.ceil(needed))
