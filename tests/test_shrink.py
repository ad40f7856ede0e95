"""Shrinking: what is left out, what is kept, and that planted bugs become small stories."""

from __future__ import annotations

import functools
import io
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from harness.cli import main
from harness.explore.trial import Kind, judged
from harness.history import read_history
from harness.replay import replay_spec
from harness.shrink.command import lines_of
from harness.shrink.minimize import minimize
from harness.shrink.script import scripted
from harness.shrink.shrink import NotShown, Shrunk, Size, shrink
from harness.shrink.story import story
from harness.simulation.simulate import simulate
from harness.spec import (
    Choice,
    ClientsSpec,
    Named,
    NemesisSpec,
    ProtocolSpec,
    RunSpec,
    ScriptedFault,
    ScriptSpec,
    SimulationSpec,
    Stream,
)
from harness.terminal import print_verdict
from node.protocol import Protocol
from node.protocols import PROTOCOLS
from node.protocols.multi_paxos import MultiPaxos
from node.words import message_words
from tests.test_simulate import Sulks, spec_of_alone

MOST_ATTEMPTS = 400


def spec(seed: int, flaw: str | None = None, protocol: str = "multi-paxos", **more: object) -> RunSpec:
    """Kills, pauses, lonely leaders and rough weather for ten seconds."""

    def stream(fault: str, every: float, **options: object) -> Stream:
        return Stream(choices=[Choice(fault=fault, options=options, for_seconds=1.5)], every_seconds=every)

    chief = "primary" if protocol == "primary-backup" else "leader"
    streams = [
        stream("kill", 2.0, target="one"),
        stream("pause", 3.0, target=chief),
        stream("partition", 3.0, shape="isolate", target=chief),
    ]
    values = {
        "campaign": "test",
        "cell": "test",
        "seed": seed,
        "cluster": "simulated",
        "replicas": 3,
        "protocol": ProtocolSpec(name=protocol, flaws=[flaw] if flaw else []),
        "machine": "kv",
        "workload": Named(name="register"),
        "nemesis": NemesisSpec(name="storm", streams=streams),
        "clients": ClientsSpec(processes=6, rate_per_second=50),
        "duration_seconds": 6.0,
        "simulation": SimulationSpec(lost=0.02, duplicated=0.02, late=0.02),
        "minimum_operations": 0,
    }
    return RunSpec.model_validate({**values, **more})


@functools.cache
def first_finding(flaw: str, seeds: int) -> tuple[RunSpec, Kind]:
    for seed in range(seeds):
        one = spec(seed, flaw)
        found = judged(one, simulate(one, statuses=False, stop_at_broken=True))[0]
        if found:
            return one, found[0].kind
    raise AssertionError(f"{flaw} was not found in {seeds} runs")


# Leaving things out


def test_what_is_left_is_needed_and_enough() -> None:
    chance = random.Random("minimize")
    for _ in range(300):
        items = list(range(chance.randint(0, 30)))
        needed = set(chance.sample(items, chance.randint(0, min(4, len(items)))))
        assert minimize(items, lambda part, needed=needed: needed <= set(part)) == sorted(needed)


def test_what_is_needed_may_depend_on_each_other() -> None:
    """Either of two pairs will do; and no single item can be left out of what remains."""

    def still(part: list[int]) -> bool:
        return {3, 17} <= set(part) or {5, 6} <= set(part)

    assert minimize(list(range(20)), still) in ([3, 17], [5, 6])


def test_nothing_is_left_of_what_nobody_needs() -> None:
    assert minimize([1, 2, 3], lambda part: True) == []


# Scripts


@pytest.mark.parametrize("protocol", ["multi-paxos", "primary-backup", "raft"])
def test_a_script_is_the_run_that_it_was_taken_from(protocol: str) -> None:
    """Up to the phases that a script doesn't have: healing, recovery and the last reads."""
    drawn = spec(11, protocol=protocol, duration_seconds=4.5)
    simulated = simulate(drawn, trace=True)
    again = simulate(scripted(drawn, simulated))
    end = drawn.duration_seconds * 1e9

    def seen_by_clients(events: list) -> list:
        return [
            {name: value for name, value in event.items() if name != "index"}
            for event in events
            if isinstance(event["process"], int) and event["time"] < end
        ]

    assert seen_by_clients(again.events) == seen_by_clients(simulated.events)
    assert len(seen_by_clients(again.events)) > 150


def test_what_faults_do_to_messages_is_in_the_script_to_the_nanosecond() -> None:
    def stream(fault: str, **options: object) -> Stream:
        return Stream(choices=[Choice(fault=fault, options=options, for_seconds=1.0)], every_seconds=1.5)

    streams = [stream("reorder", late_ms=700), stream("duplicate", within_ms=40), stream("disk-slow", target="all")]
    drawn = spec(4, nemesis=NemesisSpec(name="rough", streams=streams), duration_seconds=5.0)
    simulated = simulate(drawn, trace=True)
    script = scripted(drawn, simulated)
    assert script.script is not None and any(fate.startswith("late ") for fate in script.script.messages.values())
    again = simulate(script, trace=True)

    def arrivals(steps: list | None) -> list:
        return [(step["time"], step["key"]) for step in steps or [] if step["what"] == "deliver" and step["time"] < 5e9]

    assert arrivals(again.trace) == arrivals(simulated.trace)


def test_a_script_names_whom_its_faults_hit() -> None:
    drawn = spec(3)
    script = scripted(drawn, simulate(drawn, trace=True)).script
    assert script is not None and script.faults
    assert all(re.fullmatch(r"n[1-3]", one.options["target"]) for one in script.faults)
    assert any("@" in name for name in script.messages)


def test_a_script_survives_being_saved(tmp_path: Path) -> None:
    drawn = spec(3)
    script = scripted(drawn, simulate(drawn, trace=True))
    script.save(tmp_path / "run.yaml")
    assert replay_spec(tmp_path) == script


def test_where_nobody_asks_nobody_is_stuck() -> None:
    stuck = spec_of_alone(Sulks, simulation={"liveness_seconds": 5})
    simulated = simulate(stuck, trace=True)
    assert simulated.stalled is not None
    script = scripted(stuck, simulated)
    assert simulate(script).stalled == simulated.stalled
    assert script.script is not None
    silent = script.model_copy(update={"script": script.script.model_copy(update={"operations": []})})
    assert simulate(silent).stalled is None


# What is tried


CALM = SimulationSpec(liveness_seconds=0)


def cut_off(options: dict[str, object], begin: float) -> ScriptedFault:
    return ScriptedFault(fault="partition", options=options, at_seconds=begin, until_seconds=3.5)


def scripted_bug(faults: list[ScriptedFault], messages: dict[str, str]) -> RunSpec:
    """A leader who answers before anybody else has heard of it, and somebody who asks the next one."""
    asked = [("write", 0, "n1", 0.5), ("write", 0, "n1", 1.0), ("read", 1, "n2", 2.5), ("read", 1, "n2", 3.0)]
    operations = [
        {
            "at_seconds": at,
            "process": process,
            "replica": replica,
            "f": f,
            "key": "k",
            "value": at if f == "write" else None,
        }
        for f, process, replica, at in asked
    ]
    script = ScriptSpec.model_validate({"operations": operations, "faults": faults, "messages": messages})
    return spec(1, "replies-before-commit", nemesis=NemesisSpec(), simulation=CALM, script=script, duration_seconds=4.0)


def shrunk_for_clients(one: RunSpec) -> Shrunk:
    """Kept is what clients can see."""
    seen = judged(one, simulate(one))[0]
    kind = next(found.kind for found in seen if found.kind.checker == "linearizable")
    return shrink(one, kind, limit_seconds=600, most_attempts=90, least_replicas=3)


@pytest.mark.slow
def test_instead_of_message_after_message_a_replica_is_cut_off() -> None:
    lost = {
        f"n1->{peer} {kind} @{at}": "lost" for peer in ("n2", "n3") for kind in ("accept", "heartbeat") for at in _EVERY
    }
    shrunk = shrunk_for_clients(scripted_bug([], lost))
    assert shrunk.before.messages == len(lost)
    assert (shrunk.after.messages, shrunk.after.faults, shrunk.after.replicas) == (0, 1, 3), shrunk.after
    (fault,) = shrunk.spec.script.faults if shrunk.spec.script else []
    assert fault.options["target"] == "n1"


_EVERY = [round(0.9 + 0.05 * number, 2) for number in range(20)]


@pytest.mark.slow
def test_one_long_fault_is_preferred_to_several_short_ones() -> None:
    alone: dict[str, object] = {"shape": "isolate", "target": "n1"}
    cuts = [cut_off(alone, 0.8).model_copy(update={"until_seconds": 1.2}), cut_off(alone, 1.2)]
    shrunk = shrunk_for_clients(scripted_bug(cuts, {}))
    assert (shrunk.before.faults, shrunk.after.faults) == (2, 1)


@pytest.mark.slow
def test_a_plainer_fault_is_preferred() -> None:
    halves = cut_off({"shape": "halves"}, 0.8)
    shrunk = shrunk_for_clients(scripted_bug([halves], {}))
    (fault,) = shrunk.spec.script.faults if shrunk.spec.script else []
    assert fault.fault in ("kill", "pause") or fault.options == {"shape": "isolate", "target": "n1"}


@pytest.mark.slow
def test_the_protocols_own_times_are_preferred() -> None:
    hasty = scripted_bug([cut_off({"shape": "isolate", "target": "n1"}, 0.8)], {})
    options = {"heartbeat_seconds": 0.05, "suspect_seconds": 0.25, "window": 1}
    hasty = hasty.model_copy(update={"protocol": hasty.protocol.model_copy(update={"options": options})})
    shrunk = shrunk_for_clients(hasty)
    defaults = MultiPaxos.Options().model_dump()
    assert {name: shrunk.spec.protocol.options[name] for name in options} == {name: defaults[name] for name in options}


# Stories


def told(*steps: dict[str, object]) -> list[str]:
    usual = {"time": 1, "replica": "n1"}
    return [line.text for line in story([{**usual, **step} for step in steps], [], MultiPaxos)]


PREPARE = {"type": "prepare", "ballot": [3, 1]}
ASK = {"what": "request", "client": "p0", "sequence": 0, "operation": {"f": "read", "key": "k", "value": None}}


def test_a_story_says_who_did_what() -> None:
    accept = {
        "type": "accept",
        "ballot": [3, 1],
        "entries": [[7, [["p3", 0, {"f": "write", "key": "k", "value": 17}]]]],
    }
    lines = told(
        {"what": "send", "peer": "n2", "key": "a", "message": accept},
        {"what": "send", "peer": "n3", "key": "b", "message": accept, "fate": "lost"},
        {"what": "send", "peer": "n3", "key": "c", "message": {"type": "heartbeat"}},
        {"what": "send", "peer": "n3", "key": "d", "message": PREPARE, "fate": "late", "late_ns": 731_500_000},
        {"what": "send", "peer": "n2", "key": "e", "message": PREPARE, "fate": "duplicated", "late_ns": 20_000_000},
        {"what": "pause"},
    )
    assert lines == [
        "n1 -> n2 n3: accept: slot 7 is p3's write k 17 (ballot 3.1); lost on the way to n3",
        "n1 -> n3 n2: prepare ballot 3.1; 732 ms late at n3; again at n2 20 ms later",
        "n1 stands still",
    ]


def test_an_answer_says_to_what_and_only_the_first_one_is_heard() -> None:
    answer = {"what": "reply", "client": "p0", "sequence": 0, "outcome": {"type": "ok", "result": None}}
    assert told(ASK, answer, answer) == ["p0 asks n1: read k", "n1 answers p0's read k: ok, null"]


def test_replicas_that_write_the_same_do_so_in_one_line() -> None:
    writes = [
        {"what": "append", "replica": name, "record": {"type": "promise", "ballot": [3, 1]}} for name in ("n2", "n3")
    ]
    assert told(*writes, ASK) == ["n2 n3 write down: promise ballot 3.1", "p0 asks n1: read k"]
    assert told(writes[0], ASK, writes[1])[::2] == [
        "n2 writes down: promise ballot 3.1",
        "n3 writes down: promise ballot 3.1",
    ]


def test_what_is_repeated_is_counted_until_something_else_happens() -> None:
    again = [{"what": "send", "time": time, "peer": "n2", "key": str(time), "message": PREPARE} for time in range(5)]
    line = "n1 -> n2: prepare ballot 3.1"
    lines = told(*again[:3], {**ASK, "time": 3}, *again[3:])
    assert lines == [f"{line} [3 times]", "p0 asks n1: read k", f"{line} [2 times]"]


@pytest.mark.parametrize("protocol", ["multi-paxos", "primary-backup", "raft", "two-phase-commit"])
def test_every_message_has_a_phrase(protocol: str) -> None:
    """And none of what happens in a rough run says it in another form than the phrase knows."""
    kind: type[Protocol] = PROTOCOLS[protocol]
    steps = simulate(spec(5, protocol=protocol, duration_seconds=5.0), trace=True).trace or []
    said = [step["message"] for step in steps if step["what"] == "send" and "type" in step["message"]]
    said = [one for one in said if one["type"] not in kind.background and one["type"] not in ("ok", "fail", "info")]
    said += [step["record"] for step in steps if step["what"] == "append"]
    for one in said:
        assert kind.words(one) != message_words(one), one
    assert len({one["type"] for one in said}) >= 3


# Shrinking planted bugs


@pytest.mark.parametrize(
    "flaw",
    [
        "majority-off-by-one",
        pytest.param("promise-not-persisted", marks=pytest.mark.slow),
        pytest.param("new-leader-ignores-accepted", marks=pytest.mark.slow),
        pytest.param("replies-before-sync", marks=pytest.mark.slow),
        pytest.param("retries-applied-twice", marks=pytest.mark.slow),
    ],
)
def test_a_planted_bug_shrinks_to_a_few_faults_and_operations(flaw: str) -> None:
    drawn, kind = first_finding(flaw, seeds=60)
    shrunk = shrink(drawn, kind, limit_seconds=600, most_attempts=MOST_ATTEMPTS)
    assert shrunk.finding.kind == kind
    assert shrunk.after.faults <= 5 and shrunk.after.operations <= 12, shrunk.after
    assert shrunk.after.seconds < drawn.duration_seconds
    again = judged(shrunk.spec, simulate(shrunk.spec))[0]
    assert kind in [one.kind for one in again], "what is saved does not show it"
    told = [line.text for line in lines_of(shrunk)]
    assert told and not any("heartbeat" in text for text in told)


def test_it_stops_when_it_is_told_to() -> None:
    drawn, kind = first_finding("majority-off-by-one", seeds=60)
    shrunk = shrink(drawn, kind, cancelled=lambda: True)
    assert shrunk.attempts == 0 and not shrunk.minimal and shrunk.after == shrunk.before


def test_a_run_without_a_finding_is_not_shrunk() -> None:
    calm = spec(1, nemesis=NemesisSpec(), simulation=SimulationSpec(), duration_seconds=2.0)
    with pytest.raises(NotShown, match="no finding"):
        shrink(calm)


def test_sizes_are_those_of_the_script() -> None:
    assert Size.of(spec(1).model_copy(update={"script": ScriptSpec()})) == Size(0, 0, 0, 3, 6.0)


# The command


def test_the_command_tells_the_story_and_saves_a_run_that_repeats_it(tmp_path: Path) -> None:
    drawn, kind = first_finding("majority-off-by-one", seeds=60)
    folder = tmp_path / "run"
    folder.mkdir()
    drawn.save(folder / "run.yaml")
    command = ["shrink", str(folder), "--results", str(tmp_path), "--kind", kind.anomaly, "--time-limit", "0.5"]
    outcome = CliRunner().invoke(main, command)
    assert outcome.exit_code == 0, outcome.output
    assert "operations" in outcome.output and "rashomon replay" in outcome.output
    (shrunk,) = tmp_path.glob("test/*-shrunk")
    assert kind.anomaly in (shrunk / "results.json").read_text("utf-8")
    assert (shrunk / "report.html").is_file()
    assert "asks" in (shrunk / "story.txt").read_text("utf-8")
    again = CliRunner().invoke(main, ["replay", str(shrunk), "--results", str(tmp_path)])
    assert "byte-identical" in again.output, again.output
    assert list(read_history(shrunk / "history.jsonl"))


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"cluster": "local"}, [], "only simulated runs are exact enough to be shrunk"),
        (
            {"nemesis": NemesisSpec(), "simulation": SimulationSpec(), "duration_seconds": 1.0},
            [],
            "the run has no finding",
        ),
    ],
)
def test_what_can_not_be_shrunk_is_told_in_a_sentence(
    tmp_path: Path, changes: dict, arguments: list[str], said: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    spec(1, **changes).save(folder / "run.yaml")
    outcome = CliRunner().invoke(main, ["shrink", str(folder), *arguments])
    assert outcome.exit_code == 3 and said in outcome.output


@pytest.mark.parametrize(
    ("cluster", "cell", "told"),
    [("simulated", "a", ["repeat", "shrink"]), ("simulated", "a shrunk", ["repeat"]), ("local", "a", ["repeat"])],
)
def test_a_run_with_a_finding_says_how_to_go_on(cluster: str, cell: str, told: list[str]) -> None:
    result = {"verdict": "violation", "as_expected": True, "findings_total": 1, "notes": [], "cell": cell}
    result |= {"checks": [{"findings": [{"anomaly": "lost write", "sentence": "gone"}]}], "cluster": cluster}
    out = Console(file=io.StringIO(), width=100)
    print_verdict(out, result, Path("results/a b"))
    assert isinstance(out.file, io.StringIO)
    commands = {"repeat": "rashomon replay 'results/a b'", "shrink": "rashomon shrink 'results/a b'"}
    said = [name for name, command in commands.items() if f"{name}: {command}\n" in out.file.getvalue()]
    assert said == told


def test_a_kind_that_the_run_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    drawn, _ = first_finding("majority-off-by-one", seeds=60)
    folder = tmp_path / "run"
    folder.mkdir()
    drawn.save(folder / "run.yaml")
    outcome = CliRunner().invoke(main, ["shrink", str(folder), "--kind", "purple"])
    assert outcome.exit_code == 3 and "purple" in outcome.output
