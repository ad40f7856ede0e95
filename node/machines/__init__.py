"""The machines, one file each."""

from __future__ import annotations

from node.registry import Registry

MACHINES = Registry(
    "machine",
    {
        "auction": "node.machines.auction:Auction",
        "counter": "node.machines.counter:Counter",
        "kv": "node.machines.kv:KeyValue",
        "lock": "node.machines.lock:Lock",
        "log": "node.machines.log:Log",
        "mailbox": "node.machines.mailbox:Mailbox",
        "queue": "node.machines.queue:Queue",
        "register": "node.machines.register:WriteOnce",
        "set": "node.machines.sets:Set",
    },
)
"""By name. A machine of your own is named as `package.module:Class`."""
