"""Samples of what each replica says of itself, for pictures of a run: `statuses.jsonl`, one sample a line::

    {"time": 1500000000, "replica": "n2", "state": "up", "role": "leader", "leader": "n2", "term": "3.2",
     "commit_index": 17, "log_index": 18}

`time` is on the clock of the history. `state` is `up`, `down`, `paused`, or null if it couldn't be measured; the rest is
null for a replica that doesn't answer. While it is at it, it asks for deaths and notes them in the history.
"""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from faults.cluster import ClusterError
from harness.cluster import Cluster
from harness.history import History

_log = logging.getLogger(__name__)

_FIELDS = ("role", "leader", "term", "commit_index", "log_index")
_MOST_AT_ONCE = 8


class Statuses:
    """Samples all replicas every `every_seconds`, on a thread of its own, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, history: History, path: Path, every_seconds: float = 0.5) -> None:
        self._cluster = cluster
        self._history = history
        self._path = path
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statuses", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Take a last sample and end. Idempotent."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        workers = min(_MOST_AT_ONCE, len(self._cluster.replicas))
        try:
            with self._path.open("w", encoding="utf-8") as file, ThreadPoolExecutor(workers, "status") as pool:
                while not self._stopped.wait(self._every_seconds):
                    self._sample(file, pool)
                self._sample(file, pool)
        except OSError as error:  # the picture of the roles is lost, the run is not
            _log.warning("no more samples of the replicas: cannot write %s (%s)", self._path, error.strerror)
        except Exception:
            _log.exception("no more samples of the replicas")

    def _sample(self, file: TextIO, pool: ThreadPoolExecutor) -> None:
        for sample in pool.map(self._ask, self._cluster.replicas):
            file.write(json.dumps(sample, separators=(",", ":")) + "\n")
        file.flush()
        with suppress(ClusterError):
            for sentence in self._cluster.deaths():
                _log.warning("%s", sentence)
                self._history.note(sentence)

    def _ask(self, replica: str) -> dict[str, Any]:
        time = self._history.now()
        state: str | None = None
        status: dict[str, Any] | None = None
        with suppress(ClusterError):
            state = self._cluster.state(replica)
            status = self._cluster.status(replica) if state == "up" else None
        known = status or {}
        return {"time": time, "replica": replica, "state": state, **{name: known.get(name) for name in _FIELDS}}
