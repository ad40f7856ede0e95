"""The message diagram of a simulated run: who said what to whom, around the first finding.

A lane for each replica and one for all clients, time from top to bottom. Every step has a row of its own, so that nothing
hides anything; where long nothing happened, a gap says how long. What befalls links, disks and clocks is a line across all
lanes. Messages that tell nothing new (heartbeats) are left out.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.report.episodes import Episode
from harness.report.text import plain_text
from node.protocol import Protocol, replica_number
from node.protocols import PROTOCOLS
from node.registry import UnknownName
from node.words import message_words, operation_words

MOST_ARROWS = 70
"""The last ones before the finding are shown."""
_MOST_STEPS = 6_000
_CLIENTS = "client"
_TOP, _ROW, _GAP = 44, 17, 22
_FIRST_LANE, _LAST_LANE = 150, 160
_WIDTH, _NARROWEST, _WIDEST = 1120, 210, 330
"""Of all, if the lanes aren't closer than the second figure then, or further apart than the third."""
_LONG_NS = 100_000_000
_CHARACTER = 7.1
"""The width of one, as labels are written."""
_ON_LANES = ("kill", "pause", "wipe")
"""Faults that are seen on the lane of the replica that they hit."""
_MARKS = {
    "kill": "killed",
    "die": "died",
    "start": "starts",
    "pause": "stands still",
    "resume": "goes on",
    "wipe": "lost its disk",
}

Step = dict[str, Any]


@dataclass
class Arrow:
    """A message; where it was lost it ends half way."""

    x1: float
    y1: float
    x2: float
    y2: float
    fate: str
    label: str
    title: str


@dataclass
class Mark:
    """Something that happened to a replica; a fault's begin or end stands left of all lanes."""

    x: float
    y: float
    kind: str
    text: str


@dataclass
class Line:
    """A part of a lane: `up`, `paused` or `down`."""

    x: float
    y1: float
    y2: float
    state: str


@dataclass
class Diagram:
    """All that is drawn; sizes in pixels."""

    width: int
    height: int
    lanes: list[tuple[float, str]]
    lines: list[Line] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    times: list[tuple[float, str]] = field(default_factory=list)
    gaps: list[tuple[float, str]] = field(default_factory=list)
    left_out: int = 0
    """Messages before those shown."""
    up_to: str = "first"
    """Which finding it goes up to: the first or the last."""


def read_diagram(
    folder: Path, protocol: str, replicas: Sequence[str], until_ns: int | None, faults: Iterable[Episode] = ()
) -> Diagram | None:
    """The diagram of the run in the folder, up to the time given; None if it left no trace that can be drawn."""
    try:
        with (folder / "trace.jsonl").open(encoding="utf-8") as file:
            steps = deque(_until(file, until_ns), _MOST_STEPS)
    except OSError:
        return None
    lanes = sorted(replicas, key=replica_number)
    beginnings = [step for step in _of_faults(faults) if until_ns is None or step["time"] <= until_ns]
    both = sorted([*steps, *beginnings], key=lambda step: int(step["time"]))
    drawer = _Drawer(both, _protocol(protocol), lanes)
    return drawer.draw() if lanes and drawer.chosen else None


def _until(lines: Iterable[str], until_ns: int | None) -> Iterable[Step]:
    for line in lines:
        try:
            step = json.loads(line)
        except ValueError:
            return
        if until_ns is not None and step["time"] > until_ns:
            return
        yield step


def _of_faults(faults: Iterable[Episode]) -> Iterator[Step]:
    """Beginning and end of each, as steps."""
    for one in faults:
        if one.fault in _ON_LANES:
            continue
        for time_ns, what in ((one.began, "begins"), (one.ended, "is over")):
            if time_ns is not None:
                yield {"time": time_ns, "what": "fault", "text": f"{one.fault} {what}: {one.description}"}


def _protocol(name: str) -> type[Protocol] | None:
    try:
        protocol: type[Protocol] = PROTOCOLS[name]
    except UnknownName:
        return None
    return protocol


class _Drawer:
    def __init__(self, steps: list[Step], protocol: type[Protocol] | None, replicas: list[str]) -> None:
        self.protocol = protocol
        self.apart = min(_WIDEST, max(_NARROWEST, (_WIDTH - _FIRST_LANE - _LAST_LANE) // max(1, len(replicas))))
        self.lane = {name: _FIRST_LANE + self.apart * place for place, name in enumerate([_CLIENTS, *replicas])}
        relevant = [step for step in steps if self._is_relevant(step)]
        sent = [place for place, step in enumerate(relevant) if step["what"] == "send"]
        first = sent[-MOST_ARROWS] if len(sent) > MOST_ARROWS else 0
        self.left_out = max(0, len(sent) - MOST_ARROWS)
        self.chosen = relevant[first:]
        self.before = relevant[:first]

    def _is_relevant(self, step: Step) -> bool:
        what = step["what"]
        if what in ("send", "deliver"):
            background = self.protocol.background if self.protocol else frozenset({"heartbeat"})
            known = step["replica"] in self.lane and step["peer"] in self.lane
            return known and step["message"].get("type") not in background
        if what == "start" and step.get("incarnation") == 1:
            return False
        return what in ("lost", "broken", "fault") or (what in _MARKS and step["replica"] in self.lane)

    def draw(self) -> Diagram:
        lanes = [(float(x), "clients" if name == _CLIENTS else name) for name, x in self.lane.items()]
        width = _FIRST_LANE + self.apart * (len(lanes) - 1) + _LAST_LANE
        self.diagram = Diagram(width, 0, lanes, left_out=self.left_out)
        self.y = float(_TOP)
        self.sent: dict[str, tuple[float, Step]] = {}
        self.lines = {name: Line(x, _TOP - 14, 0, "up") for name, x in self.lane.items()}
        for step in self.before:
            self._change(step, _TOP - 14)
        last: int | None = None
        for step in self.chosen:
            if step["what"] == "lost" and step.get("key") not in self.sent:
                continue
            self._down(step["time"], last)
            last = step["time"]
            self._place(step)
        self.y += _ROW
        for name, (y, step) in sorted(self.sent.items(), key=lambda entry: entry[1][0]):
            self._arrow(name, y, step, "under way", None)
        for line in self.lines.values():
            self._end(line, self.y)
        self.diagram.height = int(self.y + 12)
        return self.diagram

    def _down(self, time_ns: int, last: int | None) -> None:
        """To the next row, with the time if it has gone on."""
        if last is not None and time_ns - last > _LONG_NS:
            self.diagram.gaps.append((self.y + _GAP * 0.8, f"{(time_ns - last) / 1e9:.2f} s later"))
            self.y += _GAP
        self.y += _ROW
        if last is None or time_ns - last >= 1_000_000:
            self.diagram.times.append((self.y, f"{time_ns / 1e9:.3f} s"))

    def _place(self, step: Step) -> None:
        what = step["what"]
        if what == "send":
            self.sent[step["key"]] = (self.y, step)
        elif what == "lost":
            y, sent = self.sent.pop(step["key"])
            self._arrow(step["key"], y, sent, "lost", None)
        elif what == "deliver":
            found = self.sent.get(step["key"])
            if found is not None:
                late = found[1].get("fate", "on time")
                self._arrow(step["key"], found[0], found[1], late, self.y)
                if late != "duplicated":
                    del self.sent[step["key"]]
        elif what == "fault":
            self.diagram.marks.append(Mark(_FIRST_LANE, self.y, "fault", plain_text(step["text"], 120)))
        elif what == "broken":
            replica = step["replica"] if step["replica"] in self.lane else _CLIENTS
            text = plain_text(f"{step.get('law', '')}: {step.get('text', '')}", 400)
            self.diagram.marks.append(Mark(self.lane[replica], self.y, "broken", text))
        else:
            self.diagram.marks.append(Mark(self.lane[step["replica"]], self.y, what, _MARKS[what]))
            self._change(step, self.y)

    def _change(self, step: Step, y: float) -> None:
        """A replica goes, stops or comes back."""
        states = {"kill": "down", "die": "down", "start": "up", "pause": "paused", "resume": "up"}
        state = states.get(step["what"])
        if state is None or step["replica"] not in self.lines:
            return
        line = self.lines[step["replica"]]
        self._end(line, y)
        self.lines[step["replica"]] = Line(line.x, y, 0, state)

    def _end(self, line: Line, y: float) -> None:
        line.y2 = y
        if line.y2 > line.y1:
            self.diagram.lines.append(line)

    def _arrow(self, key: str, y1: float, step: Step, fate: str, y2: float | None) -> None:
        x1, x2 = float(self.lane[step["replica"]]), float(self.lane[step["peer"]])
        words, longest = self._words(step), int(abs(x2 - x1) / _CHARACTER) - 1
        if y2 is None:
            x2, y2 = x1 + (x2 - x1) * 0.45, y1 + 8
        label = words if len(words) <= longest else words[: longest - 1] + "…"
        who = f"{step['replica']} to {step['peer']}"
        title = plain_text(f"{who}, sent at {step['time'] / 1e9:.6f} s, {fate}: {words}", 600)
        self.diagram.arrows.append(Arrow(x1, y1, x2, y2, fate.replace(" ", "-"), plain_text(label, 200), title))

    def _words(self, step: Step) -> str:
        message = step["message"]
        if "f" in message:
            return operation_words(message)
        if step["peer"] == _CLIENTS:
            told = message.get("result", message.get("error"))
            return f"{message.get('type')}" + ("" if told is None else f" {json.dumps(told, ensure_ascii=False)}")
        try:
            return self.protocol.words(message) if self.protocol else message_words(message)
        except (KeyError, TypeError, ValueError):  # a trace of another version of the protocol
            return message_words(message)
