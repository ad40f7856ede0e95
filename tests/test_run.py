"""The life of a run, against a cluster that is made up: whatever happens, it ends clean and keeps what it knows."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.campaign_run import replay_run
from harness.errors import BadInput, RunFailed
from harness.history import FINAL_READS, WORK_OVER, read_history
from harness.replay import compare, replay_spec
from harness.results import SECONDS
from harness.run import Silent, look_for_room, new_folder, run
from harness.spec import RunSpec
from harness.work import Work
from tests.support import made_up_checkers, specs
from tests.support.fake_service import ServedCluster

CONTENT = {"checkers": ["tests.support.made_up_checkers:Content"]}
KILLS = {
    "name": "kills",
    "streams": [
        {
            "choices": [{"fault": "kill", "options": {"target": "one"}, "for_seconds": 0.1}],
            "every_seconds": None,
            "at_seconds": [0.05, 0.2],
        }
    ],
}


def spec_of(**changes: Any) -> RunSpec:
    """As the others' tests have it, but shorter: there are many runs here, and they take real time."""
    return specs.spec_of(**{"duration_seconds": 0.15, **changes})


def lasting_kill() -> dict[str, Any]:
    """One kill, at once, that only the end of the work heals."""
    choices = [{"fault": "kill", "options": {"target": "one"}, "for_seconds": 50.0}]
    return {"name": "kill", "streams": [{"choices": choices, "every_seconds": None, "at_seconds": [0.0]}]}


class Watcher(Silent):
    """Remembers the phases, and does something when one begins."""

    def __init__(self, phase: str = "", action: Callable[[], object] = lambda: None) -> None:
        self.phases: list[str] = []
        self.outcomes: dict[str, int] = {}
        self._phase = phase
        self._action = action

    def phase(self, name: str) -> None:
        self.phases.append(name)
        if name == self._phase:
            self._action()

    def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
        self.outcomes = dict(outcomes)
        assert seconds_left > 0


def execute(
    folder: Path,
    spec: RunSpec,
    cluster: ServedCluster | None = None,
    progress: Silent | None = None,
    interrupt: threading.Event | None = None,
) -> dict[str, Any]:
    cluster = cluster or ServedCluster(3)
    try:
        return run(spec, folder, progress or Silent(), interrupt or threading.Event(), lambda kind, replicas: cluster)
    finally:
        assert not cluster.up
        assert cluster.whole()
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith(("client", "run", "status", "nemesis", "kill")) for name in names), names


def saved(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text("utf-8"))
    return results


def test_a_run_from_set_up_to_results(tmp_path: Path) -> None:
    cluster, watcher = ServedCluster(3), Watcher()
    spec = spec_of(checks=CONTENT, duration_seconds=0.3)
    results = execute(tmp_path / "run", spec, cluster, watcher)
    assert results == saved(tmp_path / "run")
    assert watcher.phases == [
        "setting up",
        "working",
        "healing",
        "recovering",
        "final reads",
        "stopping",
        "checking",
        "reporting",
    ]
    assert watcher.outcomes["ok"] > 0
    assert (results["verdict"], results["as_expected"], results["error"]) == ("valid", True, None)
    assert results["reason"] == results["checks"][0]["sentence"]
    assert results["operations"]["ok"] > 50
    assert set(results["operations"]["by_function"]) == {"read", "write", "cas"}
    assert set(results["seconds"]) == set(SECONDS)
    assert all(seconds >= 0 for seconds in results["seconds"].values())
    assert replay_spec(tmp_path / "run") == spec
    ((protocol, _, machine, run_id, seed),) = cluster.provisioned
    assert (protocol, machine, seed) == ("multi-paxos", "kv", 1)
    assert {body["run"] for _, body in cluster.service.received} == {run_id}
    for name in ("run.yaml", "history.jsonl", "statuses.jsonl", "harness.log", "logs/n1.log", "logs/n3.log"):
        assert (tmp_path / "run" / name).stat().st_size > 0, name


def test_final_reads_come_after_the_work(tmp_path: Path) -> None:
    results = execute(tmp_path / "run", spec_of(checks=CONTENT))
    assert results["notes"] == []
    events = list(read_history(tmp_path / "run" / "history.jsonl"))
    notes = [event["value"] for event in events if event["process"] == "harness"]
    assert notes == [WORK_OVER, FINAL_READS]
    place = next(place for place, event in enumerate(events) if event.get("value") == FINAL_READS)
    assert len(events) > place + 1
    assert {event["f"] for event in events[place + 1 :]} == {"read"}


def test_statuses_are_sampled_and_deaths_are_noted(tmp_path: Path) -> None:
    cluster = ServedCluster(3)
    cluster.untold_deaths = ["n2 died on its own: exit code 5"]
    results = execute(tmp_path / "run", spec_of(checks=CONTENT), cluster)
    samples = [json.loads(line) for line in (tmp_path / "run" / "statuses.jsonl").read_text("utf-8").splitlines()]
    assert {sample["replica"] for sample in samples} == {"n1", "n2", "n3"}
    assert set(samples[0]) == {
        "time",
        "replica",
        "state",
        "role",
        "leader",
        "term",
        "commit_index",
        "log_index",
    }
    assert (samples[0]["state"], samples[0]["role"]) == ("up", "leader")
    assert "n2 died on its own: exit code 5" in results["notes"]


def test_faults_are_injected_counted_and_healed(tmp_path: Path) -> None:
    cluster = ServedCluster(3)
    results = execute(tmp_path / "run", spec_of(checks=CONTENT, nemesis=KILLS, duration_seconds=0.4), cluster)
    assert [deed.split()[0] for deed in cluster.deeds] == ["kill", "restart", "kill", "restart"]
    assert results["faults"]["injected"] == 2
    assert results["verdict"] == "valid"


def test_a_violation_is_a_violation_and_may_be_expected(tmp_path: Path) -> None:
    checks = {"checkers": [*CONTENT["checkers"], "tests.support.made_up_checkers:Indignant"]}
    results = execute(tmp_path / "run", spec_of(checks=checks, expect="violation"))
    assert (results["verdict"], results["as_expected"], results["findings_total"]) == ("violation", True, 2)
    assert results["reason"] == "process 0 wrote something, of all things"
    results = execute(tmp_path / "again", spec_of(checks=checks))
    assert not results["as_expected"]


def test_a_crash_of_a_checker_is_unknown_and_the_others_still_judge(tmp_path: Path) -> None:
    checks = {"checkers": ["tests.support.made_up_checkers:Crashing", *CONTENT["checkers"]]}
    results = execute(tmp_path / "run", spec_of(checks=checks))
    assert [check["verdict"] for check in results["checks"]] == ["unknown", "valid"]
    assert results["verdict"] == "unknown"
    assert "the checker crashed" in results["reason"]


def test_a_run_that_did_too_little_proves_nothing(tmp_path: Path) -> None:
    results = execute(tmp_path / "run", spec_of(checks=CONTENT, minimum_operations=1_000_000))
    assert results["verdict"] == "unknown"
    assert "fewer than 1000000 prove nothing" in results["reason"]
    checks = {"checkers": ["tests.support.made_up_checkers:Indignant"]}
    results = execute(tmp_path / "again", spec_of(checks=checks, minimum_operations=1_000_000))
    assert results["verdict"] == "violation", "but a violation is one after however few operations"


def test_a_history_that_breaks_the_rules_is_not_judged(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def spoil() -> None:
        with (folder / "history.jsonl").open("a") as file:
            file.write('{"index":0,"time":0,"type":"ok","process":7,"f":"read","key":"x","value":null}\n')

    checks = {"checkers": ["tests.support.made_up_checkers:Indignant"]}
    results = execute(folder, spec_of(checks=checks), progress=Watcher("checking", spoil))
    assert results["verdict"] == "unknown"
    assert len(results["audit"]) == 3
    assert results["checks"] == []


def test_a_history_that_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    watcher = Watcher("checking", lambda: (folder / "history.jsonl").write_text("nonsense\n{}\n", "utf-8"))
    results = execute(folder, spec_of(checks=CONTENT), progress=watcher)
    assert results["verdict"] == "unknown"
    assert "history.jsonl:1: not JSON" in results["audit"][0]


def test_a_tainted_network_makes_the_verdict_unknown(tmp_path: Path) -> None:
    class Tainted(ServedCluster):
        def __init__(self) -> None:
            super().__init__(3)
            self.network = type("Network", (type(self.network),), {"tainted": "the proxies were restarted"})(
                self.network.asked
            )

    checks = {"checkers": ["tests.support.made_up_checkers:Indignant"]}
    results = execute(tmp_path / "run", spec_of(checks=checks), Tainted())
    assert results["verdict"] == "unknown"
    assert "the proxies were restarted" in results["reason"]


# What fails


@pytest.mark.parametrize("step", ["enter", "provision"])
def test_a_cluster_that_does_not_come_up_fails_the_run(tmp_path: Path, step: str) -> None:
    cluster = ServedCluster(3)
    cluster.failing.add(step)
    with pytest.raises(RunFailed, match=f"failed to {step}"):
        execute(tmp_path / "run", spec_of(checks=CONTENT), cluster)
    results = saved(tmp_path / "run")
    assert results["verdict"] == "unknown"
    assert not results["as_expected"]
    assert f"failed to {step}" in results["error"]
    assert (tmp_path / "run" / "run.yaml").exists()


def test_logs_that_cannot_be_saved_are_only_noted(tmp_path: Path) -> None:
    cluster = ServedCluster(3)
    cluster.failing.add("save_logs")
    results = execute(tmp_path / "run", spec_of(checks=CONTENT), cluster)
    assert results["verdict"] == "valid"
    assert any("logs could not be saved" in note for note in results["notes"])


def test_a_disk_that_is_full_ends_the_run_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = os.write
    room = threading.Semaphore(100)

    def write(file: int, data: bytes) -> int:
        if data.startswith(b'{"index"') and not room.acquire(blocking=False):
            raise OSError(28, "No space left on device")
        return really_write(file, data)

    monkeypatch.setattr(os, "write", write)
    began = time.monotonic()
    with pytest.raises(RunFailed, match="No space left on device"):
        execute(tmp_path / "run", spec_of(checks=CONTENT, duration_seconds=60, nemesis=KILLS))
    assert time.monotonic() - began < 30
    results = saved(tmp_path / "run")
    assert "No space left on device" in results["error"]
    assert [check["verdict"] for check in results["checks"]] == ["valid"], "what there is is checked"


def test_a_bug_in_the_harness_is_told_and_cleaned_up_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(work: Work) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Work, "_wind_up", crash)
    cluster = ServedCluster(3)
    spec = spec_of(checks=CONTENT, nemesis=lasting_kill(), duration_seconds=1.0)
    with pytest.raises(RunFailed, match="a bug in the harness"):
        execute(tmp_path / "run", spec, cluster)
    assert [deed.split()[0] for deed in cluster.deeds] == ["kill", "restart"]
    assert "ZeroDivisionError" in (tmp_path / "run" / "harness.log").read_text("utf-8")
    assert saved(tmp_path / "run")["operations"]["ok"] > 0


def test_progress_that_cannot_be_shown_is_no_reason_to_lose_a_run(tmp_path: Path) -> None:
    class Gone(Silent):
        def phase(self, name: str) -> None:
            raise BrokenPipeError

        def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
            raise BrokenPipeError

    assert execute(tmp_path / "run", spec_of(checks=CONTENT), progress=Gone())["verdict"] == "valid"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workload": {"name": "registr"}}, "did you mean 'register'"),
        ({"workload": {"name": "register", "options": {"reads": 1}}}, "reads"),
        ({"checks": {"checkers": ["linear"]}}, "unknown checker 'linear'"),
        ({"nemesis": {"name": "x", "streams": [{"choices": [{"fault": "kil"}]}]}}, "did you mean 'kill'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        execute(tmp_path / "run", spec_of(**{"checks": CONTENT, **changes}))
    assert words in saved(tmp_path / "run")["error"]


def test_a_cluster_that_does_not_recover_is_noted_and_not_read(tmp_path: Path) -> None:
    cluster = ServedCluster(3)

    def break_down() -> None:
        cluster.service.modes.update(dict.fromkeys(cluster.replicas, "fail"))

    spec = spec_of(checks=CONTENT, recovery_seconds=0.5)
    results = execute(tmp_path / "run", spec, cluster, Watcher("healing", break_down))
    assert any("no recovery" in note for note in results["notes"])
    assert FINAL_READS not in (tmp_path / "run" / "history.jsonl").read_text("utf-8")
    assert results["seconds"]["recovery"] is None


# Interruptions


def test_an_interruption_ends_the_work_and_everything_is_kept(tmp_path: Path) -> None:
    cluster, interrupt = ServedCluster(3), threading.Event()

    class Impatient(Watcher):
        def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
            if faults and outcomes["ok"] >= 20:
                interrupt.set()

    spec = spec_of(checks=CONTENT, duration_seconds=60, nemesis=lasting_kill())
    watcher = Impatient()
    results = execute(tmp_path / "run", spec, cluster, watcher, interrupt)
    assert results["interrupted"]
    assert results["verdict"] == "valid", "it is checked as far as it goes"
    assert results["seconds"]["work"] < 30
    assert "final reads" not in watcher.phases
    assert cluster.deeds[-1].startswith("restart")


@pytest.mark.parametrize("phase", ["setting up", "working", "healing", "recovering", "final reads", "stopping"])
def test_an_interruption_in_any_phase(tmp_path: Path, phase: str) -> None:
    interrupt = threading.Event()
    results = execute(tmp_path / "run", spec_of(checks=CONTENT), None, Watcher(phase, interrupt.set), interrupt)
    assert results["interrupted"]
    assert results["verdict"] in ("valid", "unknown")
    assert results == saved(tmp_path / "run")


def test_an_interruption_while_checking_ends_the_checks(tmp_path: Path) -> None:
    interrupt = threading.Event()
    made_up_checkers.Endless.begun = False

    def interrupt_the_checker() -> None:
        while not made_up_checkers.Endless.begun:
            time.sleep(0.005)
        interrupt.set()

    helper = threading.Thread(target=interrupt_the_checker)
    helper.start()
    results = execute(
        tmp_path / "run",
        spec_of(checks={"checkers": ["tests.support.made_up_checkers:Endless"]}),
        None,
        None,
        interrupt,
    )
    helper.join()
    assert results["reason"] == "cancelled"


@pytest.mark.parametrize("presses", [1, 2])
def test_control_c_in_the_main_thread(tmp_path: Path, presses: int) -> None:
    """The first one is an interruption; the second one gives up the checks, and is raised when all is clean."""
    assert threading.current_thread() is threading.main_thread()
    pressed = threading.Event()
    made_up_checkers.Endless.begun = False

    class Keyboard(Watcher):
        def tick(self, outcomes: Mapping[str, int], faults: Sequence[str], seconds_left: float) -> None:
            if faults and outcomes["ok"] >= 20 and not pressed.is_set():
                pressed.set()
                os.kill(os.getpid(), signal.SIGINT)

    def press_again() -> None:
        while not made_up_checkers.Endless.begun:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    cluster = ServedCluster(3)
    checker = "Endless" if presses == 2 else "Content"
    checks = {"checkers": [f"tests.support.made_up_checkers:{checker}"], "time_limit_seconds": 60}
    spec = spec_of(checks=checks, duration_seconds=60, nemesis=lasting_kill())
    if presses == 1:
        assert execute(tmp_path / "run", spec, cluster, Keyboard())["verdict"] == "valid"
    else:
        helper = threading.Thread(target=press_again)
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path / "run", spec, cluster, Keyboard())
        helper.join()
        assert saved(tmp_path / "run")["reason"] == "cancelled"
    assert saved(tmp_path / "run")["interrupted"]
    assert cluster.deeds[-1].startswith("restart")


# Folders


def test_folders_are_named_after_the_cell_and_latest_points_to_the_newest(tmp_path: Path) -> None:
    first = new_folder(tmp_path, spec_of(cell="primary-backup(acknowledge=none), ../register, seed 1"))
    second = new_folder(tmp_path, spec_of(cell="primary-backup(acknowledge=none), ../register, seed 1"))
    assert first != second
    assert first.parent == second.parent == tmp_path / "tests"
    assert first.name.endswith("-primary-backup-acknowledge-none-..-register-seed-1")
    assert (tmp_path / "latest").resolve() == second.resolve()
    assert not (tmp_path / "latest").readlink().is_absolute()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_something_else_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    folder = new_folder(tmp_path, spec_of(cell="x" * 300))
    assert not (tmp_path / "latest").is_symlink()
    assert len(folder.name) < 120


def test_results_that_cannot_be_made_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("", "utf-8")
    with pytest.raises(RunFailed, match="cannot make a folder in"):
        new_folder(tmp_path / "results", spec_of())
    with pytest.raises(RunFailed, match="cannot make a folder in"):
        look_for_room(tmp_path / "results")
    look_for_room(tmp_path / "other" / "results")
    assert list((tmp_path / "other" / "results").iterdir()) == []


# Replay


def test_a_replay_has_the_same_faults_and_the_same_operations(tmp_path: Path) -> None:
    spec = spec_of(checks=CONTENT, nemesis=KILLS, duration_seconds=0.4)
    for name in ("one", "two"):
        execute(tmp_path / name, spec)
    execute(tmp_path / "other", spec_of(checks=CONTENT, nemesis=KILLS, duration_seconds=0.4, seed=2))
    comparison = compare(tmp_path / "one", tmp_path / "two")
    assert comparison.same, comparison.sentences
    assert comparison.sentences[0] == "the same schedule of 2 faults, of which both runs injected 2"
    assert comparison.sentences[1].startswith("the same sequence of operations for each of ")
    assert not compare(tmp_path / "one", tmp_path / "other").same


def test_a_run_that_did_something_else_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        execute(tmp_path / name, spec_of(checks=CONTENT, nemesis=KILLS, duration_seconds=0.4))
    path = tmp_path / "two" / "history.jsonl"
    lines = path.read_text("utf-8").splitlines()
    place = next(place for place, line in enumerate(lines) if '"invoke"' in line and '"f":"read"' in line)
    path.write_text("\n".join([*lines[:place], lines[place].replace('"key":"k', '"key":"q'), *lines[place + 1 :]]))
    assert any("differs" in sentence for sentence in compare(tmp_path / "one", tmp_path / "two").sentences)
    place = next(place for place, line in enumerate(lines) if '"targets"' in line)
    event = json.loads(lines[place])
    event["targets"] = ["n9"]
    path.write_text("\n".join([*lines[:place], json.dumps(event), *lines[place + 1 :]]))
    comparison = compare(tmp_path / "one", tmp_path / "two")
    assert not comparison.same
    assert any("in the one run and" in sentence for sentence in comparison.sentences)


def test_a_replay_that_is_interrupted_says_so_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(tmp_path / "one", spec_of(cluster="simulated", expect="violation", duration_seconds=0.4))
    interrupt = threading.Event()
    interrupt.set()
    assert replay_run(tmp_path / "one", None, tmp_path / "results", interrupt) == 130
    output = capsys.readouterr().out
    assert "Interrupted: the repetition was ended early" in output
    assert "byte-identical" not in output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("campaign: [", "is not YAML"),
        ("campaign: x\n", "Field required"),
        ("- 1", "not the specification of a run"),
    ],
)
def test_a_run_that_cannot_be_repeated_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "run.yaml").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=words) as error:
        replay_spec(tmp_path)
    assert "\n" not in str(error.value)
