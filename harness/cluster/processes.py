"""Which process is which: a pid together with when it started, so that a pid that was given out again is never mistaken.

Linux tells through /proc, other systems through `ps`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class ProcessId(NamedTuple):
    """A process for good: no later one is equal to it."""

    pid: int
    started: str
    """When it started, as the system writes it; says nothing across systems."""


class _Seen(NamedTuple):
    letter: str
    """Its state: `R`, `S`, `T` (stopped), `Z` (dead, not yet reaped), ..."""
    started: str


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if there is none."""
    seen = _look(pid)
    return ProcessId(pid, seen.started) if seen else None


def is_alive(process: ProcessId) -> bool:
    """Whether that very process is still there; one that is dead and not yet reaped is not."""
    seen = _look(process.pid)
    return seen is not None and seen.started == process.started and seen.letter not in "ZX"


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP has taken effect."""
    seen = _look(pid)
    return seen is not None and seen.letter in "Tt"


def kill(process: ProcessId) -> bool:
    """SIGKILL that very process and its group, if it is still there; says whether it was."""
    if not is_alive(process):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
    return True


def _look(pid: int) -> _Seen | None:
    return _look_in_proc(pid) if (_PROC / "self" / "stat").exists() else _look_with_ps(pid)


def _look_in_proc(pid: int) -> _Seen | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # `pid (name) state ppid ...`: the name may hold blanks and brackets, so count from its last bracket (see proc(5)).
    fields = text.rpartition(")")[2].split()
    return _Seen(fields[0], f"{_boot()}+{fields[19]}")


@cache
def _boot() -> str:
    """Start times count from the boot, so that one is part of them."""
    return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text("ascii").strip()


def _look_with_ps(pid: int) -> _Seen | None:
    answer = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    )
    letter, _, started = answer.stdout.strip().partition(" ")
    return _Seen(letter[0], started.strip()) if started else None
