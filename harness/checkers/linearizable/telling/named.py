"""A story that names operations which may not be among those that prove it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.checkers.linearizable.explain import Story
from harness.checkers.operations import Operation


@dataclass(frozen=True)
class Named(Story):
    """Whoever reads the sentence must find in the drawing whom it names."""

    also: tuple[Operation, ...] = ()
    """Shown beside the proof."""
