"""Our own format: `history.jsonl`, described in `harness.history`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.formats.lines import BadLine, numbered_lines, parse_json
from harness.history import HARNESS, NEMESIS, Event
from harness.models.values import canonical, show


def read_jsonl(path: Path) -> Iterator[tuple[int, Event]]:
    """The events of a file. A torn last line behind others (its writer was killed) is left out."""
    asked: dict[Any, Any] = {}
    place = 0
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            event = parse_json(line)
        except ValueError as error:
            if place and not line.endswith("\n"):
                return
            raise BadLine(number, f"not JSON ({error}): mend or remove the line") from error
        if not isinstance(event, dict):
            raise BadLine(number, "not a JSON object: every line is one event")
        if event.get("index", place) != place:
            raise BadLine(
                number,
                f"event {show(event['index'])} is number {place} in the file: events are missing or out of order",
            )
        _same_value(number, event, asked)
        yield number, event
        place += 1


def _same_value(number: int, event: Event, asked: dict[Any, Any]) -> None:
    """Other tools put what came back into `value`; taken as ours, such a history would be misread."""
    process = event.get("process")
    if process in (NEMESIS, HARNESS) or not isinstance(process, int | str):
        return
    if event.get("type") == "invoke":
        asked[process] = event.get("value")
    elif process in asked:
        value = asked.pop(process)
        if "value" in event and canonical(event["value"]) != canonical(value):
            raise BadLine(
                number,
                f"an operation with the value {show(value)} completes with the value {show(event['value'])}: what came "
                "back belongs into `result`",
            )
