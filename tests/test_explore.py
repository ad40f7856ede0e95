"""Explorations: who is run until when, what counts as found, and what is said of it. Runs are made up: nothing is simulated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.errors import BadInput
from harness.explore.explore import Attempt, Budget, CellTally, Exploration, Found, Hands, processes
from harness.explore.summary import as_json, exit_code
from harness.explore.trial import Kind
from harness.spec import RunSpec
from tests.support import fake_trials
from tests.support.fake_trials import LOST, STALE, Scrambled
from tests.support.specs import spec_of

KEEP_GOING = {"keep_going": True}


def explored(
    attempt: Attempt,
    *cells: RunSpec,
    jobs: int = 1,
    first_seed: int | None = None,
    hire: Callable[..., Hands] = Scrambled,
    **budget: Any,
) -> tuple[Exploration, list[tuple[int, list[Kind]]]]:
    """The exploration when it is over, and what it told of findings: seeds, each with the kinds that were new."""
    exploration = Exploration(
        cells or [spec_of()], Budget(**budget), jobs=jobs, first_seed=first_seed, attempt=attempt, hire=hire
    )
    told: list[tuple[int, list[Kind]]] = []

    def on_found(cell: CellTally, seed: int, fresh: list[Found]) -> None:
        told.append((seed, [found.kind for found in fresh]))

    exploration.go(threading.Event(), on_found, lambda: None)
    return exploration, told


def test_without_a_finding_every_cell_gets_its_runs() -> None:
    exploration, told = explored(fake_trials.all_is_well, spec_of(cell="a"), spec_of(cell="b", seed=100), runs=30)
    assert [(cell.runs, cell.verdict) for cell in exploration.cells] == [(30, "valid"), (30, "valid")]
    assert told == []
    assert exploration.virtual_seconds == 120.0
    assert exploration.cells[1].coverage.rows("operations") == {"read": {"ok": 3000}}
    assert exit_code(exploration) == 0


@pytest.mark.parametrize(("jobs", "hire"), [(1, Scrambled), (7, Scrambled), (2, processes)])
def test_a_cell_is_over_with_the_first_seed_that_has_a_finding_however_many_cores(
    jobs: int, hire: Callable[..., Hands]
) -> None:
    exploration, told = explored(fake_trials.stale_from_12_on, jobs=jobs, hire=hire, runs=1000)
    (cell,) = exploration.cells
    assert told == [(12, [STALE])]
    assert cell.runs == 12
    assert cell.found[STALE].seed == 12
    assert exit_code(exploration) == 1


@pytest.mark.parametrize("jobs", [1, 7])
def test_who_keeps_going_hears_of_the_first_of_each_kind_and_counts_the_rest(jobs: int) -> None:
    exploration, told = explored(fake_trials.stale_from_12_on, jobs=jobs, runs=40, **KEEP_GOING)
    (cell,) = exploration.cells
    assert told == [(12, [STALE]), (14, [LOST])]
    assert cell.runs == 40
    assert cell.violations == 29
    assert {kind: found.runs for kind, found in cell.found.items()} == {STALE: 29, LOST: 4}
    assert exploration.kinds == {STALE: 29, LOST: 4}


def test_seeds_begin_where_they_shall() -> None:
    exploration, told = explored(fake_trials.stale_from_12_on, first_seed=20, runs=5)
    assert told == [(20, [STALE])]
    assert exploration.cells[0].first_seed == 20


def test_one_cell_with_a_finding_leaves_the_others_their_runs() -> None:
    exploration, _ = explored(fake_trials.second_cell_is_broken, spec_of(cell="a"), spec_of(cell="b"), runs=20)
    assert [cell.runs for cell in exploration.cells] == [20, 3]


def test_minutes_end_it() -> None:
    exploration, _ = explored(fake_trials.slow, minutes=0.005)
    assert exploration.cells[0].runs >= 1
    assert exploration.seconds >= 0.3


def test_an_interrupt_ends_it() -> None:
    exploration = Exploration([spec_of()], Budget(runs=10_000_000), jobs=1, attempt=fake_trials.slow, hire=Scrambled)
    interrupt = threading.Event()

    def on_look() -> None:
        if exploration.runs >= 3:
            interrupt.set()

    exploration.go(interrupt, lambda cell, seed, fresh: None, on_look)
    assert exploration.interrupted
    assert 3 <= exploration.runs < 1000
    assert exit_code(exploration) == 130


def test_a_cell_that_expects_a_violation_wants_one() -> None:
    lying, _ = explored(fake_trials.stale_from_12_on, spec_of(expect="violation"), runs=20)
    assert exit_code(lying) == 0
    honest, _ = explored(fake_trials.all_is_well, spec_of(expect="violation"), runs=20)
    assert exit_code(honest) == 1


def test_runs_in_which_hardly_anything_succeeds_prove_nothing() -> None:
    exploration, _ = explored(fake_trials.hardly_anything_succeeds, runs=7)
    assert exploration.cells[0].verdict == "unknown"
    assert exploration.cells[0].reason == ("in none of 7 runs did 10 operations succeed: fewer prove nothing")
    assert exit_code(exploration) == 2


def test_a_run_that_nobody_could_judge_is_told_with_its_seed() -> None:
    exploration, _ = explored(fake_trials.third_is_undecided, runs=7)
    (cell,) = exploration.cells
    assert (cell.verdict, cell.undecided_total, cell.undecided[0][0]) == ("unknown", 1, 3)
    assert "seed 3: linearizable: it took too long" in cell.reason
    assert exit_code(exploration) == 2


def test_a_run_that_raises_stops_nothing_and_is_told_with_its_seed() -> None:
    exploration, _ = explored(fake_trials.third_raises, runs=7)
    (cell,) = exploration.cells
    assert (cell.runs, cell.failed_total, cell.failed[0][0]) == (7, 1, 3)
    assert "ZeroDivisionError: a protocol divides by zero" in cell.reason
    assert exit_code(exploration) == 4


def test_there_has_to_be_a_cell() -> None:
    with pytest.raises(BadInput, match="no cell"):
        Exploration([], Budget(runs=1), jobs=1)


def test_the_summary_tells_findings_with_the_commands_that_repeat_and_shrink_them() -> None:
    exploration, _ = explored(fake_trials.stale_from_12_on, runs=20)
    exploration.cells[0].found[STALE].folder = "results/c/a run"
    summary = as_json(exploration, "c", datetime(2020, 1, 1, tzinfo=UTC))
    assert (summary["runs"], summary["verdict"], summary["as_expected"]) == (12, "violation", False)
    (cell,) = summary["cells"]
    (finding,) = cell["findings"]
    assert finding == {
        "checker": "linearizable",
        "anomaly": "stale read",
        "sentence": "there was a stale read.",
        "seed": 12,
        "runs": 1,
        "folder": "results/c/a run",
        "problem": None,
        "repeat": "rashomon replay 'results/c/a run'",
        "shrink": "rashomon shrink 'results/c/a run'",
    }
