"""JUnit files and the index of a campaign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from harness.report import write_index, write_junit, write_report
from tests.support.sample_run import KINDS, NASTY, SampleRun


def write_results(folder: Path, **results: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"cell": folder.name, "expect": "valid", **results}), "utf-8")
    return folder


def case_of(path: Path) -> ElementTree.Element:
    case = ElementTree.parse(path).getroot().find("testsuite/testcase")
    assert case is not None
    return case


def test_a_run_as_expected_passes(tmp_path: Path) -> None:
    SampleRun().write(tmp_path)
    write_report(tmp_path)
    case = case_of(tmp_path / "junit.xml")
    assert case.find("failure") is None and case.find("error") is None
    assert case.get("classname") == "sample" and case.get("name") == "multi-paxos register everything seed 1"
    properties = {entry.get("name"): entry.get("value") for entry in case.iter("property")}
    assert properties["seed"] == "1" and properties["verdict"] == "valid"


def test_a_violation_fails_with_the_sentences_of_its_findings(tmp_path: Path) -> None:
    KINDS["violation"](tmp_path)
    write_report(tmp_path)
    failure = case_of(tmp_path / "junit.xml").find("failure")
    assert failure is not None and failure.get("type") == "violation"
    assert "an acknowledged write was lost" in (failure.text or "")
    assert "rashomon replay results/sample/" in (failure.text or "")


def test_a_violation_that_was_expected_passes_and_its_absence_fails(tmp_path: Path) -> None:
    found = write_results(tmp_path / "a", verdict="violation", expect="violation", as_expected=True)
    missed = write_results(tmp_path / "b", verdict="valid", expect="violation", as_expected=False)
    cases = list(ElementTree.parse(write_junit(tmp_path, [found, missed])).getroot().iter("testcase"))
    assert cases[0].find("failure") is None and cases[0].find("system-out") is not None
    assert cases[1].find("failure") is not None


def test_what_could_not_be_judged_is_an_error_with_the_reason(tmp_path: Path) -> None:
    write_results(tmp_path / "unknown", verdict="unknown", as_expected=False, reason="no fault bit")
    KINDS["failed"](tmp_path / "failed")
    KINDS["empty"](tmp_path / "empty")
    suite = ElementTree.parse(write_junit(tmp_path)).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("3", "3", "0")
    messages = [problem.get("message") or "" for problem in suite.iter("error")]
    assert any("no fault bit" in message for message in messages)
    assert any("port 21001 is taken" in (problem.text or "") for problem in suite.iter("error"))


def test_any_character_makes_valid_xml(tmp_path: Path) -> None:
    everything = "".join(map(chr, range(0x300))) + "\ufffe\uffff\ud800\U0001f600" + NASTY
    write_results(
        tmp_path / "run", cell=everything, verdict="violation", reason=everything, as_expected=False, started="\x01"
    )
    failure = case_of(write_junit(tmp_path)).find("failure")
    assert failure is not None and "\U0001f600" in (failure.get("message") or "")


def test_an_index_lists_every_run_newest_first_and_links_its_report(tmp_path: Path) -> None:
    campaign = tmp_path / "quick <start>"
    write_report(write_results(campaign / "20260101T100000-first #1", verdict="valid", as_expected=True))
    write_report(KINDS["violation"](campaign / "20260101T100500-second"))
    write_results(campaign / "20260101T101000-third", verdict="unknown", as_expected=False, error=NASTY)
    (campaign / "latest").symlink_to("20260101T100500-second")
    (campaign / "notes").mkdir()
    html = write_index(campaign).read_text("utf-8")
    assert "2 of 3 runs did not end as expected." in html
    assert html.index("third") < html.index("an acknowledged write was lost") < html.index("first #1")
    assert 'href="20260101T100000-first%20%231/report.html"' in html
    assert "(no report)" in html
    assert "<img" not in html and "quick &lt;start&gt;" in html


def test_an_index_of_nothing_says_so(tmp_path: Path) -> None:
    assert "No run lies here yet." in write_index(tmp_path).read_text("utf-8")
