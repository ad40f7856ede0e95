"""Carrying: a script that was simulated is played on cue by real replicas, and it is counted how often the bug shows."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.explore.trial import judged
from harness.replay import compare, replay_spec
from harness.shrink import carry
from harness.shrink.carry import on_cluster
from harness.simulation.simulate import simulate
from harness.spec import RunSpec

SCRIPT: dict[str, Any] = {
    "operations": [
        {"at_seconds": 0.5, "process": 0, "replica": "n1", "f": "write", "key": "k", "value": 1},
        {"at_seconds": 1.0, "process": 0, "replica": "n1", "f": "write", "key": "k", "value": 2},
        {"at_seconds": 2.5, "process": 1, "replica": "n2", "f": "read", "key": "k"},
        {"at_seconds": 3.0, "process": 1, "replica": "n2", "f": "read", "key": "k"},
    ],
    "faults": [
        {
            "fault": "partition",
            "options": {"shape": "isolate", "target": "n1"},
            "at_seconds": 0.8,
            "until_seconds": 4.0,
        },
    ],
}
"""A leader who acknowledges what nobody else has, is alone with it, and is not asked again."""


def spec(**more: Any) -> RunSpec:
    values = {
        "campaign": "test",
        "cell": "carried",
        "seed": 1,
        "cluster": "simulated",
        "replicas": 3,
        "protocol": {"name": "multi-paxos", "flaws": ["replies-before-commit"]},
        "machine": "kv",
        "workload": {"name": "register"},
        "clients": {"processes": 2, "attempts": 5},
        "duration_seconds": 4.5,
        "simulation": {"liveness_seconds": 0},
        "minimum_operations": 0,
        "expect": "violation",
        "script": SCRIPT,
    }
    return RunSpec.model_validate({**values, **more})


def saved(one: RunSpec, folder: Path) -> Path:
    folder.mkdir(parents=True)
    one.save(folder / "run.yaml")
    return folder


def test_the_order_of_things_is_that_of_the_simulated_run() -> None:
    seen = judged(spec(), simulate(spec()))[0]
    assert "linearizable" in {one.kind.checker for one in seen}, "the script shows the bug where it is simulated"
    carried = on_cluster(spec(), "local")
    assert carried.cluster == "local" and carried.script is not None
    told = [f"{cue.what} {cue.number or cue.replica}" for cue in carried.script.cues]
    others = [one for one in told if not one.startswith("lead")]
    assert others == [
        *("ask 1", "answer 1", "inject 1", "ask 2", "answer 2", "ask 3", "answer 3", "ask 4", "answer 4", "heal 1"),
    ]
    assert told[0] == "lead n1" and told.index("inject 1") < told.index("lead n2") < told.index("ask 3")
    times = [cue.at_seconds for cue in carried.script.cues]
    assert times == sorted(times)


def test_only_what_was_simulated_is_played_on_cue() -> None:
    local = spec(cluster="local")
    assert on_cluster(local, "docker").script == local.script
    assert on_cluster(spec(), "simulated") == spec()
    assert on_cluster(spec(script=None), "local").script is None
    carried = on_cluster(spec(), "local")
    assert on_cluster(carried, "local") == carried, "what was carried is repeated as it was"


def test_what_was_carried_survives_being_saved(tmp_path: Path) -> None:
    carried = on_cluster(spec(), "local")
    assert replay_spec(saved(carried, tmp_path / "run")) == carried


def outcome(*anomalies: str) -> dict[str, Any]:
    verdict = "violation" if anomalies else "valid"
    return {"verdict": verdict, "checks": [{"findings": [{"anomaly": name} for name in anomalies]}]}


def test_it_is_counted_how_often_the_bug_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [outcome("stale read"), outcome(), outcome("lost write", "stale read")]
    played: list[RunSpec] = []

    def run(one: RunSpec, *_: Any) -> dict[str, Any]:
        played.append(one)
        return outcomes[len(played) - 1]

    monkeypatch.setattr(carry, "run", run)
    folder = saved(spec(), tmp_path / "run")
    assert carry.carry(folder, "local", 3, tmp_path, threading.Event()) == 0
    said = capsys.readouterr().out
    assert "2 of 3 runs on local replicas ended in a violation: stale read 2, lost write 1" in said
    assert all(one.script and one.script.cues for one in played)
    outcomes = [outcome()] * 5
    played.clear()
    assert carry.carry(folder, "local", 2, tmp_path, threading.Event()) == 2
    assert "0 of 2 runs" in capsys.readouterr().out


def test_what_can_not_be_carried_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(carry, "run", lambda *_: outcome())
    folder = saved(spec(script={**SCRIPT, "messages": {"n1->n2 accept @0.9": "lost"}}), tmp_path / "run")
    inside = {"checks": [{"checker": "invariants", "findings": [{}]}, {"checker": "linearizable", "findings": []}]}
    (folder / "results.json").write_text(json.dumps(inside), "utf-8")
    carry.carry(folder, "local", 1, tmp_path, threading.Event())
    said = " ".join(capsys.readouterr().out.split())
    assert "The 1 message that was lost, late or repeated can't be arranged on real replicas" in said
    assert "was seen from within the replicas" in said


def test_whoever_played_the_part_counts_as_the_one_who_was_to_be_hit(tmp_path: Path) -> None:
    def history(folder: Path, target: str) -> Path:
        event = {"index": 0, "time": 1, "type": "ok", "process": "nemesis", "f": "inject", "fault": "partition"}
        event |= {"number": 1, "targets": [target], "links": [], "evidence": {"effective": True}}
        (folder / "history.jsonl").write_text(json.dumps(event) + "\n", "utf-8")
        return folder

    first = history(saved(spec(), tmp_path / "simulated"), "n1")
    second = history(saved(on_cluster(spec(), "local"), tmp_path / "local"), "n3")
    comparison = compare(first, second)
    assert comparison.same, comparison.sentences
    assert "the same schedule of 1 faults, of which both runs injected 1" in comparison.sentences
    by_time = history(saved(spec(cluster="local"), tmp_path / "by-time"), "n3")
    assert not compare(first, by_time).same


@pytest.mark.slow
def test_a_bug_shows_on_local_replicas(tmp_path: Path) -> None:
    folder = saved(spec(), tmp_path / "run")
    command = ["replay", str(folder), "--cluster", "local", "--times", "1", "--results", str(tmp_path)]
    ended = CliRunner().invoke(main, command)
    assert ended.exit_code in (0, 2), ended.output
    assert "of 1 runs on local replicas ended in a violation" in ended.output
