"""The swarm finds what is planted, and nothing where nothing is.

Each flaw is found within so many runs; a run takes a tenth of a second or two. RASHOMON_SOUNDNESS=1 makes the rounds
longer: more flaws, and correct protocols over many more seeds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.explore.command import cells_of
from harness.explore.trial import Task, Trial, attempt
from harness.spec import RunSpec

CAMPAIGNS = Path(__file__).parent.parent / "campaigns"
THOROUGH = bool(os.environ.get("RASHOMON_SOUNDNESS"))

ALWAYS = (
    "majority-off-by-one",
    "retries-applied-twice",
    pytest.param("promise-not-persisted", marks=pytest.mark.slow),
    pytest.param("new-leader-ignores-accepted", marks=pytest.mark.slow),
    pytest.param("replies-before-sync", marks=pytest.mark.slow),
)
"""Those that are looked for in every whole round of tests."""


def _flawed() -> list[RunSpec]:
    return cells_of(CAMPAIGNS / "explore-flaws.yaml")


def _first_finding(cell: RunSpec, runs: int) -> tuple[int, Trial] | None:
    for seed in range(1, runs + 1):
        trial = attempt([cell], Task(0, seed))
        assert not trial.undecided, f"seed {seed}"
        if trial.findings:
            return seed, trial
    return None


@pytest.mark.parametrize("flaw", ALWAYS)
def test_the_planted_flaw_is_found_within_a_hundred_runs(flaw: str) -> None:
    (cell,) = (cell for cell in _flawed() if cell.protocol.flaws == [flaw])
    found = _first_finding(cell, 100)
    assert found is not None, f"{flaw} was not found in 100 runs"
    seed, trial = found
    again = attempt([cell], Task(0, seed))
    assert again.findings == trial.findings, f"seed {seed} of {flaw}: the same run found something else"


@pytest.mark.slow
@pytest.mark.skipif(not THOROUGH, reason="RASHOMON_SOUNDNESS=1 looks for all flaws")
@pytest.mark.parametrize("cell", _flawed(), ids=lambda cell: f"{cell.protocol.name}-{cell.protocol.flaws[0]}")
def test_every_planted_flaw_is_found_within_a_thousand_runs(cell: RunSpec) -> None:
    assert _first_finding(cell, 1000) is not None


@pytest.mark.parametrize("cell", cells_of(CAMPAIGNS / "explore.yaml"), ids=lambda cell: str(cell.protocol.name))
def test_nothing_is_found_in_a_correct_protocol(cell: RunSpec) -> None:
    runs = 1000 if THOROUGH else 2
    found = _first_finding(cell, runs)
    assert found is None, f"seed {found[0]}: {found[1].findings[0].sentence}"
