"""The records in the pages of a SQLite file, read without SQLite: it refuses what is damaged."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

TABLE_LEAF = 0x0D
INDEX_LEAF = 0x0A

PAGE_BYTES = 8192
"""The size of our pages, where the header does not tell it any more."""

WAL_HEADER = 32
FRAME_HEADER = 24

Value = None | int | float | str | bytes


class Record(NamedTuple):
    """
    A row, or what a damaged page makes of it.

    Args:
        rowid: Its number; 0 in an index.
        values: Its columns; text that is no UTF-8 stays bytes.
        rank: The greater, the newer: 0 for a frame of a WAL that was begun anew since, 1 for the
            database, 2 for the WAL.
    """

    rowid: int
    values: list[Value]
    rank: int


Bytes = bytes | mmap.mmap


class Pages:
    """
    All pages of a database and of its WAL, whatever state they are in.

    Formats: "Database File Format" of SQLite, sections 1.3 to 1.6, 2.1 and 4.1.

    Args:
        database: The bytes of the file.
        wal: The bytes of its WAL; empty when there is none.
    """

    def __init__(self, database: Bytes, wal: Bytes) -> None:
        self._database = database
        self._wal = wal
        self.page_bytes = _page_bytes(database[16:18]) or _page_bytes(wal[10:12]) or PAGE_BYTES
        self._newest: dict[int, int] = {}
        self._frames = list(self._find_frames())

    def _find_frames(self) -> Iterator[tuple[int, int]]:
        """Yield the place and the rank of the page in each frame of the WAL."""
        salt = self._wal[16:24]
        step = FRAME_HEADER + self.page_bytes
        for place in range(WAL_HEADER, len(self._wal) - step + 1, step):
            (number,) = struct.unpack_from(">I", self._wal, place)
            is_current = self._wal[place + 8 : place + 16] == salt
            page = place + FRAME_HEADER
            if is_current:
                self._newest[number] = page
            yield page, 2 if is_current else 0

    def records(self) -> Iterator[Record]:
        """Yield what can be read as a row of a table or of an index, the same perhaps twice."""
        size = self.page_bytes
        for place in range(0, len(self._database), size):
            page = self._database[place : place + size]
            yield from self._in_page(page, 100 if place == 0 else 0, 1)
        for place, rank in self._frames:
            yield from self._in_page(self._wal[place : place + size], 0, rank)

    def _in_page(self, page: bytes, start: int, rank: int) -> Iterator[Record]:
        if len(page) < start + 8 or page[start] not in (TABLE_LEAF, INDEX_LEAF):
            return
        (count,) = struct.unpack_from(">H", page, start + 3)
        for at in range(min(count, (len(page) - start - 8) // 2)):
            (cell,) = struct.unpack_from(">H", page, start + 8 + 2 * at)
            try:
                yield from self._cell(page, cell, page[start] == TABLE_LEAF, rank)
            except (IndexError, ValueError, struct.error):
                continue

    def _cell(self, page: bytes, at: int, is_table: bool, rank: int) -> Iterator[Record]:
        size, at = _varint(page, at)
        rowid = 0
        if is_table:
            rowid, at = _varint(page, at)
        local = self._local(size, is_table=is_table)
        payload = page[at : at + local]
        if len(payload) < local:
            raise ValueError("a cell that ends behind its page")
        if local == size:
            yield Record(rowid, _values(payload), rank)
            return
        (number,) = struct.unpack_from(">I", page, at + local)
        # The rest is of the same moment: in the WAL, or before it in the database.
        for is_newest in (True, False):
            with suppress(IndexError, ValueError, struct.error):
                whole = payload + self._chain(number, size - local, is_newest=is_newest)
                yield Record(rowid, _values(whole), rank)

    def _local(self, size: int, *, is_table: bool) -> int:
        """Return how many bytes of a payload are in its own page."""
        usable = self.page_bytes
        least = (usable - 12) * 32 // 255 - 23
        most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return size
        share = least + (size - least) % (usable - 4)
        return share if share <= most else least

    def _chain(self, number: int, size: int, *, is_newest: bool) -> bytes:
        """Return so many bytes from the chain of pages that begins with that number."""
        if size > len(self._database) + len(self._wal):
            raise ValueError("more than there is")
        parts = []
        while size > 0:
            page = self._page(number, is_newest=is_newest)
            (number,) = struct.unpack_from(">I", page)
            parts.append(page[4 : 4 + size])
            size -= len(parts[-1])
        return b"".join(parts)

    def _page(self, number: int, *, is_newest: bool) -> bytes:
        if is_newest and (place := self._newest.get(number)) is not None:
            return self._wal[place : place + self.page_bytes]
        place = (number - 1) * self.page_bytes
        if place < 0:
            raise ValueError("no such page")
        return self._database[place : place + self.page_bytes]


def _page_bytes(raw: bytes) -> int | None:
    size = int.from_bytes(raw, "big")
    size = 65536 if size == 1 else size
    return size if 512 <= size <= 65536 and size & (size - 1) == 0 else None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return a number of 1 to 9 bytes, and what comes after it."""
    value = 0
    for _ in range(8):
        byte = raw[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | raw[at], at + 1


_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of an integer, by its serial type."""


def _values(payload: bytes) -> list[Value]:
    """Return the columns of a record."""
    end, at = _varint(payload, 0)
    if end > len(payload):
        raise ValueError("a header that ends behind its record")
    values: list[Value] = []
    body = end
    while at < end:
        kind, at = _varint(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    return values


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    """Return a value of that serial type, and what comes after it."""
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), at
    size = _INTEGERS.get(kind, 8 if kind == 7 else (kind - 12) // 2)
    raw = payload[at : at + size]
    if kind in (10, 11) or len(raw) < size:
        raise ValueError("not a value")
    if kind == 7:
        (number,) = struct.unpack(">d", raw)
        return float(number), at + size
    if kind in _INTEGERS:
        return int.from_bytes(raw, "big", signed=True), at + size
    if kind % 2:
        try:
            return raw.decode(), at + size
        except UnicodeDecodeError:
            pass
    return raw, at + size
