"""Histories in every format: read, written, recognised, and refused with file and line."""

from __future__ import annotations

import json
import random
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checkers.operations import Operation, Record
from harness.cli import main
from harness.errors import BadInput
from harness.formats import FORMATS, edn, lines, open_history, write_history
from harness.formats import events_of as events_of_record
from harness.formats.lines import BadLine
from harness.formats.plain import record_from
from harness.formats.table import cell_text, cell_value
from harness.history import Event
from tests.support.references import REFERENCES, random_history

JSONL = """\
{"index":0,"time":5,"type":"invoke","process":0,"f":"write","key":"x","value":1,"replica":"n1"}
{"index":1,"time":6,"type":"invoke","process":"nemesis","f":"inject","fault":"kill","number":1}
{"index":2,"time":7,"type":"ok","process":0,"f":"write","key":"x","value":1,"replica":"n2"}
{"index":3,"time":7,"type":"info","process":"harness","f":"note","value":"the final reads begin"}
{"index":4,"time":8,"type":"invoke","process":1,"f":"read","key":"x","value":null}
{"index":5,"time":9,"type":"ok","process":1,"f":"read","key":"x","value":null,"result":1}
"""

EDN = """\
; a comment first
[{:process 0, :type :invoke, :f :write, :value 1, :time 10 :index 0}
 {:process :nemesis, :type :info, :f :start, :value "cut [1 2]"}
 #jepsen.history.Op{:process 0, :type :ok, :f :write, :value 1, :time 30}
 #_ {:process 9 :type :invoke :f :read}
 {:process 1 :type :invoke :f :cas :value [1 2] :time 25}
 {:process 2 :type :invoke :f :read :value nil :time 26}
 {:process 1 :type :fail :f :cas :value [1 2] :time 27}
 {:process 2 :type :ok :f :read :value 1 :time 28}
 {:process 0 :type :invoke :f :cas :value [1 3] :time 29}
 {:process 0 :type :info :f :cas :value [1 3] :error [:timeout "x"] :time 31}]
""".replace('"cut [1 2]"}', '"cut [1 2]", :time 20}')

LOG = """\
INFO  jepsen.core - Everything is set up
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - :nemesis\t:info\t:start\t"a [b"
INFO  jepsen.util - 1\t:invoke\t:cas\t[2 3]
INFO  jepsen.util - 2\t:invoke\t:cas\t[1 4]
INFO  jepsen.util - 1\t:fail\t:cas\t[2 3]
INFO  jepsen.util - 2\t:fail\t:cas\t[1 4]\t:not-connected
INFO  jepsen.util - 1\t:invoke\t:write\t5
INFO  jepsen.util - 1\t:info\t:write\t:timed-out
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:ok\t:read\t5
"""

PORCUPINE = """\
{:process 0, :type :invoke, :f :append, :key "k \\"1\\"", :value "x 0 0 y"}
{:process 1, :type :invoke, :f :get, :key "2", :value nil}
{:process 0, :type :ok, :f :append, :key "k \\"1\\"", :value "x 0 0 y"}
{:process 1, :type :ok, :f :get, :key "2", :value ""}
"""

CSV_OPERATIONS = """\
process,f,key,value,result,call,return
2,read,x,,"[1, ""a""]",0.2,0.25
1,write,x,"[1, ""a""]",,0,0.1
1,cas,x,"[1, 2]",,1,
"""

CSV_EVENTS = """\
process;type;f;value;time_ms
0;invoke;enqueue;a;0.5
1;invoke;dequeue;;1
0;ok;enqueue;a;2
1;ok;dequeue;a;3
"""

Short = tuple[int | str, str, str, Any, Any, str]


def short(operations: list[Operation]) -> list[Short]:
    return [(one.process, one.f, one.key, one.value, one.result, one.type) for one in operations]


def record(tmp_path: Path, name: str, text: str, format: str = "auto") -> Record:
    (tmp_path / name).write_text(text, "utf-8")
    return open_history(tmp_path / name, format).record()


def refused(tmp_path: Path, text: str, format: str = "auto", name: str = "history") -> str:
    with pytest.raises(BadInput) as caught:
        record(tmp_path, name, text, format)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence.replace(str(tmp_path), "")


def test_jsonl(tmp_path: Path) -> None:
    found = record(tmp_path, "history.jsonl", JSONL)
    assert short(found.operations) == [(0, "write", "x", 1, None, "ok"), (1, "read", "x", None, 1, "ok")]
    assert [(one.call_ns, one.return_ns, one.index, one.replica) for one in found.operations] == [
        (5, 7, 0, "n2"),
        (8, 9, 4, None),
    ]


def test_jsonl_torn_at_its_end(tmp_path: Path) -> None:
    assert len(record(tmp_path, "history.jsonl", JSONL + '{"index":6,"ti').operations) == 2


def test_edn(tmp_path: Path) -> None:
    found = record(tmp_path, "history.edn", EDN)
    assert short(found.operations) == [
        (0, "write", "", 1, None, "ok"),
        (2, "read", "", None, 1, "ok"),
        (0, "cas", "", [1, 3], None, "info"),
    ]
    assert short(found.failed) == [(1, "cas", "", [1, 2], None, "fail")]
    # The order of the lines counts, and times never run back.
    assert [one.call_ns for one in found.operations] == [10, 30, 30]


@pytest.mark.parametrize("shape", ["{}", "[{}]", "({})", "[\n{}\n]", "\n\n{}\n"])
def test_edn_in_a_vector_a_list_or_bare(tmp_path: Path, shape: str) -> None:
    maps = "{:process 0 :type :invoke :f :read}{:process 0, :type :ok, :f :read, :value #{3 1 2}}"
    found = record(tmp_path, "history.edn", shape.replace("{}", maps), "edn")
    assert short(found.operations) == [(0, "read", "", None, [1, 2, 3], "ok")]


def test_edn_with_keys_in_its_values(tmp_path: Path) -> None:
    text = (
        "{:type :invoke, :f :write, :value [7 3], :process 0}\n{:type :invoke, :f :read, :value [8 nil], :process 1}\n"
        "{:type :info, :f :start, :value nil, :process :nemesis}\n"
        "{:type :ok, :f :write, :value [7 3], :process 0}\n{:type :ok, :f :read, :value [8 nil], :process 1}\n"
        "{:type :invoke, :f :cas, :value [7 [3 4]], :process 0}\n{:type :ok, :f :cas, :value [7 [3 4]], :process 0}\n"
    )
    assert short(record(tmp_path, "history.edn", text).operations) == [
        (0, "write", "7", 3, None, "ok"),
        (1, "read", "8", None, None, "ok"),
        (0, "cas", "7", [3, 4], True, "ok"),
    ]
    assert "/history:3: the value 3 is not a pair" in refused(
        tmp_path, "\n\n{:type :ok :f :read :value 3 :process 0}", "edn-keyed"
    )


def test_log_lines(tmp_path: Path) -> None:
    found = record(tmp_path, "etcd.log", LOG)
    assert short(found.operations) == [
        (0, "write", "", 1, None, "ok"),
        (1, "cas", "", [2, 3], False, "ok"),
        (1, "write", "", 5, None, "info"),
        (2, "read", "", None, 5, "ok"),
    ]
    assert short(found.failed) == [(2, "cas", "", [1, 4], None, "fail")]


def test_history_txt(tmp_path: Path) -> None:
    text = "0\t:invoke\t:read\tnil\n:nemesis\t:info\t:start\tnil\n0\t:ok\t:read\t3\n"
    assert short(record(tmp_path, "history.txt", text).operations) == [(0, "read", "", None, 3, "ok")]


def test_porcupine(tmp_path: Path) -> None:
    found = record(tmp_path, "c10.txt", PORCUPINE)
    assert short(found.operations) == [
        (0, "append", 'k "1"', "x 0 0 y", None, "ok"),
        (1, "get", "2", None, "", "ok"),
    ]
    assert open_history(tmp_path / "c10.txt").initial == ""


def test_csv_of_operations(tmp_path: Path) -> None:
    found = record(tmp_path, "history.csv", CSV_OPERATIONS)
    assert short(found.operations) == [
        (1, "write", "x", [1, "a"], None, "ok"),
        (2, "read", "x", None, [1, "a"], "ok"),
        (1, "cas", "x", [1, 2], None, "info"),
    ]
    assert [(one.call_ns, one.return_ns) for one in found.operations] == [
        (0, 100_000_000),
        (200_000_000, 250_000_000),
        (1_000_000_000, None),
    ]


def test_csv_of_operations_with_equal_times_counts_them_as_concurrent(tmp_path: Path) -> None:
    found = record(tmp_path, "history.csv", "f,value,result,call,return\nwrite,1,,0,5\nread,,1,5,9\n")
    write, read = found.operations
    assert write.ended is not None and read.began < write.ended
    assert write.process != read.process


def test_csv_of_events(tmp_path: Path) -> None:
    found = record(tmp_path, "history", CSV_EVENTS)
    assert short(found.operations) == [(0, "enqueue", "", "a", None, "ok"), (1, "dequeue", "", None, "a", "ok")]
    assert found.operations[0].call_ns == 500_000


@pytest.mark.parametrize(
    ("text", "format"),
    [(JSONL, "jsonl"), (EDN, "edn"), (LOG, "jepsen-log"), (PORCUPINE, "porcupine"), (CSV_OPERATIONS, "csv"),
     (CSV_EVENTS, "csv"), ("#a.b.Op{:f :read}", "edn"), ("#a.b/Op\n{:f :read}", "edn"), ("#_ 5 {:f :read}", "edn"),
     ("", "jsonl"), ("\n\n", "jsonl"), ("[]", "edn"), ("({:process 0", "edn")],
)  # fmt: skip
def test_formats_are_recognised_by_what_is_in_the_file(tmp_path: Path, text: str, format: str) -> None:
    (tmp_path / "anything").write_text(text)
    assert open_history(tmp_path / "anything").format == format


def events_of(history: list[Operation], failed: list[Operation], chance: random.Random) -> list[Event]:
    moments: list[tuple[int, Event]] = []
    for one in [*history, *failed]:
        event: Event = {"process": one.process, "f": one.f, "value": one.value}
        if one.key:
            event["key"] = one.key
        moments.append((one.began, {"type": "invoke", **event}))
        if one.type == "ok":
            result = {} if one.result is None else {"result": one.result}
            moments.append((one.ended or 0, {"type": "ok", **event, **result}))
        elif one.type == "fail" or chance.random() < 0.5:
            moments.append((1000 + one.began, {"type": one.type, **event, "error": "lost"}))
    return [
        {"index": index, "time": 1000 * index, **event}
        for index, (_, event) in enumerate(sorted(moments, key=lambda moment: moment[0]))
    ]


@pytest.mark.parametrize("format", ["jsonl", "edn", "jepsen-log", "csv"])
@pytest.mark.parametrize("name", REFERENCES)
def test_what_is_written_is_read_as_it_was(tmp_path: Path, format: str, name: str) -> None:
    for seed in range(15):
        chance = random.Random(f"{name} {seed}")
        history = random_history(chance, REFERENCES[name], 12, 0.2, spoiled=0.5)
        if format in ("edn", "jepsen-log"):  # there a refusal is a failure, and null no result
            history = [one for one in history if not is_refusal(one) and one.result != one.value]
        failed = [history.pop() for _ in range(len(history) // 6)]
        for one in failed:
            one.type, one.result, one.ended = "fail", None, None
        for one in [*history, *failed]:
            one.key = "" if format == "jepsen-log" else chance.choice(["", "k", "1", 'a "b", c'])
        events = events_of(history, failed, chance)
        write_history(events, tmp_path / f"{seed}", format)
        found = open_history(tmp_path / f"{seed}", format).record()
        where = f"{name}, seed {seed}"
        assert short(found.operations) == short(sorted(history, key=lambda one: one.began)), where
        assert sorted(map(repr, short(found.failed))) == sorted(map(repr, short(failed))), where
        if format != "jepsen-log":
            assert open_history(tmp_path / f"{seed}").format == format, where


def is_refusal(one: Operation) -> bool:
    return (one.f in ("cas", "acquire", "release") and one.result is False) or (
        one.f in ("dequeue", "pop") and one.result is None and one.type == "ok"
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_the_events_of_a_record_are_its_operations(name: str) -> None:
    chance = random.Random(name)
    for number in range(20):
        before = record_from(random_history(chance, REFERENCES[name], 12, 0.3, spoiled=0.5))
        for one in chance.sample(before.operations, 3):
            before.operations.remove(one)
            one.type, one.result = "fail", None
            before.failed.append(one)
        after = record_from(events_of_record(before))
        assert sorted(map(repr, short(after.failed))) == sorted(map(repr, short(before.failed))), f"history {number}"
        assert short(after.operations) == short(before.operations), f"history {number}"
        for one, other in zip(before.operations, after.operations, strict=True):
            assert (one.call_ns, one.return_ns) == (other.call_ns, other.return_ns)
            assert sorted(part.index for part in overlapping(one, before)) == sorted(
                before.operations[after.operations.index(part)].index for part in overlapping(other, after)
            )


def overlapping(one: Operation, record: Record) -> list[Operation]:
    return [
        other
        for other in record.operations
        if (one.ended is None or other.began < one.ended) and (other.ended is None or one.began < other.ended)
    ]


def test_a_table_of_operations_becomes_events(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "process,f,value,result,call,return\n1,write,1,,0,\n1,read,,1,2,3\n2,write,5,,1,\n"
    )
    told = CliRunner().invoke(main, ["convert", str(tmp_path / "in.csv"), str(tmp_path / "out.edn"), "--to", "edn"])
    assert told.exit_code == 0, told.output
    assert (tmp_path / "out.edn").read_text().splitlines()[2:5] == [
        "{:process 1, :type :info, :f :write, :value 1, :time 2000000000, :index 2}",
        "{:process 1, :type :invoke, :f :read, :value nil, :time 2000000000, :index 3}",
        "{:process 1, :type :ok, :f :read, :value 1, :time 3000000000, :index 4}",
    ]
    assert short(open_history(tmp_path / "out.edn").record().operations) == [
        (1, "write", "", 1, None, "info"),
        (2, "write", "", 5, None, "info"),
        (1, "read", "", None, 1, "ok"),
    ]


def test_what_can_not_be_converted_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "in.edn").write_text(EDN)
    told = CliRunner().invoke(main, ["convert", str(tmp_path / "in.edn"), str(tmp_path / "out"), "--to", "porcupine"])
    assert told.exit_code == 3
    assert "knows get, put and append, not 'write'" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.edn"]
    (tmp_path / "in.edn").write_text("{:process")
    told = CliRunner().invoke(main, ["convert", str(tmp_path / "in.edn"), str(tmp_path / "out"), "--to", "csv"])
    assert told.exit_code == 3
    assert "in.edn:1: the file ends in the middle of a value" in told.stderr


def test_a_refused_cas_is_a_failure_for_jepsen_and_its_log_lines_tell_both_apart(tmp_path: Path) -> None:
    both = {"process": 0, "f": "cas", "value": [1, 2]}
    events = [{"type": "invoke", **both}, {"type": "ok", "result": False, **both}]
    write_history(events, tmp_path / "x.edn", "edn")
    assert short(open_history(tmp_path / "x.edn").record().failed) == [(0, "cas", "", [1, 2], None, "fail")]
    write_history(events, tmp_path / "x.log", "jepsen-log")
    assert short(open_history(tmp_path / "x.log").record().operations) == [(0, "cas", "", [1, 2], False, "ok")]
    events[1] = {"type": "fail", "error": "down", **both}
    write_history(events, tmp_path / "y.log", "jepsen-log")
    assert short(open_history(tmp_path / "y.log").record().failed) == [(0, "cas", "", [1, 2], None, "fail")]


@pytest.mark.parametrize("format", ["edn", "jepsen-log", "porcupine", "csv", "jsonl"])
def test_processes_whose_names_a_format_can_not_say_are_numbered(tmp_path: Path, format: str) -> None:
    (tmp_path / "in.csv").write_text("f,value,result,call,return\nput,a,,0,5\nget,,b,1,6\nput,b,,7,8\n")
    before = open_history(tmp_path / "in.csv")
    write_history(before.events(), tmp_path / "out", format)
    found = short(open_history(tmp_path / "out").record().operations)
    assert [one[1:] for one in found] == [one[1:] for one in short(before.record().operations)]
    named = ["row 2", "row 3", "row 4"]
    assert [one[0] for one in found] == ([0, 1, 2] if format in ("jepsen-log", "porcupine") else named)


def test_numbers_that_are_given_to_processes_are_nobody_elses(tmp_path: Path) -> None:
    def event(process: int | str) -> Event:
        return {"process": process, "type": "invoke", "f": "read", "value": None}

    write_history([event(0), event("p-1"), event("a b"), event("7"), event(-2)], tmp_path / "out", "jepsen-log")
    found = open_history(tmp_path / "out", "jepsen-log").record().operations
    assert [one.process for one in found] == [0, "p-1", 1, 2, 3]
    with pytest.raises(BadInput, match="event None is of process 0, but that number went to one whose name"):
        write_history([event("a b"), event(0)], tmp_path / "out", "jepsen-log")


def test_porcupine_is_written_as_it_was_read(tmp_path: Path) -> None:
    events = [
        {"process": 0, "type": "invoke", "f": "append", "key": "a", "value": 'x "1" y'},
        {"process": 1, "type": "invoke", "f": "get", "key": "b", "value": None},
        {"process": 0, "type": "ok", "f": "append", "key": "a", "value": 'x "1" y'},
        {"process": 1, "type": "ok", "f": "get", "key": "b", "value": None, "result": None},
    ]
    write_history(events, tmp_path / "c.txt", "porcupine")
    found = open_history(tmp_path / "c.txt")
    assert found.format == "porcupine"
    assert short(found.record().operations) == [
        (0, "append", "a", 'x "1" y', None, "ok"),
        (1, "get", "b", None, "", "ok"),
    ]


@pytest.mark.parametrize(
    ("event", "format", "said"),
    [
        ({"process": 0, "type": "info", "f": "put", "value": "1"}, "porcupine", "whose outcome is unknown"),
        ({"process": 0, "type": "invoke", "f": "cas", "value": [1, 2]}, "porcupine", "get, put and append, not 'cas'"),
        ({"process": 0, "type": "invoke", "f": "put", "value": 1}, "porcupine", "strings only, not 1"),
        ({"process": 0, "type": "invoke", "f": "put", "key": "k", "value": 1}, "jepsen-log", "have no keys"),
        ({"process": 0, "type": "invoke", "f": "put it", "value": 1}, "jepsen-log", "can't say the function 'put it'"),
        ({"process": 0, "type": "invoke", "f": ":put", "value": 1}, "edn", "can't say the function ':put'"),
        ({}, "xml", "unknown format 'xml'"),
    ],
)
def test_what_a_format_can_not_say_is_refused(tmp_path: Path, event: Event, format: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        write_history([event], tmp_path / "out", format)


OK_LINE = '{"type":"ok","process":0,"f":"read","result":1}\n'


@pytest.mark.parametrize(
    ("text", "format", "said"),
    [
        ("not json\n{}\n", "jsonl", "/history:1: not JSON"),
        ("[1]\n", "jsonl", "/history:1: not a JSON object"),
        ("[" * 100_000 + "\n", "jsonl", "/history:1: not JSON"),
        ('{"value":' + "[" * 500 + "]" * 500 + "}\n", "jsonl", "/history:1: not JSON (it is nested too deeply)"),
        ('{"value":NaN}\n', "jsonl", "/history:1: not JSON (NaN is not JSON)"),
        (OK_LINE, "jsonl", "/history:1: not a history that can be judged: event 0: process 0 completes 'read', which"),
        (JSONL.replace('"index":2', '"index":3'), "jsonl", "/history:3: event 3 is number 2 in the file"),
        (JSONL.replace('"time":7', '"time":-7'), "jsonl", "time -7 is not a whole number of nanoseconds, 0 or more"),
        (JSONL.replace('"time":7', '"time":7.5'), "jsonl", "/history:3: not a history that can be judged: event 2: time"),
        (JSONL.replace('"time":9', '"time":1'), "jsonl", "time must not run back"),
        (JSONL.replace('"time":9,', ""), "jsonl", "/history:6: not a history that can be judged: event 5 has no time"),
        (JSONL.replace('"process":1', '"process":[1]'), "jsonl", "/history:5: not a history that can be judged: process"),
        (JSONL.replace('"process":1', '"process":true'), "jsonl", "process true is neither a number nor a name"),
        (JSONL.replace('null,"result":1', "1"), "jsonl", "what came back belongs into `result`"),
        (JSONL.replace('"type":"ok"', '"type":"fine"'), "jsonl", "type 'fine' is none of invoke, ok, fail, info"),
        (JSONL.replace('"f":"write"', '"f":7'), "jsonl", "f 7 is not the name of a function"),
        (EDN.replace(":process 2 :type :ok", ":process 1 :type :ok"), "edn", "/history:9: not a history that can be"),
        (EDN.replace(":process 2 :type :invoke", ":process 1 :type :invoke"), "edn", "has one operation open at a time"),
        ("{:process 0 :type :invoke}", "edn", "/history:1: the operation"),
        ("{:process 0\n :type", "edn", "/history:2: the file ends in the middle of a value"),
        ("\n\n{:process 0 :type}", "edn", "/history:3: a map lacks the value of its last key"),
        ("{:process 0]", "edn", "/history:1: ']' closes nothing"),
        ("[1 2]", "edn", "/history:1: 1 is not an operation map"),
        ("(" * 1000, "edn", "/history:1: more than 100 brackets are open"),
        ('{:f "abc', "edn", "/history:1: not EDN"),
        ("{:f " + "1" * 5000, "edn", "/history:1: the number 11111111111111111111... is too long"),
        (LOG + "INFO  jepsen.util - 3\t:ok\n", "jepsen-log", "/history:13: not process, type, f and value between tabs"),
        (LOG + "INFO  jepsen.util - 3\t:invoke\t:cas\t[1\n", "jepsen-log", "/history:13: the value is"),
        (PORCUPINE + "{:process 0}\n", "porcupine", "/history:5: not an operation of a key-value log"),
        ("a,b\n1,2\n", "csv", "/history:1: no column process and no column type and no column f"),
        ("f,call,return,ret\n", "csv", "the column 'ret' is none of"),
        ("f,call,call_ms,return\n", "csv", "two columns are called call"),
        (CSV_OPERATIONS + "1,read,x\n", "csv", "/history:5: 3 cells, but the table has 7 columns"),
        (CSV_OPERATIONS.replace("0.25", "soon"), "csv", "/history:2: return 'soon' is not a time"),
        (CSV_OPERATIONS.replace("0.25", "nan"), "csv", "/history:2: return 'nan' is not a time"),
        (CSV_OPERATIONS.replace("0.25", "0.1"), "csv", "/history:2: the operation returns at 0.1 s, before its call"),
        (CSV_OPERATIONS.replace(",0,0.1", ",-1,0.1"), "csv", "/history:3: the time of the call, -1 s, is negative"),
        (CSV_OPERATIONS.replace(",1,\n", ",0.05,0.2\n"), "csv", "/history:4: process 1 calls cas at 0.05 s, while"),
        (CSV_OPERATIONS.replace('"[1, ""a""]",0.2', '"[1,0.2'), "csv", "not CSV"),
        ("f,type,call,return\nread,ok,1,\n", "csv", "/history:2: an operation that is ok returned, but the time"),
        (CSV_EVENTS.replace("ok;deq", "done;deq"), "csv", "type 'done' is none of"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, text: str, format: str, said: str) -> None:
    assert said in refused(tmp_path, text, format)


@pytest.mark.parametrize("text", ["what is this\n", "\x00\x01\x02", "<html>", "a,b,c\n1,2,3\n"])
def test_what_is_no_history_at_all_is_refused_with_the_formats(tmp_path: Path, text: str) -> None:
    assert "the formats are jsonl, edn, edn-keyed, jepsen-log, porcupine, csv" in refused(tmp_path, text)


@pytest.mark.parametrize("text", ["# Title\n", "#!/bin/sh\n", "#include <stdio.h>\n", "## 1. (first)\n"])
def test_a_text_that_begins_with_a_hash_is_not_taken_for_edn(tmp_path: Path, text: str) -> None:
    assert "not a history in any known format" in refused(tmp_path, text)
    assert "not a history in any known format" not in refused(tmp_path, text, "edn")
    assert "not a history in any known format" not in refused(tmp_path, text, name="history.edn")


@pytest.mark.parametrize("format", FORMATS)
def test_junk_is_refused_or_empty_in_every_format(tmp_path: Path, format: str) -> None:
    seed = 5
    chance = random.Random(seed)
    for number in range(40):
        length = chance.choice([1, 10, 300])
        junk = bytes(chance.choice(b'{}[]()":;,\\#\t\n \x00\xff01a:') for _ in range(length))
        (tmp_path / "junk").write_bytes(junk)
        try:
            found = open_history(tmp_path / "junk", format).record()
        except BadInput as error:
            assert "\n" not in str(error), f"seed {seed}, file {number}"
        else:
            assert not found.operations, f"seed {seed}, file {number}: {junk!r}"


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_without_line_breaks_does_not_fill_the_memory(tmp_path: Path, format: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(edn, "LONGEST_LINE", 1 << 20)
    assert "longer than 1 MB" in refused(tmp_path, '"' + "a" * (3 << 20), format)


def test_files_that_can_not_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        open_history(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="can't be read"):
        open_history(tmp_path / "nowhere", "edn").record()
    with pytest.raises(BadInput, match="unknown format 'ednn': did you mean 'edn'"):
        open_history(tmp_path / "nowhere", "ednn")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(JSON_VALUES)
def test_json_values_survive_edn(value: Any) -> None:
    assert edn.loads(edn.dumps(value)) == value


@settings(max_examples=40, deadline=None)
@given(JSON_VALUES)
def test_json_values_survive_a_cell(value: Any) -> None:
    assert cell_value(cell_text(value)) == value
    assert type(cell_value(cell_text(value))) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil", None),
        (":a/b", "a/b"),
        ("sym-bol", "sym-bol"),
        ("12N", 12),
        ("-3.5M", -3.5),
        ("1e3", 1000.0),
        ('"a\\n\\u0041\\\\\\""', 'a\nA\\"'),
        ("\\a", "a"),
        ("\\newline", "\n"),
        ("\\u0041", "A"),
        ("##Inf", "Inf"),
        ("#inst \"2020\"", "2020"),
        ("#a #b [1]", [1]),
        ("[1 #_ 2 #_ [3 4] 5]", [1, 5]),
        ("#{:b :a}", ["a", "b"]),
        ("{:a {1 2}, \"b\" (3)}", {"a": {"1": 2}, "b": [3]}),
        ("^{:meta 1} [2]", [2]),
        ("; nothing\n 1 ; more", 1),
    ],
)  # fmt: skip
def test_edn_values(text: str, value: Any) -> None:
    assert edn.loads(text) == value


def test_edn_is_read_the_same_however_it_is_cut(monkeypatch: Any) -> None:
    whole = list(edn.read_items(StringIO(EDN)))
    assert [line for line, _ in whole] == [2, 3, 4, 6, 7, 8, 9, 10, 11]
    for size in range(1, 60):
        monkeypatch.setattr(edn, "_CHUNK", size)
        assert list(edn.read_items(StringIO(EDN))) == whole, size


EDN_PARTS = [
    ":f :read", ":value nil", ":value [1 2]", ":value [[1 nil] [:a]]", ':value "a [b], c"', ':value ["x y" 2.5]',
    ":time 12", ":value #{2 1}", ":error [:timeout \"a\\nb\"]", ":value {:a 1}", '"f" -7N', ":value ]",
    ":value [1", "[1] 2", "{} 2", "3 4", ":odd", ":process 0,", ":value \\a", ":value #tag 3", ":n ٣",
    ':value "open', '"a":b', ":value [1]2", ":a[3]", ":c #_ 1 2", "; no\n:d 1",
]  # fmt: skip


def test_the_short_way_through_flat_maps_gives_what_the_long_one_gives(monkeypatch: Any) -> None:
    def outcome(text: str) -> tuple[list[Any], str]:
        found: list[Any] = []
        try:
            found.extend(edn.read_items(StringIO(text)))
        except BadLine as problem:
            return found, f"{problem.line}: {problem}"
        return found, ""

    short, never = edn._FLAT_MAP, re.compile(r"(?!)")
    for seed in range(800):
        chance = random.Random(seed)
        maps = [
            f"{chance.choice(['', '', '#op', '#a/b '])}{{{' '.join(chance.choices(EDN_PARTS, k=chance.randint(0, 4)))}}}"
            for _ in range(chance.randint(1, 3))
        ]
        text = chance.choice(["{}", "[{}]", "({})\n", "[[{}]]", "#_ {}"]).replace("{}", chance.choice(" \n").join(maps))
        monkeypatch.setattr(edn, "_FLAT_MAP", short)
        quick = outcome(text)
        monkeypatch.setattr(edn, "_FLAT_MAP", never)
        assert quick == outcome(text), f"seed {seed}: {text}"


def test_edn_of_two_values_is_not_one() -> None:
    for text in ("1 2", "", "#_ 1"):
        with pytest.raises(BadLine, match="not one EDN value"):
            edn.loads(text)


def test_readers_stream(tmp_path: Path) -> None:
    """Of a file whose end is broken, everything before it arrives first."""
    endless = "".join(
        f"{{:process {number} :type :invoke :f :read}}\n{{:process {number} :type :ok :f :read :value 1}}\n"
        for number in range(4_000)
    )
    file = StringIO(endless + "]")
    items = edn.read_items(file)
    next(items)
    assert file.tell() < len(endless)
    with pytest.raises(BadLine, match="closes nothing"):
        list(items)


def test_plain_lists() -> None:
    found = record_from(
        [
            {"f": "write", "value": 1, "call": 0.5, "return": 1},
            {"f": "read", "result": 1, "call": 2, "return": 3, "process": "a", "key": "x", "replica": "n1"},
            {"f": "write", "value": 2, "call": 4},
            {"f": "write", "value": 3, "call": 5, "return": 6, "type": "fail"},
        ]
    )
    assert [(one.f, one.key, one.type, one.call_ns, one.return_ns) for one in found.operations] == [
        ("write", "", "ok", 500_000_000, 1_000_000_000),
        ("read", "x", "ok", 2_000_000_000, 3_000_000_000),
        ("write", "", "info", 4_000_000_000, None),
    ]
    assert len(found.failed) == 1
    assert short(record_from(map(json.loads, JSONL.splitlines())).operations)[1] == (1, "read", "x", None, 1, "ok")
    assert record_from([]).operations == []


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"f": "read", "call": 1, "ret": 2}], "operation 0 of the history: it has 'ret', which is none of"),
        ([{"f": "read", "call": "1"}], "its call is '1', not a number of seconds"),
        ([{"f": "read", "call": float("nan")}], "its call is nan"),
        ([{"call": 1}], "f None is not the name of a function"),
        ([{"f": "read", "call": 1, "type": "ok"}], r"it must be ok \(with a return\)"),
        ([{"f": "write", "value": {1, 2}, "call": 1}], "is not a JSON value"),
        ([{"f": "read", "call": 2, "return": 1}], "before its call"),
        ([{"f": "r", "call": 1, "return": 3, "process": 1}, {"f": "r", "call": 2, "process": 1}], "one operation open"),
        ([("read", 1)], "is not a mapping"),
        ([{"f": "read", "type": "ok", "process": 1}], "which it did not invoke"),
    ],
)
def test_what_is_wrong_with_a_plain_list_is_told(items: list[Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        record_from(items)
