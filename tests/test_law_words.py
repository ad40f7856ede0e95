"""What replicas claim is told in words: the name of a law is always the same, and no sentence has JSON in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from harness.hunt.catalogue import promises
from harness.simulation import world
from harness.simulation.laws import Witness
from harness.simulation.simulate import simulate
from node.invariants import Claim, LeavesOut, TakesPart, is_compared
from node.protocols import PROTOCOLS
from node.words import _HOW, tell

JSON = re.compile(r"[\[\]{}\"]|null")
CAS = re.compile(r"cas \S+ \[\d+, \d+\]")
"""As operations are told everywhere."""


class Eavesdropper(Witness):
    """Keeps all that it is told."""

    heard: list[Claim]

    def told(self, time_ns: int, replica: str, claims: Iterable[Claim]) -> None:
        claims = list(claims)
        self.heard.extend(claims)
        super().told(time_ns, replica, claims)


def claims_of(protocol: str, monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    """All that the replicas say in a short run without faults, and in another one of a second key."""
    Eavesdropper.heard = []
    monkeypatch.setattr(world, "Witness", Eavesdropper)
    for cell in promises(protocol):
        simulation = cell.simulation.model_copy(update={"liveness_seconds": 0.0})
        changes = {
            "nemesis": {"name": "none", "streams": []},
            "duration_seconds": 1.5,
            "replicas": 3,
            "minimum_operations": 0,
        }
        run = cell.model_validate({**cell.model_dump(), **changes, "simulation": simulation, "explore": None})
        simulate(run, statuses=False)
    return [claim for claim in Eavesdropper.heard if not isinstance(claim, TakesPart | LeavesOut)]


@pytest.mark.parametrize("protocol", sorted({cell.protocol.name for cell in promises()}))
def test_what_a_replica_claims_is_told_in_words(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = claims_of(protocol, monkeypatch)
    assert len(claims) > 20
    for claim in claims:
        assert not re.search(r"\d", claim.law), claim
        value = getattr(claim, "value", None)
        if value is not None:
            told = _HOW[getattr(claim, "how", "")](value)
            assert not JSON.search(CAS.sub("", told)), (claim, told)
        for where in ("place", "token"):
            assert not JSON.search(str(getattr(claim, where, ""))), claim


def test_every_protocol_that_claims_is_listened_to() -> None:
    assert {cell.protocol.name for cell in promises()} == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("how", "value", "words"),
    [
        ("ballot", (3, 1), "ballot 3.1"),
        ("term", 4, "term 4"),
        ("after", 4, "it after an entry of term 4"),
        ("entry", [2, ["p3", 7, {"f": "write", "key": "k0", "value": 17}]], "p3's write k0 17 (term 2)"),
        ("entry", [2, None], "an empty entry (term 2)"),
        ("rank", (3, 1), "view 3 of n1"),
        ("rank", (0, 0), "view 0 of nobody"),
        ("change", ["k0", 17], "k0: 17"),
        ("change", None, "no change"),
        ("versioned", ["k0", [2, 1], ["k0", 17]], "k0: 17 (version 2.1)"),
        ("counts", {"n1": 2, "n2": 0, "n3": 5}, "2 of n1, 5 of n3"),
        ("counts", {"n1": 0}, "none"),
        ("state", "abc", "a state with digest abc"),
        ("state", ["abc", 17], "a machine with digest abc and a table of clients with digest 00000011"),
        ("entry", "of another form", "of another form"),
    ],
)
def test_a_value_in_words(how: str, value: object, words: str) -> None:
    assert tell(value, how) == words


def test_states_are_compared_at_first_each_time_and_later_now_and_then() -> None:
    assert [number for number in range(40) if is_compared(number)] == [*range(17), 24, 32]
