"""Histories that come through a pipe: kept in a file that is gone when nobody needs it any more, for they are read twice."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

STANDARD_INPUT = Path("/dev/stdin")
_CHUNK = 1 << 20
_POLL_SECONDS = 0.1


def is_stream(path: Path) -> bool:
    """Whether it can be read once only, or is no file at all, such as a pipe or `/dev/null`."""
    return path.exists() and not path.is_file() and not path.is_dir()


def spooled(path: Path, look: Callable[[int], None]) -> IO[bytes]:
    """A file, which is removed when it is closed, of all that comes from there.

    `look` is called now and then, also while nothing comes, with how much was read; what it raises ends the reading.
    """
    # What is open already may be a socket, which has no name that could be opened.
    stream = os.dup(0) if path == STANDARD_INPUT else os.open(path, os.O_RDONLY)
    kept = NamedTemporaryFile(prefix="history-")  # noqa: SIM115 - whoever reads it closes it
    try:
        read = 0
        while True:
            look(read)
            if not select.select([stream], [], [], _POLL_SECONDS)[0]:
                continue
            chunk = os.read(stream, _CHUNK)
            if not chunk:
                break
            kept.write(chunk)
            read += len(chunk)
        kept.flush()
    except BaseException:
        kept.close()
        raise
    finally:
        os.close(stream)
    return kept
