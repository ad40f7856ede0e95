"""What a person sees of an exploration: figures that add up, and rows for what happened only."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from rich.console import Console

from harness.explore.coverage import Coverage
from harness.explore.display import Display, in_words, print_summary
from harness.explore.explore import Budget, Exploration
from tests.support import fake_trials
from tests.support.fake_trials import Scrambled
from tests.support.specs import spec_of


def explored() -> Exploration:
    budget = Budget(runs=40, keep_going=True)
    exploration = Exploration([spec_of()], budget, jobs=1, attempt=fake_trials.stale_from_12_on, hire=Scrambled)
    exploration.go(threading.Event(), lambda cell, seed, fresh: None, lambda: None)
    return exploration


def shown(width: int, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False, color_system=None)


def text(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_the_live_display_counts_runs_and_findings() -> None:
    exploration, out = explored(), shown(100)
    out.print(Display(out, exploration))
    assert "40 runs, " in text(out)
    assert "2 distinct findings" in text(out)
    assert "linearizable: stale read  (29 runs)" in text(out)
    assert "operations ok 4,000, fail 0, info 0" in text(out)


def test_where_there_is_no_terminal_a_line_comes_now_and_then() -> None:
    exploration, out = explored(), shown(100)
    with Display(out, exploration) as display:
        for _ in range(100):
            display.look()
        assert text(out) == ""
        display._printed -= 10.0
        for _ in range(100):
            display.look()
    assert text(out).count("40 runs, ") == 1


def test_the_summary_has_the_verdict_and_why() -> None:
    exploration = explored()
    for width in (60, 100, 200):
        out = shown(width)
        print_summary(out, exploration, Path("results/c/explore.json"))
        assert "violation" in text(out)
        assert "no: valid" in " ".join(text(out).split())
        assert "All figures: results/c/explore.json" in text(out)


def test_coverage_adds_up() -> None:
    one, other = Coverage(), Coverage()
    one.count("roles", "leader", "kill", 2)
    other.count("roles", "leader", "kill", 3)
    other.count("roles", "follower", "pause")
    other.count("messages", "accept", "lost", 0)
    one.add(other)
    assert one.as_json() == {"roles": {"follower": {"pause": 1}, "leader": {"kill": 5}}}
    assert in_words(one)[0] == "hit follower: pause 1; leader: kill 5"
