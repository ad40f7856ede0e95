"""Writing a history for another tool.

What a format can't say is left out or refused, never changed; but a process whose name it can't say gets a number. In
Jepsen's formats a refused `cas`, `acquire` or `release` is a `:fail`, and so is a `dequeue` or `pop` that found nothing:
that is what Knossos takes for granted. Events of the nemesis are kept for Jepsen; notes of the harness are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from harness.errors import BadInput
from harness.formats import edn
from harness.formats.jepsen import ASKING
from harness.formats.table import write_rows
from harness.history import HARNESS, NEMESIS, Event
from node.registry import unknown

_REFUSALS = {"cas": False, "acquire": False, "release": False, "dequeue": None, "pop": None}


def write_history(events: Iterable[Event], path: Path, format: str) -> None:
    """Write the events, which are as `harness.history` describes them; a file that is there is written over.

    Raises `BadInput` if the format is unknown or can't hold one of the events; then no file is left.
    """
    write = _WRITERS.get(format)
    if write is None:
        raise BadInput(str(unknown("format", format, _WRITERS)))
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            write(events, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Processes:
    """Processes as a format can say them; one that it can't say gets a number. Who did what with whom stays as it was."""

    def __init__(self, sayable: Callable[[int | str], bool]) -> None:
        self._sayable = sayable
        self._kept: set[int | str] = set()
        self._number_of: dict[int | str, int] = {}
        self._given: set[int | str] = set()
        self._numbers = count()

    def say(self, event: Event) -> str:
        process = event["process"]
        if self._sayable(process):
            if process in self._given:
                raise BadInput(
                    f"event {event.get('index')} is of process {process}, but that number went to one whose name the format "
                    "can't say: give all of them numbers, or all of them names without blanks"
                )
            self._kept.add(process)
            return str(process)
        if process not in self._number_of:
            number = next(number for number in self._numbers if number not in self._kept)
            self._number_of[process] = number
            self._given.add(number)
        return str(self._number_of[process])


def _is_number(process: int | str) -> bool:
    return isinstance(process, int) and process >= 0


def _is_in_logs(process: int | str) -> bool:
    if isinstance(process, str):
        return re.fullmatch(r"[\w.][\w.-]*", process) is not None and not process.isdecimal()
    return process >= 0


def _keyword(event: Event) -> str:
    """The function, as EDN and Jepsen's log lines have it."""
    f = event["f"]
    if re.fullmatch(r"""[^\s,;:"()\[\]{}\\#^][^\s,;"()\[\]{}\\#^]*""", f) is None:
        raise BadInput(
            f"event {event.get('index')}: Jepsen's formats can't say the function {f!r}, which is no keyword"
        )
    return f":{f}"


def _completion(event: Event) -> tuple[str, Any]:
    """Type and value of an event in Jepsen's manner."""
    kind, f, value = event["type"], event["f"], event.get("value")
    if kind != "ok" or event["process"] == NEMESIS:
        return "info" if event["process"] == NEMESIS else kind, value
    result = event.get("result")
    if f in _REFUSALS and result is _REFUSALS[f]:
        return "fail", value
    if f in ASKING or (f != "cas" and result is not None):
        return "ok", result
    return "ok", value


def _clients(events: Iterable[Event]) -> Iterable[Event]:
    return (event for event in events if event["process"] not in (NEMESIS, HARNESS))


def _write_jsonl(events: Iterable[Event], file: TextIO) -> None:
    file.writelines(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n" for event in events)


def _write_edn(events: Iterable[Event], file: TextIO) -> None:
    for event in events:
        if event["process"] == HARNESS:
            continue
        kind, value = _completion(event)
        nemesis = event["process"] == NEMESIS
        parts = [
            f":process {':nemesis' if nemesis else edn.dumps(event['process'])}",
            f":type :{kind}",
            f":f {_keyword(event)}",
            f":value {edn.dumps(value)}",
        ]
        parts += [f":{name} {edn.dumps(event[name])}" for name in ("key", "time", "index", "error") if name in event]
        file.write(f"{{{', '.join(parts)}}}\n")


def _write_log(events: Iterable[Event], file: TextIO) -> None:
    processes = _Processes(_is_in_logs)
    for event in events:
        process = event["process"]
        if process == HARNESS:
            continue
        if event.get("key"):
            raise BadInput(
                f"Jepsen's log lines have no keys, but event {event.get('index')} has the key {event['key']!r}"
            )
        kind, value = _completion(event)
        columns = [
            f":{NEMESIS}" if process == NEMESIS else processes.say(event),
            f":{kind}",
            _keyword(event),
            edn.dumps(value),
        ]
        if event["type"] == "fail":
            columns.append(edn.dumps(event.get("error", "failed")))
        line = "\t".join(columns)
        file.write(f"INFO  jepsen.util - {line}\n")


def _write_porcupine(events: Iterable[Event], file: TextIO) -> None:
    processes = _Processes(_is_number)
    for event in _clients(events):
        kind, f, value, result = event["type"], event["f"], event.get("value"), event.get("result")
        where = f"event {event.get('index')} can't be written to a key-value log of Porcupine: it knows"
        if f not in ("get", "put", "append"):
            raise BadInput(f"{where} get, put and append, not {f!r}")
        if kind not in ("invoke", "ok"):
            raise BadInput(f"{where} no operation that fails or whose outcome is unknown")
        shown = ("" if result is None else result) if f == "get" and kind == "ok" else value
        if not isinstance(shown, str) and not (f == "get" and kind == "invoke"):
            raise BadInput(f"{where} strings only, not {shown!r}")
        key, text = edn.dumps(str(event.get("key", ""))), edn.dumps(shown)
        file.write(f"{{:process {processes.say(event)}, :type :{kind}, :f :{f}, :key {key}, :value {text}}}\n")


_WRITERS: dict[str, Callable[[Iterable[Event], TextIO], None]] = {
    "jsonl": _write_jsonl,
    "edn": _write_edn,
    "jepsen-log": _write_log,
    "porcupine": _write_porcupine,
    "csv": write_rows,
}
