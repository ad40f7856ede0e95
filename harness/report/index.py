"""`index.html`: all runs of a campaign in one table, newest first, each with its verdict and a link to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from harness.report.folder import is_run
from harness.report.render import policy, render, style
from harness.report.summary import VERDICTS, read_summary


def run_folders(campaign_folder: Path) -> list[Path]:
    """The folders of runs in a campaign's folder, newest first; their names begin with their time."""
    return sorted(
        (path for path in campaign_folder.iterdir() if not path.is_symlink() and is_run(path)),
        key=lambda path: path.name,
        reverse=True,
    )


def index_page(campaign_folder: Path, folders: Sequence[Path]) -> str:
    """The page for these runs, which lie in `campaign_folder`."""
    runs = [(read_summary(folder), _link(campaign_folder, folder)) for folder in folders]
    return render(
        "index.html",
        policy=policy(),
        style=style("base.css", "index.css"),
        campaign=campaign_folder.name,
        runs=runs,
        verdicts={verdict: sum(run.verdict == verdict for run, _ in runs) for verdict in VERDICTS},
        unexpected=[run for run, _ in runs if not run.as_expected],
    )


def _link(campaign_folder: Path, folder: Path) -> str | None:
    """Where the run's report lies, seen from the index; None if it has none."""
    report = folder / "report.html"
    return quote(report.relative_to(campaign_folder).as_posix()) if report.is_file() else None
