"""The checkers: each judges a whole history by one question. `harness.checkers.checker` is their contract."""

from __future__ import annotations

from node.registry import Registry

CHECKERS = Registry(
    "checker",
    {
        "availability": "harness.checkers.availability:Availability",
        "bounds": "harness.checkers.bounds:Bounds",
        "causal": "harness.checkers.causal:Causal",
        "convergent": "harness.checkers.causal:Convergent",
        "elements": "harness.checkers.elements:Elements",
        "faults": "harness.checkers.faults:Faults",
        "holders": "harness.checkers.holders:Holders",
        "invariants": "harness.checkers.inside:Invariants",
        "linearizable": "harness.checkers.linearizable:Linearizable",
        "liveness": "harness.checkers.inside:Liveness",
        "marks": "harness.checkers.marks:Marks",
        "script": "harness.checkers.script:Script",
        "staleness": "harness.checkers.staleness:Staleness",
        "totals": "harness.checkers.totals:Totals",
    },
)
