"""Cues: each part of a script waits for what came before it, and whoever leads plays the leader's part."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness.conversation import Wait
from harness.cues import LEAD_SECONDS, Cues
from harness.spec import ScriptedCue

REPLICAS = ("n1", "n2", "n3")


@dataclass
class Stage:
    """A clock that is moved by hand, and who leads just now."""

    seconds: float = 100.0
    leading: list[str] = field(default_factory=list)
    looks: int = 0

    def now(self) -> float:
        return self.seconds

    def in_charge(self) -> list[str]:
        self.looks += 1
        return self.leading

    def cues(self, *cues: tuple[str, int | str, float]) -> Cues:
        scripted = [
            ScriptedCue(what=what, replica=which, at_seconds=at)  # type: ignore[arg-type]
            if isinstance(which, str)
            else ScriptedCue(what=what, number=which, at_seconds=at)  # type: ignore[arg-type]
            for what, which, at in cues
        ]
        return Cues(scripted, REPLICAS, self.now, self.in_charge)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_what_comes_first_comes_at_its_time(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.5))
    assert cues.left("ask", 1) == pytest.approx(0.5)
    stage.seconds += 0.5
    assert cues.left("ask", 1) == pytest.approx(0.0)


def test_what_comes_later_waits_for_all_before_it_and_then_as_long_as_it_did(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.0), ("answer", 1, 0.1), ("inject", 1, 0.3), ("ask", 2, 0.4))
    cues.over("ask", 1)
    stage.seconds += 60
    assert cues.left("inject", 1) > 0, "the answer has not come yet"
    cues.over("answer", 1)
    assert cues.left("inject", 1) == pytest.approx(0.2)
    assert cues.left("ask", 2) > 0, "nothing is broken yet"
    stage.seconds += 1
    assert cues.left("inject", 1) == 0
    cues.over("inject", 1)
    assert cues.left("ask", 2) == pytest.approx(0.1)
    assert not cues.all_over()
    cues.over("ask", 2)
    assert cues.all_over()


def test_what_happens_at_the_same_time_does_not_wait_for_each_other(stage: Stage) -> None:
    cues = stage.cues(("answer", 1, 0.1), ("inject", 1, 0.2), ("inject", 2, 0.2), ("inject", 3, 0.2), ("ask", 2, 0.3))
    cues.over("answer", 1)
    stage.seconds += 0.1
    assert [cues.left("inject", number) for number in (1, 2, 3)] == pytest.approx([0.0] * 3)
    cues.over("inject", 2)
    assert cues.left("inject", 1) == pytest.approx(0.0)
    assert cues.left("ask", 2) > 0, "two of them are still to come"


def test_what_is_over_twice_was_over_the_first_time(stage: Stage) -> None:
    cues = stage.cues(("answer", 1, 0.1), ("ask", 2, 0.4))
    cues.over("answer", 1)
    stage.seconds += 0.3
    cues.over("answer", 1)
    assert cues.left("ask", 2) == pytest.approx(0.0)


def test_what_never_happened_comes_last(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.0), ("answer", 1, 0.1))
    assert cues.left("heal", 9) > 0
    cues.over("ask", 1)
    cues.over("answer", 1)
    cues.over("heal", 9)
    assert cues.left("heal", 9) == 0 and cues.all_over()


def test_it_is_waited_for_until_somebody_leads(stage: Stage) -> None:
    cues = stage.cues(("lead", "n1", 0.0), ("ask", 1, 0.2))
    assert cues.left("ask", 1) > 0
    stage.leading = ["n1"]
    stage.seconds += 1
    assert cues.left("ask", 1) == pytest.approx(0.2)
    assert cues.player("n1") == "n1"


def test_whoever_leads_plays_the_leader_and_the_other_one_plays_him(stage: Stage) -> None:
    stage.leading = ["n3"]
    cues = stage.cues(("lead", "n1", 0.0), ("ask", 1, 0.0))
    assert cues.left("ask", 1) == 0
    assert [cues.player(part) for part in REPLICAS] == ["n3", "n2", "n1"]
    assert cues.cast({"target": "n1", "shape": "isolate"}) == {"target": "n3", "shape": "isolate"}
    assert cues.cast({"target": "minority"}) == {"target": "minority"}
    assert cues.cast({"share": 0.5}) == {"share": 0.5}


def test_an_old_leader_who_still_believes_in_himself_is_not_the_new_one(stage: Stage) -> None:
    stage.leading = ["n2"]
    cues = stage.cues(("lead", "n1", 0.0), ("inject", 1, 0.0), ("lead", "n2", 1.0), ("ask", 1, 1.5))
    assert cues.left("inject", 1) == 0
    cues.over("inject", 1)
    stage.seconds += 1
    assert cues.left("ask", 1) > 0, "nobody else leads yet"
    stage.leading = ["n2", "n3"]
    stage.seconds += 1
    assert cues.left("ask", 1) == pytest.approx(0.5)
    assert [cues.player(part) for part in REPLICAS] == ["n2", "n3", "n1"]


def test_if_nobody_leads_the_script_goes_on_some_time(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.0), ("lead", "n2", 1.0), ("ask", 2, 1.0))
    cues.over("ask", 1)
    assert cues.left("ask", 2) > 0
    stage.seconds += LEAD_SECONDS + 1
    cues.left("ask", 2)
    assert cues.left("ask", 2) == 0
    assert cues.player("n2") == "n2"


def test_replicas_are_not_asked_all_the_time_who_leads(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.0), ("lead", "n1", 0.0))
    for _ in range(20):
        cues.left("ask", 2)
    assert stage.looks == 0, "it is not time yet"
    cues.over("ask", 1)
    for _ in range(20):
        cues.left("ask", 2)
    assert stage.looks == 1


def test_waiting_ends_when_it_is_due_or_when_all_is_over(stage: Stage) -> None:
    cues = stage.cues(("ask", 1, 0.5))
    waiting = cues.due("ask", 1)
    step = next(waiting)
    assert isinstance(step, Wait) and step.seconds == pytest.approx(0.5)
    stage.seconds += 0.5
    step = waiting.send(False)
    assert isinstance(step, Wait) and step.seconds == pytest.approx(0.0)
    with pytest.raises(StopIteration) as end:
        waiting.send(False)
    assert end.value.value is False
    waiting = stage.cues(("ask", 1, 0.5)).due("ask", 1)
    next(waiting)
    with pytest.raises(StopIteration) as end:
        waiting.send(True)
    assert end.value.value is True
