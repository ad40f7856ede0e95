"""Writing a file whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write the text as UTF-8, so that `path` never holds half of it. Characters that UTF-8 can't hold become `?`."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(text.encode("utf-8", errors="replace"))
        return unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise
