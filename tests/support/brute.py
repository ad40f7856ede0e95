"""The oracle: whether a small history is linearizable, by trying every order. And random histories to try it on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from harness.checkers.operations import Operation, from_intervals
from harness.models.model import Model


def linearizable(operations: Sequence[Operation], model: Model) -> bool:
    """Exhaustive: every order that respects time, with every choice of crashed operations. For about ten operations."""
    seen: set[tuple[int, object]] = set()
    must = sum(1 << number for number, operation in enumerate(operations) if operation.type == "ok")

    def explained(done: int, state: object) -> bool:
        if done & must == must:
            return True
        if (done, state) in seen:
            return False
        seen.add((done, state))
        left = [(number, operation) for number, operation in enumerate(operations) if not done >> number & 1]
        first_return = min(operation.ended for _, operation in left if operation.ended is not None)
        for number, operation in left:
            if operation.began < first_return:
                answer = model.step(state, operation)
                if not isinstance(answer, str) and any(explained(done | 1 << number, after) for after in answer):
                    return True
        return False

    return explained(0, model.initial())


def operation(
    process: int | str,
    f: str,
    value: object = None,
    result: object = None,
    call: int = 0,
    returned: int | None = None,
    key: str = "x",
    replica: str | None = None,
) -> Operation:
    """One operation by its times; unknown if it doesn't return."""
    kind = "info" if returned is None else "ok"
    return Operation(process, f, key, value, result, kind, call, returned, replica, 0, 0, None)


def random_register_history(
    chance: random.Random, operations: int, values: str = "unique", crashed: float = 0.2, cas: float = 0.35
) -> list[Operation]:
    """Operations with random times (equal ones too) and random results: about as often linearizable as not.

    `values`: `unique` writes every value once, `few` draws from four values of different JSON types.
    """
    few: list[object] = [1, True, False, "1", None, [1], {"a": 1.0}]
    chance.shuffle(few)
    few = few[: chance.randint(2, 4)]
    written: list[object] = [None]
    made = []
    span = chance.choice([2, 3, 5]) * operations
    for number in range(operations):
        new = len(written) if values == "unique" else chance.choice(few)
        old = chance.choice(written) if chance.random() < 0.9 else 99
        roll = chance.random()
        call = chance.randrange(span)
        returned = None if chance.random() < crashed else call + chance.randint(0, max(1, span // 3))
        if roll < 0.35:
            made.append(operation(number, "write", new, None, call, returned))
            written.append(new)
        elif roll < 0.35 + cas:
            result = None if returned is None else chance.random() < 0.6
            made.append(operation(number, "cas", [old, new], result, call, returned))
            written.append(new)
        else:
            # Reads choose their value at the end, so that they can see what is written later.
            made.append(operation(number, "read", None, None, call, returned))
    for one in made:
        if one.f == "read" and one.type == "ok":
            one.result = chance.choice(written)
    return from_intervals(made)


def simulated_register_history(
    chance: random.Random,
    operations: int,
    processes: int,
    crashed: float = 0.0,
    values: int | None = None,
    writes: float = 0.35,
    cas: float = 0.25,
    key: str = "x",
) -> list[Operation]:
    """A history that is linearizable by construction: clients always busy, each operation at one moment of its interval.

    `values`: how many different values there are; None writes every value once. A crashed operation may have happened
    or not; its process is replaced by a new one.
    """
    clock = 0
    state: object = None
    fresh = 0
    seen: dict[int, object] = {}
    names = list(range(processes))
    next_name = processes
    busy: list[tuple[Operation, bool] | None] = [None] * processes
    made: list[Operation] = []
    while True:
        slot = chance.randrange(processes)
        clock += chance.randint(1, 3)
        running = busy[slot]
        if running is None:
            if len(made) >= operations:
                if all(entry is None for entry in busy):
                    return made
                continue
            roll = chance.random()
            fresh += 1
            new = fresh if values is None else chance.randrange(values)
            if roll < writes:
                one = operation(names[slot], "write", new, None, clock, None, key)
            elif roll < writes + cas:
                one = operation(names[slot], "cas", [seen.get(slot), new], None, clock, None, key)
            else:
                one = operation(names[slot], "read", None, None, clock, None, key)
            one.began = one.index = clock
            made.append(one)
            busy[slot] = (one, False)
            continue
        one, happened = running
        if not happened:
            if chance.random() < crashed:
                if chance.random() < 0.5:
                    state = _happen(one, state)
                one.result = None
                names[slot], next_name = next_name, next_name + 1
                busy[slot] = None
                continue
            state = _happen(one, state)
            busy[slot] = (one, True)
            continue
        one.type = "ok"
        one.return_ns = one.ended = clock
        seen[slot] = one.result if one.f == "read" else state
        busy[slot] = None


def _happen(one: Operation, state: object) -> object:
    if one.f == "write":
        return one.value
    if one.f == "read":
        one.result = state
        return state
    expected, new = one.value  # type: ignore[misc]
    one.result = state == expected
    return new if one.result else state


def spoil(chance: random.Random, history: Sequence[Operation]) -> tuple[str, list[Operation]]:
    """How, and a copy of a valid history of values written once that is certainly not valid any more.

    `stale read`: an additional read at the end of an overwritten value. `value from nowhere`: a read of what nobody
    wrote. `two cas`: two compare-and-sets from one value. `refused`: an additional cas at the end from the value that was
    just read there, refused.
    """
    copies = [replace(one) for one in history]
    end = max(max(one.began, one.ended or 0) for one in copies) + 10
    how = chance.choice(["stale read", "value from nowhere", "two cas", "refused"])

    def add(f: str, value: object, result: object, after: int) -> Operation:
        one = operation(10_000 + after, f, value, result, end + after, end + after + 1)
        one.began = one.index = end + after
        one.ended = end + after + 1
        copies.append(one)
        return one

    add("write", -1, None, 0)
    if how == "stale read":
        acknowledged = [one.value for one in copies if one.f == "write" and one.type == "ok" and one.value != -1]
        add("read", None, chance.choice(acknowledged), 10)
    elif how == "value from nowhere":
        add("read", None, -99, 10)
    elif how == "two cas":
        add("cas", [-1, -2], True, 10)
        add("cas", [-1, -3], True, 20)
    else:
        add("write", -2, None, 10)
        add("read", None, -2, 20)
        # Crashed operations might stand in between: so their values are settled first, by what was seen before.
        copies[:] = [one for one in copies if one.type == "ok" or one.began > end or _is_seen(one, copies)]
        add("cas", [-2, -3], False, 30)
        add("read", None, -2, 40)
    return how, copies


def _is_seen(one: Operation, history: Sequence[Operation]) -> bool:
    new = one.value if one.f == "write" else one.value[1] if one.f == "cas" else None  # type: ignore[index]
    return any(
        other.type == "ok"
        and ((other.f == "read" and other.result == new) or (other.f == "cas" and other.value[0] == new))
        for other in history
    )
