"""The virtual network: what becomes of each message on each directed link.

A link has two ways: requests flow from its source to its target, answers flow back. Messages between replicas are
requests. On its way a message suffers

- its delay: at least `delay_ms`, and up to some `jitter_ms` more. As over one connection nothing overtakes anything,
  except for the share `overtaking`;
- the condition of the link (`faults.cluster.Condition`), which a fault sets. What is under way when a link is cut is lost;
- the weather of the link (`faults.cluster.Weather`): that of the run, and what faults add to it.

A message is named by its way, its kind (the type of a message, the name of a client) and how many of that kind went this
way before: `n1->n2 accept 3`. Its fate is drawn for that name. So when one message is taken out of a run, those of other
kinds and ways keep their fates. `edits` give single messages another fate: that is how a run is shrunk. They may name a
message by its time as well, `n1->n2 accept @1.25`: the first of that kind that is sent there from 1.25 s on, and `@1.25+2`
the third. That name stays true when messages before it are taken out. What is late, or arrives twice, may have its
milliseconds: `late 731.5`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from faults.cluster import (
    CALM,
    CLEAR,
    CLIENT,
    Condition,
    Link,
    Mode,
    NetworkError,
    Ping,
    Sounding,
    Weather,
    all_links,
)
from harness.simulation.chance import Chance
from harness.simulation.copies import decode
from harness.simulation.loop import MILLISECOND, SECOND, Loop
from harness.simulation.trace import Trace
from harness.spec import SimulationSpec

Fate = Literal["lost", "on time", "late", "duplicated"]
FATES: tuple[Fate, ...] = get_args(Fate)
Edits = Mapping[str, str]
"""Messages by name, and what shall become of them instead of what was drawn: a fate, perhaps with its milliseconds."""

Appointed = tuple[Fate, int | None]
"""A fate, and how late in nanoseconds; None: as drawn."""

_ENVELOPE_BYTES = 60
"""What a message has around it on a real link."""
_PING_BYTES = {"requests": 130, "responses": 90}
_LONGEST_QUEUE_NS = SECOND
"""A message that would wait longer than this for a slow link is dropped by its sender (see `node.links`)."""
_LONGEST_JITTER = 20
"""An exponential jitter is at most so many times its mean."""
_MODE_CLEAR = Mode.CLEAR
"""An enumeration looks its members up anew each time."""
_CUTTING = (Mode.RESET, Mode.DROP, Mode.REFUSE)

Deliver = Callable[..., object]


class Way:
    """One way of one link."""

    __slots__ = (
        "condition", "dropped_bytes", "duplicated", "fair", "free_at", "kinds", "late", "late_ns", "latest", "link",
        "lost", "name", "passed_bytes", "source", "stream", "target", "weather",
    )  # fmt: skip

    def __init__(self, link: Link, stream: Literal["requests", "responses"]) -> None:
        self.link = link
        self.stream = stream
        ends = (link.source, link.target) if stream == "requests" else (link.target, link.source)
        self.source, self.target = ends
        self.name = f"{self.source}->{self.target}"
        self.condition = CLEAR
        """As far as it harms this way; CLEAR else."""
        self.weather = CALM
        self.kinds: dict[str, list[Any]] = {}
        """The source of chance of each kind, and how many of it there were."""
        self.latest = 0
        """When what keeps the order arrives last."""
        self.free_at = 0
        """When a slow link has passed what it has to pass."""
        self.passed_bytes = 0
        self.dropped_bytes = 0
        self.lost = self.duplicated = self.late = 0.0
        self.late_ns = 0
        self.fair = True
        """Whether the weather does nothing to any message."""


class VirtualNetwork:
    """All links of a cluster. Is a `faults.cluster.Network`."""

    def __init__(
        self,
        loop: Loop,
        chance: Chance,
        settings: SimulationSpec,
        replicas: tuple[str, ...],
        edits: Edits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._befell: dict[str, Counter[str]] = {fate: Counter() for fate in ("lost", "late", "duplicated")}
        self.begun = False
        self.began_ns = 0
        """When the run began; steps of the trace count from here."""
        self._loop = loop
        self._chance = chance
        self._settings = settings
        self._edits = {name: _fate_of(text) for name, text in (edits or {}).items()}
        self._appointed = _appointed(self._edits)
        self._trace = trace
        self._plain = trace is None and not edits
        """Whether a message that fares well need not have a name."""
        self._conditions = dict.fromkeys(all_links(replicas), CLEAR)
        self.requests = {link: Way(link, "requests") for link in self._conditions}
        self.responses = {link: Way(link, "responses") for link in self._conditions}
        self._delay_ns = round(settings.delay_ms * MILLISECOND)
        self._jitter_ns = round(settings.jitter_ms * MILLISECOND)
        self._exponential = settings.distribution == "exponential"
        self._overtaking = settings.overtaking
        self.usual_weather = Weather(settings.lost, settings.duplicated, settings.late, settings.late_ms)
        for link in self._conditions:
            self._set_weather(link, CALM)

    def counts(self) -> dict[str, Counter[str]]:
        """Messages between replicas by type: `sent`, and those that the weather `lost`, made `late` or `duplicated`."""
        sent: Counter[str] = Counter()
        for link, way in self.requests.items():
            if link.source != CLIENT:
                for kind, known in way.kinds.items():
                    if kind not in ("ping", "sounding"):
                        sent[kind] += known[1]
        return {"sent": sent, **self._befell}

    # ---- what faults see and do

    def apply(self, changes: Mapping[Link, Condition]) -> None:
        for link, condition in changes.items():
            if link not in self._conditions:
                raise NetworkError(f"there is no link {link}")
            self._conditions[link] = condition
            both = condition.streams == "both" or condition.mode in (Mode.RESET, Mode.REFUSE)
            for way in (self.requests[link], self.responses[link]):
                way.condition = condition if both or condition.streams == way.stream else CLEAR

    def conditions(self) -> dict[Link, Condition]:
        return dict(self._conditions)

    def traffic(self) -> dict[Link, dict[str, int]]:
        found = {}
        for link in self._conditions:
            ways = (self.requests[link], self.responses[link])
            passed, dropped = sum(way.passed_bytes for way in ways), sum(way.dropped_bytes for way in ways)
            found[link] = {"passed_bytes": passed, "dropped_bytes": dropped, "connections": 1}
        return found

    @property
    def tainted(self) -> str | None:
        return None

    def set_weather(self, changes: Mapping[Link, Weather]) -> None:
        for link, weather in changes.items():
            self._set_weather(link, weather)

    def clear_up(self) -> None:
        """From now on nothing is lost, repeated or late but by a fault: nobody promises progress under any other sky."""
        self.usual_weather = Weather(late_ms=self.usual_weather.late_ms)
        for link, way in self.requests.items():
            self._set_weather(link, way.weather)

    def _set_weather(self, link: Link, weather: Weather) -> None:
        """What the run's weather and that of a fault do together."""
        usual = self.usual_weather
        for way in (self.requests[link], self.responses[link]):
            way.weather = weather
            way.lost = _either(usual.lost, weather.lost)
            way.duplicated = _either(usual.duplicated, weather.duplicated)
            way.late = _either(usual.late, weather.late)
            way.fair = not (way.lost or way.duplicated or way.late)
            usual_late_ms = usual.late_ms if usual.late or self._edits else 0
            way.late_ns = max(usual_late_ms, weather.late_ms) * MILLISECOND

    def sound(self, link: Link, messages: int) -> Sounding:
        """Send test messages and count what the weather does to them; see `faults.cluster.Cluster.sound`."""
        way = self.requests[link]
        lost = duplicated = late = 0
        for _ in range(messages):
            draw = (way.kinds.get("sounding") or self._new_kind(way, "sounding"))[0]
            fate = self._fate(way, draw(), draw())
            lost += fate == "lost"
            duplicated += fate == "duplicated"
            late += fate == "late"
        return Sounding(messages, lost, duplicated, late)

    def ping(self, link: Link, timeout_seconds: float, answers: Literal["up", "down", "paused"]) -> Ping:
        """A request over the link and its answer, as they would fare now; `answers` is the state of the target.

        Not subject to the weather: like every connection a ping repeats what is lost.
        """
        taken = 0
        for way in (self.requests[link], self.responses[link]):
            known = way.kinds.get("ping") or self._new_kind(way, "ping")
            known[1] += 1
            taken += self._delay_ns + int(self._jitter_ns * known[0]())
            mode = way.condition.mode
            if mode is Mode.REFUSE:
                return Ping(link, "refused", taken / SECOND)
            if mode is Mode.RESET:
                return Ping(link, "closed", taken / SECOND, "Connection reset by peer")
            if mode is Mode.DROP:
                return Ping(link, "timeout", timeout_seconds)
            if answers == "down":
                return Ping(link, "closed", taken / SECOND, f"{link.target} is down")
            taken += self._hindrance(way, _PING_BYTES[way.stream], f"{way.name} ping {known[1]}")
        if answers == "paused" or taken / SECOND > timeout_seconds:
            return Ping(link, "timeout", timeout_seconds)
        return Ping(link, "ok", taken / SECOND)

    # ---- carrying messages

    def carry(self, way: Way, kind: str, text: bytes, deliver: Deliver, *arguments: Any) -> Mode:
        """Send a message; `deliver` is called with the arguments and the text when it arrives, as often as it does.

        Returns what its sender can tell of the link at once.
        """
        known = way.kinds.get(kind) or self._new_kind(way, kind)
        known[1] += 1
        draw = known[0]
        # The same number of draws for every message, whatever becomes of it.
        place, mishap, lateness, order = draw(), draw(), draw(), draw()
        if self._exponential:
            jitter = -math.log(1.0 - place)
            delay = self._delay_ns + int(self._jitter_ns * (jitter if jitter < _LONGEST_JITTER else _LONGEST_JITTER))
        else:
            delay = self._delay_ns + int(self._jitter_ns * place)
        fate: Fate = "on time" if way.fair else self._fate(way, mishap, lateness)
        if not self._plain or fate != "on time" or way.condition is not CLEAR:
            return self._carry_with_care(way, kind, known[1], text, delay, fate, order, deliver, arguments)
        way.passed_bytes += len(text) + _ENVELOPE_BYTES
        loop = self._loop
        arrival = loop.now + delay
        if order >= self._overtaking:
            if arrival < way.latest:
                arrival = way.latest
            else:
                way.latest = arrival
        loop.at(arrival, self._arrive_plainly, way, deliver, arguments, text)
        return _MODE_CLEAR

    def _carry_with_care(
        self,
        way: Way,
        kind: str,
        number: int,
        text: bytes,
        delay: int,
        fate: Fate,
        order: float,
        deliver: Deliver,
        arguments: tuple[Any, ...],
    ) -> Mode:
        """As `carry` goes on where anything out of the ordinary has to be thought of."""
        name = f"{way.name} {kind} {number}"
        fate, late_ns = self._edited(way, kind, name) or (fate, None)
        if late_ns is None and fate in ("late", "duplicated"):
            most_ns = way.late_ns or self.usual_weather.late_ms * MILLISECOND
            late_ns = round(most_ns * self._chance.draw("late" if fate == "late" else "twice", name))
        if fate != "on time" and way.link.source != CLIENT:
            self._befell[fate][kind] += 1
        if self._trace is not None:
            self._step(way, "send", name, text, fate, late_ns)
        mode, size = way.condition.mode, len(text) + _ENVELOPE_BYTES
        held_up = self._held_up(way, size, name)
        if fate == "lost" or held_up is None:
            way.dropped_bytes += size
            self._lose(
                way, name, "it was lost on the way" if fate == "lost" else f"the link's condition: {way.condition}"
            )
            return mode
        way.passed_bytes += size
        arrival, late_ns = self._loop.now + delay + held_up, late_ns or 0
        if fate == "late":
            arrival += late_ns
        elif order >= self._overtaking:
            arrival = way.latest = max(arrival, way.latest)
        self._loop.at(arrival, self._arrive, way, name, text, deliver, arguments)
        if fate == "duplicated":
            self._loop.at(arrival + late_ns, self._arrive, way, name, text, deliver, arguments)
        return mode

    def _edited(self, way: Way, kind: str, name: str) -> Appointed | None:
        """What this message was appointed to suffer, if anything."""
        appointed = self._appointed.get(f"{way.name} {kind}")
        if appointed and self.begun and appointed[0].from_ns <= self._loop.now - self.began_ns:
            appointed[0].passed += 1
            if appointed[0].passed > appointed[0].before:
                return appointed.popleft().fate
        return self._edits.get(name)

    def _fate(self, way: Way, mishap: float, lateness: float) -> Fate:
        if mishap < way.lost:
            return "lost"
        if mishap >= 1.0 - way.duplicated:
            return "duplicated"
        return "late" if lateness < way.late else "on time"

    def _held_up(self, way: Way, size: int, name: str) -> int | None:
        """How much longer a message takes because of the link's condition; None if it doesn't get through."""
        condition, now = way.condition, self._loop.now
        if condition.mode in _CUTTING:
            return None
        if condition.mode is not Mode.SLOW:
            return self._hindrance(way, size, name)
        free_at = max(now, way.free_at) + self._hindrance(way, size, name)
        if free_at - now > _LONGEST_QUEUE_NS:
            return None
        way.free_at = free_at
        return free_at - now

    def _hindrance(self, way: Way, size: int, name: str) -> int:
        """How much longer a message takes on an idle link because of its condition."""
        condition = way.condition
        if condition.mode is Mode.SLOW:
            return size * SECOND // condition.rate_bytes_per_second
        jitter_ms = 0.0
        if condition.jitter_ms:
            jitter_ms = condition.jitter_ms * (2.0 * self._chance.draw("jitter", name) - 1.0)
        return max(0, round((condition.latency_ms + jitter_ms) * MILLISECOND))

    def _arrive(self, way: Way, name: str, text: bytes, deliver: Deliver, arguments: tuple[Any, ...]) -> None:
        if way.condition is not CLEAR and way.condition.mode in _CUTTING:
            self._lose(way, name, f"the link was cut meanwhile ({way.condition})")
            return
        if self._trace is not None:
            self._step(way, "deliver", name, text)
        deliver(*arguments, text)

    def _arrive_plainly(self, way: Way, deliver: Deliver, arguments: tuple[Any, ...], text: bytes) -> None:
        """As `_arrive`, of a message without a name."""
        if way.condition is CLEAR or way.condition.mode not in _CUTTING:
            deliver(*arguments, text)

    def _new_kind(self, way: Way, kind: str) -> list[Any]:
        known = way.kinds[kind] = [self._chance.stream("message", way.name, kind).random, 0]
        return known

    def _lose(self, way: Way, name: str, why: str) -> None:
        if self._trace is not None:
            self._trace.add(self._loop.now - self.began_ns, "lost", way.source, peer=way.target, key=name, why=why)

    def _step(
        self, way: Way, what: str, name: str, text: bytes, fate: Fate = "on time", late_ns: int | None = None
    ) -> None:
        assert self._trace is not None
        more: dict[str, Any] = {} if fate == "on time" else {"fate": fate}
        if late_ns is not None:
            more["late_ns"] = late_ns
        here, there = (way.source, way.target) if what == "send" else (way.target, way.source)
        self._trace.add(self._loop.now - self.began_ns, what, here, peer=there, key=name, message=decode(text), **more)


def _fate_of(text: str) -> Appointed:
    """`lost`, or `late 731.5`."""
    for fate in FATES:
        if text.startswith(fate):
            milliseconds = text.removeprefix(fate)
            return fate, round(float(milliseconds) * MILLISECOND) if milliseconds else None
    raise ValueError(f"{text!r} is no fate of a message: {', '.join(FATES)}")


@dataclass
class _Appointment:
    """What shall befall one message of a kind that is sent from some time on, after so many others."""

    from_ns: int
    before: int
    fate: Appointed
    passed: int = 0
    """How many have been sent since then."""


def _appointed(edits: Mapping[str, Appointed]) -> dict[str, deque[_Appointment]]:
    """The edits of messages that are named by their time: for each way and kind, in the order of their times."""
    found: dict[str, list[_Appointment]] = {}
    for name, fate in edits.items():
        kind, _, which = name.rpartition(" ")
        if which.startswith("@"):
            seconds, _, before = which[1:].partition("+")
            found.setdefault(kind, []).append(_Appointment(round(float(seconds) * SECOND), int(before or 0), fate))
    return {kind: deque(_in_order(several)) for kind, several in found.items()}


def _in_order(several: list[_Appointment]) -> list[_Appointment]:
    """By time and number. What is waited for is one at a time: so each number counts from the one before it."""
    ordered = sorted(several, key=lambda one: (one.from_ns, one.before))
    for earlier, later in reversed(list(pairwise(ordered))):
        if earlier.from_ns == later.from_ns:
            later.before = max(0, later.before - earlier.before - 1)
    return ordered


def _either(one: float, other: float) -> float:
    """The chance that one of two independent things happens."""
    return one + other - one * other
