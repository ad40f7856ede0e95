"""Links that work badly: late (`latency`), narrow (`slow`), or torn (`reset`).

Each hits the links of a target: those between it and the other replicas, in both directions, or those from the clients to
it, or both. Links are directed, and a message between replicas is a request over one link: so a message to the target and
its answer, a message back, each suffer once.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from faults.cluster import CLIENT, Condition, Link, Mode, Ping, all_links
from faults.fault import Evidence, Fault, FaultOptions, Ground, Injection, Setting
from faults.probing import PATIENCE_SECONDS, PING_BYTES, Expectation, fails_with, passes, ping_all
from faults.targets import TARGET_DESCRIPTION, choose, target_problem

MEASURABLE_SECONDS = 0.02
"""A ping that is less late than that can't be told from one that met a busy machine."""

BUSY_PING_SECONDS = 0.25
"""A machine that is busy with the replicas may take as long for a ping on a clear link."""

LONGEST_PROOF_SECONDS = 3.0
"""A ping that is later than that is not waited for."""


class LinkFaultOptions(FaultOptions):
    target: str = Field(default="one", description=TARGET_DESCRIPTION)
    links: Literal["replicas", "clients", "both"] = Field(
        default="replicas", description="which links of the target: to and from other replicas, from clients, or both"
    )


class LinkFault(Fault):
    """What the faults of this file share: they put every link of a target into one mode."""

    Options = LinkFaultOptions
    options: LinkFaultOptions

    def applies_to(self, setting: Setting) -> str | None:
        if self.options.links == "replicas" and len(setting.replicas) < 2:
            return f"{self.name} on links between replicas needs 2 replicas or more: use `links: clients`"
        return target_problem(self.options.target, setting)

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        found = choose(self.options.target, ground.cluster, random)
        links = links_of(found.replicas, ground.cluster.replicas, self.options.links)
        conditions = {link: self._condition(random) for link in links}
        ground.links.claim(number, conditions)
        description = self._words() + self._where(found.replicas, len(links))
        if found.note:
            description += f" ({found.note})"
        details = self._details(conditions)
        return Injection(self.name, number, found.replicas, description, links, found.roles, details)

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.links.release(injection.number)

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        tally = ping_all(ground, injection.links, injection.number, False, lambda link: passes())
        return tally.evidence("{} links let pings through again")

    @abstractmethod
    def _condition(self, chance: random.Random) -> Condition:
        """The condition of one link."""

    @abstractmethod
    def _words(self) -> str:
        """How hard it hits, in words with a blank at the end, if there is anything to say: `100 ms +- 50 ms `."""

    def _where(self, targets: Sequence[str], count: int) -> str:
        """The links in words: `on 8 links of n2`."""
        links = {"replicas": "", "clients": "client ", "both": "replica and client "}[self.options.links]
        return f"on {count} {links}link{'' if count == 1 else 's'} of {' '.join(targets)}"

    def _details(self, conditions: dict[Link, Condition]) -> dict[str, Any]:
        return {}


class LatencyOptions(LinkFaultOptions):
    target: str = Field(default="all", description=TARGET_DESCRIPTION)
    latency_ms: int = Field(default=100, ge=1, le=60_000, description="how much longer every request takes")
    jitter_ms: int = Field(
        default=50, ge=0, le=60_000, description="give or take up to so much, drawn by the seed for each link"
    )

    @model_validator(mode="after")
    def _jitter_leaves_latency(self) -> LatencyOptions:
        if self.jitter_ms >= self.latency_ms:
            raise ValueError(f"jitter_ms ({self.jitter_ms}) has to be less than latency_ms ({self.latency_ms})")
        return self


class Latency(LinkFault):
    """The jitter is drawn once for each link of an injection and stays: the proxies' own dice follow no seed."""

    name = "latency"
    summary = "requests take longer to arrive, on every link by another amount"
    Options = LatencyOptions
    options: LatencyOptions

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        added = injection.details["latency_ms"]

        def late(link: Link) -> Expectation:
            return _later_than(added[str(link)] / 1000)

        measurable = [link for link in injection.links if added[str(link)] / 1000 >= MEASURABLE_SECONDS]
        if not measurable:
            return Evidence(None, f"not measured: less than {MEASURABLE_SECONDS * 1000:.0f} ms can't be told from none")
        tally = ping_all(ground, measurable, injection.number, True, late)
        return tally.evidence("{} links delay a ping by what was added")

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        added = injection.details["latency_ms"]

        def prompt(link: Link) -> Expectation:
            return _sooner_than(added[str(link)] / 1000)

        tally = ping_all(ground, injection.links, injection.number, False, prompt)
        return tally.evidence("{} links no longer delay a ping")

    def _condition(self, chance: random.Random) -> Condition:
        jitter_ms = chance.randint(-self.options.jitter_ms, self.options.jitter_ms)
        return Condition(Mode.LATENCY, "requests", latency_ms=self.options.latency_ms + jitter_ms)

    def _words(self) -> str:
        jitter = f" +- {self.options.jitter_ms} ms" if self.options.jitter_ms else ""
        return f"{self.options.latency_ms} ms{jitter} "

    def _details(self, conditions: dict[Link, Condition]) -> dict[str, Any]:
        return {"latency_ms": {str(link): condition.latency_ms for link, condition in conditions.items()}}


class SlowOptions(LinkFaultOptions):
    rate_bytes_per_second: int = Field(
        default=2_000, ge=1_000, multiple_of=1_000, description="how much passes, in whole thousands"
    )


class Slow(LinkFault):
    """The proof is that a ping takes as long as its few bytes need, so it needs a rate that they feel."""

    name = "slow"
    summary = "links let only so many bytes a second through, so that messages queue up"
    Options = SlowOptions
    options: SlowOptions

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        rate = self.options.rate_bytes_per_second
        seconds = PING_BYTES / rate
        if seconds < MEASURABLE_SECONDS:
            most = int(PING_BYTES / MEASURABLE_SECONDS)
            return Evidence(None, f"not measured: a ping is too small for {rate} bytes/s, up to {most} can be proved")
        tally = ping_all(ground, injection.links, injection.number, True, lambda link: _later_than(seconds))
        return tally.evidence("{} links take as long for a ping as its bytes need")

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        seconds = PING_BYTES / self.options.rate_bytes_per_second
        tally = ping_all(ground, injection.links, injection.number, False, lambda link: _sooner_than(seconds))
        return tally.evidence("{} links no longer delay a ping")

    def _condition(self, chance: random.Random) -> Condition:
        return Condition(Mode.SLOW, rate_bytes_per_second=self.options.rate_bytes_per_second)

    def _words(self) -> str:
        return f"{self.options.rate_bytes_per_second} bytes/s "


class Reset(LinkFault):
    name = "reset"
    summary = "connections are torn: every request ends with a reset"

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        tally = ping_all(ground, injection.links, injection.number, True, lambda link: fails_with("closed"))
        return tally.evidence("{} links cut a ping in flight")

    def _condition(self, chance: random.Random) -> Condition:
        return Condition(Mode.RESET)

    def _words(self) -> str:
        return ""


def links_of(targets: Sequence[str], replicas: tuple[str, ...], which: str) -> tuple[Link, ...]:
    """The links to and from the targets: those between `replicas`, those from `clients`, or `both`."""
    links = [link for link in all_links(replicas) if link.source in targets or link.target in targets]
    if which == "both":
        return tuple(links)
    return tuple(link for link in links if (link.source == CLIENT) == (which == "clients"))


def _later_than(seconds: float) -> Expectation:
    """Every ping takes so long; a short delay is measured three times, since a busy machine delays a ping now and then.

    Where the delay is longer than anybody wants to wait, no answer until then is as good.
    """
    if seconds >= LONGEST_PROOF_SECONDS:
        return fails_with("timeout", LONGEST_PROOF_SECONDS)
    # A timer may ring a little early, by the clock of another process.
    least = seconds * 0.95

    def late(ping: Ping) -> bool:
        return ping.outcome == "ok" and ping.seconds >= least

    attempts = 3 if seconds <= LONGEST_PROOF_SECONDS / 10 else 1
    return Expectation(f"at least {seconds * 1000:.0f} ms", late, seconds + 1.5, attempts, every=True)


def _sooner_than(seconds: float) -> Expectation:
    """One ping is quicker than that. If none is, but all are as quick as on a busy machine, nobody can tell."""
    limit = max(seconds, MEASURABLE_SECONDS)

    def prompt(ping: Ping) -> bool:
        return ping.outcome == "ok" and ping.seconds < limit

    def busy(ping: Ping) -> bool:
        return ping.outcome == "ok" and ping.seconds < BUSY_PING_SECONDS

    return Expectation(f"less than {limit * 1000:.0f} ms", prompt, PATIENCE_SECONDS, attempts=5, undecided=busy)
