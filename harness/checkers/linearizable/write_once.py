"""Write-once registers: decided in O(n), any values, crashed writes included.

Only one write is ever carried out: the one that was acknowledged; else a crashed one of the value that was seen; else, if
a write was refused, any crashed one. Of several crashed ones that may be it, the one called first is the best, for none of
them ever returned. That write happened after the call of all who found nothing, and before the return of all who found
something.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decision import Contradiction, Decision, decided
from harness.checkers.linearizable.explain import asked, called, did, returned, what, who
from harness.checkers.linearizable.moments import end_of
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


def decide(operations: Sequence[Operation], budget: Budget) -> Decision:
    """Decide one write-once register. Raises `Stopped`."""
    return decided(lambda: order(operations, budget))


def order(operations: Sequence[Operation], budget: Budget) -> list[Operation]:
    """An order that explains the operations. Raises `Contradiction`, `Stopped`."""
    budget.look()
    found_nothing = [one for one in operations if one.type == "ok" and one.f == "read" and one.result is None]
    found = [one for one in operations if one.type == "ok" and _finds(one)]
    the_write = _the_write(operations, found)
    if the_write is None:
        if found:
            raise _nobody_wrote(found[0])
        return found_nothing
    value = canonical(the_write.value)
    for one in found:
        if one.f == "read" and canonical(one.result) != value:
            raise _another_value(one, the_write, operations)
    first = min((one for one in (the_write, *found)), key=end_of)
    last = max((one for one in (the_write, *found_nothing)), key=lambda one: one.began)
    if end_of(first) < last.began:
        raise _backwards(first, last, the_write)
    return [*found_nothing, the_write, *found]


def _finds(operation: Operation) -> bool:
    """Whether it shows that something was written before."""
    return operation.result is False if operation.f == "write" else operation.result is not None


def _the_write(operations: Sequence[Operation], found: Sequence[Operation]) -> Operation | None:
    writes = [one for one in operations if one.f == "write" and one.result is not False]
    carried_out = [one for one in writes if one.type == "ok"]
    if len(carried_out) > 1:
        one, other = carried_out[:2]
        raise Contradiction(
            f"{what(one)} was acknowledged at {returned(one)}, and {what(other)} at {returned(other)}, but only one can have "
            "been carried out",
            [one, other],
            "written twice",
        )
    if carried_out:
        return carried_out[0]
    seen: dict[Hashable, Operation] = {canonical(one.result): one for one in found if one.f == "read"}
    for write in writes:
        if found and (not seen or canonical(write.value) in seen):
            return write
    return None


def _nobody_wrote(found: Operation) -> Contradiction:
    if found.f == "write":
        said = f"{what(found)} was refused at {returned(found)}, but nobody else ever wrote"
        return Contradiction(said, [found], "write refused wrongly")
    said = f"{did(found)} at {returned(found)}, but nobody ever wrote it"
    return Contradiction(said, [found], "value from nowhere")


def _another_value(read: Operation, write: Operation, operations: Sequence[Operation]) -> Contradiction:
    value = canonical(read.result)
    if not any(one.f == "write" and canonical(one.value) == value for one in operations):
        said = f"{did(read)} at {returned(read)}, but nobody ever wrote it"
        return Contradiction(said, [read], "value from nowhere")
    said = f"{did(read)} at {returned(read)}, but {show(write.value)} had been written by {who(write)}{asked(write)}"
    if write.type == "ok":
        return Contradiction(f"{said}, which was acknowledged at {returned(write)}", [read, write], "value changed")
    other = next(one for one in operations if one.f == "read" and canonical(one.result) == canonical(write.value))
    return Contradiction(
        f"{said}, as {who(other)} read{asked(other)} at {returned(other)}", [read, write, other], "value changed"
    )


def _backwards(first: Operation, last: Operation, write: Operation) -> Contradiction:
    """`first` shows that the write had happened by its return, `last`, called later, that it hadn't."""
    if last is write:
        saw = f"read {show(first.result)}" if first.f == "read" else "was refused to write"
        said = f"{who(first)} {saw}{asked(first)} at {returned(first)}, but {who(write)} began to write only at {called(write)}"
        return Contradiction(said, [first, write], "value from the future")
    if first is write:
        said = f"{what(write)} was acknowledged at {returned(write)}"
    elif first.f == "read":
        said = f"{did(first)} at {returned(first)}"
    else:
        said = f"{what(first)} was refused at {returned(first)}, for another one had come before"
    said += f", but {who(last)} found nothing{asked(last)}, from {called(last)} to {returned(last)}"
    return Contradiction(said, {first, last, write}, "lost write" if first is write else "stale read")
