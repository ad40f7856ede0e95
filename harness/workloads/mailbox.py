"""The workload `mailbox`: mail is sent, listed, and marked as read.

Every message has a name of its own (`m<value>`, see `harness.workloads.keyed`). A process marks what it saw in its last list
of the mailbox; before it saw any it lists. Two rules, one for each level of consistency: the mail itself is judged as
`linearizable` (the model `mailbox`, which leaves marks out), and the marks by the checker `marks`: they may lag and may even
be lost, which is measured, but no message may be shown as read that nobody marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from harness.workloads.keyed import KeyedOptions, KeyedWorkload, by_weight
from harness.workloads.workload import Memory
from node.machine import Operation

_REMEMBERED = 10
"""Unread messages of a mailbox that a process remembers: the last ones that it saw."""


class MailboxOptions(KeyedOptions):
    operations_per_key: int = Field(default=30, ge=1, description="a process moves to its next mailbox after so many")
    send: float = Field(default=3.0, gt=0, description="how often an operation is a send, against the others")
    mark: float = Field(default=2.0, ge=0, description="how often an operation marks a message as read")
    list: float = Field(default=3.0, ge=0, description="how often an operation lists the mailbox")


class Mailbox(KeyedWorkload):
    name = "mailbox"
    summary = "Mail is sent, which must not be lost, and marked as read, which may."
    letter = "m"
    machine = "mailbox"
    model = "mailbox"
    checkers = ("marks", "linearizable", "availability", "faults")
    Options = MailboxOptions
    options: MailboxOptions

    def plan(self, process: int, number: int) -> Operation:
        chance = self.chance(process, number)
        f = by_weight(chance, {"send": self.options.send, "mark": self.options.mark, "list": self.options.list})
        values: dict[str, Any] = {"send": f"m{self.value(process, number)}", "mark": chance.randrange(_REMEMBERED)}
        return {"f": f, "key": self.key(process, number), "value": values.get(f)}

    def bind(self, planned: Operation, memory: Mapping[str, Any]) -> Operation:
        if planned["f"] != "mark":
            return planned
        unread = memory.get(planned["key"])
        if not unread:
            return {"f": "list", "key": planned["key"], "value": None}
        return {**planned, "value": unread[planned["value"] % len(unread)]}

    def observe(self, operation: Operation, result: Any, memory: Memory) -> None:
        if operation["f"] == "list":
            unread = [message for message, marked in result if not marked]
            memory[operation["key"]] = unread[-_REMEMBERED:]

    def essence(self, operation: Operation) -> Any:
        return (operation["key"], operation["value"] if operation["f"] == "send" else None)

    def final_operation(self, key: str) -> Operation:
        return {"f": "list", "key": key, "value": None}
