"""Leftovers: what a killed run left is cleaned, what somebody still needs is not touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.cluster import ClusterError
from harness.cluster import leftovers
from harness.cluster.leftovers import Record, hold, records, standing, state_folder, sweep
from harness.cluster.processes import ProcessId, _look_with_ps, identify, is_alive, is_stopped, kill
from tests.support.waiting import wait_for

Sleeper = subprocess.Popen[bytes]


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def sleeper() -> Iterator[Callable[[], Sleeper]]:
    """Starts processes that do nothing, in sessions of their own like replicas."""
    started: list[Sleeper] = []

    def start() -> Sleeper:
        started.append(subprocess.Popen(["sleep", "300"], start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def gone_owner() -> ProcessId:
    """The identity of a process that has ended."""
    with subprocess.Popen(["sleep", "300"]) as process:
        identity = identify(process.pid)
        process.kill()
    assert identity
    return identity


def orphaned(children: dict[str, Sleeper]) -> Record:
    """The record of a local cluster whose harness is gone."""
    record = Record.begin("local")
    for name, process in children.items():
        record.started(name, process.pid)
    record.data.mkdir()
    (record.data / "n1.log").write_text("something")
    record.owner = gone_owner()
    record.save()
    return record


def test_a_killed_run_is_cleaned_paused_processes_too(sleeper: Callable[[], Sleeper]) -> None:
    one, paused = sleeper(), sleeper()
    paused.send_signal(signal.SIGSTOP)
    wait_for(lambda: is_stopped(paused.pid))
    record = orphaned({"n1": one, "n2": paused})

    sentences = sweep()

    assert one.wait(10) == paused.wait(10) == -signal.SIGKILL
    assert not record.path.exists()
    assert not record.data.exists()
    assert len(sentences) == 1
    assert "stopped 2 processes" in sentences[0]
    assert sweep() == []


def test_a_run_that_goes_on_is_not_touched(sleeper: Callable[[], Sleeper]) -> None:
    child = sleeper()
    record = Record.begin("local")
    record.started("n1", child.pid)
    assert sweep() == []
    assert child.poll() is None
    assert [found.name for found in records()] == [record.name]
    record.end()
    assert list(records()) == []


def test_a_pid_that_was_given_out_again_is_never_killed(sleeper: Callable[[], Sleeper]) -> None:
    stranger = sleeper()
    record = orphaned({})
    record.children["n1"] = ProcessId(stranger.pid, "at another time")
    record.save()
    assert sweep() == []
    assert stranger.poll() is None
    assert not record.path.exists()


def test_an_owner_whose_pid_was_given_out_again_is_gone(sleeper: Callable[[], Sleeper]) -> None:
    child = sleeper()
    record = orphaned({"n1": child})
    record.owner = ProcessId(os.getpid(), "at another time")
    record.save()
    assert len(sweep()) == 1
    assert child.wait(10) == -signal.SIGKILL


def test_a_cluster_left_running_on_purpose_stays_until_all_of_it_is_gone(sleeper: Callable[[], Sleeper]) -> None:
    child = sleeper()
    record = orphaned({"n1": child})
    record.owner = None
    record.save()
    assert sweep() == []
    assert child.poll() is None
    found = standing("local")
    assert found
    assert found.children["n1"].pid == child.pid
    assert standing("docker") is None

    child.kill()
    child.wait(10)
    assert "gone" in sweep()[0]
    assert standing("local") is None


def test_a_record_that_cannot_be_read_is_told_and_removed() -> None:
    (state_folder() / "records").mkdir()
    (state_folder() / "records" / "local-1-ab.json").write_text("{half")
    (state_folder() / "records" / "local-2-ab.json").write_text(json.dumps({"kind": "local"}))
    sentences = sweep()
    assert len(sentences) == 2
    assert all("can't be read" in sentence for sentence in sentences)
    assert sweep() == []


def test_containers_that_cannot_be_mended_now_stay_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = pytest.importorskip("harness.cluster.docker")

    def no_engine(facts: object) -> str:
        raise ClusterError("the Docker engine does not answer")

    monkeypatch.setattr(docker, "clean_up_after", no_engine)
    record = Record.begin("docker", project="p", was_up=True, added=[], parts=[])
    record.owner = gone_owner()
    record.save()
    assert "the Docker engine does not answer" in sweep()[0]
    assert record.path.exists()

    monkeypatch.setattr(docker, "clean_up_after", lambda facts: f"mended {facts['project']}")
    assert sweep()[0].endswith("mended p")
    assert not record.path.exists()


def test_the_folder_is_this_users_alone(tmp_path: Path) -> None:
    assert state_folder().stat().st_mode & 0o777 == 0o700
    state_folder().chmod(0o755)
    with pytest.raises(ClusterError, match="not this user's alone"):
        state_folder()


def test_a_folder_that_is_a_link_to_somewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"rashomon-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="not this user's alone"):
        state_folder()


def test_a_lock_is_held_by_one_and_falls_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = "from harness.cluster.leftovers import hold; lock = hold('docker'); print('held', flush=True); input()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert hold("docker") is None
        holder.kill()
    lock = hold("docker")
    assert lock
    lock.close()


def test_two_sweeps_at_once_clean_each_thing_once(sleeper: Callable[[], Sleeper]) -> None:
    orphaned({"n1": sleeper()})
    orphaned({"n1": sleeper()})
    sentences: list[str] = []
    threads = [threading.Thread(target=lambda: sentences.extend(sweep())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(sentences) == 2


def test_a_sweep_that_has_to_wait_for_ever_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "SWEEP_WAIT_SECONDS", 0.1)
    lock = hold("sweep")
    assert lock
    with lock, pytest.raises(ClusterError, match="has been cleaning up"):
        sweep()


def test_many_threads_may_note_processes_in_one_record(sleeper: Callable[[], Sleeper]) -> None:
    record = Record.begin("local")
    processes = [sleeper() for _ in range(8)]
    threads = [
        threading.Thread(target=record.started, args=(f"n{number}", process.pid))
        for number, process in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(Record.load(record.path).children) == 8
    record.end()


def test_a_process_is_itself_until_it_ends(sleeper: Callable[[], Sleeper]) -> None:
    process = sleeper()
    identity = identify(process.pid)
    assert identity
    assert is_alive(identity)
    assert identify(process.pid) == identity
    assert kill(identity)
    wait_for(lambda: not is_alive(identity))  # dead, although nobody has asked for its exit code so far
    assert not kill(identity)
    process.wait(10)
    assert identify(process.pid) is None


def test_where_there_is_no_proc_ps_tells_the_same(sleeper: Callable[[], Sleeper]) -> None:
    process = sleeper()
    seen = _look_with_ps(process.pid)
    assert seen
    assert seen == _look_with_ps(process.pid)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: (now := _look_with_ps(process.pid)) is not None and now.letter == "T")
    process.kill()
    process.wait(10)
    assert _look_with_ps(process.pid) is None
