"""From keys that no order explains to the findings that a reader gets: `tell`."""

from __future__ import annotations

from harness.checkers.linearizable.telling.tell import Broken, tell

__all__ = ["Broken", "tell"]
