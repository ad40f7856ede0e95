"""The checker `elements`: what became of every element that was added to a set.

An element that was added by one operation and never removed has to be seen by everybody who looks from then on. Whoever
doesn't see it, after its add returned, saw a **stale** set if somebody sees it later; if nobody ever sees it again, it is
**lost**. An element whose one and only add had returned before it was removed, and that is seen by somebody who looks after
the remove has returned, is **resurrected**. One that nobody added comes **from nowhere**.

Lost and resurrected elements, and those from nowhere, are violations. Staleness is measured and not accused: how much of it
is allowed depends on what the service promises (`linearizable` says whether it was too much for that).

Statistics: `added`, `seen`, `never_looked_for`, `lost`, `resurrected`, `from_nowhere`, `stale` (looks that missed an element
that was seen again later), `stale_seconds` (median and largest time between the return of an add and the call of the last
look that missed it).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from statistics import median

from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import asked, called, returned, what, who
from harness.checkers.linearizable.moments import before
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


@dataclass
class _Element:
    """One element of one set, and who saw it."""

    adds: list[Operation] = field(default_factory=list)
    removes: list[Operation] = field(default_factory=list)
    sights: list[Operation] = field(default_factory=list)
    """Looks that found it, in order of their call."""
    misses: list[Operation] = field(default_factory=list)


class Elements(Direct):
    name = "elements"
    question = "Is every element that was added to a set still there, and none that was removed?"

    def __init__(self) -> None:
        super().__init__()
        names = ("added", "seen", "never_looked_for", "lost", "resurrected", "from_nowhere", "stale")
        self.figures = dict.fromkeys(names, 0)
        self._delays: list[float] = []

    def summary(self) -> str:
        figures = self.figures
        if self._delays:
            delays = {"median": round(median(self._delays), 3), "largest": round(max(self._delays), 3)}
            figures["stale_seconds"] = delays
        trouble = ", ".join(
            f"{figures[name]} {name.replace('_', ' ')}"
            for name in ("lost", "resurrected", "from_nowhere")
            if figures[name]
        )
        late = f"; {figures['stale']} looks were stale, by {max(self._delays):.3f} s at most" if self._delays else ""
        return f"of {figures['added']} elements added {trouble or 'none was lost or resurrected'}{late}"

    def judge(self, key: Key) -> None:
        elements = _elements(key)
        for element, story in elements.items():
            self.count("added", sum(one.type == "ok" for one in story.adds))
            self.count("seen", bool(story.sights))
            if not story.adds:
                self._from_nowhere(key, story)
            elif len(story.adds) == 1 and story.adds[0].type == "ok":
                self._follow(key, element, story, story.adds[0])

    def _from_nowhere(self, key: Key, story: _Element) -> None:
        if not story.sights:
            return
        self.count("from_nowhere")
        one = story.sights[0]
        sentence = f"{who(one)} saw an element{asked(one)} by {returned(one)} that nobody had added: {_seen(one)}"
        self.accuse("value from nowhere", sentence, key, [one])

    def _follow(self, key: Key, element: Hashable, story: _Element, add: Operation) -> None:
        """An element that was added once, by an operation that succeeded."""
        if story.removes:
            self._look_for_resurrected(key, story, add)
            return
        misses = [one for one in story.misses if before(add, one)]
        if not misses:
            self.count("never_looked_for", not any(before(add, one) for one in story.sights))
            return
        last = max(misses, key=lambda one: one.began)
        if any(one.ended is not None and one.ended > last.began for one in story.sights):
            self.count("stale", len(misses))
            self._delays.append((last.call_ns - (add.return_ns or 0)) / 1e9)
            return
        self.count("lost")
        sights = [one for one in story.sights if before(one, last)]
        seen = f", {who(sights[-1])} saw it{asked(sights[-1])} by {returned(sights[-1])}," if sights else ""
        sentence = (
            f"{what(add)} was acknowledged at {returned(add)}{seen} and it was never removed, but "
            f"{who(last)} looked{asked(last)} at {called(last)} and it was not there, nor did anybody see it later"
        )
        self.accuse("lost element", sentence, key, [add, *sights[-1:], last])

    def _look_for_resurrected(self, key: Key, story: _Element, add: Operation) -> None:
        removes = [one for one in story.removes if one.type == "ok" and one.result is not False and before(add, one)]
        for remove in removes:
            late = next((one for one in story.sights if before(remove, one)), None)
            if late is not None:
                self.count("resurrected")
                sentence = (
                    f"{who(remove)} removed {show(remove.value)}{asked(remove)} by {returned(remove)}, and nobody added it "
                    f"again, but {who(late)} looked{asked(late)} at {called(late)} and it was there"
                )
                self.accuse("resurrected element", sentence, key, [add, remove, late])
                return


def _elements(key: Key) -> dict[Hashable, _Element]:
    elements: dict[Hashable, _Element] = {}
    reads: list[tuple[Operation, frozenset[Hashable]]] = []
    for one in key.operations:
        if one.f == "read":
            if one.type == "ok":
                reads.append((one, frozenset(map(canonical, one.result))))
            continue
        story = elements.setdefault(canonical(one.value), _Element())
        if one.f == "add":
            story.adds.append(one)
        elif one.f == "remove":
            story.removes.append(one)
        elif one.type == "ok":
            (story.sights if one.result else story.misses).append(one)
    for read, seen in reads:
        for element in sorted(seen.difference(elements), key=repr):
            elements[element] = _Element()
        for element, story in elements.items():
            (story.sights if element in seen else story.misses).append(read)
    for story in elements.values():
        story.sights.sort(key=lambda one: one.began)
    return elements


def _seen(one: Operation) -> str:
    return f"contains({show(one.value)}) returned true" if one.f == "contains" else f"it read {show(one.result)}"
