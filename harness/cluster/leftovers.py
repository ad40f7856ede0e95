"""What is running because of us, written down, so that the next command can clean up after one that was killed.

A cluster writes a record BEFORE it starts anything, adds every process to it, and removes it at its end. `sweep`, which
every `rashomon` command calls first, looks for records whose owner is gone: it ends the processes that are left, or
heals the containers (or takes them down, if the run had brought them up), and removes the data.

All of it lies in one folder per user under the system's temporary folder: `records/<name>.json`, and `data/<name>/`
with the replicas' journals and logs. A record without an owner belongs to a cluster left running by `rashomon up`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from faults.cluster import ClusterError
from harness.cluster.processes import ProcessId, identify, is_alive, kill

SWEEP_WAIT_SECONDS = 60.0
"""How long a sweep waits for another one that is at work."""


def state_folder() -> Path:
    """The folder, readable by this user alone; raises `ClusterError` if it is somebody else's."""
    folder = Path(tempfile.gettempdir()) / f"rashomon-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat()
    except OSError as error:
        raise ClusterError(
            f"cannot make the folder {folder} ({error.strerror}): set TMPDIR to one that works"
        ) from error
    if folder.is_symlink() or owner.st_uid != os.getuid() or owner.st_mode & 0o077:
        raise ClusterError(
            f"the folder {folder} is not this user's alone, so nothing is kept in it: remove it, or set TMPDIR"
        )
    return folder


@dataclass
class Record:
    """One cluster that is up. `save` writes it; what only the memory knows is not there for `sweep`."""

    name: str
    kind: str
    owner: ProcessId | None
    """The harness's process; None for a cluster that was left running on purpose."""
    children: dict[str, ProcessId] = field(default_factory=dict)
    """Each process that was started, by its name: `n1`, `proxy`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the kind of cluster wants to remember, as JSON values."""
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def begin(cls, kind: str, **facts: Any) -> Record:
        """Write a new record of a cluster that this process is about to start."""
        record = cls(f"{kind}-{os.getpid()}-{secrets.token_hex(4)}", kind, identify(os.getpid()), facts=facts)
        record.save()
        return record

    @property
    def path(self) -> Path:
        return _subfolder("records") / f"{self.name}.json"

    @property
    def data(self) -> Path:
        """A folder for the cluster's files; it goes when the record goes."""
        return _subfolder("data") / self.name

    def started(self, name: str, pid: int) -> None:
        """Note a process, or the new process of a name that was noted before."""
        process = identify(pid)
        if process:
            with self._writing:
                self.children[name] = process
                self._write()

    def save(self) -> None:
        """Write it so that a reader finds the old one or the new one, whole; raises `ClusterError` if that can't be done."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        text = json.dumps(
            {"kind": self.kind, "owner": self.owner, "children": self.children, "facts": self.facts}, indent=1
        )
        draft = self.path.with_suffix(".draft")
        try:
            draft.write_text(text, "utf-8")
            draft.replace(self.path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ClusterError(
                f"cannot write in {draft.parent} ({error.strerror}): free some space there, or set TMPDIR to another folder"
            ) from error

    def end(self) -> None:
        """Remove the cluster's files and the record: nothing is left of it."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.path.unlink(missing_ok=True)

    def stop_children(self) -> int:
        """SIGKILL every process that is still there, paused ones too; returns how many were."""
        stopped = sum(kill(process) for process in self.children.values())
        deadline = time.monotonic() + 5
        while any(is_alive(process) for process in self.children.values()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return stopped

    @classmethod
    def load(cls, path: Path) -> Record:
        """Raises `ValueError`, `KeyError` or `TypeError` for what is not a record."""
        value = json.loads(path.read_text("utf-8"))
        owner = ProcessId(*value["owner"]) if value["owner"] else None
        children = {name: ProcessId(*process) for name, process in value["children"].items()}
        return cls(path.stem, str(value["kind"]), owner, children, dict(value["facts"]))


def records() -> Iterator[Record]:
    """All records that can be read, the oldest first."""
    for path in sorted(_subfolder("records").glob("*.json"), key=lambda path: path.name):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield Record.load(path)


def standing(kind: str) -> Record | None:
    """The cluster of that kind that `rashomon up` left running, if there is one."""
    return next((record for record in records() if record.kind == kind and record.owner is None), None)


def hold(name: str) -> IO[str] | None:
    """Take a lock that one process of this user can have at a time; None if somebody has it.

    It is held until the file is closed, or its process dies.
    """
    lock = (state_folder() / f"{name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def sweep() -> list[str]:
    """Clean up after every run whose process is gone; returns a sentence for each thing that was done.

    What can't be cleaned now (the engine isn't running) stays on record, and the sentence says so.
    """
    with _alone():
        sentences = _sweep_unreadable()
        for record in records():
            if record.owner is None:
                sentences += _sweep_standing(record)
            elif not is_alive(record.owner):
                sentences += _sweep_run(record)
        return sentences


def _sweep_run(record: Record) -> list[str]:
    assert record.owner is not None
    whose = f"cleaned up after a run that was killed (process {record.owner.pid})"
    if record.kind == "docker":
        try:
            from harness.cluster.docker import clean_up_after  # which needs the docker SDK, and says so

            done = clean_up_after(record.facts)
        except ClusterError as error:
            return [
                f"a run that was killed (process {record.owner.pid}) left containers that can't be mended now: {error}"
            ]
        record.end()
        return [f"{whose}: {done}"]
    stopped = record.stop_children()
    record.end()
    return [f"{whose}: stopped {stopped} processes and removed their data"] if stopped else []


def _sweep_standing(record: Record) -> list[str]:
    """A cluster left running is nobody's leftover, unless all of it is gone (the machine was started anew)."""
    if record.kind != "local" or any(is_alive(process) for process in record.children.values()):
        return []
    record.end()
    return ["the local cluster that was left running is gone: removed its data"]


def _sweep_unreadable() -> list[str]:
    sentences = []
    for path in _subfolder("records").glob("*.json"):
        try:
            Record.load(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            path.unlink(missing_ok=True)
            sentences.append(f"removed the record {path}, which can't be read ({error}): look for processes left over")
    return sentences


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two sweeps at the same time would clean the same things."""
    deadline = time.monotonic() + SWEEP_WAIT_SECONDS
    while (lock := hold("sweep")) is None:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"another rashomon command has been cleaning up for {SWEEP_WAIT_SECONDS:.0f} s: wait for it, or end it"
            )
        time.sleep(0.05)
    with lock:
        yield


def _subfolder(name: str) -> Path:
    folder = state_folder() / name
    folder.mkdir(exist_ok=True)
    return folder
