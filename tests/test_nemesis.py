"""The nemesis: what it writes into the history, and that it leaves nothing broken and nobody at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.cluster import Link, Mode
from faults.fault import Setting
from faults.schedule import plan
from harness.audit import audit
from harness.history import Event, History, read_history
from harness.injecting import MOST_AT_ONCE
from harness.nemesis import Nemesis
from harness.spec import Choice, NemesisSpec, Stream
from tests.support.fake_cluster import FakeCluster

LIMIT_SECONDS = 20.0
LONG = 600.0
"""Of a run whose end nobody waits for."""


def at(seconds: float, fault: str, for_seconds: float = LONG, **options: Any) -> Stream:
    return Stream(choices=[Choice(fault=fault, options=options, for_seconds=for_seconds)], at_seconds=[seconds])


class Run:
    """A nemesis, its cluster and its history."""

    def __init__(self, folder: Path, *streams: Stream, replicas: int = 5, chief: str | None = "leader") -> None:
        self.cluster = FakeCluster(replicas, chief=chief)
        self.history = History(folder / f"history-{len(list(folder.iterdir()))}.jsonl")
        setting = Setting("local", self.cluster.replicas, "some-protocol", chief)
        spec = NemesisSpec(name="trial", streams=list(streams))
        self.nemesis = Nemesis(spec, setting, self.cluster, self.history, plan(spec.streams, LONG, 1))

    def events(self) -> list[Event]:
        return list(read_history(self.history.path))

    def kinds(self) -> list[tuple[str, str, int]]:
        return [(event["type"], event["f"], event["number"]) for event in self.events()]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s; so far: {self.kinds()}"
            threading.Event().wait(0.005)

    def wait_for(self, *kind: Any) -> Event:
        self.wait_until(lambda: tuple(kind) in self.kinds())
        return self.events()[self.kinds().index(tuple(kind))]

    def stop(self) -> list[str]:
        problems = self.nemesis.stop_and_heal(LIMIT_SECONDS)
        assert not self.at_work()
        self.history.close()
        assert audit(self.events()) == []
        return problems

    def at_work(self) -> list[str]:
        planned = {f"{one.fault} {one.number}" for one in self.nemesis.plan} | {"nemesis"}
        return [thread.name for thread in threading.enumerate() if thread.name in planned]


def test_the_life_of_an_injection_is_in_the_history(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition", for_seconds=0.01, shape="isolate", target="leader"), replicas=3)
    run.nemesis.start()
    run.wait_for("ok", "heal", 1)
    assert run.nemesis.current() == []
    assert run.cluster.whole()
    assert run.stop() == []
    begin, injected, healing, healed = (
        {key: value for key, value in event.items() if key not in ("index", "time")} for event in run.events()
    )
    common = {"process": "nemesis", "fault": "partition", "number": 1}
    assert begin == {"type": "invoke", "f": "inject", **common}
    assert healing == {"type": "invoke", "f": "heal", **common}
    evidence, applied = injected.pop("evidence"), injected.pop("applied")
    assert injected == {
        "type": "ok",
        "f": "inject",
        **common,
        "targets": ["n1"],
        "roles": {"n1": "leader"},
        "description": "isolate: n1 | n2 n3, drop",
        "links": ["n1->n2", "n1->n3", "n2->n1", "n3->n1"],
    }
    assert evidence["effective"] is True
    assert evidence["detail"] == "4 of 4 cut links let no ping through; 2 of 2 links beside them did"
    assert len(evidence["measurements"]) == 6
    evidence, healed_at = healed.pop("evidence"), healed.pop("applied")
    assert healed == {"type": "ok", "f": "heal", **common}
    assert evidence["effective"] is True
    times = [event["time"] for event in run.events()]
    assert times[0] < applied < times[1] <= times[2] < healed_at < times[3]


def test_what_is_broken_is_told_and_healed_at_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "kill", target="n2"), at(0.01, "partition", shape="halves"), at(LONG / 2, "pause"))
    run.nemesis.start()
    run.wait_for("ok", "inject", 1)
    run.wait_for("ok", "inject", 2)
    assert run.nemesis.current() == ["kill n2", "partition halves: n1 n2 | n3 n4 n5, drop"]
    assert not run.cluster.whole()
    assert run.stop() == []
    assert run.cluster.whole()
    assert run.nemesis.current() == []
    assert {kind for kind in run.kinds() if kind[0] != "invoke"} == {
        ("ok", function, number) for function in ("inject", "heal") for number in (1, 2)
    }, "what was not injected is not in the history"


def test_stopping_again_or_without_a_start_does_no_harm(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "kill"))
    assert run.nemesis.stop_and_heal(LIMIT_SECONDS) == []
    assert run.stop() == []
    assert run.events() == []
    run.nemesis.start()
    run.wait_until(lambda: not run.at_work())
    assert run.cluster.whole(), "nothing is injected after the end"


def test_a_fault_that_does_not_bite_is_info(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "reset"))
    run.cluster.network.deaf.add(Mode.RESET)
    run.nemesis.start()
    assert run.wait_for("info", "inject", 1)["evidence"]["effective"] is False
    assert run.stop() == []


def test_an_injection_that_fails_is_told_and_healed_all_the_same(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition"))
    run.cluster.network.broken = True
    run.nemesis.start()
    failed = run.wait_for("fail", "inject", 1)
    assert failed["error"] == "the proxies don't answer: this is a test"
    assert run.cluster.network.not_clear(), "half of it was done"
    run.cluster.network.broken = False
    assert run.stop() == []
    assert run.cluster.whole()
    assert run.kinds()[-2:] == [("invoke", "heal", 1), ("info", "heal", 1)]


def test_a_bug_of_a_fault_is_told_with_its_kind(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "kill"))

    def fall_over(replica: str) -> None:
        raise ZeroDivisionError("oh")

    run.cluster.hooks["kill"] = fall_over
    run.nemesis.start()
    assert run.wait_for("fail", "inject", 1)["error"] == "ZeroDivisionError: oh"
    assert run.stop() == []


def test_a_proof_that_fails_proves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition"))

    def fall_over(link: str) -> None:
        raise ZeroDivisionError("oh")

    run.cluster.hooks["ping"] = fall_over
    run.nemesis.start()
    evidence = run.wait_for("info", "inject", 1)["evidence"]
    assert (evidence["effective"], evidence["detail"]) == (None, "not measured: ZeroDivisionError: oh")
    assert run.stop() == []
    assert run.cluster.whole()


def test_a_slow_proof_holds_up_no_other_fault(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition"), at(0.01, "pause"))
    go_on = threading.Event()
    run.cluster.hooks["ping"] = lambda link: go_on.wait(LIMIT_SECONDS)
    run.nemesis.start()
    run.wait_for("ok", "inject", 2)
    assert ("ok", "inject", 1) not in run.kinds()
    go_on.set()
    assert run.stop() == []
    assert run.cluster.whole()


def test_an_injection_lasts_as_long_as_its_proof(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition", for_seconds=0.01, shape="halves"))
    reached, go_on = threading.Event(), threading.Event()

    def stall(link: str) -> None:
        reached.set()
        assert go_on.wait(LIMIT_SECONDS)

    run.cluster.hooks["ping"] = stall
    run.nemesis.start()
    assert reached.wait(LIMIT_SECONDS)
    run.wait_until(lambda: run.history.now() > 0.05e9)
    assert run.cluster.network.real[Link("n1", "n3")].mode is Mode.DROP
    go_on.set()
    assert run.wait_for("ok", "inject", 1)["evidence"]["effective"] is True
    assert run.stop() == []


def test_a_proof_is_tried_again_when_another_fault_no_longer_stands_in_its_way(tmp_path: Path) -> None:
    cut = at(0.01, "partition", shape="halves")
    run = Run(tmp_path, at(0, "pause", for_seconds=0.3, target="n1"), cut, replicas=2)
    run.nemesis.start()
    cut_off = run.wait_for("ok", "inject", 2)
    assert cut_off["time"] > run.wait_for("invoke", "heal", 1)["time"] > cut_off["applied"]
    assert run.stop() == []


def test_a_healing_is_proved_when_all_others_are_healed_too(tmp_path: Path) -> None:
    run = Run(
        tmp_path, at(0, "reset", for_seconds=0.3, target="all"), at(0.01, "partition", shape="isolate", target="all")
    )
    run.nemesis.start()
    run.wait_for("invoke", "heal", 1)
    assert run.stop() == []
    assert {kind for kind in run.kinds() if kind[1] == "heal"} >= {("ok", "heal", 1), ("ok", "heal", 2)}


def test_a_healing_that_fails_is_told_and_made_up_for_at_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "kill", for_seconds=0.01, target="n2"))
    run.cluster.silent.add("n2")
    run.nemesis.start()
    assert "did not answer" in run.wait_for("fail", "heal", 1)["error"]
    problems = run.nemesis.stop_and_heal(LIMIT_SECONDS)
    assert problems == ["n2 did not answer within 20 s after its restart"]
    run.cluster.silent.clear()
    assert run.stop() == []
    assert run.cluster.whole()


def test_a_healing_that_hangs_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    run = Run(tmp_path, at(0, "partition"))
    reached, go_on = threading.Event(), threading.Event()

    def stall(link: str) -> None:
        reached.set()
        assert go_on.wait(LIMIT_SECONDS)

    run.cluster.hooks["ping"] = stall
    run.nemesis.start()
    assert reached.wait(LIMIT_SECONDS)
    problems = run.nemesis.stop_and_heal(0.05)
    assert problems == ["not healed within 0.05 s, and cleared by force: partition 1"]
    assert run.cluster.whole()
    go_on.set()
    assert run.stop() == []
    assert run.cluster.whole()


def test_an_interrupted_stop_can_be_finished_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, at(0, "kill", target="n1"), at(0, "partition"))
    run.nemesis.start()
    run.wait_until(lambda: len(run.nemesis.current()) == 2 and not run.cluster.whole())

    join = threading.Thread.join

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        join(thread, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.nemesis.stop_and_heal(LIMIT_SECONDS)
    assert run.stop() == []
    assert run.cluster.whole()


def test_a_storm_of_overlapping_faults_leaves_a_whole_cluster(tmp_path: Path) -> None:
    choices = [
        Choice(fault="partition", options={"shape": shape}, for_seconds=0.15)
        for shape in ("halves", "bridge", "ring", "one-way", "isolate")
    ]
    choices += [Choice(fault=fault, for_seconds=0.15) for fault in ("kill", "pause", "latency", "slow", "reset")]
    # Fewer than may be active at once: a slow machine may be at work on all of them together.
    storm = [Stream(choices=choices, at_seconds=[0.06 * n + 0.01 * k for n in range(7)]) for k in range(4)]
    run = Run(tmp_path, *storm)
    assert run.nemesis.check() == []
    run.nemesis.start()
    run.wait_until(lambda: len(run.history) == 4 * len(run.nemesis.plan))
    assert run.stop() == []
    assert run.cluster.whole()
    kinds = run.kinds()
    assert not [kind for kind in kinds if kind[0] == "fail"]
    wrong = [event for event in run.events() if event.get("evidence", {}).get("effective") is False]
    assert not wrong, "an honest network never makes an overlap look like a fault that did not bite"


def test_the_plan_is_that_of_the_seed(tmp_path: Path) -> None:
    run, again = Run(tmp_path, at(3, "kill"), at(1, "pause")), Run(tmp_path, at(3, "kill"), at(1, "pause"))
    assert [(one.number, one.fault, one.at_seconds) for one in run.nemesis.plan] == [(1, "pause", 1), (2, "kill", 3)]
    assert run.nemesis.plan == again.nemesis.plan


def test_check_says_what_is_impossible_before_anything_starts(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        at(0, "partition", target="primary", shape="isolate"),
        at(0, "partition", target="primary", shape="isolate"),
        at(0, "partitoin"),
        Stream(choices=[Choice(fault="kill")], every_seconds=None),
        *[at(1, "kill") for _ in range(MOST_AT_ONCE)],
    )
    assert run.nemesis.check() == [
        "target 'primary': some-protocol has no primary: use 'leader'",
        "unknown fault 'partitoin': did you mean 'partition'?",
        "the faults 'trial' have no schedule: say `every_seconds` or `at_seconds`",
        "the faults 'trial' would be 35 at the same time, more than 32: raise `every_seconds` or shorten `for_seconds`",
    ]
    assert run.cluster.deeds == []
    assert Run(tmp_path, at(0, "kill")).nemesis.check() == []


def test_more_faults_than_there_may_be_fail_instead_of_piling_up(tmp_path: Path) -> None:
    run = Run(tmp_path, *[at(0, "kill", target="n1") for _ in range(MOST_AT_ONCE + 2)])
    run.nemesis.start()
    failed = run.wait_for("fail", "inject", MOST_AT_ONCE + 2)
    assert failed["error"] == "32 faults are at work already"
    assert run.stop() == []
    assert run.cluster.whole()
