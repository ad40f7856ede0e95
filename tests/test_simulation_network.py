"""The virtual network: what becomes of messages, and that pings and soundings tell the truth about it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from faults.cluster import CLEAR, CLIENT, Condition, Link, Mode, NetworkError, Weather
from harness.simulation.chance import Chance
from harness.simulation.copies import encode
from harness.simulation.loop import MILLISECOND, SECOND, Loop
from harness.simulation.network import Fate, VirtualNetwork
from harness.spec import SimulationSpec

LINK = Link("n1", "n2")


class Lab:
    """A network of two replicas, and what arrived on it: when, and which message."""

    def __init__(self, edits: dict[str, Fate] | None = None, seed: int = 1, **settings: Any) -> None:
        plain = {"delay_ms": 1.0, "jitter_ms": 4.0, "distribution": "uniform"}
        self.loop = Loop()
        world = SimulationSpec.model_validate({**plain, **settings})
        self.network = VirtualNetwork(self.loop, Chance(seed), world, ("n1", "n2"), edits)
        self.arrived: list[tuple[float, Any]] = []

    def send(self, messages: Iterable[Any], kind: str = "note", link: Link = LINK, every_ms: float = 0.0) -> Mode:
        mode = Mode.CLEAR
        for message in messages:
            mode = self.network.carry(self.network.requests[link], kind, encode(message), self._take, message)
            self.run(every_ms)
        return mode

    def _take(self, message: Any, text: bytes) -> None:
        assert text == encode(message)
        self.arrived.append((self.loop.now / MILLISECOND, message))

    def run(self, milliseconds: float) -> None:
        self.loop.run(self.loop.now + round(milliseconds * MILLISECOND))

    @property
    def messages(self) -> list[Any]:
        return [message for _, message in self.arrived]


def test_messages_take_their_time_and_keep_their_order() -> None:
    lab = Lab()
    lab.send(range(100), every_ms=0.1)
    lab.run(100)
    assert lab.messages == list(range(100))
    assert all(1.0 <= time - number * 0.1 <= 15.0 for time, number in lab.arrived)


def test_messages_overtake_each_other_if_they_may() -> None:
    lab = Lab(overtaking=1.0)
    lab.send(range(100))
    lab.run(10)
    assert lab.messages != list(range(100))
    assert sorted(lab.messages) == list(range(100))


def test_an_exponential_delay_has_its_mean_and_its_tail() -> None:
    lab = Lab(distribution="exponential", overtaking=1.0)
    lab.send(range(2_000))
    lab.run(1_000)
    times = [time for time, _ in lab.arrived]
    assert sum(times) / len(times) == pytest.approx(5.0, abs=0.5)
    assert min(times) < 1.1 and 20 < max(times) <= 81


@pytest.mark.parametrize("mode", [Mode.DROP, Mode.RESET, Mode.REFUSE])
def test_a_cut_link_lets_nothing_through_nor_what_is_under_way(mode: Mode) -> None:
    lab = Lab()
    lab.send(["under way"])
    lab.network.apply({LINK: Condition(mode)})
    assert lab.send(["lost"]) is mode
    lab.send(["the other way"], link=Link("n2", "n1"))
    lab.run(100)
    lab.network.apply({LINK: CLEAR})
    lab.send(["later"])
    lab.run(100)
    assert lab.messages == ["the other way", "later"]


def test_latency_is_added_to_the_requests_that_it_is_for() -> None:
    lab = Lab()
    lab.network.apply({LINK: Condition(Mode.LATENCY, "requests", latency_ms=100)})
    lab.send(["late"])
    lab.network.apply({LINK: Condition(Mode.LATENCY, "responses", latency_ms=100)})
    lab.send(["in time"], kind="other", link=Link("n2", "n1"))
    lab.run(200)
    (soon, one), (late, other) = lab.arrived
    assert (one, other) == ("in time", "late")
    assert soon <= 5 and 101 <= late <= 105


def test_jitter_is_drawn_for_each_message() -> None:
    lab = Lab(overtaking=1.0, jitter_ms=0)
    lab.network.apply({LINK: Condition(Mode.LATENCY, latency_ms=50, jitter_ms=20)})
    lab.send(range(200))
    lab.run(200)
    times = [time for time, _ in lab.arrived]
    assert 31 <= min(times) < 35 and 67 < max(times) <= 71


def test_a_slow_link_passes_its_bytes_one_after_the_other_and_drops_what_would_wait_too_long() -> None:
    lab = Lab(jitter_ms=0)
    lab.network.apply({LINK: Condition(Mode.SLOW, rate_bytes_per_second=1_000)})
    lab.send(range(10))
    lab.run(5_000)
    times = [time for time, _ in lab.arrived]
    assert times[0] == pytest.approx(1 + 61, abs=1)
    assert all(later - earlier == pytest.approx(61, abs=1) for earlier, later in pairwise(times))
    lab.send(range(100))
    lab.run(10_000)
    assert len(lab.arrived) == 10 + 16


def test_weather_loses_repeats_and_delays_its_shares() -> None:
    lab = Lab(lost=0.1)
    lab.network.set_weather({LINK: Weather(lost=0.1, duplicated=0.2, late=0.3, late_ms=500)})
    lab.send(range(5_000), every_ms=1)
    lab.run(2_000)
    counts = lab.network.counts()
    assert counts["sent"]["note"] == 5_000
    assert counts["lost"]["note"] == pytest.approx(950, abs=120)
    assert counts["duplicated"]["note"] == pytest.approx(1_000, abs=120)
    assert len(lab.arrived) == 5_000 - counts["lost"]["note"] + counts["duplicated"]["note"]
    lateness = [time - number for time, number in lab.arrived]
    assert 400 < max(lateness) <= 1_010


def test_a_sounding_tells_the_weather_and_disturbs_nothing() -> None:
    lab, undisturbed = Lab(), Lab()
    for one in (lab, undisturbed):
        one.network.set_weather({LINK: Weather(lost=0.3, duplicated=0.1, late=0.2, late_ms=50)})
    sounding = lab.network.sound(LINK, 2_000)
    assert sounding.lost == pytest.approx(600, abs=90)
    assert sounding.duplicated == pytest.approx(200, abs=60)
    assert sounding.late == pytest.approx(240, abs=70)
    calm = lab.network.sound(Link("n2", "n1"), 100)
    assert (calm.lost, calm.duplicated, calm.late) == (0, 0, 0)
    for one in (lab, undisturbed):
        one.send(range(100))
        one.run(1_000)
    assert lab.arrived == undisturbed.arrived


def fates(lab: Lab) -> list[Any]:
    lab.run(1_000)
    return sorted(message for message in lab.messages if not str(message).startswith("extra"))


def test_the_fate_of_a_message_goes_by_its_name_whatever_else_is_sent() -> None:
    plain, busy = Lab(lost=0.5), Lab(lost=0.5)
    plain.send(range(50))
    for number in range(50):
        busy.send([f"extra {number}"], kind="other")
        busy.send([f"extra back {number}"], link=Link("n2", "n1"))
        busy.send([number])
    assert fates(plain) == fates(busy)
    assert 10 < len(fates(plain)) < 40


def test_neither_pings_nor_conditions_shift_the_fates_of_messages() -> None:
    plain, shaken = Lab(lost=0.5), Lab(lost=0.5)
    plain.send(range(50))
    for number in range(50):
        jitter = Condition(Mode.LATENCY, latency_ms=5, jitter_ms=3)
        shaken.network.apply({LINK: jitter if number % 2 else CLEAR})
        shaken.network.ping(LINK, 1.0, "up")
        shaken.send([number])
    assert fates(plain) == fates(shaken)


def test_edits_give_single_messages_another_fate() -> None:
    edits: dict[str, Fate] = {"n1->n2 note 2": "lost", "n1->n2 note 3": "duplicated", "n1->n2 note 4": "late"}
    lab = Lab(edits)
    lab.send([1, 2, 3, 4, 5], every_ms=10)
    lab.run(1_000)
    assert sorted(lab.messages) == [1, 3, 3, 4, 5]
    stormy = Lab({f"n1->n2 note {number}": "on time" for number in range(1, 51)}, lost=0.9)
    stormy.send(range(50))
    stormy.run(1_000)
    assert stormy.messages == list(range(50))


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        (CLEAR, "ok"),
        (Condition(Mode.DROP), "timeout"),
        (Condition(Mode.DROP, "responses"), "timeout"),
        (Condition(Mode.REFUSE), "refused"),
        (Condition(Mode.RESET), "closed"),
        (Condition(Mode.LATENCY, latency_ms=2_000), "timeout"),
    ],
)
@pytest.mark.parametrize("link", [LINK, Link(CLIENT, "n1")])
def test_a_ping_fares_as_a_message_would(link: Link, condition: Condition, outcome: str) -> None:
    lab = Lab()
    lab.network.apply({link: condition})
    assert lab.network.ping(link, 1.0, "up").outcome == outcome


def test_a_ping_takes_as_long_as_what_holds_it_up() -> None:
    lab = Lab()
    lab.network.apply({LINK: Condition(Mode.LATENCY, "requests", latency_ms=120)})
    assert 0.122 <= lab.network.ping(LINK, 1.0, "up").seconds <= 0.130
    lab.network.apply({LINK: Condition(Mode.SLOW, rate_bytes_per_second=1_000)})
    assert 0.120 <= lab.network.ping(LINK, 1.0, "up").seconds <= 0.5
    assert lab.network.ping(Link("n2", "n1"), 1.0, "up").seconds <= 0.010


def test_a_ping_tells_the_state_of_its_target() -> None:
    lab = Lab()
    assert lab.network.ping(LINK, 0.5, "down").outcome == "closed"
    assert lab.network.ping(LINK, 0.5, "paused").outcome == "timeout"


def test_conditions_traffic_and_links_that_are_not_there() -> None:
    lab = Lab()
    lab.network.apply({LINK: Condition(Mode.DROP)})
    lab.send([1, 2])
    lab.send([3], link=Link("n2", "n1"))
    assert lab.network.conditions()[LINK] == Condition(Mode.DROP)
    assert lab.network.conditions()[Link("n2", "n1")] == CLEAR
    traffic = lab.network.traffic()
    assert traffic[LINK]["dropped_bytes"] == 122 and traffic[LINK]["passed_bytes"] == 0
    assert traffic[Link("n2", "n1")]["passed_bytes"] == 61
    assert lab.network.tainted is None
    with pytest.raises(NetworkError, match="no link n1->n9"):
        lab.network.apply({Link("n1", "n9"): CLEAR})
    assert lab.loop.now < SECOND
