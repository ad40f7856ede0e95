"""The log of one Raft replica: numbered entries, of which the oldest may have been cut away for a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Entry = list[Any]
"""`[term, command]`: the term of the leader that made it, and a client's request, or null for a no-op."""


class Log:
    """Entries `base + 1` to `last`, in memory. Indices begin at 1; index 0, before everything, has term 0."""

    def __init__(self) -> None:
        self.base = 0
        """The last entry that was cut away; its term is still known."""
        self._base_term = 0
        self._entries: list[Entry] = []
        self.written_from = 1
        """The first index that was written to since a witness last set this."""

    @property
    def last(self) -> int:
        return self.base + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1][0] if self._entries else self._base_term

    def term(self, index: int) -> int | None:
        """The term of an entry; None if it was cut away or doesn't exist."""
        if index == self.base:
            return self._base_term
        if self.base < index <= self.last:
            term: int = self._entries[index - self.base - 1][0]
            return term
        return None

    def __getitem__(self, index: int) -> Entry:
        if not self.base < index <= self.last:
            raise KeyError(index)
        return self._entries[index - self.base - 1]

    def part(self, first: int, last: int) -> list[Entry]:
        """The entries from `first` to `last`, or to the end; `first` must not have been cut away."""
        return self._entries[first - self.base - 1 : last - self.base]

    def write(self, first: int, entries: Sequence[Entry]) -> None:
        """Put entries at `first`, at most one beyond the end. Whatever stood there, and all after it, is gone."""
        del self._entries[first - self.base - 1 :]
        self._entries.extend(entries)
        self.written_from = min(self.written_from, first)

    def first_of_its_term(self, index: int) -> int:
        """The first entry kept here that is of the same term as the one at `index`, with none of another in between."""
        term = self.term(index)
        while index - 1 > self.base and self.term(index - 1) == term:
            index -= 1
        return index

    def cut(self, index: int) -> None:
        """Forget the entries up to `index`; does nothing where they are forgotten already."""
        if index > self.base:
            term = self.term(index)
            assert term is not None, f"entry {index} doesn't exist"
            del self._entries[: index - self.base]
            self.base, self._base_term = index, term

    def restart(self, index: int, term: int) -> None:
        """Be empty, after an entry `index` of this term."""
        self._entries.clear()
        self.base, self._base_term = index, term
