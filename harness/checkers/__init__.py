"""The checkers: each judges a whole history by one question. `harness.checkers.checker` is their contract."""

from __future__ import annotations

from node.registry import Registry

CHECKERS = Registry(
    "checker",
    {
        "availability": "harness.checkers.availability:Availability",
        "faults": "harness.checkers.faults:Faults",
        "linearizable": "harness.checkers.linearizable:Linearizable",
    },
)
