"""Histories of every model: linearizable by construction, and the same with one thing changed that shouldn't be."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from harness.checkers.operations import Operation
from harness.models.auction import Auction
from harness.models.counter import Counter
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.mailbox import Mailbox
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register, WriteOnce
from harness.models.sets import Set
from tests.support.brute import operation
from tests.support.references import REFERENCES

State = Any
Ask = Callable[[random.Random, int, Any], tuple[str, Any]]
"""A generator of random numbers, how many operations there are already, and what the process saw last."""
Serve = Callable[[State, str, Any], tuple[State, Any]]
"""A machine with one copy: state, function and value to the next state and the result."""


@dataclass(frozen=True)
class Maker:
    model: Model
    state: State
    ask: Ask
    serve: Serve


def _ask_register(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    roll = chance.random()
    return ("write", number) if roll < 0.4 else ("cas", [last, number]) if roll < 0.55 else ("read", None)


def _ask_few(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    f, _ = _ask_register(chance, number, last)
    few = chance.randrange(4)
    return f, few if f == "write" else [chance.randrange(4), few] if f == "cas" else None


def _serve_register(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    if f == "write":
        return value, None
    return (value[1], True) if state == value[0] else (state, False)


def _ask_key(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    roll = chance.random()
    return ("append", f"<{number}>") if roll < 0.5 else ("put", f"<{number}>") if roll < 0.52 else ("get", None)


def _ask_repeated(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    roll, token = chance.random(), chance.choice("abc")
    f = "append" if roll < 0.4 else "put" if roll < 0.5 else "delete" if roll < 0.55 else "get"
    return f, token if f in ("append", "put") else None


def _serve_key(state: str | None, f: str, value: Any) -> tuple[str | None, Any]:
    if f == "get":
        return state, state
    if f == "delete":
        return None, None
    return (value if f == "put" or state is None else state + value), None


def _ask_line(put: str, take: str, few: int = 0) -> Ask:
    def ask(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
        return (put, chance.randint(1, few) if few else number + 1) if chance.random() < 0.5 else (take, None)

    return ask


def _serve_line(end: int) -> Serve:
    def serve(state: tuple[Any, ...], f: str, value: Any) -> tuple[tuple[Any, ...], Any]:
        if f in ("enqueue", "push"):
            return (*state, value), None
        if not state:
            return state, None
        return (state[1:], state[0]) if end == 0 else (state[:-1], state[-1])

    return serve


def _ask_growing(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("add", number) if chance.random() < 0.6 else ("read", None)


def _ask_elements(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return chance.choice(["add", "add", "remove", "contains", "contains"]), chance.randrange(6)


def _ask_mixed(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("read", None) if chance.random() < 0.3 else _ask_elements(chance, number, last)


def _serve_set(state: frozenset[Any], f: str, value: Any) -> tuple[frozenset[Any], Any]:
    if f == "read":
        return state, sorted(state)
    if f == "contains":
        return state, value in state
    return (state | {value}, value not in state) if f == "add" else (state - {value}, value in state)


def _ask_counter(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("add", 1) if chance.random() < 0.6 else ("read", None)


def _ask_amounts(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("add", chance.choice([-1, 1, 2, 5])) if chance.random() < 0.5 else ("read", None)


def _serve_counter(state: int, f: str, value: Any) -> tuple[int, Any]:
    return (state, state) if f == "read" else (state + value, state + value)


def _ask_lock(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("acquire" if chance.random() < 0.5 else "release"), None


def _serve_lock(state: tuple[Any, int], f: str, value: Any) -> tuple[tuple[Any, int], Any]:
    holder, token = state
    if f == "acquire":
        return ((value, token + 1), token + 1) if holder is None else (state, False)
    return ((None, token), True) if holder == value and holder is not None else (state, False)


def _ask_log(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("append", number) if chance.random() < 0.6 else ("read", None)


def _serve_log(state: tuple[Any, ...], f: str, value: Any) -> tuple[tuple[Any, ...], Any]:
    return (state, list(state)) if f == "read" else ((*state, value), len(state))


def _ask_once(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    return ("write", number) if chance.random() < 0.4 else ("read", None)


def _serve_once(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    return (value, True) if state is None else (state, False)


def _ask_mail(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    roll = chance.random()
    return (
        ("list", None) if roll < 0.5 else ("send", f"m{number}") if roll < 0.8 else ("mark", f"m{chance.randrange(20)}")
    )


def _serve_mail(state: tuple[str, ...], f: str, value: Any) -> tuple[tuple[str, ...], Any]:
    if f == "list":
        return state, [[message, False] for message in state]
    if f == "mark":
        return state, value in state
    return (*state, value), None


def _ask_auction(chance: random.Random, number: int, last: Any) -> tuple[str, Any]:
    roll, who = chance.random(), f"p{chance.randrange(3)}"
    if roll < 0.1:
        return "register", who
    if roll < 0.2:
        return "open", [who, "a"]
    return ("bid", [who, "a", number]) if roll < 0.6 else ("look", "a")


def _serve_auction(state: Any, f: str, value: Any) -> tuple[Any, Any]:
    return REFERENCES["auction"].step(state, f, value)


MAKERS: dict[str, Maker] = {
    "register": Maker(Register(), None, _ask_register, _serve_register),
    "register, few values": Maker(Register(), None, _ask_few, _serve_register),
    "kv append": Maker(KeyValue(), None, _ask_key, _serve_key),
    "kv, few values": Maker(KeyValue(), None, _ask_repeated, _serve_key),
    "queue": Maker(Queue(), (), _ask_line("enqueue", "dequeue"), _serve_line(0)),
    "queue, few values": Maker(Queue(), (), _ask_line("enqueue", "dequeue", 60), _serve_line(0)),
    "stack": Maker(Stack(), (), _ask_line("push", "pop"), _serve_line(-1)),
    "stack, few values": Maker(Stack(), (), _ask_line("push", "pop", 60), _serve_line(-1)),
    "set": Maker(Set(), frozenset(), _ask_growing, _serve_set),
    "set by element": Maker(Set(), frozenset(), _ask_elements, _serve_set),
    "set, mixed": Maker(Set(), frozenset(), _ask_mixed, _serve_set),
    "counter": Maker(Counter(), 0, _ask_counter, _serve_counter),
    "counter, amounts": Maker(Counter(), 0, _ask_amounts, _serve_counter),
    "lock": Maker(Lock(), (None, 0), _ask_lock, _serve_lock),
    "log": Maker(Log(), (), _ask_log, _serve_log),
    "write-once": Maker(WriteOnce(), None, _ask_once, _serve_once),
    "auction": Maker(Auction(), REFERENCES["auction"].initial, _ask_auction, _serve_auction),
    "mailbox": Maker(Mailbox(), (), _ask_mail, _serve_mail),
}


def simulated(
    name: str, chance: random.Random, operations: int, processes: int = 4, crashed: float = 0.02
) -> list[Operation]:
    """A history that is linearizable: clients always busy, each operation at one moment of its interval."""
    maker = MAKERS[name]
    state, clock, names, next_name = maker.state, 0, list(range(processes)), processes
    last: dict[int, Any] = {}
    busy: list[tuple[Operation, Any] | None] = [None] * processes
    made: list[Operation] = []
    while len(made) < operations or any(busy):
        slot = chance.randrange(processes)
        clock += 1
        running = busy[slot]
        if running is None:
            if len(made) < operations:
                f, value = maker.ask(chance, len(made), last.get(slot))
                if name == "lock":
                    value = f"c{names[slot]}"
                one = operation(names[slot], f, value, None, clock, None, replica=f"n{slot + 1}")
                one.began = one.index = clock
                made.append(one)
                busy[slot] = (one, _PENDING)
            continue
        one, result = running
        if result is _PENDING:
            lost = chance.random() < crashed
            if not lost or chance.random() < 0.5:
                state, result = maker.serve(state, one.f, one.value)
            busy[slot] = (one, result)
            if lost:
                names[slot], next_name = next_name, next_name + 1
                busy[slot] = None
            continue
        one.type, one.result, one.return_ns, one.ended = "ok", result, clock, clock
        last[slot] = result if one.f == "read" else one.value if one.f == "write" else last.get(slot)
        busy[slot] = None
    return made


_PENDING = object()


def corrupted(name: str, chance: random.Random, operations: int) -> list[Operation]:
    """The same with one answer that another operation of the same kind was given, or a completed operation that never took
    effect: most such histories are not linearizable any more."""
    history = [replace(one) for one in simulated(name, chance, operations)]
    done = [one for one in history if one.type == "ok"]
    if chance.random() < 0.5:
        one = chance.choice(
            [one for one in done if one.f in _ASKING or one.result is not None] or done[:1] or [history[0]]
        )
        others = [other.result for other in done if other.f == one.f and other.result != one.result]
        if others:
            one.result = chance.choice(others)
        return history
    lost = [one for one in done if one.f not in _ASKING]
    return _without_effect(name, history, chance.choice(lost)) if lost else history


_ASKING = ("read", "get", "contains", "dequeue", "pop", "list", "look")


def _without_effect(name: str, history: list[Operation], lost: Operation) -> list[Operation]:
    """What would have been answered if this operation had been acknowledged, but not been done."""
    maker = MAKERS[name]
    state = maker.state
    for one in sorted((one for one in history if one.type == "ok"), key=lambda one: one.ended or 0):
        if one is lost:
            continue
        state, one.result = maker.serve(state, one.f, one.value)
    return history
