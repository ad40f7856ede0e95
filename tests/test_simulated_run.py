"""A simulated run lives the life of any other: its folder, its verdicts, its replay, its refusals."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from faults.catalogue import FAULTS
from faults.fault import Setting
from faults.processes import Kill
from harness.cli import main
from harness.errors import BadInput
from harness.replay import compare
from harness.run import Silent, run
from harness.spec import RunSpec
from tests.support.simulations import STORM, simulated_spec

LOSES_WRITES: dict[str, Any] = {
    "protocol": {"name": "primary-backup", "options": {"acknowledge": "none"}},
    "nemesis": {
        "name": "kill",
        "streams": [{"choices": [{"fault": "kill", "options": {"target": "primary"}, "for_seconds": 1.0}],
                     "every_seconds": 2.0, "first_seconds": 0.5}],
    },
    "simulation": {"sync_ms": 5},
    "duration_seconds": 6.0,
}  # fmt: skip


def carried_out(spec: RunSpec, folder: Path, interrupt: threading.Event | None = None) -> dict[str, Any]:
    return run(spec, folder, Silent(), interrupt or threading.Event())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_run_leaves_what_every_run_leaves(tmp_path: Path) -> None:
    results = carried_out(simulated_spec(nemesis=STORM, duration_seconds=3.0), tmp_path)
    assert (results["verdict"], results["error"], results["cluster"]) == ("valid", None, "simulated")
    checks = {check["checker"]: check["verdict"] for check in results["checks"]}
    assert checks["linearizable"] == checks["invariants"] == checks["liveness"] == checks["faults"] == "valid"
    assert results["seconds"]["work"] == 3.0 and results["faults"]["proved"] > 0
    files = {path.name for path in tmp_path.iterdir()}
    assert files >= {"run.yaml", "history.jsonl", "statuses.jsonl", "results.json", "report.html", "junit.xml", "logs"}
    assert "trace.jsonl" not in files
    assert "starts (life 1)" in (tmp_path / "logs" / "n1.log").read_text("utf-8")
    assert RunSpec.load(tmp_path / "run.yaml").cluster == "simulated"


def test_a_run_with_a_finding_leaves_its_trace_up_to_there(tmp_path: Path) -> None:
    for seed in range(10):
        results = carried_out(simulated_spec(**LOSES_WRITES, seed=seed), tmp_path / str(seed))
        if results["verdict"] == "violation":
            break
    assert results["verdict"] == "violation", "nothing was lost in ten runs"
    folder = tmp_path / str(seed)
    steps = lines_of(folder / "trace.jsonl")
    ends = [finding["prefix_end"] for check in results["checks"] for finding in check["findings"]]
    assert {"send", "deliver", "request", "reply", "append", "sync", "timer", "kill", "start"} <= {
        step["what"] for step in steps
    }
    assert min(ends) < steps[-1]["time"] <= min(ends) + 1_000_000_000
    again = tmp_path / "again"
    carried_out(RunSpec.load(folder / "run.yaml"), again)
    comparison = compare(folder, again)
    assert comparison.same and len(comparison.sentences) == 3
    assert all("byte-identical" in sentence for sentence in comparison.sentences)


def test_runs_that_differ_are_told_by_the_first_line(tmp_path: Path) -> None:
    for name in ("one", "other", "short"):
        carried_out(simulated_spec(duration_seconds=0.5), tmp_path / name)
    history = tmp_path / "other" / "history.jsonl"
    lines = history.read_text("utf-8").splitlines()
    history.write_text("\n".join([*lines[:7], lines[7].replace("ok", "no").replace("invoke", "no"), *lines[8:]]) + "\n")
    comparison = compare(tmp_path / "one", tmp_path / "other")
    assert not comparison.same
    assert any(sentence.startswith("history.jsonl differs from line 8 on: ") for sentence in comparison.sentences)
    (tmp_path / "short" / "history.jsonl").write_text("\n".join(lines[:20]) + "\n")
    comparison = compare(tmp_path / "one", tmp_path / "short")
    assert not comparison.same
    assert f"history.jsonl has {len(lines)} lines in the one run and 20 in the other" in comparison.sentences
    assert compare(tmp_path / "one", tmp_path / "one").same


def test_a_run_that_is_interrupted_is_judged_by_what_there_is(tmp_path: Path) -> None:
    interrupt = threading.Event()

    class Impatient(Silent):
        def tick(self, outcomes: Any, faults: Any, seconds_left: float) -> None:
            if seconds_left < 1.5:
                interrupt.set()

    results = run(simulated_spec(), tmp_path / "cut", Impatient(), interrupt)
    assert results["interrupted"] and results["error"] is None
    assert 0 < results["operations"]["ok"] < 60
    carried_out(simulated_spec(), tmp_path / "whole")
    comparison = compare(tmp_path / "cut", tmp_path / "whole")
    assert comparison.same and "as far as both go" in comparison.sentences[0]


def test_a_cell_that_can_not_be_simulated_is_refused(tmp_path: Path) -> None:
    streams = [{"choices": [{"fault": "partition", "options": {"shape": "ring"}}]}]
    with pytest.raises(BadInput):
        carried_out(simulated_spec(replicas=1, nemesis={"name": "ring", "streams": streams}), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["verdict"] == "unknown"


# The command line

CAMPAIGN = """
name: virtual
protocols: [multi-paxos]
replicas: 3
duration_seconds: 2
faults: [{kill: {every_seconds: 1, first_seconds: 0.5, for_seconds: 0.4}}]
clients: {processes: 4, rate_per_second: 60}
"""


def rashomon(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(main, list(arguments), prog_name="rashomon")
    return outcome.exit_code, outcome.output


def test_any_campaign_runs_simulated_and_is_replayed_exactly(tmp_path: Path) -> None:
    campaign, results = tmp_path / "virtual.yaml", tmp_path / "results"
    campaign.write_text(CAMPAIGN)
    code, output = rashomon("run", str(campaign), "--cluster", "simulated", "--results", str(results))
    assert code == 0, output
    [folder] = [path.parent for path in results.glob("virtual/*/run.yaml")]
    code, output = rashomon("replay", str(folder), "--results", str(results))
    assert code == 0, output
    assert "history.jsonl is byte-identical" in " ".join(output.split())


class GarbledHeaders(Kill):
    """A fault of HTTP itself, as far as anybody asks whether it can be injected."""

    name = "garbled-headers"

    def applies_to(self, setting: Setting) -> str | None:
        if setting.cluster == "simulated":
            return f"{self.name}: links of a simulated cluster don't speak HTTP: use `cluster: local`"
        return super().applies_to(setting)


def test_a_cell_that_asks_for_what_a_simulation_has_not_is_refused_and_told_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAULTS, GarbledHeaders.name, GarbledHeaders)
    campaign = tmp_path / "virtual.yaml"
    campaign.write_text(CAMPAIGN.replace("{kill:", "{garbled-headers:"))
    code, output = rashomon("run", str(campaign), "--cluster", "local", "--dry-run")
    assert code == 0, output
    for command in (["run", str(campaign), "--cluster", "simulated"], ["explore", str(campaign), "--runs", "1"]):
        code, output = rashomon(*command, "--results", str(tmp_path / "results"))
        assert code == 3 and "don't speak HTTP: use `cluster: local`" in " ".join(output.split())
    assert not (tmp_path / "results").exists()


def test_the_simulated_world_is_part_of_a_campaign_and_of_no_other_run(tmp_path: Path) -> None:
    campaign = tmp_path / "virtual.yaml"
    campaign.write_text(CAMPAIGN + "cluster: simulated\nsimulation: {delay_ms: 5, lost: 0.01}\n")
    code, output = rashomon("run", str(campaign), "--dry-run")
    assert code == 0 and "delay_ms: 5.0" in output and "lost: 0.01" in output
    campaign.write_text(CAMPAIGN)
    code, output = rashomon("run", str(campaign), "--dry-run")
    assert code == 0 and "simulation" not in output
    campaign.write_text(CAMPAIGN + "simulation: {delay: 5}\n")
    code, output = rashomon("run", str(campaign), "--dry-run")
    assert code == 3 and "delay_ms" in output
