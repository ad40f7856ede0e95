"""Ports for the clusters of one machine: no two clusters ever get the same one.

They lie below 32768, where no system takes the ports of outgoing connections from: else one of those could sit on the
port of a replica that is down for a moment. The range is cut into blocks; a cluster locks whole blocks, with a lock
that the system lets go when its holder dies, however it dies. Within its blocks a cluster takes the ports that nobody
else on the machine listens on.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from faults.cluster import ClusterError
from harness.cluster.leftovers import state_folder

FIRST, LAST = 20_000, 27_999
BLOCK = 50
"""A cluster of five needs 36 ports: two for each replica, one for each of 25 links, one for the proxies' server."""


class PortLease:
    """`count` ports, this cluster's own until `release`.

    Raises `ClusterError` if there are not as many left.
    """

    def __init__(self, count: int) -> None:
        self.ports: list[int] = []
        self.files: list[int] = []
        """The descriptors that hold the locks. A process that inherits them holds the lease as well."""
        try:
            self._take(count, _blocks())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the ports back; nothing happens the second time."""
        while self.files:
            os.close(self.files.pop())

    def _take(self, count: int, blocks: Sequence[int]) -> None:
        folder = state_folder() / "ports"
        folder.mkdir(exist_ok=True)
        for block in blocks:
            if len(self.ports) >= count:
                break
            if self._lock(folder / str(block)):
                self.ports += [port for port in range(block, block + BLOCK) if _is_free(port)]
        if len(self.ports) < count:
            raise ClusterError(
                f"the cluster needs {count} free ports between {FIRST} and {LAST}, and only {len(self.ports)} are left: "
                "end other clusters or take fewer replicas"
            )
        del self.ports[count:]

    def _lock(self, path: Path) -> bool:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self.files.append(file)
        return True


def _blocks() -> list[int]:
    """All blocks, from a random one on: what strays from an earlier cluster seldom finds a new one on its port."""
    blocks = list(range(FIRST, LAST + 1, BLOCK))
    start = random.randrange(len(blocks))
    return blocks[start:] + blocks[:start]


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that are still closing down don't count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
