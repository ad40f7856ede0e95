"""The README's own commands, as a newcomer types them: the quickstart on both kinds of clusters, and what comes after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
LIMIT_SECONDS = 280


def rashomon(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with the tests' own Python; its output is printed when a test fails."""
    command = [sys.executable, "-m", "harness.cli", *map(str, arguments)]
    # So that a test's own folder for temporary files is the command's, too.
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, env={**os.environ}, check=False
    )
    print(done.stdout, done.stderr)
    return done


def results_of(campaign: Path) -> dict[str, dict[str, Any]]:
    """The results of each run of a campaign, by the name of its cell, in the order of the runs."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(campaign.glob("*/results.json"))]
    return {result["cell"]: result for result in found}


def assert_three_stories(campaign: Path) -> None:
    """What the README promises of the quickstart."""
    asynchronous, synchronous, paxos = results_of(campaign).values()
    assert asynchronous["verdict"] == "violation"
    assert "lost write" in {finding["anomaly"] for finding in findings(asynchronous)}
    assert synchronous["verdict"] == "violation"
    assert paxos["verdict"] == "valid"
    assert paxos["operations"]["ok"] >= 500
    assert not findings(paxos)
    for result in (asynchronous, synchronous, paxos):
        assert result["as_expected"]
        assert result["audit"] == []
        assert result["tainted"] is None
        assert result["faults"]["proved"] >= 2
        assert result["faults"]["ineffective"] == 0


def findings(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for check in result["checks"] for finding in check["findings"]]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the quickstart on local processes."""
    results = tmp_path_factory.mktemp("results")
    done = rashomon("run", "campaigns/quickstart.yaml", "--results", results)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr
    return results


def test_the_quickstart_on_local_processes(quickstart: Path) -> None:
    assert_three_stories(quickstart / "quickstart")


def test_every_run_leaves_its_files(quickstart: Path) -> None:
    folders = sorted(path.parent for path in (quickstart / "quickstart").glob("*/run.yaml"))
    assert len(folders) == 3
    for folder in folders:
        for name in ("history.jsonl", "statuses.jsonl", "results.json", "report.html", "junit.xml", "harness.log"):
            assert (folder / name).stat().st_size > 0, name
        assert {path.name for path in (folder / "logs").iterdir()} >= {f"n{number}.log" for number in range(1, 6)}
    assert (quickstart / "latest").resolve() == folders[-1].resolve()
    assert (quickstart / "quickstart" / "index.html").is_file()
    suite = ElementTree.parse(quickstart / "quickstart" / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "0")


def test_the_latest_run_is_judged_the_same_again(quickstart: Path) -> None:
    done = rashomon("check", quickstart / "latest", "--json")
    assert done.returncode == 0
    assert {check["checker"]: check["verdict"] for check in json.loads(done.stdout)}["linearizable"] == "valid"


def test_a_replay_does_the_same_again(quickstart: Path) -> None:
    folder = next((quickstart / "quickstart").glob("*isolate*"))
    done = rashomon("replay", folder, "--results", quickstart / "replayed")
    assert done.returncode == 0
    assert "the same schedule of 2 faults, of which both runs injected 2" in " ".join(done.stdout.split())
    assert "the same sequence of operations for each of" in " ".join(done.stdout.split())


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    yield
    assert rashomon("status").stdout.startswith("no docker cluster is up")


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left_running")
def test_the_quickstart_in_containers(tmp_path: Path) -> None:
    done = rashomon("run", "campaigns/quickstart.yaml", "--cluster", "docker", "--results", tmp_path)
    assert done.returncode == 0
    assert_three_stories(tmp_path / "quickstart")
