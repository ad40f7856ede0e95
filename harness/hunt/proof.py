"""A closer look at what was found: is it the flaw's doing, which faults did it take, and how small can it be made?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import BadInput, RunFailed
from harness.explore.swarm import draw
from harness.explore.trial import Kind, judged
from harness.hunt.catalogue import place
from harness.shrink.script import scripted
from harness.shrink.shrink import Size, shrink
from harness.simulation.simulate import simulate
from harness.spec import RunSpec, ScriptSpec, SimulationSpec, Stream

MORE_SEEDS = 30
"""So many more runs are looked at for one that can be shrunk."""

_FATES = {"lost": "lost messages", "late": "late messages", "duplicated": "repeated messages"}
_WEATHER = {
    "lost": "lost messages",
    "duplicated": "repeated messages",
    "late": "late messages",
    "overtaking": "overtaking messages",
    "clock_offset_seconds": "clocks apart",
    "clock_drift": "drifting clocks",
}


class Question(NamedTuple):
    """A run of a case, and the kind of finding that it ends in."""

    number: int
    """Whose answer it is to be."""
    cell: RunSpec
    seed: int
    kind: Kind
    shrink_seconds: float
    """How long to look for something smaller; 0: not at all."""

    @property
    def spec(self) -> RunSpec:
        return draw(place(self.cell, self.seed), self.seed)


@dataclass(frozen=True)
class Proof:
    """What is known of a finding."""

    without_flaw: str | None
    """What the same run ends in with the flaw switched off, one sentence: then it isn't the flaw's doing. None if that
    run has no finding."""
    mattered: tuple[str, ...] | None = ()
    """The faults that can't be left out, by name; what the network and the clocks did, if that can't be left out."""
    size: Size | None = None
    """Of the smallest run that shows it, if it was looked for."""
    minimal: bool = False
    """Whether nothing more could be left out of that."""
    sentence: str | None = None
    """What the smallest run ends in."""


def prove(question: Question) -> Proof:
    """Answer a question. What can't be told of a run stays empty."""
    spec, kind = question.spec, question.kind
    without = _without_flaw(spec) if spec.protocol.flaws else None
    if question.shrink_seconds:
        for candidate, its_kind in _alike(question):
            try:
                shrunk = shrink(candidate, its_kind, question.shrink_seconds)
            except BadInput:  # written down as a script it doesn't show any more
                continue
            return Proof(without, _told(shrunk.spec), shrunk.after, shrunk.minimal, shrunk.finding.sentence)
    return Proof(without, faults_that_matter(spec, kind))


def _alike(question: Question) -> Iterator[tuple[RunSpec, Kind]]:
    """The run, and then those of the next seeds that find something: not every run can be written down as a script."""
    yield question.spec, question.kind
    for seed in range(question.seed + 1, question.seed + 1 + MORE_SEEDS):
        spec = draw(place(question.cell, seed), seed)
        with suppress(RunFailed):
            findings, _ = judged(spec, simulate(spec, statuses=False))
            if findings:
                yield spec, findings[0].kind


def _without_flaw(spec: RunSpec) -> str | None:
    right = spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"flaws": []})})
    try:
        findings, _ = judged(right, simulate(right, statuses=False))
    except RunFailed as error:
        return str(error)
    return findings[0].sentence if findings else None


def faults_that_matter(spec: RunSpec, kind: Kind) -> tuple[str, ...]:
    """What a run can't do without, one after the other, if it is to end in this kind of finding: its faults, and messages
    that are lost, late or repeated."""
    script = scripted(spec, simulate(spec, trace=True))
    if not _shows(script, kind):
        return _matter_in_plan(spec, kind)
    for name in dict.fromkeys(fault.fault for fault in _script(script).faults):
        fewer = [fault for fault in _script(script).faults if fault.fault != name]
        script = _if_shown(script, kind, faults=fewer)
    for fate in dict.fromkeys(_script(script).messages.values()):
        rest = {name: other for name, other in _script(script).messages.items() if other != fate}
        script = _if_shown(script, kind, messages=rest)
    return _named(_script(script))


def _if_shown(spec: RunSpec, kind: Kind, **changes: Any) -> RunSpec:
    fewer = spec.model_copy(update={"script": _script(spec).model_copy(update=changes)})
    return fewer if _shows(fewer, kind) else spec


def _matter_in_plan(spec: RunSpec, kind: Kind) -> tuple[str, ...]:
    """The same of a run that can't be written down as a script: its faults alone, all injections of one at a time."""
    killed: tuple[str, ...] = ("kill",)  # the phase for liveness kills, too
    calm = spec.model_copy(update={"simulation": spec.simulation.model_copy(update={"liveness_seconds": 0.0})})
    if kind.checker == "liveness" or _shows(calm, kind):
        spec, killed = (spec if kind.checker == "liveness" else calm), ()
    streams = spec.nemesis.streams
    for name in dict.fromkeys(choice.fault for stream in streams for choice in stream.choices):
        fewer = [rest for stream in streams if (rest := _less(stream, name)) is not None]
        if _shows(_with(spec, fewer), kind):
            streams = fewer
    return tuple(dict.fromkeys((*killed, *(choice.fault for stream in streams for choice in stream.choices))))


def _less(stream: Stream, fault: str) -> Stream | None:
    """The stream without a fault; None if it has no other."""
    choices = [choice for choice in stream.choices if choice.fault != fault]
    return stream.model_copy(update={"choices": choices}) if choices else None


def _with(spec: RunSpec, streams: list[Stream]) -> RunSpec:
    return spec.model_copy(update={"nemesis": spec.nemesis.model_copy(update={"streams": streams})})


def _shows(spec: RunSpec, kind: Kind) -> bool:
    try:
        findings, _ = judged(spec, simulate(spec, statuses=False))
    except (BadInput, RunFailed):
        return False
    return any(seen.kind == kind for seen in findings)


def _script(spec: RunSpec) -> ScriptSpec:
    assert spec.script is not None
    return spec.script


def _named(script: ScriptSpec) -> tuple[str, ...]:
    fates = sorted(set(script.messages.values()))
    return tuple(
        dict.fromkeys([fault.fault for fault in script.faults] + [_FATES[one] for one in fates if one in _FATES])
    )


def _told(spec: RunSpec) -> tuple[str, ...]:
    """What there is in a smallest run: the faults of its script by name, and what else is not as usual in it."""
    calm = SimulationSpec()
    weather = [word for name, word in _WEATHER.items() if getattr(spec.simulation, name) != getattr(calm, name)]
    return tuple(dict.fromkeys([*_named(_script(spec)), *weather]))
