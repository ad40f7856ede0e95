"""The record of a run: what is in the file when, and what happens when the file can't take any more."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from harness.history import BadHistory, History, read_history


def test_an_event_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    stamped = history.append(
        {"type": "invoke", "process": 3, "f": "write", "key": "k0.0", "value": 17, "replica": "n2"}
    )
    line = (tmp_path / "history.jsonl").read_text("utf-8")
    assert line.endswith("\n")
    assert json.loads(line) == stamped
    assert list(stamped)[:2] == ["index", "time"]
    assert stamped["index"] == 0
    assert 0 <= stamped["time"] <= history.now()
    history.close()


def test_index_order_is_time_order_with_many_threads(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.begin()

    def work(process: int) -> None:
        for _ in range(200):
            history.append({"type": "invoke", "process": process})

    threads = [threading.Thread(target=work, args=(process,)) for process in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.close()
    events = list(read_history(history.path))
    assert [event["index"] for event in events] == list(range(1600))
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_any_json_value_comes_back_as_it_was(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    values = [None, True, 1, 1.5, "ü\u2028\ud800\n", [1, [2]], {"a": {"b": None}}]
    for value in values:
        history.append({"value": value})
    history.close()
    assert [event["value"] for event in read_history(history.path)] == values


def test_nothing_is_recorded_after_close(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.note("one", "n1")
    history.close()
    history.close()
    assert "index" not in history.note("two")
    (event,) = read_history(history.path)
    assert event["process"] == "harness"
    assert (event["f"], event["value"], event["replica"]) == ("note", "one", "n1")


def test_a_history_is_never_written_over(tmp_path: Path) -> None:
    History(tmp_path / "history.jsonl").close()
    with pytest.raises(FileExistsError):
        History(tmp_path / "history.jsonl")


def test_a_full_disk_ends_the_record_at_a_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path / "history.jsonl")
    history.append({"value": "first"})
    really_write = os.write
    room = [5]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = really_write(file, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    lost = history.append({"value": "second"})
    monkeypatch.undo()
    assert "index" not in lost
    assert history.error is not None
    assert "No space left on device" in history.error
    assert "index" not in history.append({"value": "third"})
    history.close()
    assert [event["value"] for event in read_history(history.path)] == ["first"]
    assert history.path.read_bytes().endswith(b"\n")


def test_a_torn_last_line_is_left_out_and_any_other_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"index":0}\n\n{"index":1}\n{"ind', "utf-8")
    assert [event["index"] for event in read_history(path)] == [0, 1]
    path.write_text('{"index":0}\n{"ind\n{"index":2}\n', "utf-8")
    with pytest.raises(BadHistory, match=r"history\.jsonl:2: not JSON"):
        list(read_history(path))
    path.write_text('{"index":0}\n7\n', "utf-8")
    with pytest.raises(BadHistory, match=r"history\.jsonl:2: not a JSON object"):
        list(read_history(path))
