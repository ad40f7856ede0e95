"""What is hunted: every flaw of every protocol, every correct protocol, and the places where each one's promise ends.

A case is one cell of an exploration, and what is to come of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.campaign import Overrides, load_campaign
from harness.errors import BadInput
from harness.explore.swarm import without_seed
from harness.spec import Choice, ExploreSpec, NemesisSpec, RunSpec
from node.flaws import Flaw, flaws_of
from node.protocols import PROTOCOLS
from node.registry import unknown

GROUNDS = Path(__file__).with_name("grounds.yaml")

HARMLESS_IN = {
    ("naive-two-phase", "replies-before-sync"): "while its coordinator lives, nobody needs what a backup has written",
    ("naive-two-phase", "sync-skipped"): "while its coordinator lives, nobody needs what a backup has written",
    ("paxos", "retried-under-new-name"): "what takes one value for ever doesn't take the same one again",
}
"""Flaws of the host that a protocol survives, and why; those that every protocol does say so themselves."""

SHOWS_IN: dict[tuple[str, str], dict[str, Any]] = {
    ("read-only-replicas", "retried-under-new-name"): {"spread": "pull"},
}
"""Of a protocol with several cells, the options of the one that a flaw of the host is hunted in, if it isn't the first."""

FEW_REPLICAS = [3, 3, 3]
"""Sizes of clusters in most runs in which faults strike at the moments of a flaw: the fewer replicas, the fewer have to be
where they do harm."""

Sort = Literal["flaw", "limit", "correct", "harmless"]
"""`flaw`: has to be found. `limit`: a correct protocol under what it doesn't promise to survive, which has to show.
`correct`: nothing may be found; nor in `harmless`: with a flaw that a correct protocol survives."""


@dataclass(frozen=True)
class Case:
    """One thing to be found, or not to be found."""

    protocol: str
    sort: Sort
    name: str
    """The flaw's name; for a limit, what goes wrong there; empty for a correct protocol."""
    spec: RunSpec

    @property
    def title(self) -> str:
        """As a table names it: `raft votes-twice`, `quorum(read_quorum=1): latency`, `raft`."""
        if self.sort == "limit":
            return f"{self.form}: {self.name}"
        return f"{self.protocol if self.name else self.form} {self.name}".rstrip()

    @property
    def form(self) -> str:
        """The protocol as a campaign names it, without its defaults and its flaws: `quorum(read_quorum=1)`."""
        defaults = PROTOCOLS[self.protocol].Options().model_dump(mode="json")
        said = {name: value for name, value in self.spec.protocol.options.items() if defaults.get(name) != value}
        return str(self.spec.protocol.model_copy(update={"options": said, "flaws": []}))

    @property
    def to_be_found(self) -> bool:
        return self.sort in ("flaw", "limit")


def promises(protocol: str | None = None) -> list[RunSpec]:
    """The cells that say what a protocol promises; of all protocols, if none is named."""
    return [cell for cell in _grounds() if cell.expect == "valid" and protocol in (None, cell.protocol.name)]


def survived(protocol: str) -> tuple[str, ...]:
    """The faults that a protocol promises to survive, by name; empty for one that the grounds don't know."""
    return tuple(dict.fromkeys(choice.fault for cell in promises(protocol)[:1] for choice in _pool(cell)))


def cases(protocols: Sequence[str] = (), flaws: Sequence[str] = ()) -> list[Case]:
    """All cases; those of these protocols, and with `flaws` only those flaws of them. Flaws first, correct ones last.

    Raises `BadInput`, one sentence, for a name that nothing has.
    """
    check_names(protocols, flaws)
    wanted = [case for case in _all() if not protocols or case.protocol in protocols]
    if flaws:
        wanted = [case for case in wanted if case.name in flaws and case.sort in ("flaw", "harmless")]
    order = ("flaw", "limit", "harmless", "correct")
    return sorted(wanted, key=lambda case: order.index(case.sort))


def check_names(protocols: Sequence[str], flaws: Sequence[str]) -> None:
    """Raises `BadInput` for a protocol that isn't hunted, and for what is no flaw of these."""
    hunted = {cell.protocol.name for cell in promises()}
    for name in protocols:
        if name not in hunted:
            raise BadInput(f"--protocol: {unknown('protocol', name, hunted)}")
    chosen = protocols or sorted(hunted)
    known = {name for protocol in chosen for name in flaws_of(protocol)}
    for name in flaws:
        if name not in known:
            of = f" of {' or '.join(protocols)}" if protocols else ""
            raise BadInput(f"--flaw: {unknown(f'flaw{of}', name, known)}")


def _all() -> Iterator[Case]:
    promised: dict[str, list[RunSpec]] = {}
    for cell in _grounds():
        if cell.expect == "violation":
            yield Case(cell.protocol.name, "limit", cell.nemesis.name, cell)
        else:
            promised.setdefault(cell.protocol.name, []).append(cell)
            yield Case(cell.protocol.name, "correct", "", cell)
    for protocol, cells in promised.items():
        for name, flaw in flaws_of(protocol).items():
            wanted = {**flaw.shows_with, **SHOWS_IN.get((protocol, name), {})}
            fitting = [cell for cell in cells if wanted.items() <= cell.protocol.options.items()]
            yield _with_flaw((fitting or cells)[0], name, flaw)


def _with_flaw(cell: RunSpec, name: str, flaw: type[Flaw]) -> Case:
    """The cell with the flaw switched on."""
    protocol = cell.protocol.model_copy(
        update={"flaws": [name], "options": {**cell.protocol.options, **flaw.shows_with}}
    )
    harmless = flaw.harmless or HARMLESS_IN.get((cell.protocol.name, name))
    changes: dict[str, object] = {
        "protocol": protocol,
        "cell": f"{cell.protocol.name} {name}",
        "expect": "valid" if harmless else "violation",
    }
    if any(option.endswith("_seconds") for option in flaw.shows_with):
        # With one of its times far from the others a protocol need not come to rest, flaw or no flaw.
        changes["explore"] = (cell.explore or ExploreSpec()).model_copy(update={"tempo": False})
        changes["simulation"] = cell.simulation.model_copy(update={"liveness_seconds": 0.0})
    return Case(cell.protocol.name, "harmless" if harmless else "flaw", name, cell.model_copy(update=changes))


def place(cell: RunSpec, seed: int) -> RunSpec:
    """The cell that a run is drawn from: with an odd seed it has only the faults that fit its flaw, and they strike at the
    moments that do, if those are known; then with half of the even seeds as well.

    Some flaws need several faults to come together, and others are hidden by the noise of all that don't matter.
    """
    aimed = fit_moments(fit_faults(cell))
    told = aimed.explore is not None and bool(aimed.explore.moments)
    return aimed if seed % (4 if told else 2) else cell


def fit_faults(cell: RunSpec) -> RunSpec:
    """The cell with only those of its faults that bring out its flaws; itself if it has neither."""
    known = flaws_of(cell.protocol.name)
    named = {fault for flaw in cell.protocol.flaws for fault in known[flaw].shows_under}
    fit = [choice for choice in _pool(cell) if choice.fault in named]
    if not fit:
        return cell
    stream = cell.nemesis.streams[0].model_copy(update={"choices": fit})
    return cell.model_copy(update={"nemesis": NemesisSpec(name=cell.nemesis.name, streams=[stream])})


def fit_moments(cell: RunSpec) -> RunSpec:
    """The cell in which faults strike at the moments that bring out its flaws; itself if none are known."""
    known = flaws_of(cell.protocol.name)
    moments: dict[str, list[str]] = {}
    for flaw in cell.protocol.flaws:
        for fault, fit in known[flaw].shows_at.items():
            moments.setdefault(fault, []).extend(fit)
    if not moments:
        return cell
    explore = cell.explore or ExploreSpec()
    few = explore.replicas or [*FEW_REPLICAS, cell.replicas]
    return cell.model_copy(update={"explore": explore.model_copy(update={"moments": moments, "replicas": few})})


def _pool(cell: RunSpec) -> list[Choice]:
    return [choice for stream in cell.nemesis.streams for choice in stream.choices]


@functools.cache
def _grounds() -> tuple[RunSpec, ...]:
    cells = load_campaign(GROUNDS, Overrides(cluster="simulated"))
    return tuple(cell.model_copy(update={"cell": without_seed(cell.cell)}) for cell in cells)
