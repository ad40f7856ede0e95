"""Bad luck: whatever happens to a run, nothing is left running, and what was recorded is kept and judged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.processes import ProcessId, is_alive
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

STORM = """
    protocols: multi-paxos
    faults:
      - storm:
          - pause: {target: minority, every_seconds: 1, first_seconds: 0.1, for_seconds: 4}
          - kill: {target: one, every_seconds: 1, first_seconds: 0.2, for_seconds: 4}
          - partition: {every_seconds: 1, first_seconds: 0.1, for_seconds: 4}
    duration_seconds: 60
    minimum_operations: 1
    clients: {processes: 5, rate_per_second: 100}
"""
"""Longer than anybody waits for it: a run that is over before the signal comes would show nothing."""
CALM = """
    protocols: multi-paxos
    replicas: 3
    duration_seconds: 3
    minimum_operations: 1
    clients: {processes: 3, rate_per_second: 100}
"""
LIMIT_SECONDS = 60.0


class Trial:
    """`rashomon` in a state folder of its own, so that whatever it leaves there is seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.results = folder / "results"

    def start(self, campaign: str, *options: str, **streams: Any) -> subprocess.Popen[str]:
        file = self.folder / "trial.yaml"
        file.write_text(textwrap.dedent(campaign))
        return self._popen("run", str(file), "--results", str(self.results), *options, **streams)

    def run(self, *arguments: str) -> tuple[int, str]:
        with self._popen(*arguments) as process:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode, output

    def _popen(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            text=True,
            env={**os.environ, "TMPDIR": str(self.state), "PYTHONUNBUFFERED": "1"},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **streams},
        )

    def records(self) -> list[Path]:
        return list(self.state.glob("rashomon-*/records/*"))

    def children(self) -> dict[str, ProcessId]:
        """Every process on record now, by its name."""
        found: dict[str, ProcessId] = {}
        for path in self.records():
            if path.suffix == ".json":
                children = json.loads(path.read_text())["children"]
                found.update({name: ProcessId(*process) for name, process in children.items()})
        return found

    def run_folder(self) -> Path:
        return (self.results / "latest").resolve()

    def outcome(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads((self.run_folder() / "results.json").read_text())
        return results

    def notes(self) -> str:
        return "\n".join(self.outcome()["notes"])

    def has_happened(self, *words: str) -> bool:
        """Whether a line of the history holds all of these."""
        history = self.run_folder() / "history.jsonl"
        return history.exists() and any(
            all(word in line for word in words) for line in history.read_text().splitlines()
        )

    def assert_nothing_left(self, started: dict[str, ProcessId]) -> None:
        wait_for(lambda: not any(is_alive(process) for process in started.values()))
        assert self.records() == []
        assert list(self.state.glob("rashomon-*/data/*")) == []


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    for process in trial.children().values():
        if is_alive(process):
            os.kill(process.pid, signal.SIGKILL)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever the test comes to, the harness doesn't outlive it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=LIMIT_SECONDS)


def read_until(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.strip() == phase:
            return
    raise AssertionError(f"it ended before {phase!r}")


def wait_until_all_is_broken(trial: Trial) -> None:
    wait_for(
        lambda: all(
            trial.has_happened('"inject"', '"applied"', f'"{fault}"') for fault in ("pause", "kill", "partition")
        ),
        LIMIT_SECONDS,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_all_is_broken_ends_the_run_in_good_order(trial: Trial, number: signal.Signals) -> None:
    with ended(trial.start(STORM)) as process:
        wait_until_all_is_broken(trial)
        started = trial.children()
        process.send_signal(number)
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    trial.assert_nothing_left(started)
    outcome = trial.outcome()
    assert outcome["interrupted"]
    assert outcome["verdict"] == "valid", outcome["reason"]
    assert outcome["operations"]["ok"] > 0
    assert (trial.run_folder() / "report.html").exists()
    assert trial.has_happened('"heal"', '"kill"', '"applied"'), "what was broken was healed, and that is on record"


@pytest.mark.parametrize("phase", ["setting up", "working", "healing", "stopping", "checking", "reporting"])
def test_two_signals_at_any_moment_leave_nothing(trial: Trial, phase: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with ended(trial.start(STORM, "--time-limit", "1.5")) as process:
        read_until(process, phase)
        for _ in range(2):
            process.send_signal(dice.choice([signal.SIGINT, signal.SIGTERM]))
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    trial.assert_nothing_left({})
    assert (trial.run_folder() / "history.jsonl").exists()
    assert trial.outcome()["verdict"] in ("valid", "unknown")


def test_what_a_killed_harness_leaves_is_cleaned_by_any_next_command(trial: Trial) -> None:
    with ended(trial.start(STORM)) as process:
        wait_until_all_is_broken(trial)
        started = trial.children()
        process.kill()
        process.wait(LIMIT_SECONDS)
    assert any(is_alive(process) for process in started.values()), "a paused replica can't notice"
    code, output = trial.run("list", "checkers")
    assert code == 0, output
    assert output.count("cleaned up after a run that was killed") == 1
    trial.assert_nothing_left(started)

    code, output = trial.run("report", str(trial.run_folder()))
    assert code == 0, output
    code, output = trial.run("check", str(trial.run_folder()))
    assert code in (0, 2), output
    assert "valid (linearizable)" in output


def test_a_reader_that_goes_away_costs_no_run(trial: Trial) -> None:
    with ended(trial.start(CALM)) as process:
        read_until(process, "setting up")
        assert process.stdout
        process.stdout.close()
        assert process.wait(LIMIT_SECONDS) == 0
    assert trial.outcome()["verdict"] == "valid"
    assert (trial.results / "trial" / "index.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_log_on_a_full_disk_costs_no_run(trial: Trial) -> None:
    with Path("/dev/full").open("w") as full, ended(trial.start(CALM, stdout=full, stderr=full)) as process:
        assert process.wait(LIMIT_SECONDS) == 0
    assert trial.outcome()["verdict"] == "valid"


def test_replicas_that_die_on_their_own_are_noticed_and_the_run_goes_on(trial: Trial) -> None:
    with ended(trial.start(CALM)) as process:
        wait_for(lambda: trial.has_happened('"ok"', '"write"'), LIMIT_SECONDS)
        started = trial.children()
        os.kill(started["n2"].pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, output
    assert "n2 died on its own: ended by SIGKILL" in trial.notes()
    assert "n1 died" not in trial.notes()
    trial.assert_nothing_left(started)


def test_a_replica_with_a_damaged_journal_says_so_and_nothing_is_left(trial: Trial) -> None:
    with ended(trial.start(CALM)) as process:
        wait_for(lambda: trial.has_happened('"index":100,'), LIMIT_SECONDS)
        started = trial.children()
        (journal,) = trial.state.glob("rashomon-*/data/*/n2/journal")
        with journal.open("r+b") as file:
            file.seek(60)
            file.write(b"XXXXXXXX")
        os.kill(started["n2"].pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, output
    assert "is damaged" in trial.notes()
    trial.assert_nothing_left(started)


def test_a_run_whose_proxies_died_is_unknown(trial: Trial) -> None:
    with ended(trial.start(CALM)) as process:
        wait_for(lambda: trial.has_happened('"ok"', '"write"'), LIMIT_SECONDS)
        started = trial.children()
        os.kill(started["proxy"].pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2, output
    assert "can't be trusted" in trial.outcome()["reason"]
    trial.assert_nothing_left(started)


def test_results_that_cannot_be_written_are_one_sentence(trial: Trial) -> None:
    trial.results.write_text("a file in the way")
    with ended(trial.start(CALM)) as process:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 4
    assert output.startswith("rashomon: cannot make a folder in ")
    assert len(output.splitlines()) == 1


def test_results_that_vanish_under_a_run_fail_it_and_nothing_is_left(trial: Trial) -> None:
    with ended(trial.start(CALM)) as process:
        wait_for(lambda: trial.has_happened('"ok"', '"write"'), LIMIT_SECONDS)
        started = trial.children()
        trial.results.rename(trial.folder / "elsewhere")
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 4, output
    assert "Traceback" not in output
    trial.assert_nothing_left(started)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 kB; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no small disk can be mounted here: that takes root on Linux")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_the_run_with_a_sentence(trial: Trial, full_disk: Path) -> None:
    trial.results = full_disk / "results"
    campaign = CALM.replace("rate_per_second: 100", "rate_per_second: 0").replace(
        "duration_seconds: 3", "duration_seconds: 30"
    )
    with ended(trial.start(campaign)) as process:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 4, output
    assert "No space left on device): free some space" in " ".join(output.split())
    assert "Traceback" not in output
    trial.assert_nothing_left({})
    lines = (trial.run_folder() / "history.jsonl").read_text().splitlines()
    assert len(lines) > 100
    assert all(json.loads(line) for line in lines), "whole lines only"


def test_a_full_disk_for_the_journals_is_a_sentence_and_nothing_is_left(trial: Trial, full_disk: Path) -> None:
    (full_disk / "filler").write_bytes(b"x" * 50_000)
    trial.state = full_disk
    with ended(trial.start(CALM)) as process:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 4, output
    assert "No space left on device" in " ".join(output.split())
    assert "Traceback" not in output
    trial.assert_nothing_left({})


def test_two_runs_at_the_same_time_share_a_folder_of_results(trial: Trial) -> None:
    with ended(trial.start(CALM)) as one, ended(trial.start(CALM)) as other:
        outputs = [process.communicate(timeout=LIMIT_SECONDS)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), "\n".join(outputs)
    runs = [path for path in (trial.results / "trial").iterdir() if path.is_dir()]
    assert len(runs) == 2
    assert all((run / "report.html").exists() for run in runs)
    trial.assert_nothing_left({})


def test_a_folder_in_the_place_of_the_link_to_the_latest_run_is_left_alone(trial: Trial) -> None:
    (trial.results / "latest").mkdir(parents=True)
    with ended(trial.start(CALM, "--time-limit", "1")) as process:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, output
    assert list((trial.results / "latest").iterdir()) == []
