"""Jepsen's histories: operation maps in EDN, log lines, and Porcupine's key-value logs, which are such maps.

In Jepsen an operation has one value, which its completion replaces by what came back. Ours keep both: `value` is what was
asked for, `result` what came back. A read, or whatever else asks for something, has the completion's value as its result;
a `cas` that completed has true; everything else has a result only if the completion's value is another one than its own.

A `fail` is one that did not happen, as in Jepsen and Knossos. With one exception: a `cas` that fails without an error in a
log line was refused, that is, it saw another value. So the tests of etcd log it, and so Porcupine judges them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.formats import edn
from harness.formats.lines import BadLine, numbered_lines, open_text
from harness.history import NEMESIS, Event
from harness.models.values import canonical, show

ASKING = frozenset({"read", "get", "dequeue", "pop", "contains"})
"""Functions whose completion's value is what came back, also if it is the value that they were called with."""
LOG_LINE = re.compile(
    r"(?:[^\t]*?jepsen\.util[ -]+|\s*)(:?[\w.-]+)\s*\t\s*:(invoke|ok|fail|info)\t\s*:?([^\s\t]+)\s*(?:\t(.*))?$"
)
_SUSPECT = re.compile(r"[^\t]*?jepsen\.util[ -]+:?[\w.-]+\s*\t|:?[\w.-]+\s*\t\s*:(?:invoke|ok|fail|info)\b")
PORCUPINE_LINE = re.compile(
    r'\s*\{:process (\d+), :type :(invoke|ok|fail|info), :f :(get|put|append), :key ("(?:[^"\\]|\\.)*"), '
    r':value (nil|"(?:[^"\\]|\\.)*")\}\s*'
)
_REMEMBERED = 10_000


class Results:
    """Tells from each completion's value what came back."""

    def __init__(self) -> None:
        self._asked: dict[Any, Any] = {}
        """By process, the value of its open operation."""

    def settle(self, event: Event) -> Event:
        """Give a completion the `value` of its invocation, and, where it has one, its `result`."""
        process, kind = event["process"], event["type"]
        if kind == "invoke":
            self._asked[process] = event["value"]
            return event
        value, event["value"] = event["value"], self._asked.pop(process, event["value"])
        if kind == "ok":
            if event["f"] == "cas":
                event["result"] = True
            elif event["f"] in ASKING or canonical(value) != canonical(event["value"]):
                event["result"] = value
        elif event.pop("refused", False) and canonical(value) == canonical(event["value"]):
            event["type"], event["result"] = "ok", False
        return event


def read_edn(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a file of operation maps."""
    results = Results()
    for line, event in _maps(path):
        yield line, event if event["process"] == NEMESIS else results.settle(event)


def read_keyed_edn(path: Path) -> Iterator[tuple[int, Event]]:
    """The same, where every value is a pair of a key and the value proper, as `jepsen.independent` makes them."""
    results = Results()
    for line, event in _maps(path):
        if event["process"] == NEMESIS:
            yield line, event
            continue
        pair = event["value"]
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadLine(
                line, f"the value {show(pair)} is not a pair of a key and a value: name the format edn if none is"
            )
        event["key"], event["value"] = pair
        yield line, results.settle(event)


def has_keys(head: str) -> bool:
    """Whether a read in this beginning of a file is called with a key and nothing else."""
    maps = re.findall(r"\{[^{}]*\}", head)
    reads = (one for one in maps if ":invoke" in one and re.search(r":f\s+:read\b", one))
    return any(re.search(r":value\s+\[\S+\s+nil\]", one) for one in reads)


def _maps(path: Path) -> Iterator[tuple[int, Event]]:
    with open_text(path) as file:
        for line, item in edn.read_items(file):
            yield line, _from_map(line, item)


def _from_map(line: int, item: Any) -> Event:
    if not isinstance(item, dict):
        raise BadLine(line, f"{show(item)} is not an operation map such as {{:process 0, :type :invoke, :f :read}}")
    for name in ("process", "type", "f"):
        if name not in item:
            raise BadLine(line, f"the operation {show(item)} has no :{name}")
    event: Event = {"process": item["process"], "type": item["type"], "f": item["f"], "value": item.get("value")}
    for name in ("time", "key", "error"):
        if item.get(name) is not None:
            event[name] = item[name]
    return event


def read_log(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a log; lines about anything else than operations are passed over."""
    results = Results()
    values: dict[str, Any] = {}
    operations = others = 0
    for number, line in numbered_lines(path):
        match = LOG_LINE.match(line.rstrip("\r\n"))
        if match is None:
            if _SUSPECT.match(line):
                raise BadLine(number, "not process, type, f and value between tabs")
            others += bool(line.strip())
            continue
        operations += 1
        process, kind, f, rest = match.groups()
        if process == f":{NEMESIS}":
            yield number, {"process": NEMESIS, "type": kind, "f": f, "value": rest}
            continue
        text, _, error = (rest or "nil").partition("\t")
        if kind == "info" or not text.strip():
            text, error = "nil", error or text
        try:
            value = values[text] if text in values else edn.loads(text)
        except BadLine as problem:
            raise BadLine(number, f"the value is {problem}") from problem
        if len(values) < _REMEMBERED:
            values[text] = value
        event: Event = {"process": _process(process), "type": kind, "f": f, "value": value}
        if error:
            event["error"] = error.strip()
        elif kind == "fail" and f == "cas":
            event["refused"] = True
        yield number, results.settle(event)
    if others and not operations:
        raise BadLine(1, "neither this line nor any other is an operation as Jepsen logs it")


def _process(text: str) -> int | str:
    return int(text) if text.isdecimal() else text.removeprefix(":")


def read_porcupine(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a key-value log; every line is one."""
    results = Results()
    keys: dict[str, Any] = {}
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        match = PORCUPINE_LINE.fullmatch(line)
        if match is None:
            raise BadLine(
                number, "not an operation of a key-value log (:process, :type, :f, :key and :value in this order)"
            )
        process, kind, f, key, value = match.groups()
        if key not in keys:
            keys[key] = edn.loads(key)
        event: Event = {"process": int(process), "type": kind, "f": f, "key": keys[key], "value": edn.loads(value)}
        yield number, results.settle(event)
