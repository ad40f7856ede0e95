"""What the nemesis did, and what the replicas were meanwhile: injections with their proofs, roles over time, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from harness.history import FINAL_READS, HARNESS, NEMESIS, Event
from harness.report.text import plain_text, whole

_LONGEST_SAMPLE = 2_500_000_000
"""A status says nothing about times further than this after it (nanoseconds)."""

_USUAL_SAMPLE = 500_000_000


@dataclass(frozen=True)
class Proof:
    """What is known of one injection or healing."""

    state: str
    """`proved`, `ineffective`, `unproved` (nothing could be measured), `failed` (it raised an error) or `open` (no
    completion was recorded)."""
    detail: str
    measurements: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Episode:
    """One injection, from the moment that it was in effect until it was healed (nanoseconds; None: never, or unknown)."""

    number: int
    fault: str
    began: int
    ended: int | None = None
    description: str = ""
    targets: list[tuple[str, str]] = field(default_factory=list)
    """Whom it hit, and the role that each had."""
    injected: Proof = Proof("open", "The end of the injection was not recorded.")
    healed: Proof = Proof("open", "No healing was recorded.")


def read_episodes(events: Iterable[Event]) -> list[Episode]:
    """All injections of a history, by number."""
    episodes: dict[int, Episode] = {}
    for event in events:
        number, time = whole(event.get("number")), whole(event.get("time"))
        if event.get("process") != NEMESIS or number is None or time is None:
            continue
        episode = episodes.get(number)
        if episode is None:
            episode = episodes[number] = Episode(number, plain_text(event.get("fault", "fault"), 60), time)
        if event.get("type") == "invoke":
            if event.get("f") == "heal":
                episode.ended = time
        elif event.get("f") == "inject":
            _injected(episode, event)
        elif event.get("f") == "heal":
            episode.ended = whole(event.get("applied")) or time
            episode.healed = _proof(event)
    return sorted(episodes.values(), key=lambda episode: episode.number)


def _injected(episode: Episode, event: Event) -> None:
    episode.began = whole(event.get("applied")) or episode.began
    episode.description = plain_text(event.get("description") or "", 300)
    episode.injected = _proof(event)
    roles = event.get("roles")
    targets = event.get("targets")
    episode.targets = [
        (plain_text(target, 40), plain_text(roles.get(target, ""), 40) if isinstance(roles, dict) else "")
        for target in (targets if isinstance(targets, list) else [])
        if isinstance(target, str)
    ]


def _proof(event: Event) -> Proof:
    evidence = event.get("evidence")
    found = evidence if isinstance(evidence, dict) else {}
    measurements = found.get("measurements")
    rows = [
        {plain_text(name, 60): plain_text(value, 120) for name, value in row.items()}
        for row in (measurements if isinstance(measurements, list) else [])[:50]
        if isinstance(row, dict)
    ]
    if event.get("error") is not None and event.get("type") == "fail":
        return Proof("failed", plain_text(event["error"]), rows)
    detail = plain_text(found.get("detail") or "Nothing was measured.")
    effective = found.get("effective")
    state = "proved" if effective is True else "ineffective" if effective is False else "unproved"
    return Proof(state, detail, rows)


@dataclass(frozen=True)
class Stretch:
    """A replica stayed the same from `began` to `ended` (nanoseconds), as far as its samples tell."""

    replica: str
    began: int
    ended: int
    state: str
    """`up`, `down` or `paused`."""
    role: str
    """Empty if it didn't tell."""
    chief: bool
    """It says of itself that it is in charge."""
    leader: str
    term: str
    commit_index: int | None
    """At the end of the stretch."""


def read_roles(statuses: Iterable[dict[str, Any]], end: int) -> list[Stretch]:
    """The samples of each replica, run together where nothing changed."""
    samples: dict[str, list[dict[str, Any]]] = {}
    for status in statuses:
        if isinstance(status.get("replica"), str) and whole(status.get("time")) is not None:
            samples.setdefault(plain_text(status["replica"], 40), []).append(status)
    stretches: list[Stretch] = []
    for replica in sorted(samples, key=by_number):
        ordered = sorted(samples[replica], key=lambda sample: sample["time"])
        stretches.extend(_stretches(replica, ordered, end))
    return stretches


def _stretches(replica: str, samples: Sequence[dict[str, Any]], end: int) -> list[Stretch]:
    ends = [min(later["time"], sample["time"] + _LONGEST_SAMPLE) for sample, later in pairwise(samples)]
    ends.append(max(samples[-1]["time"], min(end, samples[-1]["time"] + _USUAL_SAMPLE)))
    stretches: list[Stretch] = []
    for sample, ended in zip(samples, ends, strict=True):
        stretch = _stretch(replica, sample, int(ended))
        last = stretches[-1] if stretches else None
        if last is not None and last.ended >= stretch.began and _looks(last) == _looks(stretch):
            stretches.pop()
            stretch = Stretch(replica, last.began, stretch.ended, *_looks(stretch), stretch.commit_index)
        stretches.append(stretch)
    return stretches


def _stretch(replica: str, sample: dict[str, Any], ended: int) -> Stretch:
    leader = sample.get("leader")
    up = sample.get("state") == "up"
    return Stretch(
        replica=replica,
        began=int(sample["time"]),
        ended=ended,
        state=plain_text(sample.get("state") or "unknown", 40),
        role=plain_text(sample.get("role") or "", 40) if up else "",
        chief=up and leader is not None and leader == sample.get("replica"),
        leader=plain_text(leader or "", 40),
        term="" if sample.get("term") is None else plain_text(sample["term"], 60),
        commit_index=whole(sample.get("commit_index")),
    )


def _looks(stretch: Stretch) -> tuple[str, str, bool, str, str]:
    return stretch.state, stretch.role, stretch.chief, stretch.leader, stretch.term


@dataclass(frozen=True)
class Note:
    """Something that the harness wrote down while the run went on."""

    time: int
    text: str
    replica: str


def read_notes(events: Iterable[Event]) -> list[Note]:
    """The harness's notes, in order."""
    return [
        Note(time, plain_text(event.get("value") or "", 400), plain_text(event.get("replica") or "", 40))
        for event in events
        if event.get("process") == HARNESS and (time := whole(event.get("time"))) is not None
    ]


def final_reads_begin(notes: Iterable[Note]) -> int | None:
    """When the final reads began, if a note says so."""
    return next((note.time for note in notes if note.text == FINAL_READS), None)


def by_number(replica: str) -> tuple[int, str]:
    """Sorts `n2` before `n10`."""
    digits = replica.lstrip("n")
    return (int(digits) if digits.isdecimal() and len(digits) < 10 else 0, replica)


def target_text(targets: Iterable[tuple[str, str]]) -> str:
    """`n1 (leader), n4`."""
    return ", ".join(f"{target} ({role})" if role else target for target, role in targets)
