"""JUnit files: what a CI server shows of a run, or of all runs of a campaign.

A run is one test case. It fails if its verdict is not the expected one: with the findings' sentences for a violation, with
the reason for anything else; a run that could not be judged although a verdict was expected is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from harness.report.files import write_whole
from harness.report.summary import Summary

# All that XML 1.0 (section 2.2) allows in a document.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cases(path: Path, name: str, runs: Sequence[Summary]) -> Path:
    """Write a JUnit file with one test case for each run."""
    suite = ElementTree.Element("testsuite", name=legal(name), tests=str(len(runs)))
    problems = [_case(suite, run) for run in runs]
    suite.set("failures", str(problems.count("failure")))
    suite.set("errors", str(problems.count("error")))
    suite.set("skipped", "0")
    suite.set("time", f"{sum(run.seconds.get('total', 0.0) for run in runs):.3f}")
    if started := min((run.started for run in runs if run.started), default=""):
        suite.set("timestamp", legal(started))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return write_whole(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def legal(text: str) -> str:
    """The text without the characters that XML has no way to write."""
    return _ILLEGAL.sub("", text)


def _case(suite: ElementTree.Element, run: Summary) -> str | None:
    """Add the run; returns the kind of its problem, if it has one."""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=legal(run.campaign),
        name=legal(run.cell),
        time=f"{run.seconds.get('total', 0.0):.3f}",
    )
    properties = ElementTree.SubElement(case, "properties")
    for name in ("seed", "cluster", "protocol", "workload", "nemesis", "verdict", "expect", "folder"):
        ElementTree.SubElement(properties, "property", name=name, value=legal(str(getattr(run, name))))
    kind = _problem(run)
    account = legal("\n".join([*_explanation(run), f"To repeat it: {run.replay}"]))
    if kind is None:
        ElementTree.SubElement(case, "system-out").text = account
    else:
        message = legal(f"{run.verdict} where {run.expect} was expected: {run.reason}")
        problem = ElementTree.SubElement(case, kind, message=message, type=run.verdict)
        problem.text = account
    return kind


def _problem(run: Summary) -> str | None:
    if run.as_expected and not run.error:
        return None
    return "error" if run.error or run.verdict == "unknown" else "failure"


def _explanation(run: Summary) -> list[str]:
    lines = [line for line in (run.error, run.reason) if line]
    lines += [f"- {sentence}" for sentence in run.sentences]
    if run.findings_total > len(run.findings):
        lines.append(f"- and {run.findings_total - len(run.findings)} more findings")
    return lines
