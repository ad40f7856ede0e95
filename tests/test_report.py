"""The report of a run: complete when all is there, still a report when anything is missing, harmless whatever is in it."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.report import write_report
from harness.report.data import page_data, script_json
from harness.report.episodes import Episode, read_episodes, read_notes, read_roles
from harness.report.folder import LOG_LINES, read_run
from harness.report.operations import Operation, read_operations
from harness.report.picture import draw, read_findings
from tests.support.sample_run import KINDS, NASTY, SampleRun, some_faults

VOID = {"meta", "img", "br", "link", "input", "hr"}
FILES = ("run.yaml", "history.jsonl", "statuses.jsonl", "results.json")


class Page(HTMLParser):
    """A page taken apart: its elements, its text, the contents of its scripts. Fails on elements that don't match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])  # type: ignore[no-any-return]


def read_page(folder: Path) -> Page:
    return Page(write_report(folder).read_text("utf-8"))


@pytest.fixture(scope="module")
def violation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS["violation"](tmp_path_factory.mktemp("violation"))


def test_the_verdict_the_findings_and_the_command_are_told(violation: Path) -> None:
    page = read_page(violation)
    finding = json.loads((violation / "results.json").read_text("utf-8"))["checks"][0]["findings"][0]
    assert finding["sentence"] in page.text
    assert "violation" in page.text and "not as expected: it should be valid" in page.text
    assert "rashomon replay results/sample/20260131T093000-multi-paxos" in page.text
    assert "4 of 6" in page.text
    for operation in finding["operations"]:
        assert f"{operation['call'] / 1e9:.3f} s" in page.text
    assert ("a", {"class": "button", "href": "#finding=0", "data-finding": "0"}) in page.elements


def test_the_verdict_comes_before_everything_else(violation: Path) -> None:
    html = write_report(violation).read_text("utf-8")
    sections = re.findall(r'<(?:header|section) (?:class|id)="(\w+)', html)
    assert sections == ["top", "findings", "time", "faults", "checkers", "availability", "notes", "spec"]


@pytest.mark.parametrize("kind", ["valid", "violation", "nasty", "failed", "empty"])
def test_a_page_is_one_well_formed_file_that_loads_nothing(tmp_path: Path, kind: str) -> None:
    page = read_page(KINDS[kind](tmp_path))
    for tag, attributes in page.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form"), (tag, attributes)
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes) or ""
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert len(page.scripts) == 2


def test_strings_from_a_history_are_shown_and_nothing_more(tmp_path: Path) -> None:
    page = read_page(KINDS["nasty"](tmp_path))
    assert "</script><img src=x onerror=alert(1)>" in page.text
    assert "\u202e" not in page.text and "\x00" not in page.text
    assert any("onerror=alert(1)" in key for key in page.data["texts"]["key"])
    assert "<" not in page.scripts[0]


def test_script_json_reads_back_as_it_was_and_can_end_no_element() -> None:
    data = {"</script>": ["<!--", "\u2028\u2029&", NASTY]}
    text = str(script_json(data))
    assert json.loads(text) == data
    assert not set("<>&\u2028\u2029") & set(text)


def test_the_drawn_operations_are_those_of_the_history(violation: Path) -> None:
    run = read_run(violation)
    operations = read_operations(run.events)
    data = read_page(violation).data
    columns, texts = data["operations"], data["texts"]
    assert len(columns["call"]) == len(operations) > 1000
    call = index = 0
    for place, operation in enumerate(operations):
        call += columns["call"][place]
        index += columns["index"][place]
        assert (call, index) == (round(operation.call / 1000), operation.index)
        assert texts["process"][columns["process"][place]] == operation.process
        assert ("ok", "fail", "info")[columns["outcome"][place]] == operation.outcome
        result = columns["result"][place]
        assert (None if result < 0 else texts["value"][result]) == operation.result


def test_a_finding_points_at_its_operations_in_the_timeline(violation: Path) -> None:
    data = read_page(violation).data
    (finding,) = data["findings"]
    assert len(finding["rows"]) == 3
    keys = {data["operations"]["key"][row] for row in finding["rows"]}
    assert keys == {finding["key"]}


def test_more_operations_than_a_page_holds_leaves_a_stretch_around_the_finding(violation: Path) -> None:
    run = read_run(violation)
    operations = read_operations(run.events)
    findings = read_findings(run.results["checks"], operations, [], 0)
    data = page_data(operations, [], [], [], findings, [], 21_000_000_000, most_operations=500)
    assert len(data["operations"]["call"]) == 500
    assert data["total"] == len(operations)
    first, last = data["covered"]
    assert first < data["findings"][0]["from"] < last
    assert data["findings"][0]["rows"]


def test_the_size_stays_within_reason(tmp_path: Path) -> None:
    folder = SampleRun(pause_ms=8, faults=some_faults()).write(tmp_path)
    assert len(read_operations(read_run(folder).events)) > 2_000
    assert write_report(folder).stat().st_size < 600_000


@pytest.mark.parametrize("missing", FILES)
def test_a_report_is_written_whatever_is_missing(violation: Path, tmp_path: Path, missing: str) -> None:
    folder = Path(shutil.copytree(violation, tmp_path / "run"))
    (folder / missing).unlink()
    assert f"{missing} is missing" in read_page(folder).text


@pytest.mark.parametrize("torn", FILES)
def test_a_report_is_written_whatever_is_cut_short(violation: Path, tmp_path: Path, torn: str) -> None:
    folder = Path(shutil.copytree(violation, tmp_path / "run"))
    whole = (folder / torn).read_bytes()
    for share in (0.0, 0.31, 0.999):
        (folder / torn).write_bytes(whole[: int(len(whole) * share)])
        assert "Rashomon" in read_page(folder).text


def test_a_malformed_line_ends_the_history_and_is_told(violation: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(violation, tmp_path / "run"))
    lines = (folder / "history.jsonl").read_text("utf-8").splitlines()
    (folder / "history.jsonl").write_text("\n".join([*lines[:100], "nonsense", *lines[100:]]) + "\n", "utf-8")
    page = read_page(folder)
    assert "history.jsonl is malformed" in page.text and "101" in page.text
    assert 0 < len(page.data["operations"]["call"]) <= 100


def test_a_run_that_failed_tells_its_error_and_its_log(tmp_path: Path) -> None:
    page = read_page(KINDS["failed"](tmp_path))
    assert "port 21001 is taken: stop what listens there, or free it" in page.text
    assert "bringing up n1" in page.text
    assert "unknown" in page.text


def test_a_run_without_results_has_no_verdict(tmp_path: Path) -> None:
    page = read_page(KINDS["empty"](tmp_path))
    assert "The run ended before it was judged, and left no verdict." in page.text
    assert "not as expected" in page.text


def test_interruption_taint_and_a_broken_history_are_told_at_the_top(violation: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(violation, tmp_path / "run"))
    results = json.loads((folder / "results.json").read_text("utf-8"))
    results.update(
        interrupted=True, tainted="the proxy server was restarted", audit=["process 3 has two open operations"]
    )
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    text = read_page(folder).text
    assert "The run was interrupted" in text
    assert "the proxy server was restarted" in text
    assert "process 3 has two open operations" in text


def test_only_the_end_of_a_log_is_carried(violation: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(violation, tmp_path / "run"))
    (folder / "logs" / "n1.log").write_text("".join(f"line {number}\n" for number in range(50_000)), "utf-8")
    log = read_run(folder).logs["n1"].splitlines()
    assert len(log) == LOG_LINES
    assert log[-1] == "line 49999"


def test_operations_without_completion_and_completions_without_operation() -> None:
    operations = read_operations(
        [
            {"time": 1, "type": "ok", "process": 1, "f": "read"},
            {"time": 2, "type": "invoke", "process": 1, "f": "read", "key": "a", "value": None},
            {"time": 3, "type": "invoke", "process": 1, "f": "write", "key": "a", "value": 1},
            {"time": 4, "type": "ok", "process": 1, "f": "write", "key": "a", "value": 1},
            {"time": 5, "type": "invoke", "process": 2, "f": "read", "key": "a", "value": None},
            {"time": 6, "type": "ok", "process": 2, "f": "read", "key": "a", "value": None, "result": None},
        ]
    )
    assert [(found.label, found.outcome, found.returned) for found in operations] == [
        ("read", "info", None),
        ("write 1", "ok", 4),
        ("read → null", "ok", 6),
    ]


def test_faults_with_their_proofs() -> None:
    inject = {"process": "nemesis", "f": "inject", "fault": "kill", "number": 4}
    heal = {**inject, "f": "heal"}
    told = {"targets": ["n1"], "roles": {"n1": "leader"}, "description": "kill n1"}
    gone = {"effective": True, "detail": "n1 is down", "measurements": [{"replica": "n1", "state": "down"}]}
    (episode,) = read_episodes(
        [
            {**inject, "time": 10, "type": "invoke"},
            {**inject, **told, "time": 90, "type": "ok", "applied": 20, "evidence": gone},
            {**heal, "time": 100, "type": "invoke"},
            {**heal, "time": 130, "type": "fail", "error": "n1 does not answer"},
        ]
    )
    assert (episode.began, episode.ended, episode.targets) == (20, 130, [("n1", "leader")])
    assert (episode.injected.state, episode.injected.detail) == ("proved", "n1 is down")
    assert (episode.healed.state, episode.healed.detail) == ("failed", "n1 does not answer")


def test_a_fault_that_was_never_healed_stays_open() -> None:
    (episode,) = read_episodes(
        [{"process": "nemesis", "f": "inject", "fault": "kill", "number": 1, "time": 10, "type": "invoke"}]
    )
    assert episode.ended is None
    assert episode.injected.state == episode.healed.state == "open"


def test_roles_run_together_until_something_changes() -> None:
    def sample(time: int, role: str | None, state: str = "up", leader: str = "n1") -> dict[str, Any]:
        return {"time": time * 10**9, "replica": "n1", "state": state, "role": role, "leader": leader, "term": 1}

    samples = [sample(0, "leader"), sample(1, "leader"), sample(2, None, "down"), sample(3, "follower", leader="n2")]
    stretches = read_roles([*samples, sample(20, "follower", leader="n2")], 20_100_000_000)
    assert [(found.began / 1e9, found.ended / 1e9, found.state, found.role, found.chief) for found in stretches] == [
        (0, 2, "up", "leader", True),
        (2, 3, "down", "", False),
        (3, 5.5, "up", "follower", False),
        (20, 20.1, "up", "follower", False),
    ]


def test_notes_and_the_final_reads(violation: Path) -> None:
    notes = read_notes(read_run(violation).events)
    assert [note.text for note in notes] == ["the clients' work is over", "the final reads begin"]
    assert read_page(violation).data["finalReads"] == 20_300_000


def test_a_picture_keeps_labels_apart_and_inside(violation: Path) -> None:
    run = read_run(violation)
    operations = read_operations(run.events)
    (finding,) = read_findings(run.results["checks"], operations, read_episodes(run.events), 21_000_000_000)
    assert finding.picture is not None
    labels = [bar.label for lane in finding.picture.lanes if lane.kind == "proof" for row in lane.rows for bar in row]
    assert sorted(filter(None, labels)) == sorted(operation.label for operation in finding.operations)
    assert finding.picture.bands
    for lane in finding.picture.lanes:
        for row in lane.rows:
            assert all(0 <= bar.left <= bar.left + bar.width <= 100.001 for bar in row)


def operation(process: str, call_ms: float, took_ms: float | None, outcome: str = "ok", value: str = "1") -> Operation:
    call = int(call_ms * 1e6)
    returned = None if took_ms is None else call + int(took_ms * 1e6)
    return Operation(process, "write", "k", outcome, call, returned, value, None, None, "n1", None)


def test_a_long_quiet_stretch_between_operations_becomes_a_break() -> None:
    proof = [operation("1", 1000, 5), operation("2", 1020, 8), operation("3", 21_000, 6)]
    picture = draw(proof, [], [])
    (gap,) = picture.gaps
    assert gap.label == "20 s"
    bars = [bar for lane in picture.lanes for row in lane.rows for bar in row]
    assert all(bar.width > 3 for bar in bars), "milliseconds can be seen although seconds lie between"
    assert bars[0].left < bars[1].left < gap.left < gap.left + gap.width < bars[2].left
    places = [place for place, _ in picture.ticks]
    assert places == sorted(places)
    assert any(name.startswith("21.0") for _, name in picture.ticks)


def test_a_fault_within_a_break_is_shown() -> None:
    proof = [operation("1", 1000, 5), operation("3", 21_000, 6)]
    inside = Episode(1, "kill", 5_000_000_000, 7_000_000_000, "kill n1")
    outside = Episode(2, "pause", 30_000_000_000, 31_000_000_000)
    picture = draw(proof, [], [inside, outside])
    assert [band.title for band in picture.bands] == ["#1 kill: kill n1"]
    assert picture.gaps[0].left < picture.bands[0].left < picture.gaps[0].left + picture.gaps[0].width


def test_operations_close_to_one_another_need_no_break() -> None:
    picture = draw([operation("1", 1000, 50), operation("2", 1200, 60), operation("1", 1100, 10)], [], [])
    assert picture.gaps == []
    assert [lane.label for lane in picture.lanes] == ["process 1", "process 2"]


@pytest.mark.parametrize("span_ms", [0.02, 1, 37, 600, 900, 4_000, 70_000])
def test_moments_of_a_picture_have_names_of_their_own(span_ms: float) -> None:
    names = [name for _, name in draw([operation("1", 2000, span_ms)], [], []).ticks]
    assert len(names) > 1
    assert len(set(names)) == len(names), names


def test_an_unknown_outcome_stays_open_to_the_end_of_the_picture() -> None:
    picture = draw(
        [operation("1", 1000, 2000, "info"), operation("2", 1500, 5), operation("3", 1510, None, "info")], [], []
    )
    bars = {lane.label: lane.rows[0][0] for lane in picture.lanes}
    assert bars["process 1"].open and bars["process 1"].left + bars["process 1"].width == pytest.approx(100)
    assert bars["process 3"].open and not bars["process 2"].open


def test_any_proof_can_be_drawn() -> None:
    random = Random(seed := 20261121)
    for _ in range(300):
        proof = [
            operation(
                str(random.randrange(4)),
                10 ** random.uniform(0, 5),
                random.choice([None, 0, 10 ** random.uniform(-3, 4)]),
                random.choice(["ok", "info", "fail"]),
                "x" * random.choice([1, 8, 200]),
            )
            for _ in range(random.randint(1, 8))
        ]
        picture = draw(proof, proof[:2], [])
        for row in (row for lane in picture.lanes for row in lane.rows):
            assert all(bar.left >= 0 and bar.width >= 0 and bar.left + bar.width <= 100.01 for bar in row), seed
        labels = sum(bool(bar.label) for lane in picture.lanes for row in lane.rows for bar in row)
        assert labels == len(proof), seed


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["ok", "info", "availability", NASTY, "n1", "", 10**400]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", NASTY]), inner, max_size=3)
    ),
    max_leaves=6,
)


def records(plain: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries with some of the fields, each of them either as it should be or nonsense."""
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(plain.split(), junk), **parts})


times = st.integers(-(10**9), 10**12) | junk
described = records("f key value result process replica", type=st.sampled_from(["ok", "info"]), call=times)
findings = records("anomaly sentence key checker", operations=st.lists(described | junk, max_size=3), prefix_end=times)
figures = records("success_fraction other", recoveries=st.lists(records("number fault seconds") | junk, max_size=2))
verdicts = st.sampled_from(["valid", "violation", "unknown"]) | junk
checks = records(
    "sentence",
    checker=st.sampled_from(["linearizable", "availability"]) | junk,
    verdict=verdicts,
    findings=st.lists(findings | junk, max_size=2),
    statistics=figures | junk,
)
results = records(
    "campaign cell seed expect reason error as_expected interrupted audit notes replay versions tainted replicas protocol",
    verdict=verdicts,
    checks=st.lists(checks | junk, max_size=3),
    seconds=records("total work") | junk,
    operations=records("ok fail info by_function") | junk,
    faults=records("injected proved") | junk,
)
events = records(
    "key value result error targets description applied",
    process=st.sampled_from([1, 2, "nemesis", "harness"]) | junk,
    type=st.sampled_from(["invoke", "ok", "fail", "info"]) | junk,
    f=st.sampled_from(["inject", "heal", "note", "read"]) | junk,
    time=times,
    number=st.integers(0, 2) | junk,
    roles=records("n1") | junk,
    evidence=records("effective detail measurements") | junk,
)
statuses = records(
    "leader role term commit_index", time=times, replica=st.sampled_from(["n1", "n2"]) | junk, state=junk
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(results=results, history=st.lists(events, max_size=10), sampled=st.lists(statuses | junk, max_size=4))
def test_nonsense_never_keeps_a_report_from_being_written(
    tmp_path: Path, results: Any, history: list[Any], sampled: list[Any]
) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in history), "utf-8")
    (tmp_path / "statuses.jsonl").write_text("".join(json.dumps(status) + "\n" for status in sampled), "utf-8")
    page = read_page(tmp_path)
    assert not [attributes for tag, attributes in page.elements if tag == "img"]
