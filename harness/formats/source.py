"""A history in a file, whatever its format: read as it is needed, line by line, and never held as a whole."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from harness.checkers.linearizable.budget import collector_paused
from harness.checkers.operations import Operation, Record, from_intervals, operations
from harness.errors import BadInput
from harness.formats.jepsen import (
    LOG_LINE,
    PORCUPINE_LINE,
    has_keys,
    read_edn,
    read_keyed_edn,
    read_log,
    read_porcupine,
)
from harness.formats.jsonl import read_jsonl
from harness.formats.lines import LATEST_NS, BadLine, in_seconds, open_text
from harness.formats.spooling import is_stream, spooled
from harness.formats.table import read_csv
from harness.history import BadHistory, Event
from harness.models.values import show
from node.registry import unknown

_Reader = Callable[[Path], Iterator[tuple[int, Any]]]

_READERS: dict[str, _Reader] = {
    "jsonl": read_jsonl,
    "edn": read_edn,
    "edn-keyed": read_keyed_edn,
    "jepsen-log": read_log,
    "porcupine": read_porcupine,
    "csv": read_csv,
}
FORMATS = tuple(_READERS)
_OWN_TIMES = ("jsonl", "csv")
"""Formats whose times follow the order of their events. Jepsen takes the time before it writes the event down, so that
the lines of two processes may be the other way round: there the order of the lines counts."""
_SUFFIXES = {".jsonl": "jsonl", ".edn": "edn", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_HEAD = 65536
_ITEMS_PER_LOOK = 4096
_SECOND = 1_000_000_000
_NO_TIME = object()
_TAGGED = re.compile(r"\s*#(?:_|\{|[A-Za-z:][\w.:/-]*\s*[\[({])")
"""How EDN may begin with a `#`; titles and comments of other texts do so too."""


def _ignore(number: int) -> None:
    """Nobody wants to know how much was read."""


class Source:
    """One file and its format."""

    def __init__(self, path: Path, format: str, kept: IO[bytes] | None = None) -> None:
        """`kept`: a file of what came through the pipe that `path` is."""
        self.path = path
        self.format = format
        self._kept = kept
        self._file = path if kept is None else Path(kept.name)
        self.line = 0
        """The line (from 1) in which what was read last ends."""
        self._clock = Clock(strict=format in _OWN_TIMES)
        self._look: Callable[[int], None] = _ignore

    @property
    def initial(self) -> Any:
        """What a key or a register of this format holds before anything is written."""
        return "" if self.format == "porcupine" else None

    def record(self, look: Callable[[int], None] = _ignore) -> Record:
        """The operations of the file. Raises `BadInput`, with file and line, if it is no history that can be judged.

        `look` is called now and then with the number of events, or of rows, that were read so far.
        """
        self._look = look
        with self._told(), collector_paused():
            items = self._items()
            first = next(items, None)
            if isinstance(first, Operation):
                return record_of([first, *items], self._at_number)
            return operations(self._stamped(first, items))

    def events(self) -> Iterator[Event]:
        """The events of the file, those of the nemesis included, as `harness.history` describes them.

        Of a table of operations they are made up: see `events_of`. Raises `BadInput` as `record` does.
        """
        with self._told():
            items = self._items()
            first = next(items, None)
            if isinstance(first, Operation):
                yield from events_of(record_of([first, *items], self._at_number))
            else:
                yield from self._stamped(first, items)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence, with file and line, what is wrong with what is being read."""
        try:
            yield
        except BadLine as problem:
            raise BadInput(f"{self.path}:{problem.line}: {problem}") from problem
        except BadHistory as problem:
            raise BadInput(f"{self.path}:{self.line}: not a history that can be judged: {problem}") from problem
        except OSError as error:
            raise BadInput(f"{self.path}: can't be read ({error.strerror})") from error

    def place(self, operation: Operation) -> str:
        """`file:line` of an operation of the record: reads the file again up to there."""
        for number, (line, item) in enumerate(_READERS[self.format](self._file)):
            if isinstance(item, Operation):
                same = (item.process, item.f, item.call_ns) == (operation.process, operation.f, operation.call_ns)
            else:
                same = number == operation.index
            if same:
                return f"{self.path}:{line}"
        return str(self.path)

    def _items(self) -> Iterator[Any]:
        for number, (line, item) in enumerate(_READERS[self.format](self._file)):
            self.line = line
            yield item
            if number % _ITEMS_PER_LOOK == 0:
                self._look(number)

    def _stamped(self, first: Event | None, rest: Iterator[Event]) -> Iterator[Event]:
        if first is None:
            return
        yield self._clock.stamp(first, 0)
        for position, event in enumerate(rest, 1):
            yield self._clock.stamp(event, position)

    def _at_number(self, number: int) -> int:
        """The line of the operation of that number (from 0), in a table of operations."""
        lines = (line for line, _ in _READERS[self.format](self._file))
        return next(islice(lines, number, None))


class Clock:
    """Sees to it that events are numbered and have times that don't run back."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._timed = False
        self._now = 0

    def stamp(self, event: Event, position: int) -> Event:
        """Where a history has no times, every event takes a second."""
        process = event.get("process")
        if type(process) is not int and type(process) is not str:
            raise BadHistory(f"process {show(process)} is neither a number nor a name")
        event["index"] = position
        time = event.get("time", _NO_TIME)
        if position == 0:
            self._timed = time is not _NO_TIME
        if self._timed is (time is _NO_TIME):
            raise BadHistory(f"event {position} has {'no' if self._timed else 'a'} time, unlike those before it")
        if time is _NO_TIME:
            event["time"] = position * _SECOND
        elif type(time) is not int or time < 0:
            raise BadHistory(f"event {position}: time {show(time)} is not a whole number of nanoseconds, 0 or more")
        elif time > LATEST_NS:
            raise BadHistory(f"event {position}: the time {in_seconds(time)} is too late to be one")
        elif not self._strict:
            event["time"] = self._now = max(self._now, time)
        # A million events, but few different functions and keys.
        f, key = event.get("f"), event.get("key")
        if type(f) is str:
            event["f"] = sys.intern(f)
        if type(key) is str:
            event["key"] = sys.intern(key)
        return event


def record_of(given: list[Operation], line_of: Callable[[int], int]) -> Record:
    """The record of operations that are known by their times; raises `BadLine` if two of one process overlap."""
    last: dict[int | str, Operation] = {}
    numbers = {id(operation): number for number, operation in enumerate(given)}
    ordered = sorted(given, key=lambda operation: operation.call_ns)
    for operation in ordered:
        before = last.get(operation.process)
        if before is not None and before.return_ns is not None and before.return_ns > operation.call_ns:
            raise BadLine(
                line_of(numbers[id(operation)]),
                f"process {operation.process} calls {operation.f} at {in_seconds(operation.call_ns)}, while its {before.f} was "
                f"open (from {in_seconds(before.call_ns)} to {in_seconds(before.return_ns)}): a process has one operation open "
                "at a time",
            )
        last[operation.process] = operation
    ordered = from_intervals(ordered)
    return Record(
        [operation for operation in ordered if operation.type != "fail"],
        [operation for operation in ordered if operation.type == "fail"],
    )


def events_of(record: Record) -> list[Event]:
    """The events of a record, in order; what never completed ends as `info` before the next operation of its process."""
    everything = sorted([*record.operations, *record.failed], key=lambda operation: operation.began)
    end = max((operation.return_ns or operation.call_ns for operation in everything), default=0)
    following: dict[int | str, tuple[float, int]] = {}
    moments: list[tuple[float, int, Event]] = []
    for operation in reversed(everything):
        event: Event = {"process": operation.process, "f": operation.f, "value": operation.value}
        event |= {"key": operation.key} if operation.key else {}
        event |= {"replica": operation.replica} if operation.replica else {}
        completion = {"type": operation.type, **event}
        if operation.type == "ok" and operation.result is not None:
            completion["result"] = operation.result
        if operation.ended is None or operation.return_ns is None:
            ended, time = following.get(operation.process, (math.inf, end))
            ended -= 0.5  # positions are whole numbers
        else:
            ended, time = operation.ended, operation.return_ns
        moments.append((ended, time, completion))
        moments.append((operation.began, operation.call_ns, {"type": "invoke", **event}))
        following[operation.process] = operation.began, operation.call_ns
    moments.sort(key=lambda moment: moment[0])
    return [{"index": index, "time": time, **event} for index, (_, time, event) in enumerate(moments)]


def open_history(path: Path, format: str = "auto", look: Callable[[int], None] = _ignore) -> Source:
    """A file, or what comes through a pipe, and the format that is named or that it looks like.

    `look` is called now and then while a pipe is read. Raises `BadInput` if there is no such file, format, or nothing that
    it looks like.
    """
    if format != "auto" and format not in _READERS:
        raise BadInput(str(unknown("format", format, [*FORMATS, "auto"])))
    try:
        kept = spooled(path, look) if is_stream(path) else None
        if format != "auto":
            return Source(path, format, kept)
        file_path = path if kept is None else Path(kept.name)
        with file_path.open("rb") as file:
            binary = b"\0" in file.read(_HEAD)
        with open_text(file_path) as text:
            head = text.read(_HEAD)
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror})") from error
    found = None if binary else _SUFFIXES.get(path.suffix.lower()) or _looks_like(head)
    if found is None:
        first = next((line for line in head.splitlines() if line.strip()), "")
        raise BadInput(
            f"{path}: not a history in any known format (it begins with {first[:40]!r}): the formats are "
            f"{', '.join(FORMATS)}; name one with --format if this is one"
        )
    return Source(path, "edn-keyed" if found == "edn" and has_keys(head) else found, kept)


def _looks_like(head: str) -> str | None:
    """The format of a text that begins so."""
    lines = [line for line in head.splitlines() if line.strip() and not line.lstrip().startswith(";")]
    if not lines:
        return "jsonl"
    first = lines[0].lstrip()
    if PORCUPINE_LINE.fullmatch(first):
        return "porcupine"
    if re.match(r"""[\[({\s,]*(?:#[\w.:]+\s*)?\{\s*:|[\[(]\s*(?:[\])]|$)""", first) or _TAGGED.match("\n".join(lines)):
        return "edn"
    if first.startswith("{"):
        return "jsonl"
    if any(LOG_LINE.match(line) for line in lines):
        return "jepsen-log"
    names = {re.sub(r"_.*", "", name.strip(' "').lower()) for name in re.split(r"[,;\t]", first)}
    if "f" in names and names & {"process", "call"}:
        return "csv"
    return None
