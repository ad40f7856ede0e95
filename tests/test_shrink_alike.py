"""Shrinking beyond what can be left out: other small runs, and scripts that are shaken."""

from __future__ import annotations

import dataclasses
import io
import random

import pytest
from rich.console import Console

from harness.checkers.inside import INSIDE
from harness.explore.trial import Kind, Seen, judged
from harness.history import FINAL_READS
from harness.shrink import seeker as seeker_module
from harness.shrink import shrink as shrink_module
from harness.shrink.alike import alike
from harness.shrink.command import _print_sizes
from harness.shrink.parts import among, since, swapped
from harness.shrink.script import scripted
from harness.shrink.seeker import MOST_FAULTS, MOST_OPERATIONS, Budget, Seeker, shows
from harness.shrink.shaken import shaken
from harness.shrink.shrink import NotShown, Shrunk, Size, shrink
from harness.simulation.simulate import simulate
from harness.spec import (
    Choice,
    ClientsSpec,
    NemesisSpec,
    ProtocolSpec,
    RunSpec,
    ScriptedFault,
    ScriptedOperation,
    ScriptSpec,
    SimulationSpec,
    Stream,
)
from node.protocols import PROTOCOLS
from tests.test_shrink import spec

CALM = spec(1, nemesis=NemesisSpec(), simulation=SimulationSpec(liveness_seconds=0), duration_seconds=0.5)

# Small runs that are alike


def test_a_run_that_is_alike_is_made_of_the_same_and_small() -> None:
    large = spec(7, replicas=5)
    pool = {(one.fault, str(one.options)) for stream in large.nemesis.streams for one in stream.choices}
    longest = {one.fault: one.for_seconds for stream in large.nemesis.streams for one in stream.choices}
    for number in range(300):
        small = alike(large, number)
        RunSpec.model_validate(small.model_dump())
        choices = [one for stream in small.nemesis.streams for one in stream.choices]
        assert {(one.fault, str(one.options)) for one in choices} <= pool, number
        assert all(one.for_seconds <= longest[one.fault] for one in choices), number
        assert small.simulation.model_copy(update={"liveness_seconds": 0}) in (
            SimulationSpec(liveness_seconds=0),
            large.simulation.model_copy(update={"liveness_seconds": 0}),
        )
        assert small.protocol.flaws == large.protocol.flaws and small.machine == large.machine
        assert small.duration_seconds <= large.duration_seconds and small.replicas in (3, 5) and small.script is None
        assert 2 <= small.clients.processes <= large.clients.processes
        assert small.clients.rate_per_second * small.duration_seconds <= 20.1


def test_runs_that_are_alike_follow_from_the_run_and_their_number() -> None:
    large = spec(7)
    assert alike(large, 3) == alike(large, 3) != alike(large, 4)
    assert alike(large, 3).seed != alike(spec(8), 3).seed


def test_a_run_that_is_alike_has_as_many_replicas_as_are_asked_for() -> None:
    assert {alike(spec(7, replicas=5), number, least_replicas=4).replicas for number in range(50)} == {4, 5}
    assert {alike(spec(7, replicas=2), number).replicas for number in range(50)} == {2}


def test_clients_that_stay_are_as_many_as_the_replicas() -> None:
    pinned = spec(7, replicas=5, clients=ClientsSpec(processes=6, rate_per_second=50, mode="pinned"))
    for number in range(50):
        small = alike(pinned, number)
        assert small.clients.processes >= small.replicas


# Scripts that are shaken


def operation(at: float, process: int = 0) -> ScriptedOperation:
    return ScriptedOperation(at_seconds=at, process=process, replica="n1", f="write", key="k", value=at)


def kill(at: float, until: float) -> ScriptedFault:
    return ScriptedFault(fault="kill", options={"target": "n1"}, at_seconds=at, until_seconds=until)


SCRIPT = ScriptSpec(
    operations=[operation(0.5), operation(1.0), operation(2.0)],
    faults=[kill(0.2, 0.6), kill(0.9, 1.4), kill(1.8, 2.2)],
    messages={"n1->n2 accept @0.500000": "lost", "n1->n2 accept @1.500000": "lost", "n1->n2 accept 3": "lost"},
)


@pytest.mark.parametrize("fewer_faults", [False, True])
def test_what_is_shaken_has_less_and_nothing_else(fewer_faults: bool) -> None:
    whole = spec(1, nemesis={"name": "script"}, script=SCRIPT)
    assert whole.script is not None
    dice, moved, reseeded = random.Random("shaken"), 0, 0
    for _ in range(300):
        less = shaken(whole, dice, fewer_faults)
        assert less.script is not None
        operations, faults = len(less.script.operations), len(less.script.faults)
        assert (faults in (1, 2) and operations == 3) if fewer_faults else (operations in (1, 2) and faults == 3)
        values = [one.value for one in whole.script.operations]
        assert all(one.value in values for one in less.script.operations)
        assert all(0 <= one.at_seconds <= one.until_seconds for one in less.script.faults)
        RunSpec.model_validate(less.model_dump())
        moved += any(one not in whole.script.faults for one in less.script.faults)
        reseeded += less.seed != whole.seed
    assert 100 < moved < 290 and 50 < reseeded < 290


def test_a_later_beginning_keeps_what_happens_from_then_on() -> None:
    late = since(SCRIPT, 1.0)
    assert [one.at_seconds for one in late.operations] == [0.0, 1.0]
    assert [(one.at_seconds, one.until_seconds) for one in late.faults] == [(0.0, 0.4), (0.8, 1.2)]
    assert list(late.messages.values()) == ["lost"] and next(iter(late.messages)).startswith("n1->n2 accept @0.4999")


def test_replicas_change_places() -> None:
    other = swapped(SCRIPT, "n1", "n2")
    assert {one.replica for one in other.operations} == {one.options["target"] for one in other.faults} == {"n2"}
    assert list(other.messages)[-1] == "n2->n1 accept 3"
    assert swapped(other, "n2", "n1") == SCRIPT and swapped(SCRIPT, "n2", "n3") != SCRIPT
    everybody = SCRIPT.model_copy(update={"faults": [kill(0.2, 0.6).model_copy(update={"options": {"target": "all"}})]})
    assert swapped(everybody, "n1", "n2").faults == everybody.faults


def test_a_script_for_fewer_replicas_knows_no_others() -> None:
    few = among(swapped(SCRIPT, "n1", "n3"), 2)
    assert {one.replica for one in few.operations} == {"n1"} and few.faults == [] and few.messages == {}
    assert among(SCRIPT, 2) == SCRIPT


def test_a_run_begins_with_somebody_else_in_charge_if_that_shows_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """n2 leads when it is cut off, since n1 was killed before; n1, which leads at first, may be cut off as well."""
    monkeypatch.setattr(seeker_module, "MOST_FAULTS", 0)
    asked = [("write", 0, "n1", 0.3), ("write", 0, "n2", 2.0), ("read", 1, "n3", 4.5), ("read", 1, "n1", 5.0)]
    operations = [
        ScriptedOperation(
            at_seconds=at, process=process, replica=replica, f=f, key="k", value=at if f == "write" else None
        )
        for f, process, replica, at in asked
    ]
    cut = ScriptedFault(
        fault="partition", options={"shape": "isolate", "target": "n2"}, at_seconds=1.9, until_seconds=5.5
    )
    faults = [kill(0.5, 2.3), cut]
    script = ScriptSpec(operations=operations, faults=faults)
    both = spec(
        1,
        "replies-before-commit",
        nemesis=NemesisSpec(),
        simulation=CALM.simulation,
        script=script,
        duration_seconds=6.0,
    )
    found = next(one for one in judged(both, simulate(both))[0] if one.kind.checker == "linearizable")
    seeker = Seeker(both, found, Budget(600, 60, lambda: False))
    seeker._begin_at_an_event()
    script = seeker.best.script
    assert script is not None and script.faults[-1].options == {"shape": "isolate", "target": "n1"}
    assert seeker.best.duration_seconds < 4.5 and shows(seeker.best, found.kind)


# The search


def test_what_is_asked_at_the_end_is_asked_again_by_a_script_of_clients_that_stay() -> None:
    """Whoever asks at the end follows the leader, and who plays the script does not."""
    drawn = spec(3, protocol="raft", clients=ClientsSpec(processes=4, rate_per_second=30, mode="pinned"))
    drawn = drawn.model_copy(update={"duration_seconds": 3.0})
    simulated = simulate(drawn, trace=True)
    begin = next(event["time"] for event in simulated.events if event.get("value") == FINAL_READS)

    def answered(events: list) -> dict:
        late = [event for event in events if event["time"] >= begin and event["type"] == "ok" and event["f"] == "read"]
        return {(event["process"], event["key"]): event.get("result") for event in late}

    asked = answered(simulated.events)
    assert len(asked) >= 5 and asked.items() <= answered(simulate(scripted(drawn, simulated)).events).items()


def test_a_law_that_is_not_the_first_to_be_broken_is_kept() -> None:
    """Then a run must not end with the first one."""
    drawn = spec(9, "same-ballot-twice", duration_seconds=2.5)
    seen = [one.kind for one in judged(drawn, simulate(drawn))[0] if one.kind.checker == "invariants"]
    assert len(seen) >= 2, seen
    shrunk = shrink(drawn, seen[-1], limit_seconds=600, most_attempts=30)
    assert shrunk.finding.kind == seen[-1] and shrunk.after.operations < shrunk.before.operations / 2


def test_a_run_that_can_not_be_written_down_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, kind = spec(1, "majority-off-by-one"), None
    monkeypatch.setattr(shrink_module, "_kept", lambda script, found: None)
    shrunk = shrink(drawn, kind, limit_seconds=600, most_attempts=300)
    assert shrunk.replaced and shrunk.spec.seed != drawn.seed and shrunk.after.operations <= MOST_OPERATIONS
    assert shrunk.finding.kind in [one.kind for one in judged(shrunk.spec, simulate(shrunk.spec))[0]]
    with pytest.raises(NotShown, match="written down"):
        shrink(drawn, kind, limit_seconds=600, most_attempts=0)


def test_that_another_run_is_what_is_left_is_told() -> None:
    size = Size(3, 1, 0, 3, 1.0)
    own = Shrunk(spec(1), Seen(Kind("linearizable", "lost write"), "gone"), simulate(CALM), size, size, 7, True)
    for replaced in (False, True):
        out = Console(file=io.StringIO(), width=200)
        _print_sizes(out, dataclasses.replace(own, replaced=replaced))
        assert isinstance(out.file, io.StringIO)
        assert ("of a smaller one, drawn from the same faults (seed 1)" in out.file.getvalue()) == replaced


def test_a_budget_is_used_up_by_attempts_and_in_shares() -> None:
    budget = Budget(600, 10, lambda: False)
    assert not budget.over()
    budget.attempts = 5
    assert budget.over(0.5) and not budget.over()
    budget.attempts = 10
    assert budget.over()
    assert Budget(600, None, lambda: True).over() and not Budget(600, None, lambda: False).over()


def test_to_shake_never_loses_the_finding() -> None:
    drawn = spec(1, "majority-off-by-one")
    shrunk = shrink(drawn, limit_seconds=600, most_attempts=25)
    seeker = Seeker(shrunk.spec, shrunk.finding, Budget(600, 40, lambda: False))
    while not seeker._over():
        before = seeker.best
        assert seeker.shake() == (seeker.best is not before)
    assert shrunk.finding.kind in [one.kind for one in judged(seeker.best, simulate(seeker.best))[0]]


# Flaws of which more remained once


@pytest.mark.slow
@pytest.mark.timeout(900)  # counted in attempts, of which thousands may be needed: a busy machine takes its time
@pytest.mark.parametrize(
    ("protocol", "flaw", "options"),
    [
        ("multi-paxos", "snapshot-without-clients", {"snapshot_every": 20}),
        ("raft", "snapshot-without-clients", {"snapshot_every": 5}),
        ("raft", "no-log-matching", {}),
        ("raft", "short-log-wins", {}),
        ("raft", "stale-reads", {}),
        ("paxos", "accepted-not-persisted", {}),
        ("read-only-replicas", "copies-skip-gaps", {}),
    ],
)
def test_what_was_too_large_shrinks_to_a_story(protocol: str, flaw: str, options: dict) -> None:
    drawn, kind = found(protocol, flaw, options)
    shrunk = shrink(drawn, kind, limit_seconds=600, most_attempts=4_000)
    assert shrunk.after.operations <= MOST_OPERATIONS and shrunk.after.faults <= MOST_FAULTS, shrunk.after
    assert kind in [one.kind for one in judged(shrunk.spec, simulate(shrunk.spec))[0]]


def found(protocol: str, flaw: str, options: dict) -> tuple[RunSpec, Kind]:
    """The first run of a storm that shows the flaw, and what it shows; what clients see comes first."""
    more: dict[str, object] = {}
    if protocol == "read-only-replicas":
        more = {"workload": {"name": "register", "options": {"cas": 0}}, "checks": {"checkers": ["invariants"]}}
    if protocol == "paxos":
        more = {"workload": {"name": "once"}, "machine": "register"}
    if PROTOCOLS[protocol].chief != "leader":
        cut = Choice(fault="partition", options={"shape": "isolate", "target": "one"}, for_seconds=1.5)
        crash = Choice(fault="kill", options={"target": "one"}, for_seconds=0.5)
        streams = [Stream(choices=[one], every_seconds=1.0) for one in (cut, crash)]
        more["nemesis"] = NemesisSpec(name="storm", streams=streams)
    for seed in range(1, 600):
        one = spec(seed, flaw, protocol, **more)
        one = one.model_copy(update={"protocol": ProtocolSpec(name=protocol, flaws=[flaw], options=options)})
        seen = judged(one, simulate(one, statuses=False))[0]
        if seen:
            return one, min(seen, key=lambda finding: finding.kind.checker in INSIDE).kind
    raise AssertionError(f"{protocol} {flaw} was not found")
