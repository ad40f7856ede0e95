"""Findings as a report shows them: a sentence, a table, and a small picture of the operations that prove it.

The picture is plain HTML: lanes of bars whose places are percentages of the time shown, so that it needs no script, can be
selected and printed, and follows the width and the colours of the page.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.report.episodes import Episode, by_number
from harness.report.operations import Operation, from_finding
from harness.report.summary import dictionaries
from harness.report.text import moment, plain_text, took, whole

_MOST_AROUND = 80
_MOST_OTHER_LANES = 4
_MOST_FAULTS = 8
_NARROWEST_TRACK = 620
"""The page keeps a picture at least this wide (pixels), so labels that don't touch there never do."""

_FAULT_LETTERS = 46
_BREAK_FACTOR = 5
_BREAK_WIDTH = 7.0
_LEAST_SHARE = 0.12
_LEAST_TICK = 9.0

_LETTER = 7.4
"""The width of a letter of a label in pixels, and a little more."""


@dataclass(frozen=True)
class Bar:
    """One operation in the picture; left and width in percent of the time shown."""

    left: float
    width: float
    outcome: str
    open: bool
    """Nobody knows when it ends, if ever."""
    title: str
    label: str = ""
    label_from_right: bool = False


@dataclass(frozen=True)
class Lane:
    """The operations of one process, or the faults, in rows so that no two labels touch."""

    label: str
    kind: str
    """`faults`, `proof` (a process with operations of the finding) or `other` (one with others of the same key)."""
    rows: list[list[Bar]]


@dataclass(frozen=True)
class Band:
    """A fault behind the picture; left and width in percent of the time shown."""

    left: float
    width: float
    title: str


@dataclass(frozen=True)
class Gap:
    """A break of the time axis, and how long it is."""

    left: float
    width: float
    label: str


@dataclass(frozen=True)
class Picture:
    """The lanes of faults come first."""

    lanes: list[Lane]
    bands: list[Band]
    gaps: list[Gap]
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class FindingView:
    """One finding. Times are nanoseconds since the run began."""

    number: int
    checker: str
    anomaly: str
    sentence: str
    key: str | None
    operations: list[Operation]
    prefix_end: int | None
    began: int
    ended: int
    picture: Picture | None
    """None if the finding names no operations."""


def read_findings(
    results_checks: Sequence[dict[str, Any]], operations: Sequence[Operation], episodes: Sequence[Episode], end: int
) -> list[FindingView]:
    """The findings of all checkers, in their order; `operations` and `episodes` of the whole run stand behind."""
    found = [(check, finding) for check in results_checks for finding in dictionaries(check.get("findings"))]
    return [
        _view(number, plain_text(check.get("checker"), 60), finding, operations, episodes, end)
        for number, (check, finding) in enumerate(found)
    ]


def _view(
    number: int,
    checker: str,
    finding: dict[str, Any],
    operations: Sequence[Operation],
    episodes: Sequence[Episode],
    end: int,
) -> FindingView:
    proof = [from_finding(described) for described in dictionaries(finding.get("operations"))]
    prefix_end = whole(finding.get("prefix_end"))
    times = [operation.call for operation in proof]
    times += [operation.returned for operation in proof if operation.returned is not None]
    began = min(times, default=0 if prefix_end is None else prefix_end)
    ended = max(times, default=end if prefix_end is None else prefix_end)
    key = finding.get("key")
    key_text = None if key is None else plain_text(key, 200)
    around = [operation for operation in operations if operation.key == key_text]
    return FindingView(
        number=number,
        checker=checker,
        anomaly=plain_text(finding.get("anomaly") or "violation", 80),
        sentence=plain_text(finding.get("sentence") or "", 2000),
        key=key_text,
        operations=proof,
        prefix_end=prefix_end,
        began=began,
        ended=ended,
        picture=draw(proof, around, episodes) if proof else None,
    )


def draw(proof: Sequence[Operation], around: Sequence[Operation], episodes: Sequence[Episode]) -> Picture:
    """The picture of `proof`, with those of `around` that fall into the same time in grey."""
    scale = _Scale(proof)
    proving = {(operation.process, operation.call) for operation in proof}
    others = [
        operation
        for operation in around
        if (operation.process, operation.call) not in proving and scale.shows(operation.call, _end(operation))
    ][:_MOST_AROUND]
    # Also those that fall into a break: what happened there is often the cause.
    faults = [
        episode
        for episode in episodes
        if episode.began < scale.ended and (episode.ended is None or episode.ended > scale.began)
    ]
    bands = [
        Band(*scale.span(episode.began, episode.ended), _fault_label(episode)) for episode in faults[:_MOST_FAULTS]
    ]
    title = "faults" if len(bands) == len(faults) else f"{len(bands)} of {len(faults)} faults"
    lanes = [Lane(title, "faults", _rows(_fault_bar(band) for band in bands))] if bands else []
    processes = list(dict.fromkeys(operation.process for operation in proof))
    for process in processes:
        rows = _rows(_bar(scale, operation, operation.label) for operation in _of(process, proof))
        rows[0][:0] = [_bar(scale, operation) for operation in _of(process, others)]
        lanes.append(Lane(f"process {process}", "proof", rows))
    strangers = sorted({operation.process for operation in others} - set(processes), key=by_number)
    lanes += [
        Lane(f"process {process}", "other", [[_bar(scale, operation) for operation in _of(process, others)]])
        for process in strangers[:_MOST_OTHER_LANES]
    ]
    return Picture(lanes, bands, scale.gaps(), scale.ticks())


def _of(process: str, operations: Sequence[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.process == process]


def _end(operation: Operation) -> int | None:
    """When it was over for certain; None if never."""
    return None if operation.outcome == "info" else operation.returned


def _fault_label(episode: Episode) -> str:
    return f"#{episode.number} {episode.fault}" + (f": {episode.description}" if episode.description else "")


def _fault_bar(band: Band) -> Bar:
    label = band.title if len(band.title) <= _FAULT_LETTERS else f"{band.title[: _FAULT_LETTERS - 1]}…"
    return Bar(band.left, band.width, "fault", False, band.title, label, _from_right(band.left, label))


class _Scale:
    """From nanoseconds to percent of the width.

    Proof often needs operations that are milliseconds long and many seconds apart. Quiet stretches between them that would
    leave no room for anything else are drawn as narrow breaks; everywhere else time runs evenly.
    """

    def __init__(self, proof: Sequence[Operation]) -> None:
        busy = _merge([(operation.call, _end(operation) or operation.call) for operation in proof])
        groups = _merge(busy, _longest_even_gap(busy))
        even = sum(ended - began for began, ended in groups)
        margin = max(even * 0.08, 200_000)
        self.stretches = [(began - margin, ended + margin) for began, ended in groups]
        self.breaks = [(earlier[1], later[0]) for earlier, later in pairwise(self.stretches)]
        self.began, self.ended = self.stretches[0][0], self.stretches[-1][1]
        self._time, self._place = self._knots()

    def _knots(self) -> tuple[list[float], list[float]]:
        """Moments and their places; time runs evenly between two of them."""
        even = sum(ended - began for began, ended in self.stretches)
        # Every stretch gets its part of the width, but never so little that nothing can be seen in it.
        shares = [max((ended - began) / even, _LEAST_SHARE) for began, ended in self.stretches]
        unit = (100 - _BREAK_WIDTH * len(self.breaks)) / sum(shares)
        times: list[float] = []
        places: list[float] = []
        place = 0.0
        for (began, ended), share in zip(self.stretches, shares, strict=True):
            times += [began, ended]
            places += [place, place + share * unit]
            place += share * unit + _BREAK_WIDTH
        return times, places

    def percent(self, time: float) -> float:
        if time <= self.began or time >= self.ended:
            return 0.0 if time <= self.began else 100.0
        after = bisect_right(self._time, time)
        (t0, t1), (p0, p1) = self._time[after - 1 : after + 1], self._place[after - 1 : after + 1]
        return round(p0 + (time - t0) / (t1 - t0) * (p1 - p0), 3)

    def shows(self, began: int, ended: int | None) -> bool:
        """Whether any of it falls into what is drawn evenly."""
        return any(
            began <= stretch_end and (ended is None or ended >= stretch_began)
            for stretch_began, stretch_end in self.stretches
        )

    def span(self, began: int, ended: int | None) -> tuple[float, float]:
        left = self.percent(began)
        return left, round((100.0 if ended is None else self.percent(ended)) - left, 3)

    def gaps(self) -> list[Gap]:
        """The breaks, with how much time each of them leaves out."""
        return [
            Gap(
                self.percent(began),
                round(self.percent(ended) - self.percent(began), 3),
                f"{(ended - began) / 1e9:.3g} s",
            )
            for began, ended in self.breaks
        ]

    def ticks(self) -> list[tuple[float, str]]:
        """Some round moments with their names, not too close to one another."""
        step = _round_step(sum(ended - began for began, ended in self.stretches) / 6)
        decimals = next(places for places in range(10) if step * 10**places % 10**9 == 0)
        ticks: list[tuple[float, str]] = []
        for began, ended in self.stretches:
            times = range(max(0, -(-int(began) // step) * step), int(ended) + 1, step)
            for time in times or [int((began + ended) / 2)]:
                place = self.percent(time)
                if not ticks or place - ticks[-1][0] > _LEAST_TICK:
                    ticks.append((place, f"{time / 1e9:.{max(decimals, 0 if times else 3)}f} s"))
        return ticks


def _merge(spans: Sequence[tuple[float, float]], gap: float = 0) -> list[tuple[float, float]]:
    """The spans in order, run together where no more than `gap` lies between them."""
    merged: list[tuple[float, float]] = []
    for began, ended in sorted(spans):
        if merged and began - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged


def _longest_even_gap(busy: Sequence[tuple[float, float]]) -> float:
    """The longest gap between the spans that is no break: a few times as long as all that is drawn evenly without it."""
    even = sum(ended - began for began, ended in busy) + 200_000
    longest = 0.0
    for gap in sorted(later[0] - earlier[1] for earlier, later in pairwise(busy)):
        if gap > even * _BREAK_FACTOR:
            break
        even += gap
        longest = gap
    return longest


def _round_step(least: float) -> int:
    size = 1
    while True:
        for factor in (1, 2, 5):
            if size * factor >= least:
                return size * factor
        size *= 10


def _bar(scale: _Scale, operation: Operation, label: str = "") -> Bar:
    left, width = scale.span(operation.call, _end(operation))
    title = (
        f"process {operation.process}: {operation.label} on {operation.replica or '?'}, {operation.outcome}, "
        f"{moment(operation.call)} to {moment(operation.returned)} ({took(operation.call, operation.returned)})"
    )
    return Bar(left, width, operation.outcome, _end(operation) is None, title, label, _from_right(left, label))


def _room(label: str) -> float:
    """What a label takes of the width, in percent, where the picture is narrowest."""
    return len(label) * _LETTER / _NARROWEST_TRACK * 100


def _from_right(left: float, label: str) -> bool:
    """Whether a label that begins with its bar would run out of the picture, and so had better end with it."""
    return left + _room(label) > 100


def _rows(bars: Iterable[Bar]) -> list[list[Bar]]:
    """Each bar in the first row where its label has room."""
    rows: list[list[Bar]] = []
    taken: list[float] = []
    for bar in sorted(bars, key=lambda bar: bar.left):
        room, right = _room(bar.label), bar.left + bar.width
        first, last = (min(bar.left, right - room), right) if bar.label_from_right else (bar.left, bar.left + room)
        row = next((place for place, end in enumerate(taken) if first > end), len(rows))
        if row == len(rows):
            rows.append([])
            taken.append(-100.0)
        rows[row].append(bar)
        taken[row] = max(last, right)
    return rows
