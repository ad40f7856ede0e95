"""The write-ahead log of a replica: records in order, durable when `sync` returns and not before.

What was appended and not yet synced is in the memory of this process and nowhere else, so that a kill loses it for
certain: a protocol that answers before it has synced must not be saved by the operating system's page cache.

The file is an eight-byte mark, then one frame for each record::

    mark (4 bytes)  length (4)  number (8)  checksum (4)  payload (length bytes of JSON)

All integers are big-endian. `number` counts the records of the file from 0; the checksum is the CRC32 of length, number
and payload. The mark of a frame has bytes that JSON text in ASCII never has, so it can be searched for.

Recovery reads up to the first frame that isn't whole. If no whole frame follows anywhere behind it, the rest is taken
for the torn end of a write that was never confirmed, and is cut. If one does, the damage is in the middle of what was
durable, and the journal refuses to open (`JournalCorrupt`): leaving records out would be lying to the other replicas.
Two cases can't be told apart: damage to the very last record, once it was durable, looks like a torn write, and is cut as
well; and when the machine loses its power in the middle of a sync, the pages of one write may be on the disk in any order,
which looks like damage, and is refused to be on the safe side. A kill leaves no such holes.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from node.durable import replace_file, write_all
from node.protocol import Record

_FILE_MARK = b"\x89RASHJ1\n"
_FRAME_MARK = b"\xf5\xfa\xce\xfd"
_HEADER = struct.Struct(">4sIQI")
_CHECKED = struct.Struct(">IQ")


class JournalCorrupt(Exception):
    """The journal is damaged where it was durable; the message is one sentence with file and place."""


class JournalFailed(Exception):
    """A sync failed, so nobody knows what is durable; the message is one sentence. The replica must stop."""


class Journal:
    """The journal in one file. For one thread at a time. After `JournalFailed` it can only be closed."""

    def __init__(self, path: Path, records: int, cut_bytes: int) -> None:
        self.path = path
        self.records = records
        """How many records there are, those that aren't synced yet included."""
        self.cut_bytes = cut_bytes
        """How long the torn end was that recovery cut."""
        self.syncs = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._durable_bytes = os.fstat(self._descriptor).st_size
        self._pending = bytearray()
        self._replaces = False
        """Whether `_pending` takes the place of the whole file at the next sync, rather than its end."""
        self._failed = False

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new and empty journal, durable, in the place of any other."""
        replace_file(path, _FILE_MARK)
        return cls(path, 0, 0)

    @classmethod
    def open(cls, path: Path) -> tuple[Self, list[Record]]:
        """The journal at `path` and all of its durable records, in order; cuts a torn end.

        Raises `JournalCorrupt` if the file is missing or damaged anywhere but at its end.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise JournalCorrupt(
                f"{path}: the journal is gone, although this replica had one: provision the replica anew"
            ) from error
        records, end = _recover(data, path)
        if end < len(data):
            _cut(path, end)
        return cls(path, len(records), len(data) - end), records

    @property
    def dirty(self) -> bool:
        """Whether there is anything that a sync would write."""
        return self._replaces or bool(self._pending)

    @property
    def size_bytes(self) -> int:
        """The size of the file, as of the last sync."""
        return self._durable_bytes

    def append(self, record: Record) -> None:
        """Add a record; durable after the next `sync`. Raises what `json.dumps` raises for what isn't JSON."""
        self._pending += _frame(self.records, record)
        self.records += 1

    def compact(self, records: Iterable[Record]) -> None:
        """Replace everything before by `records`, atomically, at the next `sync`."""
        frames = [_frame(number, record) for number, record in enumerate(records)]
        self._pending = bytearray(_FILE_MARK + b"".join(frames))
        self._replaces = True
        self.records = len(frames)

    def sync(self) -> None:
        """Make everything durable. Raises `JournalFailed`, after which nobody knows how much of it is."""
        if self._failed:
            raise JournalFailed(f"{self.path}: the journal failed before and can't be trusted any more")
        if not self.dirty:
            return
        try:
            if self._replaces:
                self._put_in_place()
            else:
                write_all(self._descriptor, self._pending)
                os.fdatasync(self._descriptor)
                self._durable_bytes += len(self._pending)
        except OSError as error:
            # A second attempt could succeed without writing what the first one lost: never try again.
            self._failed = True
            raise JournalFailed(f"{self.path}: cannot write the journal ({error.strerror or error})") from error
        self._pending.clear()
        self._replaces = False
        self.syncs += 1

    def close(self) -> None:
        """Close the file; what isn't synced is lost. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _put_in_place(self) -> None:
        replace_file(self.path, bytes(self._pending))
        os.close(self._descriptor)
        self._descriptor = -1  # should the next line fail, `close` must not close somebody else's file
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self._durable_bytes = len(self._pending)


class _Frame(NamedTuple):
    number: int
    payload: bytes
    end: int


def _frame(number: int, record: Record) -> bytes:
    payload = json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")
    return _HEADER.pack(_FRAME_MARK, len(payload), number, _checksum(number, payload)) + payload


def _checksum(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), number)))


def _recover(data: bytes, path: Path) -> tuple[list[Record], int]:
    """The records, and where the last whole one of them ends."""
    if not data.startswith(_FILE_MARK):
        raise JournalCorrupt(
            f"{path}: this is not a journal, or its first bytes are damaged: provision the replica anew"
        )
    records: list[Record] = []
    place = len(_FILE_MARK)
    while place < len(data):
        frame = _whole_frame(data, place)
        if frame is None:
            later = _next_whole_frame(data, place + 1)
            if later is None:
                break
            raise JournalCorrupt(
                f"{path}: record {len(records)} at byte {place} is damaged, and whole records follow it at byte {later}: "
                f"provision the replica anew"
            )
        if frame.number != len(records):
            raise JournalCorrupt(
                f"{path}: at byte {place} stands record {frame.number} instead of {len(records)}: "
                f"provision the replica anew"
            )
        records.append(json.loads(frame.payload))
        place = frame.end
    return records, place


def _whole_frame(data: bytes, place: int) -> _Frame | None:
    """The frame that begins there, if all of it is there and its checksum is right."""
    if len(data) - place < _HEADER.size:
        return None
    mark, length, number, checksum = _HEADER.unpack_from(data, place)
    begin = place + _HEADER.size
    if mark != _FRAME_MARK or length > len(data) - begin:
        return None
    payload = data[begin : begin + length]
    return _Frame(number, payload, begin + length) if _checksum(number, payload) == checksum else None


def _next_whole_frame(data: bytes, place: int) -> int | None:
    """Where the next whole frame begins, at `place` or behind it."""
    while (place := data.find(_FRAME_MARK, place)) >= 0:
        if _whole_frame(data, place) is not None:
            return place
        place += 1
    return None


def _cut(path: Path, end: int) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
