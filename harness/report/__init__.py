"""Reports: what a person, a colleague and a CI server read of a run.

    write_report(folder)             # report.html and junit.xml of one run, from what lies in its folder
    write_index(campaign_folder)     # index.html: a table of all runs in it
    write_junit(campaign_folder)     # junit.xml: one test case for each run in it

A report is one HTML file that opens from disk and loads nothing. It is written whatever state the run is in: a run that
failed, was interrupted or never began needs its picture most.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.files import write_whole
from harness.report.folder import read_run
from harness.report.index import index_page, run_folders
from harness.report.junit import write_cases
from harness.report.page import report_page
from harness.report.summary import read_summary

__all__ = ["write_index", "write_junit", "write_report"]


def write_report(folder: Path) -> Path:
    """Write `report.html` and `junit.xml` into the folder of a run; returns the path of the report.

    Reads `run.yaml`, `history.jsonl`, `statuses.jsonl`, `results.json` and the logs, as far as they are there and whole; the
    report says what was missing. Raises `OSError` if it can't be written.
    """
    run = read_run(folder)
    page, summary = report_page(run)
    write_cases(folder / "junit.xml", summary.campaign, [summary])
    return write_whole(folder / "report.html", page)


def write_index(campaign_folder: Path) -> Path:
    """Write `index.html` into the folder of a campaign, with all runs that lie in it; returns its path."""
    return write_whole(campaign_folder / "index.html", index_page(campaign_folder, run_folders(campaign_folder)))


def write_junit(campaign_folder: Path, runs: Sequence[Path] | None = None) -> Path:
    """Write `junit.xml` into the folder of a campaign; returns its path.

    `runs` are the folders to tell of, such as those of one call of `rashomon run`; None means all that lie there.
    """
    folders = run_folders(campaign_folder) if runs is None else runs
    return write_cases(
        campaign_folder / "junit.xml", campaign_folder.name, [read_summary(folder) for folder in folders]
    )
