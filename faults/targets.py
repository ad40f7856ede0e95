"""Whom a fault hits.

A target is the name of a replica (`n3`) or one of the words in `TARGETS`. The words that have to do with roles are looked
up when the fault is injected, by asking every replica what it is; the others are drawn by the seed alone, so that a
replay hits the same replicas.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faults.cluster import Cluster
from faults.fault import Setting
from faults.parallel import in_parallel

TARGETS = {
    "one": "any one replica",
    "minority": "as many replicas as can fail while a majority is left: 2 of 5",
    "majority": "the smallest majority: 3 of 5",
    "all": "every replica",
    "leader": "the replica that says it leads; of several the one with the highest term",
    "primary": "the replica that says it is the primary; of several the one with the highest term",
    "follower": "any one replica that says it is not in charge",
}

TARGET_DESCRIPTION = "whom it hits: a replica's name, or " + ", ".join(TARGETS)

Status = dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """Who was chosen."""

    replicas: tuple[str, ...]
    """In the cluster's order."""
    roles: dict[str, str]
    """The role of each of them, as far as it told."""
    note: str = ""
    """What a reader should know of the choice: that nobody was the leader, say. Usually empty."""


def target_problem(target: str, setting: Setting) -> str | None:
    """None if the target can be found in this setting, else one sentence: why not, and what could be."""
    replicas = setting.replicas
    if target in replicas:
        return None
    if target not in TARGETS:
        near = difflib.get_close_matches(target, [*TARGETS, *replicas], n=1, cutoff=0.5)
        known = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(TARGETS)} or the name of a replica"
        return f"unknown target {target!r} (the replicas are {_span(replicas)}): {known}"
    if target == "minority" and len(replicas) < 3:
        return f"target 'minority': of {len(replicas)} replicas no minority can fail: use 'one', or 3 replicas or more"
    if target == "follower" and len(replicas) < 2:
        return "target 'follower': a single replica follows nobody: use 'one', or 2 replicas or more"
    if target in ("leader", "primary", "follower") and target != setting.chief:
        if setting.chief is None:
            return f"target {target!r}: in {setting.protocol} no replica is in charge: use 'one' or a replica's name"
        if target != "follower":
            return f"target {target!r}: {setting.protocol} has no {target}: use {setting.chief!r}"
    return None


def choose(target: str, cluster: Cluster, chance: random.Random) -> Hit:
    """The replicas that a target stands for, now.

    A target that nobody fits (no replica says that it leads just now) is any one replica instead, and the note says so.
    """
    replicas = cluster.replicas
    if target in ("leader", "primary", "follower"):
        return _choose_by_role(target, cluster, chance)
    sizes = {"one": 1, "minority": (len(replicas) - 1) // 2, "majority": len(replicas) // 2 + 1, "all": len(replicas)}
    chosen = chance.sample(replicas, sizes[target]) if target in sizes else [target]
    return hit(cluster, chosen)


def hit(cluster: Cluster, replicas: Sequence[str], note: str = "") -> Hit:
    """These replicas, with the roles that they say they have."""
    chosen = tuple(replica for replica in cluster.replicas if replica in replicas)
    return Hit(chosen, _roles(ask(cluster, chosen)), note)


def ask(cluster: Cluster, replicas: Sequence[str]) -> dict[str, Status]:
    """The statuses of those replicas that are up and answer."""

    def status(replica: str) -> Status | None:
        # A paused replica would keep us waiting for a second, and the fault with us.
        return cluster.status(replica) if cluster.state(replica) == "up" else None

    answers = zip(replicas, in_parallel(status, replicas), strict=True)
    return {replica: answer for replica, answer in answers if answer is not None}


def _choose_by_role(target: str, cluster: Cluster, chance: random.Random) -> Hit:
    statuses = ask(cluster, cluster.replicas)
    roles = _roles(statuses)
    # Drawn before anything is known, so that what is drawn later does not depend on what the replicas say.
    order = chance.sample(cluster.replicas, len(cluster.replicas))
    in_charge = [replica for replica in order if roles.get(replica) == cluster.chief]
    others = [replica for replica in order if replica not in in_charge]
    fitting = in_charge if target != "follower" else [replica for replica in others if replica in roles]
    if not fitting and target == "follower" and others:
        chosen, note = others[0], "no follower answers, so any replica that doesn't say it is in charge"
    elif not fitting:
        chosen, note = order[0], f"no {target} to be found, so any replica"
    elif target == "follower":
        chosen, note = fitting[0], ""
    else:
        chosen = max(fitting, key=lambda replica: term_order(statuses[replica].get("term")))
        claims = ", ".join(f"{replica} (term {statuses[replica].get('term')})" for replica in sorted(fitting))
        note = f"{len(fitting)} said they were the {target}: {claims}" if len(fitting) > 1 else ""
    return Hit((chosen,), {chosen: roles[chosen]} if chosen in roles else {}, note)


def _roles(statuses: dict[str, Status]) -> dict[str, str]:
    return {replica: str(status["role"]) for replica, status in statuses.items() if status.get("role")}


def term_order(term: object) -> tuple[int, ...]:
    """Terms are written for people (`7`, `3.n2`, `(3, n2)`): compared by the numbers in them, from left to right."""
    return tuple(int(digits) for digits in re.findall(r"\d+", str(term)))


def _span(replicas: Sequence[str]) -> str:
    return replicas[0] if len(replicas) == 1 else f"{replicas[0]} to {replicas[-1]}"
