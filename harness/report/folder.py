"""What a run left in its folder, read so that nothing missing or cut short can keep a report from being written.

A run may end anywhere: before its history began, in the middle of a line, after the checks. Whatever can't be read is
empty here, and `problems` says so in sentences that the report shows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.history import BadHistory, Event, read_history

LOG_LINES = 200
"""How much of the end of each log a report carries."""

_MARKS = ("run.yaml", "history.jsonl", "results.json")

_LOG_TAIL_BYTES = 128 * 1024


@dataclass(frozen=True)
class RunFolder:
    """The contents of a run's folder; empty values stand for what isn't there."""

    path: Path
    results: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    spec_text: str = ""
    events: list[Event] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    """The last lines of each log, by the name of who wrote it."""
    problems: list[str] = field(default_factory=list)
    """One sentence for everything that is missing, torn or malformed."""


def read_run(path: Path) -> RunFolder:
    """Everything a report needs. Raises `OSError` only if `path` itself can't be looked into."""
    problems: list[str] = []
    results = read_results(path, problems)
    spec, spec_text = read_spec(path, problems)
    return RunFolder(
        path=path,
        results=results,
        spec=spec,
        spec_text=spec_text,
        events=_read_lines(path / "history.jsonl", problems),
        statuses=_read_lines(path / "statuses.jsonl", problems),
        logs=_read_logs(path, problems),
        problems=problems,
    )


def read_results(path: Path, problems: list[str]) -> dict[str, Any]:
    """The run's `results.json`, or an empty dictionary and a sentence."""
    text = _read_text(path / "results.json", problems)
    if text is None:
        return {}
    try:
        results = json.loads(text)
    except (ValueError, RecursionError):
        results = None
    if isinstance(results, dict):
        return results
    problems.append("results.json is cut short or is not a JSON object: `rashomon check` judges the history again.")
    return {}


def read_spec(path: Path, problems: list[str]) -> tuple[dict[str, Any], str]:
    """The run's specification, parsed without validation, and its text."""
    text = _read_text(path / "run.yaml", problems)
    if text is None:
        return {}, ""
    try:
        spec = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        spec = None
    if isinstance(spec, dict):
        return spec, text
    problems.append("run.yaml is cut short or malformed: the run can't be repeated from it.")
    return {}, text


def is_run(path: Path) -> bool:
    """Whether this is the folder of a run: something was saved there, if only its specification."""
    return path.is_dir() and any((path / name).is_file() for name in _MARKS)


def _read_text(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        problems.append(f"{path.name} is missing: the run ended before it was written.")
    except OSError as error:
        problems.append(f"{path.name} can't be read: {error.strerror or error}.")
    return None


def _read_lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    try:
        lines.extend(read_history(path))
    except FileNotFoundError:
        problems.append(f"{path.name} is missing: the run ended before anything was recorded there.")
    except OSError as error:
        problems.append(f"{path.name} can't be read: {error.strerror or error}.")
    except (BadHistory, RecursionError) as error:
        problems.append(f"{path.name} is malformed, and only what stands before that is shown: {error}.")
    return lines


def _read_logs(path: Path, problems: list[str]) -> dict[str, str]:
    logs: dict[str, str] = {}
    for file in [*sorted((path / "logs").glob("*.log"), key=_by_number), path / "harness.log"]:
        try:
            logs[file.stem] = _tail(file)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{file.name} can't be read: {error.strerror or error}.")
    return logs


def _by_number(file: Path) -> tuple[int, str]:
    digits = file.stem.lstrip("n")
    return (int(digits) if digits.isdecimal() else 10**9, file.stem)


def _tail(file: Path) -> str:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _LOG_TAIL_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-LOG_LINES:])
