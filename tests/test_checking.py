"""Checking anybody's history: the function and the command."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import harness.checking
from harness.bars import bars
from harness.check_display import CheckProgress
from harness.checkers.checker import Limits, Status
from harness.checkers.operations import Operation
from harness.checking import check
from harness.cli import main
from harness.errors import BadInput
from harness.models.guarded import ModelError, guarded, make_model
from harness.models.model import Model
from harness.models.register import Register
from tests.support import models

STALE = [
    {"process": 0, "f": "write", "value": 1, "call": 0, "return": 10},
    {"process": 1, "f": "write", "value": 2, "call": 20, "return": 30},
    {"process": 0, "f": "read", "result": 1, "call": 40, "return": 50},
]
FRESH = [*STALE[:2], {**STALE[2], "result": 2}]
ETCD = "INFO  jepsen.util - {}\t:{}\t:{}\t{}\n"


@pytest.fixture(autouse=True)
def nothing_to_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other runs on this machine have left behind is none of these tests' business."""
    monkeypatch.setattr("harness.cluster.leftovers.sweep", list)


def rashomon(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_plain_list_is_judged() -> None:
    assert check(FRESH, "register").verdict == "valid"
    result = check(STALE, Register())
    assert result.verdict == "violation"
    (finding,) = result.findings
    assert finding.anomaly == "stale read"
    assert "40.000 s" in finding.sentence
    assert result.statistics["model"] == "register"
    assert json.loads(json.dumps(result.as_json()))["verdict"] == "violation"


def test_the_example_of_the_manual_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parent.parent
    texts = [harness.checking.__doc__ or "", (root / "docs/checking.md").read_text(), (root / "README.md").read_text()]
    for text in texts:
        start = text.index("from harness.checking import check")
        code = text[text.rindex("\n", 0, start) + 1 :]
        code = textwrap.dedent(re.split(r"\n```|\Z", code, maxsplit=1)[0].rstrip().removesuffix('"""'))
        exec(compile(code, "example", "exec"), {})
        assert capsys.readouterr().out.startswith("violation\nstale read p0 "), code


def test_an_empty_history_is_valid_with_a_warning(tmp_path: Path) -> None:
    result = check([], "queue")
    assert result.verdict == "valid"
    assert "nothing to judge" in result.statistics["warning"]
    (tmp_path / "empty.edn").write_text("; nothing\n")
    told = rashomon("check", tmp_path / "empty.edn")
    assert told.exit_code == 0
    assert "warning" in told.stderr
    assert "empty.edn holds no operation" in told.stderr


def operations(*parts: tuple[str, Any, Any]) -> list[dict[str, Any]]:
    return [
        {"process": 0, "f": f, "value": value, "result": result, "call": 2 * number, "return": 2 * number + 1}
        for number, (f, value, result) in enumerate(parts)
    ]


@pytest.mark.parametrize(
    ("model", "good", "bad"),
    [
        ("register", [("write", 1, None), ("read", None, 1)], [("write", 1, None), ("read", None, 2)]),
        ("kv", [("put", "a", None), ("append", "b", None), ("get", None, "ab")], [("append", "b", None), ("get", None, "bb")]),
        ("counter", [("add", 2, None), ("read", None, 2)], [("add", 2, None), ("read", None, 3)]),
        ("set", [("add", 2, None), ("read", None, [2])], [("add", 2, None), ("read", None, [2, 3])]),
        ("set", [("add", 2, True), ("contains", 2, True)], [("remove", 2, True), ("contains", 2, False)]),
        ("queue", [("enqueue", 1, None), ("dequeue", None, 1)], [("enqueue", 1, None), ("dequeue", None, None)]),
        ("stack", [("push", 1, None), ("push", 2, None), ("pop", None, 2)], [("pop", None, 2)]),
        ("lock", [("acquire", None, 1), ("release", None, True)], [("acquire", None, 1), ("acquire", None, 2)]),
        ("log", [("append", 5, 0), ("read", None, [5])], [("append", 5, 1), ("read", None, [5])]),
    ],
)  # fmt: skip
def test_the_model_is_found_by_the_functions(model: str, good: list[Any], bad: list[Any]) -> None:
    result = check(operations(*good))
    assert (result.verdict, result.statistics["model"]) == ("valid", model)
    assert check(operations(*bad)).verdict == "violation"


@pytest.mark.parametrize(
    ("history", "model", "said"),
    [
        (operations(("add", 1, None)), "auto", "functions add are those of the models counter and set"),
        (operations(("barter", 1, None)), "auto", "event 0 of the history: no model knows the function barter"),
        (operations(("enqueue", 1, None), ("push", 1, None)), "auto", "no model knows all the functions enqueue, push"),
        ([*FRESH, {"f": "barter", "call": 60, "return": 70}], "auto", "event 6 of the history: no model knows"),
        (FRESH, "stack", "event 0 of the history: the model stack has no function 'write': it knows push, pop"),
        (
            operations(("cas", 1, True)),
            "register",
            r"event 0 of the history: a cas takes the value \[from, to\], not 1",
        ),
        (FRESH, "registr", "unknown model 'registr': did you mean 'register'"),
        (FRESH, "os:path", "os:path is not a model: derive the class"),
        (FRESH, "os.nothing:Model", "cannot import model 'os.nothing:Model'"),
        (FRESH, "tests.support.models:Demanding", "can't be made without arguments"),
        (FRESH, "tests.support.models:ExitsWhenMade", r"can't be made without arguments \(SystemExit: 5\)"),
        (FRESH, models.Demanding, "the model Demanding can't be made without arguments"),
        (FRESH, dict, "dict is not a model: derive the class"),
        (FRESH, 5, "a model is a name, an object or its class, not 5"),
        (None, "register", "a history is the path of a file, or a list of operations or events, not None"),
        (5, "register", "a list of operations or events, not 5"),
        ([{"f": "read", "result": 1}], "register", "operation 0 of the history: it has no `call`"),
        ([*FRESH, {"f": "read", "return": 90}], "register", "operation 3 of the history: it has no `call`"),
    ],
)
def test_what_does_not_fit_is_told(history: Any, model: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check(history, model)


def test_a_class_is_a_model_if_it_needs_no_arguments() -> None:
    assert check(STALE, Register).verdict == "violation"
    assert check(operations(("read", None, 7)), Register, initial=7).verdict == "valid"
    assert check(operations(("bid", 3, True), ("bid", 2, True)), models.Auction).verdict == "violation"


def test_an_initial_value() -> None:
    history = operations(("read", None, 0), ("cas", [0, 1], True))
    assert check(history).verdict == "violation"
    assert check(history, initial=0).verdict == "valid"
    assert check(history, "register", initial=0).verdict == "valid"
    with pytest.raises(BadInput, match="the model counter takes no initial value"):
        check(operations(("add", 1, None)), "counter", initial=0)


def test_a_missing_key_of_porcupine_holds_the_empty_string(tmp_path: Path) -> None:
    log = tmp_path / "c.txt"
    log.write_text(
        '{:process 0, :type :invoke, :f :get, :key "0", :value nil}\n'
        '{:process 0, :type :ok, :f :get, :key "0", :value ""}\n'
    )
    assert check(log).verdict == check(log, "kv").verdict == "valid"
    assert check(log, "kv", initial="x").verdict == "violation"


def test_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = operations(("bid", 3, True), ("bid", 2, False), ("bid", 5, True))
    assert check(history, "tests.support.models:Auction").verdict == "valid"
    history[1]["result"] = True
    assert check(history, models.Auction()).verdict == "violation"
    # One in the working folder is found too.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/nowhere")
    source = Path(models.__file__).read_text()
    (tmp_path / "my_own_models.py").write_text(source)
    (tmp_path / "bids.csv").write_text("f,value,result,call,return\nbid,3,true,0,1\nbid,2,true,2,3\n")
    told = rashomon("check", "bids.csv", "--model", "my_own_models:Auction")
    assert told.exit_code == 1, told.output
    (tmp_path / "broken_models.py").write_text("1 / 0\n")
    told = rashomon("check", "bids.csv", "--model", "broken_models:Auction")
    assert told.exit_code == 3
    assert "cannot import model 'broken_models:Auction' (ZeroDivisionError" in told.stderr


def test_a_model_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/my_bidding.py").write_text(Path(models.__file__).read_text())
    (tmp_path / "mine/queue.py").write_text(Path(models.__file__).read_text())
    (tmp_path / "bids.csv").write_text("f,value,result,call,return\nbid,3,true,0,1\nbid,2,true,2,3\n")
    told = rashomon("check", "bids.csv", "--model", "mine/my_bidding.py:Auction")
    assert told.exit_code == 1, told.output
    assert "row 3  bid 2 -> true" in told.stdout
    for name, said in (("mine/queue.py", "rename the file"), ("mine/nothing.py", "there is no such file")):
        told = rashomon("check", "bids.csv", "--model", f"{name}:Auction")
        assert told.exit_code == 3
        assert said in told.stderr


def test_the_command_shows_the_order_of_a_valid_history(tmp_path: Path) -> None:
    rows = "".join(f"write,{number},k,,{number},{number + 0.5}\n" for number in range(60))
    (tmp_path / "writes.csv").write_text(f"f,value,key,result,call,return\n{rows}read,,k,59,70,71\n")
    told = rashomon("check", tmp_path / "writes.csv", "--witness")
    assert told.exit_code == 0
    assert "an order that explains key k:" in told.stdout
    assert "    50       49.000 - 49.500 s  row 51  write k 49" in told.stdout
    assert "and 11 more operations: --json gives all" in told.stdout
    told = rashomon("check", tmp_path / "writes.csv", "--witness", "--json", "--jobs", "2")
    (order,) = json.loads(told.stdout)[0]["witness"].values()
    assert [one["value"] for one in order] == [*range(60), None]
    assert "witness" not in rashomon("check", tmp_path / "writes.csv", "--json").stdout


def test_progress_is_one_line_on_a_terminal_only() -> None:
    for is_terminal in (True, False):
        out = Console(file=StringIO(), force_terminal=is_terminal, width=120)
        with CheckProgress(out) as progress:
            progress._began -= 2
            progress.show(Status("reading", operations=4096))
            progress.show(Status("judging", 300, 12, 40_000, 1_200, 1_234_567))
        shown = out.file.getvalue()  # type: ignore[attr-defined]
        said = "judging: 12 of 300 keys, 1,200 of 40,000 operations, 1,234,567 configurations, 2 s"
        assert (said in shown) is is_terminal
        assert bool(shown) is is_terminal


def test_a_check_is_called_off_while_it_reads(tmp_path: Path) -> None:
    (tmp_path / "writes.csv").write_text(
        "f,value,call,return\n" + "".join(f"write,{number},{number},{number}\n" for number in range(9_000))
    )
    told: list[Status] = []

    def look_on(status: Status) -> bool:
        told.append(status)
        return False

    result = check(tmp_path / "writes.csv", "register", progress=look_on)
    assert (result.verdict, [one.phase for one in told]) == ("unknown", ["reading"])
    assert "called off while" in result.sentence


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            models.RaisesInStep(),
            r"its step\(\) of bid\(3\) = true \(event 0\) in the state 0 raises KeyError: 'highest'",
        ),
        (models.ExitsInStep(), r"its step\(\) of bid\(3\) = true \(event 0\) in the state 0 raises SystemExit: 5"),
        (models.GivesNothing(), "gives None, neither a list of states nor a sentence"),
        (models.GivesEmptyList(), r"gives \[\], neither a list of states nor a sentence"),
        (models.GivesLists(), "which can't be hashed: use tuples"),
        (models.BeginsWithList(), r"its initial\(\) gives the state \[\]"),
        (models.RaisesInPure(), r"its pure\(\) of bid\(3\) = true \(event 0\) raises"),
        (models.RaisesInPartition(), r"its partition\(\) of bid"),
        (models.PartitionsByNumber(), "gives 3, which is no string"),
        (models.RaisesInProblem(), r"its problem\(\) of bid"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_model_gives_a_sentence_and_no_verdict(model: Model, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        check(operations(("bid", 3, True), ("bid", 4, True)), model)
    assert "\n" not in str(caught.value)


def test_a_slow_step_is_stopped_in_time() -> None:
    history = [{**one, "call": 0} for one in operations(*[("bid", number, None) for number in range(12)])]
    for number, one in enumerate(history):
        one["process"] = number
    result = check(history, models.Slow(), limits=Limits(time_seconds=0.2))
    assert result.verdict == "unknown"
    assert "time limit of 0.2 s" in result.sentence


def test_our_own_models_are_not_guarded() -> None:
    assert isinstance(guarded(make_model("queue")), type(make_model("queue")))
    assert guarded(models.Auction()).name == "auction"


def test_a_crash_of_the_checker_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("harness.checking.Linearizable.judge_record", crash)
    result = check(FRESH, "register")
    assert result.verdict == "unknown"
    assert "RuntimeError: boom" in result.sentence


def test_operations_are_placed_in_their_file(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_text("something else\n" + ETCD.format(0, "invoke", "read", "nil") + ETCD.format(1, "invoke", "cas", "5"))
    with pytest.raises(BadInput, match=r"etcd.log:3: a cas takes the value"):
        check(log, "register")
    table = tmp_path / "operations.csv"
    table.write_text("f,value,result,call,return\nread,,1,5,6\n\ncas,7,true,1,2\n")
    with pytest.raises(BadInput, match=r"operations.csv:4: a cas takes the value"):
        check(table, "register")


def test_the_command_on_a_table_of_three_lines(tmp_path: Path) -> None:
    table = tmp_path / "operations.csv"
    table.write_text("f,value,result,call,return\nwrite,5,,0,1\nread,,4,2,3\n")
    told = rashomon("check", table)
    assert told.exit_code == 1
    assert "value from nowhere" in told.stdout
    assert "read -> 4" in told.stdout
    assert rashomon("check", table, "--initial", "4").exit_code == 1
    table.write_text("f,value,result,call,return\nwrite,5,,0,1\nread,,5,2,3\n")
    assert rashomon("check", table).exit_code == 0


def test_a_finding_is_drawn_as_bars(tmp_path: Path) -> None:
    table = tmp_path / "operations.csv"
    table.write_text(
        "process,f,value,result,call,return\n0,write,1,,0,1\n1,write,2,,2,500\n2,read,,2,3,4\n3,read,,1,600,601\n"
    )
    told = rashomon("check", table, "--explain")
    assert told.exit_code == 1
    drawn = [line.strip() for line in told.stdout.splitlines() if "|" in line]
    assert [line.split("  ")[0] for line in drawn] == ["p0 write 1", "p1 write 2", "p3 read -> 1"]
    first, write, late = ((line.index("|"), line.rindex("|")) for line in drawn)
    assert first[0] < first[1] < write[0] < write[1] < late[0] < late[1]
    assert drawn[2].endswith("600.000 - 601.000 s")


def test_bars_of_operations_that_never_came_back_or_took_no_time() -> None:
    never = {"process": "a", "f": "write", "key": "k", "value": "x" * 50, "type": "info", "call": 5, "return": None}
    instant = {"process": 1, "f": "read", "key": "k", "value": None, "result": 1, "type": "ok", "call": 7, "return": 7}
    first, second = bars([never, instant])
    assert re.fullmatch(r'a write k "x+\.\.\.  \|-+  0\.000 - never', first), first
    assert re.fullmatch(r"p1 read k -> 1 +\|\| +0\.000 - 0\.000 s", second), second
    assert bars([]) == []
    first, second = bars([{**instant, "return": 20}, {**instant, "call": 9, "return": 12}])
    assert first.index("|") < second.index("|") < second.rindex("|") < first.rindex("|")
    many = [{**instant, "call": number, "return": number + 1} for number in range(200)]
    assert len({len(line) for line in bars(many)}) == 1


def test_the_command_on_edn_and_with_json(tmp_path: Path) -> None:
    history = tmp_path / "history.edn"
    history.write_text(
        "[{:process 0 :type :invoke :f :acquire} {:process 1 :type :invoke :f :acquire}\n"
        " {:process 0 :type :ok :f :acquire} {:process 1 :type :ok :f :acquire}]\n"
    )
    told = rashomon("check", history, "--json")
    assert told.exit_code == 1
    (result,) = json.loads(told.stdout)
    assert (result["verdict"], result["statistics"]["model"]) == ("violation", "lock")
    assert rashomon("check", history, "--model", "register").exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "xml"], "unknown format 'xml'"),
        (["--initial", "{"], "--initial '{' is not JSON"),
        (["--initial", "NaN"], "--initial 'NaN' is not JSON"),
        (["--initial", "[1e400]"], "--initial '[1e400]' is not JSON"),
        (["--model", "nothing"], "unknown model 'nothing'"),
        (["--model", "queue"], "operations.csv:2: the model queue has no function 'write'"),
        (["--format", "edn"], "operations.csv:1: \"f\" is not an operation map"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_code_3(tmp_path: Path, arguments: list[str], said: str) -> None:
    table = tmp_path / "operations.csv"
    table.write_text("f,value,result,call,return\nwrite,5,,0,1\n")
    told = rashomon("check", table, *arguments)
    assert told.exit_code == 3
    assert said in told.stderr
    assert told.output.count("\n") == 1


TABLE = b"f,value,result,call,return\nwrite,5,,0,1\nread,,4,2,3\n"


@contextmanager
def piped(text: bytes) -> Iterator[int]:
    """The end of a pipe out of which this comes."""
    out, into = os.pipe()
    try:
        with os.fdopen(into, "wb") as file:
            file.write(text)
        yield out
    finally:
        os.close(out)


def test_a_history_comes_through_a_pipe() -> None:
    with piped(TABLE) as out:
        told = rashomon("check", f"/dev/fd/{out}")
    assert told.exit_code == 1
    assert "row 3 read 4" in told.stdout
    with piped(TABLE.replace(b"read", b"flub")) as out, pytest.raises(BadInput, match=rf"^/dev/fd/{out}:3: .* flub"):
        check(f"/dev/fd/{out}")


def test_a_dash_is_standard_input(tmp_path: Path) -> None:
    before = os.dup(0)
    try:
        with piped(TABLE) as out:
            os.dup2(out, 0)
            assert rashomon("check", "-").exit_code == 1
        with piped(TABLE) as out:
            os.dup2(out, 0)
            assert rashomon("convert", "-", tmp_path / "history.edn", "--to", "edn").exit_code == 0
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert rashomon("check", tmp_path / "history.edn").exit_code == 1


def test_dev_null_is_an_empty_history() -> None:
    told = rashomon("check", "/dev/null")
    assert told.exit_code == 0
    assert "/dev/null holds no operation that happened" in told.stderr


def test_a_check_is_called_off_while_nothing_comes_through_the_pipe() -> None:
    out, into = os.pipe()
    try:
        result = check(f"/dev/fd/{out}", limits=Limits(cancelled=lambda: True))
    finally:
        os.close(out)
        os.close(into)
    assert (result.verdict, "was being read" in result.sentence) == ("unknown", True)


def test_a_function_that_no_model_knows_is_told_with_its_line(tmp_path: Path) -> None:
    table = tmp_path / "operations.csv"
    table.write_text("f,value,result,call,return\nwrite,5,,0,1\nflub,,4,2,3\nflub,,4,4,5\n")
    told = rashomon("check", table)
    assert told.exit_code == 3
    assert "operations.csv:3: no model knows the function flub (register: read, write, cas; " in told.stderr


def test_models_are_listed() -> None:
    told = rashomon("list", "models")
    assert told.exit_code == 0
    for name in harness.checking.MODELS:
        assert name in told.output


def test_operations_of_a_record_are_taken_as_they_are() -> None:
    record = harness.checking.record_from(STALE)
    assert check(record, "register").verdict == "violation"
    assert all(isinstance(one, Operation) for one in record.operations)


def test_the_model_of_the_manual_judges() -> None:
    text = (Path(__file__).parent.parent / "docs/checking.md").read_text()
    start = text.index("from harness.models.model import Model")
    names: dict[str, Any] = {}
    exec(compile(text[start : text.index("```", start)], "model", "exec"), names)
    auction = names["Auction"]()
    assert check(operations(("bid", 3, True), ("bid", 2, False)), auction).verdict == "valid"
    assert check(operations(("bid", 3, True), ("bid", 2, True)), auction).verdict == "violation"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("torn.jsonl", '{"process": 0, "type"', r"torn.jsonl:1: not JSON"),
        (
            "early.csv",
            "f,value,call,return\nwrite,1,-0.5,2\n",
            "early.csv:2: the time of the call, -0.5 s, is negative",
        ),
        (
            "back.csv",
            "f,value,call,return\nwrite,1,5,2\n",
            "back.csv:2: the operation returns at 2 s, before its call at 5 s",
        ),
        (
            "late.csv",
            "f,value,call,return\nwrite,1,5,1e400\n",
            r"late.csv:2: the time 1\S*E?\S* s is too late to be one",
        ),
        ("late.jsonl", f'{{"process":0,"type":"invoke","f":"read","time":1{"0" * 400}}}\n', "is too late to be one"),
    ],
)
def test_files_that_hold_nothing_to_judge_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=said):
        check(tmp_path / name, "register")


def test_a_log_without_a_single_operation_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "jepsen.log").write_text("INFO something began\nINFO something ended\n")
    with pytest.raises(BadInput, match="neither this line nor any other is an operation"):
        check(tmp_path / "jepsen.log", "register", format="jepsen-log")


def test_times_that_are_no_times_are_refused_in_a_list_too() -> None:
    for call in (1e301, 1e25, float("nan")):
        with pytest.raises(BadInput, match="operation 0 of the history"):
            check([{"f": "write", "value": 1, "call": call, "return": call}], "register")


def test_long_sentences_hang(tmp_path: Path) -> None:
    (tmp_path / "stale.csv").write_text("f,value,result,call,return\nwrite,1,,0,1\nwrite,2,,2,3\nread,,1,4,5\n")
    told = rashomon("check", tmp_path / "stale.csv").stdout.splitlines()
    assert told[1].startswith("  stale read: ")
    assert told[2].startswith("    ") and not told[2].startswith("     ")
    assert not any(line.endswith(" ") for line in told)
