"""Campaigns that say what protocols promise and where they fail: simulated, each cell comes out as it is expected to.

The same files run on local replicas and in containers. The scenes (cells with a script) are short; what is drawn is slow.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.campaign import Overrides, load_campaign
from harness.run import Silent, run
from harness.spec import RunSpec

CAMPAIGNS = (
    "causal",
    "leased-primary",
    "log-shipping",
    "multi-paxos",
    "naive-two-phase",
    "paxos",
    "quorum",
    "raft",
    "read-only-replicas",
    "two-phase-commit",
)
FOLDER = Path(__file__).parent.parent / "campaigns"


def cells(name: str) -> list[RunSpec]:
    return load_campaign(FOLDER / f"{name}.yaml", Overrides(cluster="simulated"))


LONG_ENOUGH_SECONDS = 8.0
"""For a cell that has to be valid; where something has to be found, it takes as long as the campaign says."""


def shortened(spec: RunSpec) -> RunSpec:
    if spec.expect != "valid" or spec.duration_seconds <= LONG_ENOUGH_SECONDS:
        return spec
    return spec.model_copy(update={"duration_seconds": LONG_ENOUGH_SECONDS, "minimum_operations": 10})


SPECS = [spec for name in CAMPAIGNS for spec in cells(name)]
SCENES = [spec for spec in SPECS if spec.script is not None]
DRAWN = [shortened(spec) for spec in SPECS if spec.script is None]


def comes_out_as_expected(spec: RunSpec, folder: Path) -> None:
    results = run(spec, folder, Silent(), threading.Event())
    told = [f"{check['checker']}: {check['verdict']}: {check['sentence']}" for check in results["checks"]]
    assert results["verdict"] == spec.expect, "\n".join([str(results["error"]), *told])


@pytest.mark.parametrize("spec", SCENES, ids=lambda spec: spec.cell)
def test_the_scenes_of_the_lectures(spec: RunSpec, tmp_path: Path) -> None:
    comes_out_as_expected(spec, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("spec", DRAWN, ids=lambda spec: f"{spec.campaign}: {spec.cell}")
def test_what_is_promised_and_where_it_ends(spec: RunSpec, tmp_path: Path) -> None:
    comes_out_as_expected(spec, tmp_path)
