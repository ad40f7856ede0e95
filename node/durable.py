"""Writing files so that a kill or a loss of power leaves either the old content or the new, and nothing between."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of `data`, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable: which files there are, and what they were renamed to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put a file with this content in the place of `path`, durably and atomically."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file durably; nothing happens if there is none."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
