"""The journal: what is durable when, torn ends, damage, compaction."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from node import journal as module
from node.journal import Journal, JournalCorrupt, JournalFailed

RECORDS = [{"type": "first", "n": 1}, {"type": "second", "text": "größer"}, {"type": "third", "list": [1, None, True]}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(path: Path, records: list[dict[str, object]] = RECORDS) -> list[int]:
    """Write a journal with these records, one sync each; returns the size of the file after each (and before any)."""
    journal = Journal.create(path)
    sizes = [path.stat().st_size]
    for record in records:
        journal.append(record)
        journal.sync()
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


def reopened(path: Path) -> list[dict[str, object]]:
    journal, records = Journal.open(path)
    journal.close()
    return records


def test_what_was_synced_is_there_again_in_order(path: Path) -> None:
    written(path)
    assert reopened(path) == RECORDS


def test_what_was_not_synced_is_in_no_file(path: Path) -> None:
    journal = Journal.create(path)
    journal.append(RECORDS[0])
    journal.sync()
    size = path.stat().st_size
    journal.append(RECORDS[1])
    assert journal.dirty and path.stat().st_size == size
    assert reopened(path) == RECORDS[:1]
    journal.close()


def test_a_sync_of_nothing_costs_nothing(path: Path) -> None:
    journal = Journal.create(path)
    journal.sync()
    assert journal.syncs == 0
    journal.append({})
    journal.append({})
    journal.sync()
    assert (journal.syncs, journal.records, journal.size_bytes) == (1, 2, path.stat().st_size)
    journal.close()


def test_a_reopened_journal_goes_on_where_it_ended(path: Path) -> None:
    written(path, RECORDS[:2])
    journal, _ = Journal.open(path)
    journal.append(RECORDS[2])
    journal.sync()
    journal.close()
    assert reopened(path) == RECORDS


def test_a_torn_end_is_cut_at_every_byte_of_the_last_record(path: Path) -> None:
    sizes = written(path)
    whole = path.read_bytes()
    for length in range(sizes[-2], sizes[-1]):
        path.write_bytes(whole[:length])
        journal, records = Journal.open(path)
        assert records == RECORDS[:-1], length
        assert journal.cut_bytes == length - sizes[-2]
        journal.append({"after": length})
        journal.sync()
        journal.close()
        assert reopened(path) == [*RECORDS[:-1], {"after": length}], length


@pytest.mark.parametrize("tail", [b"\0" * 500, b"\xf5\xfa\xce\xfd" * 50, b"garbage"])
def test_a_tail_that_is_no_record_is_cut(path: Path, tail: bytes) -> None:
    written(path)
    path.write_bytes(path.read_bytes() + tail)
    assert reopened(path) == RECORDS
    assert reopened(path) == RECORDS


def test_a_last_record_with_zeros_in_it_is_cut(path: Path) -> None:
    """A file system may have made the file longer before its data arrived."""
    sizes = written(path)
    whole = path.read_bytes()
    for length in range(sizes[-2], sizes[-1]):
        path.write_bytes(whole[:length] + b"\0" * (len(whole) - length))
        # If what was torn off is nothing but zeros then nothing is torn.
        assert reopened(path) in (RECORDS[:-1], RECORDS)


def test_any_changed_byte_before_the_last_record_is_refused(path: Path) -> None:
    sizes = written(path)
    whole = path.read_bytes()
    for place in range(sizes[-2]):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            with pytest.raises(JournalCorrupt) as refusal:
                Journal.open(path)
            assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
            assert path.read_bytes() == damaged, "a refused journal is evidence and must stay as it is"


def test_any_changed_byte_in_the_last_record_costs_that_record_and_no_other(path: Path) -> None:
    sizes = written(path)
    whole = path.read_bytes()
    for place in range(sizes[-2], sizes[-1]):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        assert reopened(path) == RECORDS[:-1]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_record_that_is_missing_as_a_whole_is_noticed(path: Path, missing: int) -> None:
    sizes = written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: sizes[missing]] + whole[sizes[missing + 1] :])
    with pytest.raises(JournalCorrupt, match=f"instead of {missing}"):
        Journal.open(path)


@pytest.mark.parametrize("content", [b"", b"\x89RAS", b"something else entirely"])
def test_what_is_not_a_journal_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="not a journal"):
        Journal.open(path)


def test_a_journal_that_is_gone_is_refused(path: Path) -> None:
    with pytest.raises(JournalCorrupt, match="gone"):
        Journal.open(path)


def test_compaction_takes_effect_at_the_sync_and_not_before(path: Path) -> None:
    written(path)
    journal, _ = Journal.open(path)
    journal.append({"type": "swallowed"})
    journal.compact([{"type": "snapshot"}])
    journal.append({"type": "after"})
    assert journal.records == 2
    assert reopened(path) == RECORDS
    journal.sync()
    assert reopened(path) == [{"type": "snapshot"}, {"type": "after"}]
    journal.append({"type": "later"})
    journal.sync()
    assert journal.size_bytes == path.stat().st_size
    journal.close()
    assert reopened(path) == [{"type": "snapshot"}, {"type": "after"}, {"type": "later"}]


def test_a_compaction_that_was_cut_short_leaves_the_old_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)
    journal, _ = Journal.open(path)
    journal.compact([{"type": "snapshot"}])

    def no_rename(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(Path, "replace", no_rename)
    with pytest.raises(JournalFailed):
        journal.sync()
    journal.close()
    monkeypatch.undo()
    assert reopened(path) == RECORDS


def test_a_full_disk_is_told_in_one_sentence_and_never_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(path)
    journal.append(RECORDS[0])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalFailed, match="No space left on device"):
        journal.sync()
    monkeypatch.undo()
    with pytest.raises(JournalFailed, match="failed before"):
        journal.sync()
    journal.close()
    assert reopened(path) == []


def test_a_write_that_takes_several_calls_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: really_write(descriptor, data[:7]))
    written(path)
    monkeypatch.undo()
    assert reopened(path) == RECORDS


def test_the_data_is_synced_before_sync_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(path)
    synced: list[int] = []
    monkeypatch.setattr(module.os, "fdatasync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    journal.append(RECORDS[0])
    journal.sync()
    assert synced == [path.stat().st_size]
    journal.close()


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": {1, 2}}, {"x": b"bytes"}])
def test_what_is_not_json_is_no_record(path: Path, record: dict[str, object]) -> None:
    journal = Journal.create(path)
    with pytest.raises((TypeError, ValueError)):
        journal.append(record)
    assert not journal.dirty
    journal.close()


def test_a_record_that_changes_after_it_was_appended_stays_as_it_was(path: Path) -> None:
    journal = Journal.create(path)
    record: dict[str, list[int]] = {"list": [1]}
    journal.append(record)
    record["list"].append(2)
    journal.sync()
    journal.close()
    assert reopened(path) == [{"list": [1]}]
