"""The machines, one file each."""

from __future__ import annotations

from node.registry import Registry

MACHINES = Registry("machine", {"kv": "node.machines.kv:KeyValue"})
"""By name. A machine of your own is named as `package.module:Class`."""
