"""What happened in a small simulated run, step by step in words.

    1.931  n2 -> n1 n3: prepare ballot 2.2
    1.932  n3 writes down: promise ballot 2.2
    3.600  n3 stands still

What is said again and again (heartbeats, repetitions of a message) is left out or counted, until something else happens. A
protocol says itself what its messages are in words, and which of them tell nothing new (`node.protocol.Protocol.phrases` and
`background`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.checkers.injections import injections
from harness.history import Event
from harness.models.values import show
from harness.simulation.trace import Step
from node.protocol import Protocol
from node.words import operation_words

MOST_LINES = 80
"""Of a longer story the beginning is left out."""
_CLIENT = "client"
_TURNS = ("request", "reply", "start", "broken")
"""Steps after which what was told before is told again, beside those of a replica's life."""
_WRITES = " writes down: "
_LIVES = {
    "kill": "{} is killed; what it had not on its disk is gone",
    "die": "{} dies: {why}",
    "pause": "{} stands still",
    "resume": "{} goes on",
    "wipe": "{} loses its disk",
}


class Line(NamedTuple):
    time_ns: int
    """On the clock of the history: below 0 before the clients begin."""
    text: str
    turn: bool = False
    """Whether something happens here: what is repeated after it is told anew."""

    def __str__(self) -> str:
        return f"{self.time_ns / 1e9:8.3f}  {self.text}"


@dataclass
class _Sent:
    """The same words to several peers at the same time."""

    source: str
    words: str
    peers: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """To whom it was lost."""
    mishaps: list[str] = field(default_factory=list)

    def text(self) -> str:
        told = f"{self.source} -> {' '.join(self.peers)}: {self.words}"
        lost = [f"lost on the way to {' and '.join(self.lost)}"] if self.lost else []
        return "; ".join([told, *lost, *self.mishaps])


def story(
    trace: Iterable[Step], events: Sequence[Event], protocol: type[Protocol], until_ns: int | None = None
) -> list[Line]:
    """The lines of a run's story, in order; up to `until_ns`, if given."""
    lines = sorted([*_of_steps(list(trace), protocol), *_of_faults(events)], key=lambda line: line.time_ns)
    told = _without_repetitions(_together(line for line in lines if until_ns is None or line.time_ns <= until_ns))
    if len(told) <= MOST_LINES:
        return told
    left_out = len(told) - MOST_LINES
    return [Line(told[left_out].time_ns, f"({left_out} earlier lines are left out)"), *told[left_out:]]


def _of_faults(events: Sequence[Event]) -> Iterator[Line]:
    """Those that the replicas' own steps don't show: what happens to links, disks and clocks."""
    for one in injections(events):
        if one.fault in ("kill", "pause", "wipe") or one.applied_at is None:
            continue
        yield Line(one.applied_at, f"{one.fault} begins: {one.description}", turn=True)
        if one.healed_at is not None:
            yield Line(one.healed_at, f"{one.fault} is over ({one.description})", turn=True)


def _of_steps(steps: Sequence[Step], protocol: type[Protocol]) -> Iterator[Line]:
    lost = {(step["key"], step["time"]): step.get("why", "") for step in steps if step["what"] == "lost"}
    gathered: dict[tuple[int, str, str], _Sent] = {}
    asked: dict[tuple[str, str, int], str] = {}
    open_time: int | None = None
    for step in steps:
        if step["time"] != open_time:
            yield from _let_go(gathered, open_time)
            open_time = step["time"]
        if step["what"] == "send" and step["replica"] != _CLIENT and step["peer"] != _CLIENT:
            _gather(gathered, step, lost, protocol)
            continue
        text = _told(step, protocol, asked)
        if text is not None:
            yield from _let_go(gathered, open_time)
            yield Line(step["time"], text, turn=step["what"] in (*_TURNS, *_LIVES))
    yield from _let_go(gathered, open_time)


def _let_go(gathered: dict[tuple[int, str, str], _Sent], time_ns: int | None) -> Iterator[Line]:
    for sent in gathered.values():
        assert time_ns is not None
        yield Line(time_ns, sent.text())
    gathered.clear()


def _gather(
    gathered: dict[tuple[int, str, str], _Sent],
    step: Step,
    lost: Mapping[tuple[str, int], str],
    protocol: type[Protocol],
) -> None:
    message = step["message"]
    if message.get("type") in protocol.background:
        return
    words = protocol.words(message)
    sent = gathered.setdefault((step["time"], step["replica"], words), _Sent(step["replica"], words))
    sent.peers.append(step["peer"])
    fate = step.get("fate", "on time")
    if fate == "lost" or (step["key"], step["time"]) in lost:
        sent.lost.append(step["peer"])
    elif fate == "late":
        sent.mishaps.append(f"{_milliseconds(step)} late at {step['peer']}")
    elif fate == "duplicated":
        sent.mishaps.append(f"again at {step['peer']} {_milliseconds(step)} later")


def _milliseconds(step: Step) -> str:
    return f"{step.get('late_ns', 0) / 1e6:.3g} ms"


def _told(step: Step, protocol: type[Protocol], asked: dict[tuple[str, str, int], str]) -> str | None:
    """What happened, in words, if it is worth telling. Remembers in `asked` what clients asked for."""
    what, replica = step["what"], step["replica"]
    if what in _LIVES:
        return _LIVES[what].format(replica, why=step.get("why", ""))
    if what == "start":
        return f"{replica} starts again, with what is on its disk" if step["incarnation"] > 1 else None
    if what == "append":
        return f"{replica}{_WRITES}{protocol.words(step['record'])}"
    if what == "log":
        return None if step["text"].startswith("starts") else f"{replica}: {step['text']}"
    if what == "request":
        words = operation_words(step["operation"])
        asked[replica, step["client"], step["sequence"]] = words
        return f"{step['client']} asks {replica}: {words}"
    if what == "reply":
        words = asked.pop((replica, step["client"], step["sequence"]), "")
        if not words:  # nobody waits for another answer
            return None
        return f"{replica} answers {step['client']}'s {words}: {_outcome_words(step['outcome'], words)}"
    if what == "broken":
        return f"A LAW IS BROKEN: {step['law']}. {step['text']}"
    return None


def _outcome_words(outcome: Mapping[str, Any], asked: str) -> str:
    if outcome["type"] != "ok":
        return f"{outcome['type']}, {outcome.get('error')}"
    result = outcome.get("result")
    return "ok" if result is None and not asked.startswith("read") else f"ok, {show(result)}"


def _together(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, in which replicas that write the same down one after the other do so in one line."""
    writers: list[str] = []
    first = Line(0, "")
    for line in lines:
        writer, writes, what = line.text.partition(_WRITES)
        if writers and writes and first.text.endswith(_WRITES + what):
            writers.append(writer)
            continue
        yield from _written(first, writers)
        first, writers = line, [writer] if writes else []
        if not writes:
            yield line
    yield from _written(first, writers)


def _written(first: Line, writers: Sequence[str]) -> Iterator[Line]:
    if len(writers) > 1:
        what = first.text.partition(_WRITES)[2]
        yield first._replace(text=f"{' '.join(dict.fromkeys(writers))} write down: {what}")
    elif writers:
        yield first


def _without_repetitions(lines: Iterable[Line]) -> list[Line]:
    """The lines, each text once until something happens; how often it was said stands behind it."""
    told: list[Line] = []
    places: dict[str, int] = {}
    counts: Counter[int] = Counter()
    for line in lines:
        if line.turn:
            places.clear()
        place = len(told) if line.turn else places.setdefault(line.text, len(told))
        counts[place] += 1
        if place == len(told):
            told.append(line)
    return [
        line if counts[place] == 1 else line._replace(text=f"{line.text} [{counts[place]} times]")
        for place, line in enumerate(told)
    ]
