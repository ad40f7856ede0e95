"""The effects of toxics, apart from sockets and clocks."""

from __future__ import annotations

import random

import pytest

from faults.proxy.address import join_address, split_address
from faults.proxy.effects import NEVER, Chunk, Effect
from faults.proxy.errors import Refusal
from faults.proxy.toxics import KINDS, parse_toxic


def effect_of(kind: str, seed: int = 1, now: float = 0.0, **attributes: int) -> Effect:
    toxic = parse_toxic({"type": kind, "attributes": attributes})
    return KINDS[kind].effect(toxic, random.Random(seed), now)


def chunk_of(size: int, arrived: float = 0.0) -> Chunk:
    return Chunk(bytes(size), arrived)


def test_latency_keeps_one_draw_for_a_chunk_and_draws_anew_for_the_next() -> None:
    effect = effect_of("latency", latency=100, jitter=50)
    first, second = chunk_of(10), chunk_of(10)
    due = effect.due(first, 10, 5.0)
    assert effect.due(first, 4, 5.0) == due
    assert effect.due(second, 10, 5.0) != due
    assert 5.05 <= due <= 5.15


def test_jitter_beyond_the_latency_never_delivers_before_arrival() -> None:
    effect = effect_of("latency", latency=10, jitter=1000)
    assert min(effect.due(chunk_of(1), 1, 5.0) for _ in range(100)) >= 5.0


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("latency", {"latency": 100, "jitter": 100}), ("slicer", {"average_size": 500, "size_variation": 400})],
)
def test_draws_follow_from_the_seed(kind: str, attributes: dict[str, int]) -> None:
    def draws(seed: int) -> list[tuple[float, int]]:
        effect = effect_of(kind, seed, **attributes)
        drawn = []
        for _ in range(20):
            size = effect.portion(10_000)
            drawn.append((effect.due(chunk_of(size), size, 0.0), size))
            effect.passed(size, 0.0, 0.0)
        return drawn

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_bandwidth_spaces_pieces_by_their_size() -> None:
    effect = effect_of("bandwidth", now=10.0, rate=100)
    assert effect.portion(1_000_000) == 10_000
    assert effect.due(chunk_of(10_000), 10_000, 10.0) == pytest.approx(10.1)
    effect.passed(10_000, 10.1, 10.1)
    assert effect.due(chunk_of(10_000), 10_000, 10.0) == pytest.approx(10.2)
    assert effect.due(chunk_of(10_000), 10_000, 50.0) == pytest.approx(50.1)


def test_bandwidth_does_not_save_up_for_a_burst() -> None:
    effect = effect_of("bandwidth", rate=100)
    effect.passed(10_000, 0.1, 60.0)
    assert effect.due(chunk_of(10_000), 10_000, 0.0) > 60.0


def test_no_bandwidth_holds_for_ever() -> None:
    effect = effect_of("bandwidth", rate=0)
    assert effect.portion(1000) == 1
    assert effect.due(chunk_of(1), 1, 0.0) == NEVER


def test_slices_are_of_the_size_asked_for() -> None:
    effect = effect_of("slicer", average_size=100, size_variation=30)
    sizes = []
    for _ in range(200):
        sizes.append(effect.portion(10_000))
        assert effect.portion(10_000) == sizes[-1]
        effect.passed(sizes[-1], 0.0, 0.0)
    assert 70 <= min(sizes) < 100 < max(sizes) <= 130
    assert effect.portion(5) == 5


def test_limit_data_counts_what_passed_also_after_a_change() -> None:
    effect = effect_of("limit_data", bytes=10)
    effect.passed(8, 0.0, 0.0)
    assert effect.portion(100) == 2
    effect.toxic.attributes = {"bytes": 9}
    effect.begin(0.0)
    assert effect.portion(100) == 1
    effect.passed(1, 0.0, 0.0)
    assert effect.exhausted


def test_a_timeout_begins_anew_with_each_data() -> None:
    effect = effect_of("timeout", now=1.0, timeout=500)
    assert effect.deadline == 1.5
    effect.swallowed(3.0)
    assert effect.deadline == 3.5
    assert effect_of("timeout", timeout=0).deadline == NEVER


def test_toxicity_is_the_share_of_connections_that_are_touched() -> None:
    toxic = parse_toxic({"type": "noop", "toxicity": 0.25})
    touched = sum(KINDS["noop"].effect(toxic, random.Random(seed), 0.0).active for seed in range(2000))
    assert 400 < touched < 600


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"type": "latency", "attributes": {"latency": -1}}, "latency must be a whole number, not negative"),
        ({"type": "latency", "attributes": {"latency": True}}, "latency must be a whole number, not negative"),
        ({"type": "latency", "attributes": {"latency": 10**30}}, "latency must be a whole number, not negative"),
        ({"type": "latency", "attributes": []}, "attributes must be an object"),
        ({"type": "slicer"}, "average_size must be greater than 0"),
        ({"type": "noop", "toxicity": 2}, "toxicity must be a number from 0 to 1"),
        ({"type": "noop", "name": 5}, "name must be a string"),
        ({"type": ["noop"]}, "invalid toxic type"),
    ],
)
def test_toxics_that_mean_nothing_are_refused(body: dict[str, object], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence) as refusal:
        parse_toxic(body)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::]:80", ("::", 80)),
        (":80", ("", 80)),
        ("n1:0", ("n1", 0)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert join_address(*parts) == address


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", "localhost:http", "localhost:65536", "localhost:-1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        split_address(address)
