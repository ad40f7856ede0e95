"""The workload `queue`: processes enqueue values, each once, and dequeue them.

There are a few more dequeues than enqueues, so that queues stay short and often run empty. In the end every queue is asked
again and again, until it should be empty: what was acknowledged and never came out is lost.

What it can find: lost, repeated and reordered values, and values from nowhere. A dequeue of unknown outcome may have taken
a value with it; the checkers allow for that. How keys and values are chosen is told in `harness.workloads.keyed`.
"""

from __future__ import annotations

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from node.machine import Operation


class QueueOptions(KeyedOptions):
    final_reads_per_key: int = Field(default=6, ge=0, description="how many values are taken out of each key's queue")
    final_keys: int = Field(default=100, ge=1, description="no more keys than these are asked for after healing")
    enqueue: float = Field(default=5.0, gt=0, description="how often an operation is an enqueue, against dequeue")
    dequeue: float = Field(default=6.0, ge=0, description="how often an operation is a dequeue")


class Queue(KeyedWorkload):
    name = "queue"
    summary = "Values go into first-in-first-out queues, each once, and come out again."
    letter = "q"
    machine = "queue"
    model = "queue"
    checkers = ("linearizable", "totals", "availability", "faults")
    Options = QueueOptions
    options: QueueOptions

    def plan(self, process: int, number: int) -> Operation:
        weights = {"enqueue": self.options.enqueue, "dequeue": self.options.dequeue}
        f = by_weight(self.chance(process, number), weights)
        value = self.value(process, number) if f == "enqueue" else None
        return {"f": f, "key": self.key(process, number), "value": value}

    def final_operation(self, key: str) -> Operation:
        return {"f": "dequeue", "key": key, "value": None}
