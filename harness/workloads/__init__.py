"""The workloads, one file each; the file's docstring says what its clients do and what that can find."""

from __future__ import annotations

from node.registry import Registry

WORKLOADS = Registry("workload", {"register": "harness.workloads.register:Register"})
"""By name. A workload of your own is named as `package.module:Class`."""
