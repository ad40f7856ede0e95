"""The workloads, one file each; the file's docstring says what its clients do and what that can find."""

from __future__ import annotations

from harness.spec import RunSpec
from harness.workloads.workload import Workload
from node.registry import Registry

WORKLOADS = Registry(
    "workload",
    {
        "auction": "harness.workloads.auction:Auction",
        "counter": "harness.workloads.counter:Counter",
        "crossing": "harness.workloads.crossing:Crossing",
        "lock": "harness.workloads.lock:Lock",
        "log": "harness.workloads.log:Log",
        "mailbox": "harness.workloads.mailbox:Mailbox",
        "once": "harness.workloads.once:Once",
        "queue": "harness.workloads.queue:Queue",
        "register": "harness.workloads.register:Register",
        "set": "harness.workloads.sets:Set",
    },
)
"""By name. A workload of your own is named as `package.module:Class`."""


def make_workload(spec: RunSpec) -> Workload:
    """The workload of a run. Raises `node.registry.UnknownName`, or pydantic's `ValidationError` for bad options."""
    kind: type[Workload] = WORKLOADS[spec.workload.name]
    return kind(kind.Options.model_validate(spec.workload.options), spec.clients.processes, spec.seed)
