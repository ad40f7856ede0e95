"""What the page's scripts draw, as compact as it can be without a decoder: columns of whole numbers, texts told once.

Times are microseconds since the run began. Operations are columns, sorted by call; `call` holds the differences from one
to the next, `took` is -1 for an operation that never completed, and every other column holds places in a list of texts, -1
for nothing.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from harness.report.episodes import Episode, Note, Stretch, final_reads_begin, target_text
from harness.report.operations import OUTCOMES, Operation
from harness.report.picture import FindingView

MOST_OPERATIONS = 200_000
"""More than these a browser can't hold with ease; the page then says which part of the run it shows."""


class _Texts:
    """Texts in order of first use, each told once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        if text is None:
            return -1
        found = self._places.get(text)
        if found is None:
            found = self._places[text] = len(self.texts)
            self.texts.append(text)
        return found


def page_data(
    operations: Sequence[Operation],
    episodes: Sequence[Episode],
    stretches: Sequence[Stretch],
    notes: Sequence[Note],
    findings: Sequence[FindingView],
    replicas: Sequence[str],
    end: int,
    most_operations: int = MOST_OPERATIONS,
) -> dict[str, Any]:
    """Everything that is drawn on the shared time axis, which ends at `end` (nanoseconds)."""
    shown = _window(operations, findings, most_operations)
    texts = {name: _Texts() for name in ("process", "f", "key", "replica", "value", "error")}
    final_reads = final_reads_begin(notes)
    return {
        "end": max(1, _micro(end)),
        "operations": _columns(shown, texts),
        "texts": {name: column.texts for name, column in texts.items()},
        "covered": _covered(operations, shown),
        "total": len(operations),
        "episodes": [_episode(episode) for episode in episodes],
        "replicas": list(replicas),
        "roles": [_role(stretch) for stretch in stretches],
        "notes": [{"time": _micro(note.time), "text": note.text, "replica": note.replica} for note in notes],
        "finalReads": None if final_reads is None else _micro(final_reads),
        "findings": [_finding(finding, shown, texts["key"]) for finding in findings],
    }


def script_json(data: Any) -> Markup:
    """JSON that may stand inside a `<script>` element: no value can end the element or open another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _micro(nanoseconds: int) -> int:
    return round(nanoseconds / 1000)


def _window(operations: Sequence[Operation], findings: Sequence[FindingView], most: int) -> Sequence[Operation]:
    """At most `most` operations, all of one stretch of time: the one around the first finding, else the first."""
    if len(operations) <= most:
        return operations
    middle = 0
    if findings:
        middle = bisect_left(operations, findings[0].began, key=lambda operation: operation.call)
    first = max(0, min(middle - most // 2, len(operations) - most))
    return operations[first : first + most]


def _covered(operations: Sequence[Operation], shown: Sequence[Operation]) -> list[int] | None:
    """From when to when the operations shown are all there were; None if they are all of the run."""
    if len(shown) == len(operations):
        return None
    return [_micro(shown[0].call), _micro(shown[-1].call)]


def _columns(operations: Sequence[Operation], texts: dict[str, _Texts]) -> dict[str, list[int]]:
    columns: dict[str, list[int]] = {
        name: []
        for name in ("call", "took", "outcome", "index", "process", "f", "key", "replica", "value", "result", "error")
    }
    call = index = 0
    for operation in operations:
        called = _micro(operation.call)
        returned = operation.returned
        columns["call"].append(called - call)
        columns["took"].append(-1 if returned is None else max(0, _micro(returned) - called))
        columns["outcome"].append(OUTCOMES.index(operation.outcome))
        columns["index"].append((operation.index or 0) - index)
        columns["process"].append(texts["process"].place(operation.process))
        columns["f"].append(texts["f"].place(operation.f))
        columns["key"].append(texts["key"].place(operation.key))
        columns["replica"].append(texts["replica"].place(operation.replica))
        columns["value"].append(texts["value"].place(operation.value))
        columns["result"].append(texts["value"].place(operation.result))
        columns["error"].append(texts["error"].place(operation.error))
        call, index = called, operation.index or 0
    return columns


def _episode(episode: Episode) -> dict[str, Any]:
    return {
        "number": episode.number,
        "fault": episode.fault,
        "from": _micro(episode.began),
        "to": None if episode.ended is None else _micro(episode.ended),
        "description": episode.description,
        "targets": target_text(episode.targets),
        "state": episode.injected.state,
        "injected": episode.injected.detail,
        "healState": episode.healed.state,
        "healed": episode.healed.detail,
    }


def _role(stretch: Stretch) -> dict[str, Any]:
    return {
        "replica": stretch.replica,
        "from": _micro(stretch.began),
        "to": _micro(stretch.ended),
        "state": stretch.state,
        "role": stretch.role,
        "chief": stretch.chief,
        "leader": stretch.leader,
        "term": stretch.term,
        "commit": stretch.commit_index,
    }


def _finding(finding: FindingView, shown: Sequence[Operation], keys: _Texts) -> dict[str, Any]:
    wanted = {(operation.process, _micro(operation.call)) for operation in finding.operations}
    rows = [place for place, operation in enumerate(shown) if (operation.process, _micro(operation.call)) in wanted]
    return {
        "anomaly": finding.anomaly,
        "key": keys.place(finding.key) if finding.key in keys.texts else -1,
        "from": _micro(finding.began),
        "to": _micro(finding.ended),
        "rows": rows,
    }
