"""The command `rashomon explore`: a flaw is found, saved and repeated; mistakes are sentences; Ctrl-C leaves a summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.explore.command import cells_of
from harness.explore.explore import CellTally, Found
from harness.explore.keep import NOT_AGAIN, keep
from harness.explore.trial import Kind
from tests.support.specs import spec_of
from tests.support.waiting import wait_for

FLAWED = """
name: flawed
replicas: 3
protocols: {multi-paxos: {flaws: [majority-off-by-one]}}
clients: {processes: 4, rate_per_second: 40}
duration_seconds: 8
expect: violation
faults: {storm: [partition, kill]}
"""


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "state"))


def rashomon(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def campaign_in(folder: Path, text: str = FLAWED) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(text)
    return path


def test_a_flaw_is_found_saved_and_can_be_repeated(tmp_path: Path) -> None:
    results = tmp_path / "results"
    told = rashomon("explore", campaign_in(tmp_path), "--runs", 200, "--jobs", 1, "--results", results)
    assert told.exit_code == 0, told.output
    (saved,) = results.glob("flawed/*-explore/explore.json")
    summary = json.loads(saved.read_text())
    (cell,) = summary["cells"]
    assert (cell["verdict"], cell["as_expected"], cell["violations"]) == ("violation", True, 1)
    finding = cell["findings"][0]
    assert finding["problem"] is None
    folder = Path(finding["folder"])
    assert {"run.yaml", "history.jsonl", "results.json", "report.html", "trace.jsonl"} <= {
        path.name for path in folder.iterdir()
    }
    assert f"repeat: rashomon replay {folder}" in told.output
    assert f"shrink: rashomon shrink {folder}" in told.output
    assert f"All figures: {saved}" in told.output
    again = rashomon("replay", folder, "--results", tmp_path / "again")
    assert again.exit_code == 0, again.output
    (repeated,) = (tmp_path / "again").glob("flawed/*/history.jsonl")
    assert repeated.read_bytes() == (folder / "history.jsonl").read_bytes()


def test_json_is_the_whole_output_and_tells_what_was_gone_through(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path, FLAWED.replace("[majority-off-by-one]", "[]").replace("violation", "valid"))
    told = rashomon("explore", campaign, "--runs", 3, "--jobs", 1, "--json", "--results", tmp_path / "results")
    assert told.exit_code == 0, told.output
    (cell,) = json.loads(told.output)["cells"]
    assert (cell["cell"], cell["runs"], cell["first_seed"]) == ("multi-paxos, register, storm", 3, 1)
    coverage = cell["coverage"]
    assert coverage["sizes"] == {"3 replicas": {"runs": 3}}
    assert coverage["messages"]["heartbeat"]["sent"] > 100
    assert set(coverage["faults"]) <= {"partition", "kill"}
    assert sum(row.get("ok", 0) for row in coverage["operations"].values()) > 30


def test_a_dry_run_prints_what_was_drawn(tmp_path: Path) -> None:
    told = rashomon("explore", campaign_in(tmp_path), "--seed", 1742, "--dry-run")
    assert told.exit_code == 0
    assert "--- # multi-paxos(majority-off-by-one), register, storm" in told.output
    assert "seed: 1742" in told.output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--runs", "0"], "--runs"),
        (["--minutes", "nan"], "nan"),
        (["--jobs", "0"], "--jobs"),
        (["--only", "raft"], "--only 'raft' fits no cell"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_code_3(tmp_path: Path, arguments: list[str], part: str) -> None:
    told = rashomon("explore", campaign_in(tmp_path), *arguments)
    assert told.exit_code == 3
    assert part in told.output
    assert len(told.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("explore: {wether: false}", "did you mean 'weather'?"),
        ("explore: {replicas: [0]}", "greater than or equal to 1"),
        ("explore: {options: {windw: [1]}}", "did you mean 'window'?"),
        ("explore: {options: {window: [0]}}", "window 0"),
        ("explore: {options: {window: []}}", "at least 1 item"),
    ],
)
def test_mistakes_in_a_campaign_are_told_with_their_line(tmp_path: Path, line: str, part: str) -> None:
    told = rashomon("explore", campaign_in(tmp_path, FLAWED + line + "\n"))
    assert told.exit_code == 3
    assert part in told.output
    assert "campaign.yaml:9: " in told.output


def test_a_campaign_that_names_no_faults_has_everything_and_seeds_make_no_cells(tmp_path: Path) -> None:
    (cell,) = cells_of(campaign_in(tmp_path, "protocols: multi-paxos\nseeds: [7, 8, 9]\n"))
    assert (cell.seed, cell.cell) == (7, "multi-paxos, register, everything")
    faults = {choice.fault for stream in cell.nemesis.streams for choice in stream.choices}
    assert {"kill", "partition", "sync-fails"} <= faults
    assert "wipe" not in faults
    (calm,) = cells_of(campaign_in(tmp_path, "protocols: multi-paxos\nfaults: none\n"))
    assert calm.nemesis.streams == []


def test_a_finding_that_does_not_come_again_is_told(tmp_path: Path) -> None:
    found = Found(Kind("linearizable", "stale read"), "it was stale", 1)
    tally = CellTally(spec_of(cluster="simulated", duration_seconds=1.0), 1)
    keep(tally, 1, [found], tmp_path, threading.Event())
    assert found.problem == NOT_AGAIN
    assert found.folder is not None


@pytest.mark.slow
def test_ctrl_c_leaves_a_summary(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path, FLAWED.replace("[majority-off-by-one]", "[]").replace("violation", "valid"))
    results = tmp_path / "results"
    command = [sys.executable, "-m", "harness.cli", "explore", str(campaign), "--minutes", "30", "--jobs", "1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "state")}
    with subprocess.Popen(
        [*command, "--results", str(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            wait_for(lambda: process.poll() is not None or any(results.glob("flawed/*-explore")), 60)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert "Traceback" not in output
    (saved,) = results.glob("flawed/*-explore/explore.json")
    assert json.loads(saved.read_text())["interrupted"] is True
