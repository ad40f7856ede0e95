"""Partitions: replicas that cannot reach one another.

Every shape cuts links between replicas, both directions of a pair unless it says otherwise. The clients can still reach
every replica, which is what makes two sides tell two stories; `clients: true` puts them on one side.

`halves`: the first half by number, and the rest. Of five replicas two are cut off::

    n1  n2  |  n3  n4  n5

`random-halves`: the same sizes, drawn by the seed::

    n1  n4  |  n2  n3  n5

`isolate`: a target loses everybody. Several targets are each alone::

    n3  |  n1  n2  n4  n5

`bridge`: two halves that don't see each other, and one replica that sees both. Of five, everybody sees a majority::

    n2  n5  --  n1  --  n3  n4          n2 and n5 do not see n3 and n4

`ring`: every replica sees a majority, and no two see the same one. Each sees itself and its nearest neighbours on a ring
drawn by the seed, as many as a majority takes::

       n1 -- n4                          n1 sees n1 n4 n2
      /        \\
    n2          n5                       n4 sees n4 n1 n5
      \\        /
       --- n3 -                          and so on

Where a majority is an even number the two sides of a neighbourhood can't be equal, and the last neighbour is the one across
the ring. Three replicas have no true ring; there, one pair of the three is cut::

    n2 -- n1 -- n3

`one-way`: requests that go out from a target (or, with `direction: incoming`, that come in to it) are lost, those the other
way arrive. The target hears that all is well, and nobody hears the target::

    n3  -x->  everybody else            everybody else  --->  n3

The way of cutting is `block: drop`, a black hole in which everything waits until it gives up, or `block: refuse`, where
connecting fails at once: the two are different failures, since only one of them can be noticed quickly.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from faults.cluster import CLIENT, Condition, Link, Mode
from faults.fault import Evidence, Fault, FaultOptions, Ground, Injection, Setting
from faults.probing import Tally, fails_with, passes, ping_all
from faults.targets import TARGET_DESCRIPTION, choose, hit, target_problem

Shape = Literal["halves", "random-halves", "isolate", "bridge", "ring", "one-way"]
Groups = Sequence[Sequence[str]]

_FEWEST_REPLICAS = {"bridge": 3, "ring": 3}
_SHAPES_WITH_SIDES = ("halves", "random-halves", "isolate")


def between(groups: Groups) -> set[Link]:
    """The links between replicas of different groups, both directions."""
    return {
        Link(source, target)
        for one in groups
        for other in groups
        if one is not other
        for source in one
        for target in other
    }


def split(replicas: Sequence[str]) -> tuple[list[str], list[str]]:
    """The first half and the rest; of an odd number the rest is the majority."""
    middle = len(replicas) // 2
    return list(replicas[:middle]), list(replicas[middle:])


def around_bridge(order: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The side of the first replicas, the bridge, the other side. The bridge belongs to no side."""
    return list(order[1 : (len(order) + 1) // 2]), [order[0]], list(order[(len(order) + 1) // 2 :])


def ring_neighbours(order: Sequence[str]) -> dict[str, set[str]]:
    """Whom each replica sees, itself included, for three replicas or more: a majority of them, and each another one.

    Seeing is mutual. Around the ring, each replica sees as many on its left as on its right. If a majority is even, that is
    one too few, and pairs across the ring make up for it: of an odd number of replicas one is in two such pairs.
    """
    count = len(order)
    majority = count // 2 + 1
    reach = (majority - 1) // 2
    pairs = {(place, (place + step) % count) for place in range(count) for step in range(1, reach + 1)}
    if majority % 2 == 0:
        pairs |= _across(count)
    sees = {replica: {replica} for replica in order}
    for one, other in pairs:
        sees[order[one]].add(order[other])
        sees[order[other]].add(order[one])
    return sees


def _across(count: int) -> set[tuple[int, int]]:
    """Pairs of places that lie across a ring, so that every place is in one."""
    if count % 2 == 0:
        return {(place, place + count // 2) for place in range(count // 2)}
    # Steps of half the ring come by every place once; each two of them in a row make a pair, the odd one joins the last.
    places = [step * (count // 2) % count for step in range(count)]
    return {(places[i], places[i + 1]) for i in range(0, count - 1, 2)} | {(places[-2], places[-1])}


class PartitionOptions(FaultOptions):
    shape: Shape = Field(default="random-halves", description="who is cut off from whom")
    target: str = Field(default="one", description=f"of isolate and one-way, {TARGET_DESCRIPTION}")
    direction: Literal["outgoing", "incoming"] = Field(
        default="outgoing", description="of one-way: which of the target's links are cut"
    )
    block: Literal["drop", "refuse"] = Field(
        default="drop", description="drop: nothing comes of what is sent; refuse: connecting fails at once"
    )
    clients: bool = Field(
        default=False,
        description="of halves, random-halves and isolate: whether the clients are cut off from the smaller side "
        "(of halves of the same size the first), or from the isolated",
    )


class Partition(Fault):
    name = "partition"
    summary = "replicas cannot reach one another: halves, a single one, a bridge, a ring, or in one direction"
    Options = PartitionOptions
    options: PartitionOptions

    def applies_to(self, setting: Setting) -> str | None:
        shape, count = self.options.shape, len(setting.replicas)
        fewest = _FEWEST_REPLICAS.get(shape, 2)
        if count < fewest:
            return f"partition {shape!r} needs {fewest} replicas or more, here are {count}: use more replicas"
        if self.options.clients and shape not in _SHAPES_WITH_SIDES:
            return f"partition {shape!r} has no side for the clients: leave `clients` out, or use shape 'isolate'"
        if shape in ("isolate", "one-way"):
            return target_problem(self.options.target, setting)
        return None

    def inject(self, ground: Ground, number: int, random: random.Random) -> Injection:
        cut, targets, words, note = self._draw(ground, random)
        who = hit(ground.cluster, targets)
        ground.links.claim(number, dict.fromkeys(sorted(cut), Condition(Mode(self.options.block))))
        description = f"{self.options.shape}: {words}, {self.options.block}" + (f" ({note})" if note else "")
        return Injection(self.name, number, who.replicas, description, tuple(sorted(cut)), who.roles)

    def prove(self, ground: Ground, injection: Injection) -> Evidence:
        """Cut links let nothing through, in the way that was asked for; those between replicas that are not cut do."""
        outcome = "timeout" if self.options.block == "drop" else "refused"
        closed = ping_all(ground, injection.links, injection.number, True, lambda link: fails_with(outcome))
        replicas = ground.cluster.replicas
        others = between([[replica] for replica in replicas]) - set(injection.links)
        open_ = ping_all(ground, others, injection.number, False, lambda link: passes())
        return _both(closed, open_)

    def heal(self, ground: Ground, injection: Injection) -> None:
        ground.links.release(injection.number)

    def prove_healed(self, ground: Ground, injection: Injection) -> Evidence:
        tally = ping_all(ground, injection.links, injection.number, False, lambda link: passes())
        return tally.evidence("{} links that were cut let pings through again")

    def _draw(self, ground: Ground, chance: random.Random) -> tuple[set[Link], Sequence[str], str, str]:
        """The links to cut, whom that hits, how to say it in short, and a note on the choice."""
        replicas, shape = ground.cluster.replicas, self.options.shape
        order = chance.sample(replicas, len(replicas))
        if shape in ("isolate", "one-way"):
            found = choose(self.options.target, ground.cluster, chance)
            if shape == "isolate":
                alone = [[replica] for replica in found.replicas]
                rest = [replica for replica in replicas if replica not in found.replicas]
                cut, words = self._sides([*alone, rest], found.replicas, replicas)
            else:
                cut, words = self._one_way(found.replicas, replicas)
            return cut, found.replicas, words, found.note
        if shape == "ring":
            sees = ring_neighbours(order)
            cut = {
                link for link in between([[replica] for replica in replicas]) if link.target not in sees[link.source]
            }
            return cut, replicas, f"around {' '.join(order)}", ""
        if shape == "bridge":
            one, middle, other = around_bridge(order)
            words = " -- ".join(_names(group, replicas) for group in (one, middle, other))
            return between([one, other]), [*one, *other], words, ""
        smaller, larger = split(replicas if shape == "halves" else order)
        cut, words = self._sides([smaller, larger], smaller, replicas)
        return cut, smaller, words, ""

    def _sides(self, groups: Groups, without_clients: Iterable[str], replicas: Sequence[str]) -> tuple[set[Link], str]:
        cut = between(groups)
        words = " | ".join(_names(group, replicas) for group in groups if group)
        if self.options.clients:
            cut |= {Link(CLIENT, replica) for replica in without_clients}
            words += ", clients on the other side"
        return cut, words

    def _one_way(self, targets: Sequence[str], replicas: Sequence[str]) -> tuple[set[Link], str]:
        links = between([[replica] for replica in replicas])
        if self.options.direction == "outgoing":
            return {link for link in links if link.source in targets}, f"nothing from {' '.join(targets)}"
        return {link for link in links if link.target in targets}, f"nothing to {' '.join(targets)}"


def _both(closed: Tally, open_: Tally) -> Evidence:
    """The evidence for a cut: that it cuts, and that it cuts no more than it should."""
    evidence = closed.evidence("{} cut links let no ping through")
    if closed.judged == 0 or open_.judged == 0:
        return evidence
    return Evidence(
        bool(closed.effective and open_.effective),
        f"{evidence.detail}; {open_.as_expected} of {open_.judged} links beside them did",
        [*evidence.measurements, *open_.measurements],
    )


def _names(group: Iterable[str], replicas: Sequence[str]) -> str:
    return " ".join(sorted(group, key=replicas.index))
