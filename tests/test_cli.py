"""The command line: what it prints and with which code it ends."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.cluster import leftovers
from harness.spec import Named, ProtocolSpec, RunSpec


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command begins by cleaning up: not what others on this machine left."""
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "state"))


def rashomon(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write_history(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"index": index, **event}) + "\n" for index, event in enumerate(events)))
    return path


def operation(process: int, f: str, value: Any, span: tuple[int, int], **completion: Any) -> list[dict[str, Any]]:
    both = {"process": process, "f": f, "key": "x", "value": value, "replica": "n1"}
    begin, end = span
    return [{"time": begin, "type": "invoke", **both}, {"time": end, "type": "ok", **both, **completion}]


FRESH = [
    *operation(0, "write", 1, (0, 1_000_000)),
    *operation(1, "read", None, (2_000_000, 3_000_000), result=1),
]
STALE = [
    *operation(0, "write", 1, (0, 1_000_000)),
    *operation(0, "write", 2, (2_000_000, 3_000_000)),
    *operation(1, "read", None, (4_000_000, 5_000_000), result=1),
]


@pytest.mark.parametrize(
    "command", [[], ["run"], ["check"], ["report"], ["replay"], ["list"], ["up"], ["down"], ["status"], ["serve"]]
)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = rashomon(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


def test_a_misspelt_command_is_answered_with_the_right_one() -> None:
    result = rashomon("chek", "x")
    assert result.exit_code == 3
    assert "did you mean 'check'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run"], "missing argument"),
        (["run", "x.yaml", "--foo"], "--foo"),
        (["--foo"], "--foo"),
        (["run", "x.yaml", "--replicas", "0"], "--replicas"),
        (["run", "x.yaml", "--time-limit", "nan"], "nan"),
        (["list", "fault"], "'faults'"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_one_sentence_and_code_3(arguments: list[str], part: str) -> None:
    result = rashomon(*arguments)
    assert result.exit_code == 3
    assert part in result.output
    assert "--help` tells" in result.output
    assert result.output.startswith("rashomon: ")
    assert len(result.output.splitlines()) == 1


def test_without_a_command_it_explains_itself() -> None:
    result = rashomon()
    assert result.exit_code == 0
    assert "Commands:" in result.output


@pytest.mark.parametrize("what", ["protocols", "flaws", "machines", "faults", "workloads", "checkers"])
def test_catalogues(what: str) -> None:
    expected = {
        "protocols": ["primary-backup", "acknowledge", "multi-paxos"],
        "flaws": ["promise-not-persisted (multi-paxos)", "sync-skipped (every protocol)", "The rule:"],
        "machines": ["kv"],
        "faults": ["partition", "latency", "slow", "reset", "kill", "pause", "shape"],
        "workloads": ["register", "processes_per_key"],
        "checkers": ["linearizable", "availability", "faults"],
    }
    result = rashomon("list", what)
    assert result.exit_code == 0
    for word in expected[what]:
        assert word in result.output


def test_a_bad_campaign_is_one_sentence_and_code_3(tmp_path: Path) -> None:
    campaign = tmp_path / "bad.yaml"
    campaign.write_text("protocols: multi-paxos\nfaults: [partiton]\n")
    result = rashomon("run", campaign)
    assert result.exit_code == 3
    assert result.output == f"rashomon: {campaign}:2: unknown fault 'partiton': did you mean 'partition'?\n"


def test_a_dry_run_shows_resolved_cells_and_runs_nothing(tmp_path: Path) -> None:
    campaign = tmp_path / "two.yaml"
    campaign.write_text("protocols: [multi-paxos, primary-backup]\n")
    result = rashomon("run", campaign, "--dry-run", "--replicas", "3", "--only", "primary", "--results", tmp_path / "r")
    assert result.exit_code == 0
    assert "name: primary-backup" in result.output
    assert "replicas: 3" in result.output
    assert "multi-paxos" not in result.output
    assert not (tmp_path / "r").exists()


def test_only_that_fits_nothing_names_the_cells(tmp_path: Path) -> None:
    campaign = tmp_path / "one.yaml"
    campaign.write_text("protocols: multi-paxos\n")
    result = rashomon("run", campaign, "--only", "raft")
    assert result.exit_code == 3
    assert "multi-paxos, register, none, seed 1" in result.output


def test_check_says_valid(tmp_path: Path) -> None:
    result = rashomon("check", write_history(tmp_path / "history.jsonl", *FRESH))
    assert result.exit_code == 0
    assert result.output.startswith("valid")


def test_check_says_violation_with_the_operations_that_prove_it(tmp_path: Path) -> None:
    result = rashomon("check", write_history(tmp_path / "history.jsonl", *STALE))
    assert result.exit_code == 1
    assert result.output.startswith("violation")
    assert "process 1" in result.output


def test_check_takes_the_folder_of_a_run_and_speaks_json(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", *STALE)
    result = rashomon("check", tmp_path, "--json")
    assert result.exit_code == 1
    (check,) = json.loads(result.stdout)
    assert check["checker"] == "linearizable"
    assert check["verdict"] == "violation"
    assert check["findings"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("not json\n{}\n", "history.jsonl:1: not JSON"),
        ("[1]\n", "history.jsonl:1: not a JSON object"),
        (json.dumps({"index": 0, **FRESH[1]}) + "\n", "not a history that can be judged"),
    ],
)
def test_check_of_something_else(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "history.jsonl").write_text(content)
    result = rashomon("check", tmp_path)
    assert result.exit_code == 3
    assert part in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "report", "replay"])
def test_a_run_that_is_not_there(command: str, tmp_path: Path) -> None:
    result = rashomon(command, tmp_path / "nowhere")
    assert result.exit_code == 3
    assert "nowhere" in result.output
    assert "Traceback" not in result.output


def test_serve_refuses_what_is_not_a_folder(tmp_path: Path) -> None:
    result = rashomon("serve", tmp_path / "nowhere")
    assert result.exit_code == 3


def test_a_bug_is_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble() -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(leftovers, "sweep", stumble)
    result = rashomon("list", "faults")
    assert result.exit_code == 4
    assert "ZeroDivisionError" in result.output
    assert "please report it" in result.output


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "not JSON"),
        ("\x00", "not JSON"),
        ("[1]", "not a JSON object"),
    ],
    ids=["deep", "long", "binary", "list"],
)
def test_a_history_that_is_junk_is_one_sentence_and_code_3(tmp_path: Path, line: str, part: str) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(line + "\n{}\n")
    RunSpec(
        campaign="c",
        cell="c",
        seed=1,
        protocol=ProtocolSpec(name="multi-paxos"),
        machine="kv",
        workload=Named(name="register"),
    ).save(tmp_path / "run.yaml")
    result = rashomon("check", tmp_path)
    assert result.exit_code == 3
    assert f"{history}:1: " in result.output
    assert part in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "not the specification of a run"),
        ("{[", "not YAML"),
        ("a: 2001-99-99", "not YAML"),
        ("foo: 3", "mend it"),
        (
            "{campaign: c, cell: c, seed: 1, protocol: {name: raft}, machine: kv, workload: {name: <b>}}",
            "unknown workload '<b>'",
        ),
    ],
)
def test_a_run_whose_specification_is_broken_is_one_sentence_and_code_3(
    tmp_path: Path, content: str, part: str
) -> None:
    write_history(tmp_path / "history.jsonl", *FRESH)
    (tmp_path / "run.yaml").write_text(content)
    result = rashomon("check", tmp_path)
    assert result.exit_code == 3
    assert f"{tmp_path / 'run.yaml'}" in result.output
    assert part in result.output
    assert len(result.output.splitlines()) == 1
