"""Keys judged over processes: the same answers, limits obeyed whatever a model does, nothing left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.checkers.checker import Limits, Status
from harness.checkers.linearizable import Linearizable, answers, crew
from harness.checkers.operations import Operation, Record
from harness.checkers.result import CheckResult
from harness.checking import check
from harness.models import MODELS
from harness.models.model import Model
from tests.support import models
from tests.support.simulated import Cell, simulated, spoiled
from tests.test_linearizable_checker import hard_history

ROOT = Path(__file__).parent.parent


def bids(*values: int, key: str = "") -> list[dict[str, Any]]:
    return [
        {"f": "bid", "value": value, "result": True, "call": 2 * place, "return": 2 * place + 1, "key": key}
        for place, value in enumerate(values)
    ]


def several_keys(seed: int, keys: int = 6) -> Record:
    """Keys of few values, every other one spoiled."""
    history: list[Operation] = []
    for number in range(keys):
        part = simulated(Cell(4), 40, 4, 0.05, key=f"k{number}", seed=100 * seed + number)
        if (number + seed) % 2:
            part = spoiled(part, Cell.late)
        for one in part:
            one.process = f"{one.process} of {number}"
        history += part
    history.sort(key=lambda one: one.began)
    for place, one in enumerate(history):
        one.index = place
    return Record(history)


def judged(record: Record, jobs: int) -> CheckResult:
    return Linearizable().check_record(record, MODELS["register"](), Limits(jobs=jobs))


@pytest.mark.slow
def test_the_result_is_the_same_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SECONDS_FOR_SMALL_ONES", 0.0)  # let everything go to processes
    for seed in range(2):
        alone, together = judged(several_keys(seed), 1), judged(several_keys(seed), 3)
        assert alone.verdict == together.verdict == "violation", f"seed {seed}"
        assert alone.findings == together.findings, f"seed {seed}"
        assert alone.statistics["violating_keys"] == together.statistics["violating_keys"], f"seed {seed}"
        assert alone.sentence == together.sentence, f"seed {seed}"


@pytest.mark.slow
def test_a_hard_key_leaves_time_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SECONDS_FOR_SMALL_ONES", 0.0)
    hard = hard_history()
    for one in hard:
        one.key = "hard"
    easy = simulated(Cell(3), 60, 3, key="easy")
    for place, one in enumerate(easy):
        one.process, one.index = f"easy {one.process}", 1_000_000 + place
    # The start of a process counts as well: on a busy machine it takes seconds until the search is where it gets stuck;
    # and more memory than it can fill in that time, lest a quick machine comes to that limit first.
    limits = Limits(10.0, memory_mb=65_536, jobs=2)
    result = Linearizable().check_record(Record([*hard, *easy]), MODELS["register"](), limits)
    assert result.verdict == "unknown"
    assert result.statistics["undecided_keys"] == ["hard"]
    (told,) = result.statistics["undecided"]
    assert told["limit"] == "time"
    assert told["open"] == 61
    assert told["configurations"] > 0


def test_a_share_of_the_memory_that_is_too_small_is_not_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SECONDS_FOR_SMALL_ONES", 0.0)
    shares: list[int] = []
    run = crew.Crew.run

    def cramped(self: crew.Crew, jobs: Any, limits: Limits, deadline: float, look: Any) -> Any:
        shares.append(limits.memory_mb // self._size)
        for job in run(self, jobs, limits, deadline, look):
            if len(shares) == 1:
                job.value, job.stopped = None, answers.Stopped("memory", "the memory limit was reached", "more")
            yield job

    monkeypatch.setattr(crew.Crew, "run", cramped)
    assert judged(several_keys(1), 2).verdict == "violation"
    assert shares[1] == 2 * shares[0]


@pytest.mark.slow
def test_a_step_that_never_returns_is_ended() -> None:
    history = [*bids(1, 13, key="a"), *bids(1, key="b")]
    began = time.monotonic()
    result = check(history, models.NeverReturns(), limits=Limits(time_seconds=4), jobs=1)
    assert result.verdict == "unknown"
    assert result.statistics["undecided_keys"] == ["a"]
    assert "the time limit of 4 s was reached" in result.sentence
    assert time.monotonic() - began < 30  # not for ever, that is


def test_a_step_that_asks_for_too_much_memory() -> None:
    result = check(bids(1, 2), models.Greedy(), limits=Limits(memory_mb=100))
    assert result.verdict == "unknown"
    assert "the memory limit of 100 MB was reached" in result.sentence


def test_a_process_that_is_killed_makes_its_key_unknown() -> None:
    result = check([*bids(1, 13, key="a"), *bids(1, 2, key="b"), *bids(5, 3, key="c")], models.Dies(), jobs=1)
    assert result.verdict == "violation"
    assert result.statistics["undecided_keys"] == ["a"]
    assert result.statistics["violating_keys"] == ["c"]
    assert "was killed by the system, most likely for want of memory" in result.sentence


def test_a_model_of_this_function_is_used_in_this_process() -> None:
    class Own(models.Auction):
        used_by: list[int] = []

        def step(self, state: Any, operation: Operation) -> Any:
            self.used_by.append(os.getpid())
            return super().step(state, operation)

    assert check(bids(1, 2), Own()).verdict == "valid"
    assert set(Own.used_by) == {os.getpid()}


class Unpicklable(models.Auction):
    def __init__(self) -> None:
        self.think = lambda: None


def test_a_model_that_can_not_be_sent_is_used_in_this_process() -> None:
    assert check(bids(1, 2), Unpicklable()).verdict == "valid"
    assert check(bids(2, 1), Unpicklable()).verdict == "violation"


def test_findings_of_a_slow_model_that_can_not_be_sent_are_told_in_time() -> None:
    class Slow(models.Auction):
        steps = 0

        def step(self, state: Any, operation: Operation) -> Any:
            Slow.steps += 1
            time.sleep(0.02)
            return super().step(state, operation)

    result = check(bids(*range(1, 12), 5), Slow(), limits=Limits(time_seconds=0.5))
    assert result.verdict == "violation"
    assert result.findings
    assert Slow.steps < 100  # of 0.02 s each: the limit, what findings may take more, and a few steps


@pytest.mark.parametrize("model", [models.Auction(), "register"])
def test_a_witness_is_given_on_request(model: Model | str) -> None:
    history = [{**one, "call": 0} for one in bids(5, 3)]
    if model == "register":
        history = [
            {"f": "read", "result": 1, "call": 0, "return": 9},
            {"f": "write", "value": 1, "call": 1, "return": 8},
        ]
    else:
        history[1]["result"] = False
    assert check(history, model).witness is None
    result = check(history[::-1], model, witness=True)
    assert result.witness is not None
    (order,) = result.witness.values()
    expected = ["write", "read"] if model == "register" else ["bid", "bid"]
    assert [one.f for one in order] == expected
    assert [one["f"] for one in json.loads(json.dumps(result.as_json()))["witness"][""]] == expected
    if model != "register":
        assert [one.value for one in order] == [5, 3]
    history[0]["result"] = 7
    assert check(history, model, witness=True).witness is None


def test_progress_is_told_and_may_call_off() -> None:
    told: list[Status] = []

    def look_on(status: Status) -> bool:
        told.append(status)
        return len(told) < 3

    result = Linearizable().check_record(Record(hard_history()), MODELS["register"](), Limits(30, progress=look_on))
    assert result.verdict == "unknown"
    assert "called off" in result.sentence
    assert [(one.phase, one.keys, one.keys_done, one.operations) for one in told] == [("judging", 1, 0, 61)] * 3
    assert 0 < told[0].configurations < told[2].configurations


def test_progress_of_other_processes_is_told() -> None:
    told: list[Status] = []

    def look_on(status: Status) -> bool:
        told.append(status)
        return status.configurations == 0

    history = [{**one, "call": 0} for one in bids(*range(40))]
    result = check(history, models.Slow(), progress=look_on)
    assert result.verdict == "unknown"
    assert "called off" in result.sentence
    assert told[-1].configurations > 0


SCRIPT = """
import sys
from harness.checking import check
history = [{"f": "bid", "value": 13, "result": True, "call": 0, "return": 1}]
print("begins", flush=True)
print(check(history, "tests.support.models:NeverReturns").verdict)
"""


def children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                    found.append(int(folder.name))
            except (OSError, IndexError):
                continue
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Any, what: str) -> Any:
    end = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "main.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            (worker,) = until(lambda: children(process.pid), "no process was started")
            process.send_signal(number)
            process.wait(30)
        finally:
            process.kill()
    until(lambda: not is_alive(worker), "the process lives on")


@pytest.mark.slow
def test_what_a_model_prints_is_not_between_the_lines_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "bids.csv").write_text("f,value,result,call,return\nbid,3,true,0,1\n")
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "check", "bids.csv", "--model", "tests.support.models:Talks", "--json"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[0]["verdict"] == "valid"
    assert "bid 3" in done.stderr


@pytest.mark.slow
def test_ctrl_c_tells_what_was_decided(tmp_path: Path) -> None:
    (tmp_path / "bids.csv").write_text(
        "f,value,key,result,call,return\nbid,13,b,true,0,1\nbid,2,a,true,0,1\nbid,1,a,true,2,3\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "check", "bids.csv", "--model", "tests.support.models:NeverReturns"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            until(lambda: children(process.pid), "no process was started")
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (1, 2), told  # key a may have had its turn, or not
    assert "the check was called off" in " ".join(told.split())


@pytest.mark.slow
def test_random_histories_are_judged_alike_by_a_model_of_ones_own() -> None:
    for seed in range(2):
        chance = random.Random(seed)
        history = [{**one, "call": chance.random(), "return": 1 + chance.random()} for one in bids(*range(6))]
        for one in history:
            one["result"] = chance.random() < 0.6
        assert check(history, models.Auction()).verdict == check(history, Unpicklable()).verdict, f"seed {seed}"
