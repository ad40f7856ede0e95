"""Tasks for tests of the processes of an exploration; a module of its own, which imports next to nothing."""

from __future__ import annotations

import os
import time


def double(task: int) -> int:
    return 2 * task


def sevens_die(task: int) -> int:
    if task % 10 == 7:
        os._exit(9)
    return 2 * task


def everybody_dies(task: int) -> int:
    os._exit(9)


def sevens_never_end(task: int) -> int:
    while task % 10 == 7:
        time.sleep(0.05)
    return 2 * task
