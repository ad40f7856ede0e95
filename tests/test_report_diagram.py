"""The message diagram: what is drawn of a trace, and what of one that is missing or torn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.report.diagram import MOST_ARROWS, Diagram, read_diagram
from harness.report.episodes import Episode

REPLICAS = ["n1", "n2"]


def send(time: int, key: str, kind: str = "accept", **more: Any) -> dict[str, Any]:
    source, target = key.split()[0].split("->")
    message = {"type": kind, "ballot": [1, 1], "entries": []}
    return {"time": time, "what": "send", "replica": source, "peer": target, "key": key, "message": message, **more}


def deliver(time: int, key: str, kind: str = "accept") -> dict[str, Any]:
    source, target = key.split()[0].split("->")
    return {
        "time": time,
        "what": "deliver",
        "replica": target,
        "peer": source,
        "key": key,
        "message": {"type": kind, "ballot": [1, 1]},
    }


def drawn(folder: Path, steps: list[dict[str, Any]], until: int | None = None) -> Diagram | None:
    (folder / "trace.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps), "utf-8")
    return read_diagram(folder, "multi-paxos", REPLICAS, until)


def test_a_message_is_an_arrow_from_lane_to_lane_downwards(tmp_path: Path) -> None:
    diagram = drawn(tmp_path, [send(1_000_000, "n1->n2 accept 1"), deliver(2_000_000, "n1->n2 accept 1")])
    assert diagram is not None
    (arrow,) = diagram.arrows
    lanes = {name: x for x, name in diagram.lanes}
    assert list(lanes) == ["clients", "n1", "n2"]
    assert (arrow.x1, arrow.x2) == (lanes["n1"], lanes["n2"]) and arrow.y1 < arrow.y2 < diagram.height
    assert arrow.fate == "on-time" and arrow.label == "accept: nothing (ballot 1.1)" and "n1 to n2" in arrow.title
    assert [text for _, text in diagram.times] == ["0.001 s", "0.002 s"]


def test_what_was_lost_ends_on_its_way(tmp_path: Path) -> None:
    lost = {"time": 5, "what": "lost", "replica": "n1", "peer": "n2", "key": "n1->n2 accept 1", "why": "cut"}
    diagram = drawn(tmp_path, [send(5, "n1->n2 accept 1"), lost])
    assert diagram is not None
    (arrow,) = diagram.arrows
    lanes = {name: x for x, name in diagram.lanes}
    assert arrow.fate == "lost" and lanes["n1"] < arrow.x2 < lanes["n2"]


def test_a_message_that_comes_twice_has_two_arrows(tmp_path: Path) -> None:
    key = "n1->n2 accept 1"
    diagram = drawn(tmp_path, [send(1, key, fate="duplicated"), deliver(2, key), deliver(3, key)])
    assert diagram is not None
    assert [arrow.fate for arrow in diagram.arrows][:2] == ["duplicated", "duplicated"]


def test_heartbeats_and_what_comes_later_are_left_out(tmp_path: Path) -> None:
    steps = [
        send(1, "n1->n2 heartbeat 1", kind="heartbeat"),
        send(2, "n1->n2 accept 1"),
        deliver(3, "n1->n2 accept 1"),
        send(9, "n1->n2 accept 2"),
    ]
    diagram = drawn(tmp_path, steps, until=5)
    assert diagram is not None and len(diagram.arrows) == 1


def test_lives_are_marked_and_long_quiet_is_told(tmp_path: Path) -> None:
    steps = [
        send(0, "n1->n2 accept 1"),
        {"time": 10, "what": "kill", "replica": "n2", "incarnation": 1},
        {"time": 3_000_000_000, "what": "start", "replica": "n2", "incarnation": 2},
        {"time": 3_000_000_001, "what": "broken", "replica": "n1", "law": "a law", "text": "<b>bad</b>"},
    ]
    diagram = drawn(tmp_path, steps)
    assert diagram is not None
    assert [(mark.kind, mark.text) for mark in diagram.marks] == [
        ("kill", "killed"),
        ("start", "starts"),
        ("broken", "a law: <b>bad</b>"),
    ]
    assert {line.state for line in diagram.lines} == {"up", "down"}
    assert [text for _, text in diagram.gaps] == ["3.00 s later"]


def test_a_label_is_as_long_as_its_arrow(tmp_path: Path) -> None:
    said = {
        "type": "accept",
        "ballot": [1, 1],
        "entries": [[1, [["p0", 0, {"f": "write", "key": "k" * 40, "value": 1}]]]],
    }
    steps = [{**send(1, "n1->n2 accept 1"), "message": said}, deliver(2, "n1->n2 accept 1")]
    diagram = drawn(tmp_path, steps)
    assert diagram is not None
    (arrow,) = diagram.arrows
    assert arrow.label.endswith("…") and len(arrow.label) * 6 < abs(arrow.x2 - arrow.x1)
    assert "k" * 40 in arrow.title


def test_a_fault_of_links_is_a_line_across_all_lanes_and_a_first_start_is_nothing(tmp_path: Path) -> None:
    steps = [{"time": -5, "what": "start", "replica": "n1", "incarnation": 1}, send(20, "n1->n2 accept 1")]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps), "utf-8")
    faults = [
        Episode(1, "partition", began=10, ended=99, description="isolate: n1 | n2"),
        Episode(2, "kill", began=11, ended=12, description="n2"),
    ]
    diagram = read_diagram(tmp_path, "multi-paxos", REPLICAS, 50, faults)
    assert diagram is not None
    (mark,) = diagram.marks
    assert (mark.kind, mark.text) == ("fault", "partition begins: isolate: n1 | n2")
    assert mark.y < diagram.arrows[0].y1


def test_of_many_messages_the_last_are_drawn(tmp_path: Path) -> None:
    steps = []
    for number in range(MOST_ARROWS + 30):
        key = f"n1->n2 accept {number}"
        steps += [send(number * 10, key), deliver(number * 10 + 1, key)]
    diagram = drawn(tmp_path, steps)
    assert diagram is not None
    assert len(diagram.arrows) == MOST_ARROWS and diagram.left_out == 30


def test_a_run_without_a_trace_has_no_diagram(tmp_path: Path) -> None:
    assert read_diagram(tmp_path, "multi-paxos", REPLICAS, None) is None


def test_a_torn_trace_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    assert drawn(tmp_path, [send(1, "n1->n2 accept 1")]) is not None
    with (tmp_path / "trace.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"time": 2, "wha')
    diagram = read_diagram(tmp_path, "nobody-knows", REPLICAS, None)
    assert diagram is not None and len(diagram.arrows) == 1
