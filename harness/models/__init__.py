"""The models: what a machine with one copy, used by one client at a time, would do. `harness.models.model` is the contract.

They are written apart from `node.machines`, on purpose: two witnesses who never spoke to each other.
"""

from __future__ import annotations

from node.registry import Registry

MODELS = Registry(
    "model",
    {
        "register": "harness.models.register:Register",
        "kv": "harness.models.kv:KeyValue",
        "write-once": "harness.models.register:WriteOnce",
        "counter": "harness.models.counter:Counter",
        "set": "harness.models.sets:Set",
        "queue": "harness.models.queue:Queue",
        "stack": "harness.models.queue:Stack",
        "lock": "harness.models.lock:Lock",
        "log": "harness.models.log:Log",
        "auction": "harness.models.auction:Auction",
        "mailbox": "harness.models.mailbox:Mailbox",
    },
)
"""By name. A model of your own is named as `package.module:Class`."""
