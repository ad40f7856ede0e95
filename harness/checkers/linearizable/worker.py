"""The process that judges keys for another one: see `crew`, which starts it and speaks to it.

What arrives is a `Call`, pickled; what goes back is a tuple, the first of which tells what happened::

    ("progress", explored, open_then, crashed_then)
    ("value", what the function returned, progress)
    ("stopped", the Stopped, progress)
    ("refused", one sentence: the model is broken)
    ("foreign", why the call can't be made here: a class that can't be imported)
    ("crashed", a traceback)

It lives as long as whoever started it: when the other end of the connection goes away, whatever the reason, it ends at once.
"""

from __future__ import annotations

import os
import pickle
import resource
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from harness.checkers.checker import Limits
from harness.checkers.linearizable.budget import Budget, Stopped, out_of_memory
from harness.checkers.linearizable.search import Progress
from harness.errors import BadInput

_ROOM = 1.25
_ROOM_MB = 128
"""So much more than its limit a call may ask of the system, before that refuses: for what grows between two looks."""


@dataclass
class Call:
    """One piece of work: `function(budget, progress, *arguments)`, a function of a module."""

    function: Callable[..., Any]
    arguments: bytes
    """A tuple, pickled."""
    limits: tuple[float, int]
    """Time (seconds) and memory (MB); the first for sentences only."""
    deadline: float
    """Of the monotonic clock, which all processes share."""


def main(handle: int) -> None:
    """Serve the connection of that file descriptor until it is closed."""
    connection: Connection[Any, Any] = Connection(handle)
    os.dup2(2, 1)  # what a model prints must not end up in the output of the command
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    with suppress(OSError):  # nobody hears us any more
        while True:
            connection.send(_answer(inbox.get(), connection))


def _listen(connection: Connection[Any, Any], inbox: SimpleQueue[Any]) -> None:
    """Also while a step of a model never returns, somebody must notice that nobody waits for it any more."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def _answer(call: Call, connection: Connection[Any, Any]) -> tuple[Any, ...]:
    progress = Progress()
    limits = Limits(*call.limits)
    try:
        arguments = pickle.loads(call.arguments)
    except Exception as error:
        return "foreign", f"{type(error).__name__}: {error}"

    def report() -> None:
        connection.send(("progress", progress.explored, progress.open_then, progress.crashed_then))

    try:
        _refuse_more_than(limits.memory_mb)
        budget = Budget(limits, report)
        budget.allow_until(call.deadline)
        return "value", call.function(budget, progress, *arguments), progress
    except Stopped as stopped:
        return "stopped", stopped, progress
    except MemoryError:
        return "stopped", out_of_memory(limits), progress
    except BadInput as error:
        return "refused", str(error)
    except Exception:
        return "crashed", traceback.format_exc()


def _refuse_more_than(memory_mb: int) -> None:
    """Let the system refuse what a single step may ask for. Where that can't be said, looks alone must do."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        held_kb = int(next(line for line in lines if line.startswith("VmData:")).split()[1])
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = held_kb * 1024 + int((memory_mb * _ROOM + _ROOM_MB) * 2**20)
        if most == resource.RLIM_INFINITY or wanted < most:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
