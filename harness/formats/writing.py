"""Writing a history for another tool.

What a format can't say is left out or refused, never changed. In Jepsen's formats a refused `cas`, `acquire` or `release`
is a `:fail`, and so is a `dequeue` or `pop` that found nothing: that is what Knossos takes for granted. Events of the
nemesis are kept for Jepsen; notes of the harness are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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
            f":f :{event['f']}",
            f":value {edn.dumps(value)}",
        ]
        parts += [f":{name} {edn.dumps(event[name])}" for name in ("key", "time", "index", "error") if name in event]
        file.write(f"{{{', '.join(parts)}}}\n")


def _write_log(events: Iterable[Event], file: TextIO) -> None:
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
            f":{NEMESIS}" if process == NEMESIS else str(process),
            f":{kind}",
            f":{event['f']}",
            edn.dumps(value),
        ]
        if event["type"] == "fail":
            columns.append(edn.dumps(event.get("error", "failed")))
        line = "\t".join(columns)
        file.write(f"INFO  jepsen.util - {line}\n")


def _write_porcupine(events: Iterable[Event], file: TextIO) -> None:
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
        file.write(f"{{:process {event['process']}, :type :{kind}, :f :{f}, :key {key}, :value {text}}}\n")


_WRITERS: dict[str, Callable[[Iterable[Event], TextIO], None]] = {
    "jsonl": _write_jsonl,
    "edn": _write_edn,
    "jepsen-log": _write_log,
    "porcupine": _write_porcupine,
    "csv": write_rows,
}
