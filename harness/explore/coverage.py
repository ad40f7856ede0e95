"""What the runs of an exploration have been through: plain counts, which add up.

A count has a path of three names, such as `("messages", "accept", "lost")` or `("roles", "leader", "kill")`. The sections::

    sizes       how many runs had so many replicas:       {"3": {"runs": 812}}
    faults      injections of each fault:                 {"kill": {"injected": 96, "proved": 90, "ineffective": 6}}
    roles       whom proved injections hit:               {"leader": {"kill": 31, "partition": 40}}
    messages    what became of messages, by type:         {"accept": {"sent": 9120, "lost": 77, "duplicated": 3}}
    events      what the cluster went through:            {"elections": {"count": 410}}
    operations  what the clients asked for, by function:  {"write": {"ok": 8011, "fail": 12, "info": 300}}
    weather     runs by what their network did at all:    {"loss": {"runs": 400}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


class Coverage:
    """Counts by path; two of them can be added."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, section: str, row: str, column: str, number: int = 1) -> None:
        if number:
            self.counts[section, row, column] += number

    def add(self, other: Coverage) -> None:
        self.counts.update(other.counts)

    def rows(self, section: str) -> dict[str, dict[str, int]]:
        """The counts of one section, rows and columns sorted by name."""
        rows: dict[str, dict[str, int]] = {}
        for where, row, column in sorted(self.counts):
            if where == section:
                rows.setdefault(row, {})[column] = self.counts[where, row, column]
        return rows

    def as_json(self) -> dict[str, dict[str, dict[str, int]]]:
        return {section: self.rows(section) for section in self._sections()}

    def _sections(self) -> Iterator[str]:
        yield from sorted({section for section, _, _ in self.counts})
