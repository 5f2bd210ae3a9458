"""What can be read of a damaged log: every entry whose bytes are those that were written."""

from __future__ import annotations

import mmap
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rtevents.core.event import Entry, Event, decode_entry
from rtevents.core.names import is_event_id
from rtevents.errors import BadInput, StoreError
from rtevents.stores import sqlite_rows as rows
from rtevents.stores.hint import HintFile
from rtevents.stores.pages import Bytes, Pages, Record
from rtevents.stores.sqlite_file import create, in_words

BATCH = 200
"""Entries that are put into a new log at once."""

_SPOOL = """
CREATE TABLE found (
    seq INTEGER PRIMARY KEY,
    event_id TEXT,          -- NULL where it is damaged
    stored_at REAL,
    body BLOB,
    rank INTEGER NOT NULL   -- of the record; 10 more where it is good
);
CREATE INDEX found_id ON found (event_id);
"""

_GOOD = """
SELECT seq, stored_at, body FROM found WHERE rank >= 10 AND seq > :trimmed
AND NOT EXISTS (SELECT 1 FROM found AS newer WHERE newer.event_id = found.event_id
                AND newer.seq > found.seq AND newer.rank >= 10)
ORDER BY seq
"""


class Rescue:
    """
    The entries of a damaged log, found page by page in its file and in its WAL.

    Neither is changed. Used as ``with Rescue(path) as rescue``; what is found is kept in a
    temporary file meanwhile.

    Attributes:
        first: The first seq that there should be.
        last: The last.
        good: Entries that can be read.
        damaged: Entries that are there, but are not what was written.

    Args:
        path: The database, such as ``events.db.corrupt-20261124T000000Z``.
    Raises:
        StoreError: There is no such file, or nothing in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._trimmed = -1  # while it is not known
        with ExitStack() as stack:
            self._found = stack.enter_context(closing(sqlite3.connect("", isolation_level=None)))
            self._found.executescript(_SPOOL)
            try:
                self._search(stack)
            except OSError as error:
                raise StoreError(f"{path}: cannot be read: {in_words(error)}") from error
            self._count()
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def expected(self) -> int:
        """How many entries there should be."""
        return self.last - self.first + 1

    def entries(self) -> Iterator[Entry]:
        """Yield every entry that is good, oldest first."""
        for seq, _, body in self._found.execute(_GOOD, {"trimmed": self._trimmed}):
            yield decode_entry(rows.wire(seq, body))

    def write(self, path: Path) -> None:
        """
        Make a new log of the entries that are good, each with the seq that it had.

        Args:
            path: A file that is not there.
        Raises:
            StoreError: It cannot be written.
        """
        try:
            create(path, after=self.first - 1)
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.execute("BEGIN")
                extent = rows.load_extent(db)
                for stored_at, seq, events in self._runs():
                    if seq // rows.BLOCK != extent.last // rows.BLOCK:
                        extent = extent._replace(held=frozenset())
                    extent = extent._replace(last=seq - 1)
                    extent = rows.insert(db, events, extent, stored_at)
                db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot be written: {in_words(error)}") from error

    def _runs(self) -> Iterator[tuple[float, int, list[Event]]]:
        """Yield entries that follow each other and were stored at once: when, first seq, events."""
        run: list[Event] = []
        begun, when = 0, 0.0
        for seq, stored_at, body in self._found.execute(_GOOD, {"trimmed": self._trimmed}):
            if run and (seq != begun + len(run) or stored_at != when or len(run) == BATCH):
                yield when, begun, run
                run = []
            if not run:
                begun, when = seq, stored_at
            run.append(_event(body))
        if run:
            yield when, begun, run

    def _search(self, stack: ExitStack) -> None:
        wal = self._path.with_name(f"{self._path.name}-wal")
        # Of one that was removed the WAL may be left, and has entries.
        file = b"" if wal.exists() and not self._path.exists() else _map(self._path, stack)
        pages = Pages(file, _map(wal, stack) if wal.exists() else b"")
        self._found.execute("BEGIN")
        for record in pages.records():
            self._note(record)
        self._found.execute("COMMIT")

    def _note(self, record: Record) -> None:
        match record.values:
            case ["trimmed", str(trimmed)] if not record.rowid and trimmed.isdigit():
                self._trimmed = max(self._trimmed, int(trimmed))
            case [None, event_id, float() | int() as stored_at, int(), bytes() as body, *crc]:
                seq = record.rowid
                is_good = len(crc) <= 1 and _is_good(seq, event_id, body, crc)
                known = event_id if isinstance(event_id, str) and is_event_id(event_id) else None
                if not is_good and known is None:
                    return  # nothing shows that it is an entry
                self._found.execute(
                    "INSERT INTO found VALUES (?, ?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET "
                    "event_id = excluded.event_id, stored_at = excluded.stored_at, "
                    "body = excluded.body, rank = excluded.rank WHERE excluded.rank >= rank",
                    (seq, known, float(stored_at), body, record.rank + 10 * is_good),
                )

    def _count(self) -> None:
        trimmed = {"trimmed": self._trimmed}
        count = f"SELECT count(*) FROM ({_GOOD})"  # noqa: S608 - from above
        (self.good,) = self._found.execute(count, trimmed).fetchone()
        first, last, self.damaged = self._found.execute(
            "SELECT min(seq), max(seq), count(*) FILTER (WHERE rank < 10) FROM found "
            "WHERE seq > :trimmed",
            trimmed,
        ).fetchone()
        hint = HintFile(self._path.with_name(f"{self._path.name}.hint")).read()
        self.first = first or 1 if self._trimmed < 0 else self._trimmed + 1
        self.last = max(last or self.first - 1, hint.seq if hint else 0)
        if not self.expected:
            raise StoreError(f"{self._path}: there are no entries in it")


def _is_good(seq: int, event_id: object, body: bytes, crc: Sequence[object]) -> bool:
    """Tell whether an entry is what was written; a log of before the checksums has none."""
    if crc:
        return crc[0] == rows.checksum(seq, body)
    with suppress(BadInput):
        return decode_entry(rows.wire(seq, body)).event_id == event_id
    return False


def _event(body: bytes) -> Event:
    """Return the event that has this very body."""
    event = msgspec.json.decode(body, type=Event)
    event.__dict__["body"] = body
    return event


def _map(path: Path, stack: ExitStack) -> Bytes:
    """Return the bytes of a file, read when they are looked at."""
    opened = stack.enter_context(path.open("rb"))
    if not path.stat().st_size:
        return b""
    return stack.enter_context(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
