"""`report.html`: the account of one run, verdict first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.report.data import page_data, script_json
from harness.report.diagram import Diagram, read_diagram
from harness.report.episodes import Episode, by_number, read_episodes, read_notes, read_roles, target_text
from harness.report.folder import RunFolder
from harness.report.operations import last_time, read_operations
from harness.report.picture import read_findings
from harness.report.render import policy, render, scripts, style
from harness.report.summary import (
    VERDICTS,
    Summary,
    checks,
    dictionaries,
    dictionary,
    sentences,
    statistics,
    summarize,
)
from harness.report.text import named, number, options, plain_text, whole

_MOST_FINDINGS = 50
"""Shown; the head tells how many there are in all."""

_AVAILABILITY_TOLD = {"success_fraction", "longest_unavailable_seconds", "longest_unavailable_window", "recoveries"}


@dataclass(frozen=True)
class _Figure:
    """A number of the page's head, with what it means."""

    name: str
    value: str
    hint: str = ""


def report_page(run: RunFolder) -> tuple[str, Summary]:
    """The page, and the short account of the run that it begins with."""
    operations = read_operations(run.events)
    summary = summarize(run.path, run.results, run.spec, operations)
    episodes = read_episodes(run.events)
    notes = read_notes(run.events)
    end = max([last_time(run.events), *(whole(status.get("time")) or 0 for status in run.statuses)])
    stretches = read_roles(run.statuses, end)
    findings = read_findings(checks(run.results), operations, episodes, end)[:_MOST_FINDINGS]
    replicas = sorted({stretch.replica for stretch in stretches}, key=by_number)
    data = page_data(operations, episodes, stretches, notes, findings, replicas, end)
    script = scripts()
    html = render(
        "report.html",
        policy=policy(script),
        style=style("base.css", "report.css"),
        script=script,
        data=script_json(data),
        run=summary,
        figures=_figures(summary),
        ingredients=_ingredients({**run.spec, **run.results}),
        warnings=_warnings(run, summary),
        findings=findings,
        episodes=episodes,
        target_text=target_text,
        keys=_key_counts(data),
        processes=data["texts"]["process"],
        has_roles=bool(stretches),
        has_operations=bool(operations),
        checks=_checks(run.results),
        availability=_availability(run.results),
        recoveries=_recoveries(run.results),
        notes=notes,
        written_notes=sentences(run.results.get("notes")),
        logs=run.logs,
        spec_text=run.spec_text,
        versions=dictionary(run.results.get("versions")),
        by_function=dictionary(dictionary(run.results.get("operations")).get("by_function")),
        drawn=bool(operations or episodes or stretches),
        messages=_messages(run, episodes),
        story=_story(run),
    )
    return html, summary


def _messages(run: RunFolder, episodes: list[Episode]) -> Diagram | None:
    """The messages up to the first finding, in a script up to the last; only a simulated run knows them."""
    ends = [
        whole(one.get("prefix_end")) for check in checks(run.results) for one in dictionaries(check.get("findings"))
    ]
    known = [end for end in ends if end is not None]
    count = whole(run.spec.get("replicas")) or 0
    names = [f"n{place}" for place in range(1, min(count, 25) + 1)]
    protocol = dictionary(run.spec.get("protocol")).get("name")
    if not known:
        return None
    short = bool(run.spec.get("script"))
    until_ns = max(known) if short else min(known)
    drawn = read_diagram(run.path, str(protocol), names, until_ns, episodes)
    if drawn is not None and short:
        drawn.up_to = "last"
    return drawn


def _story(run: RunFolder) -> list[str]:
    """What `rashomon shrink` tells of a run, if it is one that was shrunk."""
    try:
        return (run.path / "story.txt").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True)
class _Check:
    """What one checker said."""

    checker: str
    verdict: str
    sentence: str
    statistics: dict[str, Any]


def _checks(results: dict[str, Any]) -> list[_Check]:
    return [
        _Check(
            checker=plain_text(check.get("checker"), 60),
            verdict=check["verdict"] if check.get("verdict") in VERDICTS else "unknown",
            sentence=plain_text(check.get("sentence") or "It said nothing.", 2000),
            statistics=dictionary(check.get("statistics")),
        )
        for check in checks(results)
    ]


def _figures(run: Summary) -> list[_Figure]:
    total = run.seconds.get("total")
    work = run.seconds.get("work")
    faults = "–"
    if run.faults_injected is not None:
        faults = f"{run.faults_proved or 0} of {run.faults_injected}" if run.faults_injected else "none"
    gap = run.longest_unavailable_seconds
    return [
        _Figure("Longest outage", "–" if gap is None else f"{gap:.2f} s", "the longest time without any success"),
        _Figure("Faults proved", faults, "measured to have taken effect"),
        _Figure("Clients at work", "–" if work is None else f"{work:.1f} s", "how long clients and faults worked"),
        _Figure("Run took", "–" if total is None else f"{total:.1f} s", "from set-up to verdict"),
        _Figure("Seed", run.seed, "all choices of the run come from it"),
        _Figure(
            "Cluster", run.cluster if run.replicas is None else f"{run.cluster} × {run.replicas}", "kind × replicas"
        ),
    ]


def _ingredients(known: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the run was made of: the kind of thing, its name, its options."""
    found = []
    for title, field in (
        ("Protocol", "protocol"),
        ("Machine", "machine"),
        ("Workload", "workload"),
        ("Faults", "nemesis"),
    ):
        thing = known.get(field)
        name = thing.get("name") if isinstance(thing, dict) else thing
        found.append((title, named(name), options(thing)))
    return found


def _warnings(run: RunFolder, summary: Summary) -> list[str]:
    """What a reader must know before believing anything else on the page."""
    warnings = []
    if summary.error:
        warnings.append(f"The run failed: {summary.error}")
    if summary.interrupted:
        warnings.append("The run was interrupted: it was judged as far as it went.")
    warnings += [f"The network can't be trusted: {sentence}" for sentence in sentences(run.results.get("tainted"))]
    warnings += [f"The history breaks the rules of histories: {found}" for found in sentences(run.results.get("audit"))]
    return warnings + run.problems


def _key_counts(data: dict[str, Any]) -> list[tuple[str, int]]:
    """Every key with its number of operations; those with findings first, then as they came up."""
    counts = [0] * len(data["texts"]["key"])
    for place in data["operations"]["key"]:
        if place >= 0:
            counts[place] += 1
    accused = {finding["key"] for finding in data["findings"]}
    return [
        (data["texts"]["key"][place], counts[place])
        for place in sorted(range(len(counts)), key=lambda place: place not in accused)
    ]


def _availability(results: dict[str, Any]) -> dict[str, Any]:
    """The measured figures that the page doesn't tell elsewhere."""
    found = statistics(results, "availability")
    return {name: value for name, value in found.items() if name not in _AVAILABILITY_TOLD}


@dataclass(frozen=True)
class _Recovery:
    number: str
    fault: str
    seconds: float | None
    share: float
    """Of the longest recovery, in percent: the length of a bar."""


def _recoveries(results: dict[str, Any]) -> list[_Recovery]:
    found = dictionaries(statistics(results, "availability").get("recoveries"))
    longest = max((number(entry.get("seconds")) or 0.0 for entry in found), default=0.0)
    return [
        _Recovery(
            number=plain_text(entry.get("number"), 20),
            fault=plain_text(entry.get("fault"), 60),
            seconds=(length := number(entry.get("seconds"))),
            share=0.0 if not longest or length is None else round(length / longest * 100, 1),
        )
        for entry in found
    ]
