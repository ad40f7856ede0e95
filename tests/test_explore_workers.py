"""The processes of an exploration: they do what they are given, and neither a death nor a task without end stops the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from harness.cluster.processes import identify, is_alive
from harness.errors import RunFailed
from harness.explore.workers import Done, Workers
from tests.support import tasks
from tests.support.waiting import wait_for


def do(job: Callable[[int], int], numbers: range, size: int, limit_seconds: float = 60.0) -> dict[int, Done[int, int]]:
    waiting, done = list(numbers), {}
    with Workers(job, size, limit_seconds) as workers:
        while waiting or workers.busy():
            while waiting and workers.room():
                workers.give(waiting.pop(0))
            for one in workers.gather(0.1):
                assert one.task not in done
                done[one.task] = one
    return done


def test_every_task_is_done_once() -> None:
    done = do(tasks.double, range(200), size=2)
    assert {task: one.result for task, one in done.items()} == {task: 2 * task for task in range(200)}
    assert all(one.problem is None for one in done.values())


def test_a_process_that_dies_takes_one_task_with_it() -> None:
    done = do(tasks.sevens_die, range(20), size=1)
    assert sorted(done) == list(range(20))
    assert [task for task, one in done.items() if one.problem] == [7, 17]
    assert done[7].problem == "its process died (exit code 9)"
    assert done[8].result == 16


def test_a_task_without_end_is_given_up() -> None:
    done = do(tasks.sevens_never_end, range(6, 9), size=1, limit_seconds=1.0)
    assert done[7].problem == "it did not end within 1 s"
    assert (done[6].result, done[8].result) == (12, 16)


def test_ctrl_c_while_a_process_starts_is_its_owners_affair() -> None:
    with Workers(tasks.double, 1, 60.0) as workers:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        pid = workers._workers[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)  # it is at its imports still, or hasn't begun with them
        workers.give(4)
        assert [(one.result, one.problem) for one in workers.gather(60.0) or workers.gather(60.0)] == [(8, None)]
        assert signal.SIGINT not in before, "and the owner hears of its own"


def test_processes_that_all_die_are_not_started_for_ever() -> None:
    with pytest.raises(RunFailed, match="3 processes in a row died before they had done anything"):
        do(tasks.everybody_dies, range(20), size=1)


_OWNER = """
import sys, time
from harness.explore.workers import Workers
from tests.support import tasks
if __name__ == "__main__":
    with Workers(tasks.sevens_never_end, 1, 60.0) as workers:
        workers.give(1)
        while not workers.gather(0.1):
            pass
        workers.give(7)
        print(workers._workers[0].process.pid, flush=True)
        time.sleep(60)
"""


def test_processes_end_with_their_owner_however_it_ends() -> None:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        worker = identify(int(owner.stdout.readline()))
        assert worker is not None
        assert is_alive(worker)
        time.sleep(0.2)  # so that it is at its task
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(10)
        wait_for(lambda: not is_alive(worker), 10)
    finally:
        owner.kill()
        owner.wait(10)
        if owner.stdout is not None:
            owner.stdout.close()
