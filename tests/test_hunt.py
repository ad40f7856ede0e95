"""The hunt: what is hunted and where, what its table says, and what an operation costs. Most runs are made up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.errors import BadInput
from harness.explore.explore import Budget, Found
from harness.explore.swarm import draw
from harness.explore.trial import Kind, Task, Trial
from harness.hunt import cli as hunt_cli
from harness.hunt import gallery, table
from harness.hunt.catalogue import Case, cases, fit_faults, place, promises, survived
from harness.hunt.command import hunt_simulated, rows_of
from harness.hunt.cost import Cost, formula, lines
from harness.hunt.docstrings import parse
from harness.hunt.hunt import Hunt, attempt
from harness.hunt.listing import in_words
from harness.hunt.proof import Proof, Question, prove
from harness.hunt.real import real_cases
from harness.hunt.table import (
    FALSE_ALARM,
    FOUND,
    IN_PEACE,
    NOT_FOUND,
    UNKNOWN,
    Row,
    Summary,
    as_markdown,
    as_text,
    exit_code,
    read,
    write,
)
from harness.spec import Named, RunSpec
from node.flaws import all_flaws, flaws_of
from node.protocols import PROTOCOLS
from tests.support import fake_trials
from tests.support.fake_trials import STALE, Scrambled


def rashomon(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def case_of(protocol: str, name: str) -> Case:
    (case,) = [case for case in cases([protocol]) if case.name == name]
    return case


# ---- what is hunted


def test_every_flaw_of_every_protocol_is_hunted() -> None:
    hunted = {(case.protocol, case.name) for case in cases() if case.sort in ("flaw", "harmless")}
    assert hunted == {(protocol, name) for protocol in PROTOCOLS for name in flaws_of(protocol)}


def test_every_protocol_says_what_it_promises_and_is_held_to_it() -> None:
    assert {cell.protocol.name for cell in promises()} == set(PROTOCOLS)
    correct = {case.protocol: case for case in cases() if case.sort == "correct"}
    assert all(not case.to_be_found and case.spec.expect == "valid" for case in correct.values())


def test_a_flaw_is_hunted_where_the_protocol_promises_to_be_right() -> None:
    flawed, right = case_of("primary-backup", "no-idempotence"), case_of("primary-backup", "")
    assert flawed.spec.protocol.flaws == ["no-idempotence"]
    assert flawed.spec.nemesis == right.spec.nemesis and flawed.spec.explore == right.spec.explore
    assert flawed.to_be_found and flawed.spec.expect == "violation"
    assert flawed.title == "primary-backup no-idempotence"


def test_runs_with_an_odd_seed_have_only_the_faults_that_bring_the_flaw_out() -> None:
    cell = case_of("raft", "no-log-matching").spec
    faults = [choice.fault for stream in place(cell, 7).nemesis.streams for choice in stream.choices]
    assert sorted(faults) == ["kill", "partition"]
    assert place(cell, 8) == cell
    quiet = case_of("paxos", "local-reads").spec
    assert fit_faults(quiet) == quiet  # load alone brings it out: nothing is in the way
    right = case_of("raft", "").spec
    assert place(right, 7) == right


def test_options_with_which_a_flaw_shows_sooner_are_set_and_times_far_apart_are_not_stretched() -> None:
    case = case_of("raft", "votes-twice")
    assert case.spec.protocol.options["election_seconds"] == 0.11
    assert case.spec.explore is not None and not case.spec.explore.tempo
    for seed in range(30):
        PROTOCOLS["raft"].Options.model_validate(draw(case.spec, seed).protocol.options)


def test_what_a_correct_protocol_survives_is_not_to_be_found() -> None:
    harmless = {name for _, name, flaw in all_flaws() if flaw.harmless}
    sorts = {(case.protocol, case.name): case.sort for case in cases() if case.name}
    assert {sorts[protocol, name] for protocol in PROTOCOLS for name in harmless} == {"harmless"}
    assert sorts["paxos", "retried-under-new-name"] == "harmless"
    assert sorts["raft", "retried-under-new-name"] == "flaw"


def test_a_hunt_of_some_protocols_and_flaws_has_no_others() -> None:
    few = cases(["raft", "paxos"], ["majority-off-by-one"])
    assert [case.title for case in few] == ["raft majority-off-by-one", "paxos majority-off-by-one"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--protocol", "raaft"], "unknown protocol 'raaft': did you mean 'raft'?"),
        (["--flaw", "votes-twise"], "unknown flaw 'votes-twise': did you mean 'votes-twice'?"),
        (["--protocol", "paxos", "--flaw", "votes-twice"], "unknown flaw of paxos 'votes-twice'"),
        (["--runs", "0"], "0 is not in the range"),
        (["--minutes", "nan"], "nan is not a number of minutes"),
        (["--cluster", "local", "--shrink"], "are for simulated runs"),
        (["--cluster", "local", "--flaw", "votes-twice"], "nothing to hunt on the cluster 'local'"),
    ],
)
def test_a_hunt_that_cannot_be_meant_is_one_sentence_and_code_3(arguments: list[str], sentence: str) -> None:
    told = rashomon("hunt", *arguments)
    assert told.exit_code == 3, told.output
    assert sentence in " ".join(told.output.split())
    assert told.output.count("\n") == 1


def test_a_dry_run_lists_the_cases() -> None:
    told = rashomon("hunt", "--protocol", "raft", "--dry-run")
    assert told.exit_code == 0
    assert "flaw      raft votes-twice\n" in told.output
    assert "correct   raft\n" in told.output


def test_on_real_replicas_each_protocol_has_a_correct_run_and_a_flaw_that_is_its_own() -> None:
    for cluster in ("local", "docker"):
        real = real_cases([], [], cluster)  # type: ignore[arg-type]
        assert {case.protocol for case in real if case.sort == "correct"} <= set(PROTOCOLS)
        assert all(case.spec.cluster == cluster for case in real)
        for case in real:
            if case.sort == "flaw":
                assert case.name in flaws_of(case.protocol) and case.spec.expect == "violation"


# ---- what becomes of it


def hunted(
    attempt: Callable[[Sequence[RunSpec], Task], Trial], chosen: Sequence[Case], **budget: Any
) -> tuple[Hunt, list[tuple[str, int]]]:
    """A hunt when it is over, without its closer look, and what it told: titles, each with a seed."""
    hunt = Hunt(chosen, Budget(**budget), jobs=3, attempt=attempt, hire=Scrambled)
    told: list[tuple[str, int]] = []

    def on_found(number: int, seed: int, fresh: list[Found]) -> None:
        told.append((hunt.cases[number].title, seed))

    hunt.go(threading.Event(), on_found, lambda: None)
    return hunt, told


def summary_of(rows: Sequence[Row], **more: Any) -> Summary:
    plain = {"started": "2020-01-01T00:00:00+00:00", "cluster": "simulated", "jobs": 2, "interrupted": False}
    return Summary(**{**plain, "seconds": 12.5, "rows": tuple(rows), **more})


RAFT = [case_of("raft", "votes-twice"), case_of("raft", "handled-twice"), case_of("raft", "")]


def test_flaws_are_found_and_who_is_accused_without_one_is_a_false_alarm() -> None:
    hunt, told = hunted(fake_trials.stale_from_12_on, RAFT, runs=200)
    assert sorted(told) == [("raft", 12), ("raft handled-twice", 12), ("raft votes-twice", 12)]
    found, harmless, correct = rows_of(hunt)
    assert (found.outcome, found.seed, found.runs, found.by) == (FOUND, 12, 12, (str(STALE),))
    assert harmless.outcome == correct.outcome == FALSE_ALARM
    assert exit_code(summary_of([found])) == 0
    assert exit_code(summary_of([found, correct])) == 1


def test_flaws_that_nobody_finds_are_told_and_correct_protocols_are_left_in_peace() -> None:
    hunt, told = hunted(fake_trials.all_is_well, RAFT, runs=50)
    missed, harmless, correct = rows_of(hunt)
    assert told == []
    assert (missed.outcome, missed.runs) == (NOT_FOUND, 50)
    assert (harmless.outcome, harmless.runs) == (IN_PEACE, 5)
    assert (correct.outcome, correct.runs) == (IN_PEACE, 50)
    assert exit_code(summary_of([harmless, correct])) == 0
    assert exit_code(summary_of([missed, correct])) == 1
    assert exit_code(summary_of([missed, correct], interrupted=True)) == 130


def test_what_was_never_begun_is_unknown() -> None:
    hunt, _ = hunted(fake_trials.all_is_well, RAFT, runs=50)
    rows = [replace(row, runs=0, verdict="unknown") for row in rows_of(hunt)]
    assert {row.outcome for row in rows} == {UNKNOWN}
    assert exit_code(summary_of(rows)) == 2
    assert table.in_words([replace(rows[0], runs=1)]) == "0 of 1 found, no false alarm; 1 run"


def test_runs_that_fail_and_runs_that_nobody_can_judge_are_neither_peace_nor_findings() -> None:
    hunt, _ = hunted(fake_trials.third_raises, RAFT, runs=7)
    assert exit_code(summary_of(rows_of(hunt))) == 4
    hunt, _ = hunted(fake_trials.third_is_undecided, RAFT[2:], runs=7)
    assert exit_code(summary_of(rows_of(hunt))) == 2


def test_what_is_found_without_the_flaw_as_well_is_no_catch() -> None:
    hunt, _ = hunted(fake_trials.stale_from_12_on, RAFT[:1], runs=20)
    hunt.proofs[0] = Proof(without_flaw="No order explains the operations.", mattered=("kill",))
    (row,) = rows_of(hunt)
    assert row.outcome == FALSE_ALARM and row.sentence == "No order explains the operations."
    assert exit_code(summary_of([row])) == 1


ROWS = [
    Row("raft", "raft", "flaw", "a|b", "violation", 12, 0.5, 12, (str(STALE), "invariants: x"), "It was stale.",
        ("kill", "partition"), 4, 1, 2, True, "results/hunt/a run"),
    Row("raft", "raft", "flaw", "c", "valid", 1000, 80.0, sentence="no finding in 1,000 runs"),
    Row("quorum", "quorum(read_quorum=1)", "limit", "a partition", "violation", 1, 0.1, 1, (str(STALE),), "Stale.", ()),
    Row("raft", "raft", "correct", "", "valid", 1000, 81.0, sentence="no finding in 1,000 runs"),
]  # fmt: skip


def test_the_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    summary = summary_of(ROWS, shrunk=True)
    data, page = write(tmp_path / "new", summary)
    assert read(data) == summary
    assert json.loads(data.read_text())["runs"] == 2013
    assert page.read_text() == as_markdown(summary)


def test_the_table_as_a_page() -> None:
    page = as_markdown(summary_of(ROWS))
    assert "| raft a\\|b | found | linearizable: stale read (+ 1) | 12 | 0.5 | kill, partition |" in page
    assert "4 operations, 1 fault, 2 messages |" in page
    assert "| raft c | not found |  | 1,000 | 80.0 |  |  |" in page
    assert "| quorum(read_quorum=1): a partition | found | linearizable: stale read | 1 | 0.1 | load alone |  |" in page
    assert "| raft | left in peace | 1,000 | 81 |  |" in page
    assert "2 of 3 found, no false alarm in 1,000 runs of what is correct; 2,013 runs in 12 s" in page


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{}]}', as_text(summary_of(ROWS)).replace("flaw", "floor")])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hunt.json").write_text(text)
    with pytest.raises(BadInput, match="is not the table of a hunt"):
        read(tmp_path / "hunt.json")
    with pytest.raises(BadInput, match="cannot read"):
        read(tmp_path / "nothing.json")


def test_rows_of_a_new_hunt_take_the_places_of_the_old_ones() -> None:
    old, new = (Row("raft", "raft", "correct", "", "valid", runs, 1.0, folder="results/x") for runs in (10, 20))
    other = Row("paxos", "paxos", "correct", "", "valid", 30, 1.0)
    gone = Row("raft", "raft", "flaw", "no longer made", "valid", 5, 1.0)
    assert gallery.merged([old, gone], [other, new]) == (replace(new, folder=None), other)


# ---- a hunt that is real

EASY = ("paxos", "same-number-twice")


def test_a_closer_look_tells_what_a_finding_takes() -> None:
    case = case_of("paxos", "sync-skipped")
    seed, found = first_finding(case)
    proof = prove(Question(0, case.spec, seed, found, 0.0))
    assert proof.without_flaw is None
    assert proof.mattered == ("kill",)
    assert proof.size is None


def first_finding(case: Case) -> tuple[int, Kind]:
    for seed in range(1, 50):
        trial = attempt([case.spec], Task(0, seed))
        if trial.findings:
            return seed, trial.findings[0].kind
    pytest.fail(f"{case.title} was not found in 50 runs")


@pytest.mark.slow
def test_a_hunt_from_the_command_line_leaves_table_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunt_cli, "SHRINK_SECONDS", 4.0)
    told = rashomon(
        "hunt", "--protocol", EASY[0], "--flaw", EASY[1], "--runs", 20, "--jobs", 1, "--shrink", "--out", tmp_path
    )
    assert told.exit_code == 0, told.output
    (data,) = tmp_path.glob("hunt/*-hunt/hunt.json")
    (row,) = read(data).rows
    assert (row.name, row.outcome, row.problem) == (EASY[1], FOUND, None)
    assert row.operations is not None and row.operations <= 4
    assert row.folder is not None and (Path(row.folder) / "report.html").is_file()
    assert rashomon("replay", row.folder, "--results", tmp_path).exit_code == 0  # a violation, as expected


@pytest.mark.slow
def test_an_interrupted_hunt_keeps_the_table_of_what_there_is(tmp_path: Path) -> None:
    interrupt = threading.Event()
    interrupt.set()
    summary, code = hunt_simulated(cases(["paxos"]), Budget(runs=100), tmp_path, interrupt, jobs=1)
    assert code == 130 and summary.interrupted
    assert len(summary.rows) == len(cases(["paxos"]))
    assert list(tmp_path.glob("hunt/*-hunt/hunt.md"))


# ---- what an operation costs


COSTS: list[tuple[str, dict[str, Any], str, str, int]] = [
    # As the lectures say: protocol, options, operation, messages, message delays.
    ("primary-backup", {}, "write", "2 (n - 1)", 4),
    ("primary-backup", {}, "read", "0", 2),
    ("primary-backup", {"acknowledge": "none"}, "write", "2 (n - 1)", 2),
    ("log-shipping", {}, "write", "2 (n - 1)", 4),
    ("two-phase-commit", {}, "write", "3 (n - 1)", 4),
    ("naive-two-phase", {}, "write", "3 (n - 1)", 4),
    ("paxos", {}, "write", "5 (n - 1)", 6),
    ("multi-paxos", {}, "write", "3 (n - 1)", 4),
    ("raft", {}, "write", "2 (n - 1)", 4),
    ("raft", {}, "read", "2 (n - 1)", 4),
    ("leased-primary", {}, "write", "2 (n - 1)", 4),
    ("leased-primary", {}, "read", "0", 2),
    ("quorum", {}, "read", "2 (n - 1)", 4),
]


@pytest.mark.parametrize(("protocol", "options", "function", "messages", "delays"), COSTS, ids=str)
def test_an_operation_costs_what_the_lectures_say(
    protocol: str, options: dict[str, Any], function: str, messages: str, delays: int
) -> None:
    wanted = str(Named(name=protocol, options=options))
    (line,) = [line for line in lines() if str(line.form) == wanted and line.function == function]
    assert formula(line.costs) == messages
    assert {one.delays for one in line.costs.values()} == {delays}


@pytest.mark.parametrize(
    ("few", "many", "text"),
    [
        (0, 0, "0"),
        (2, 4, "n - 1"),
        (4, 8, "2 (n - 1)"),
        (10, 18, "4 (n - 1) + 2"),
        (3, 3, "3"),
        (2, 5, "2 of 3, 5 of 5"),
    ],
)
def test_messages_as_a_function_of_the_number_of_replicas(few: int, many: int, text: str) -> None:
    assert formula({3: Cost({"a": few}, 4), 5: Cost({"a": many}, 4)}) == text


# ---- what is told of protocols


def test_the_page_of_the_gallery_is_what_the_protocols_and_the_last_hunt_say() -> None:
    written = gallery.PAGE.read_text("utf-8")
    assert written == gallery.page(read(gallery.TABLE)), "run `python -m harness.hunt.gallery`"


def test_the_gallery_has_every_protocol_with_its_idea_and_its_flaws() -> None:
    row = Row(
        "raft", "raft", "flaw", "votes-twice", "violation", 1, 0.5, 1, (str(STALE),), "Stale.", ("kill",), 4, 1, 0
    )
    page = gallery.page(summary_of([*ROWS[2:], row]))
    for name, protocol in PROTOCOLS.items():
        assert f"## `{name}`\n" in page
        assert protocol.promises in page
    assert "| `votes-twice` | A replica writes down its term but not its vote" in page
    assert "| linearizable: stale read | 1 run, 0.5 s | kill | 4 operations, 1 fault |" in page
    assert "> A partition: Stale." in page


def test_a_docstring_becomes_a_page() -> None:
    text = (
        "It: works\nwell.\n\nThe idea\n    Do it\n    twice.\n\n    - so\n\n"
        "Messages\n    a  b   c\n    aa b   d\n\nSource: a\nbook."
    )
    told = parse(text)
    assert (told.title, told.sources) == ("It: works well.", "Source: a book.")
    assert told.sections == {"The idea": "Do it\ntwice.\n\n- so", "Messages": "```\na  b   c\naa b   d\n```"}


def test_list_protocols_tells_what_each_promises() -> None:
    told = in_words("raft", PROTOCOLS["raft"])
    assert (
        "consistency: linearizable\ngoes on without: f of 2f + 1 replicas\nfaults survived: partition, latency" in told
    )
    assert survived("a protocol of yours") == ()
