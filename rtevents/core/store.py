"""Store: the methods of a storage backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from rtevents.core.event import Entry, Event, Stored
from rtevents.core.filter import Filter
from rtevents.errors import EventConflict

PAGE_BYTES = 1024 * 1024
"""Wire bytes after which a page ends, so that large events do not make large pages."""


AGED_LEAST = 1000
AGED_SHARE = 0.05
"""
What one pass deletes because of its age, at most: so many entries, or that share of all. A clock
that was set ahead while the daemon was down makes all of them old; so there is time to see it.
"""


class Page(msgspec.Struct, frozen=True):
    """
    What one look into a log found.

    Args:
        entries: Those that match, in the order asked for.
        looked: The seq up to which the look went, matches or not: the place to go on from.
    """

    entries: list[Entry]
    looked: int


class Bounds(msgspec.Struct, frozen=True):
    """
    The first and the last seq that are kept.

    An empty log has ``first == last + 1``: nothing is kept, and ``last`` is the newest ever given.

    Args:
        holes: Where seqs between the two were never given, for the log lost its end once: each as
            the seq before it and the seq after it.
    """

    first: int
    last: int
    holes: tuple[tuple[int, int], ...] = ()


class Note(msgspec.Struct, frozen=True):
    """
    What a store has to say of itself.

    Args:
        event: What happened, such as ``store.quarantined``.
        reason: The same in words.
        event_id: What every daemon that tells the same calls it, so that it is stored once; empty
            where this one alone tells it.
    """

    event: str
    reason: str
    event_id: str = ""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much the store keeps, whichever limit is reached first; 0 is no limit.

    Args:
        max_events: Entries.
        max_age: Seconds since an entry was stored.
        max_bytes: Sum of the wire bytes.
        interval: Seconds between two trims.
    """

    max_events: int = 0
    max_age: float = 0.0
    max_bytes: int = 0
    interval: float = 60.0


class Store(Protocol):
    """
    Where rows are kept.

    Guarantees: what ``append`` answered survives what the backend promises to survive; ``seq``
    grows strictly and is never given twice, not even after the newest row is trimmed; ``epoch``
    changes when the store lost its past, and never else. Every method may raise ``StoreError``.
    """

    epoch: str
    """Names this log: 8 hexadecimal digits."""

    notes: list[Note]
    """What was lost or found damaged, the oldest first; who has told it takes it out."""

    is_shared: bool
    """Whether others append to it as well."""

    anew: int
    """
    The seq after which those go on here who have read the log under an epoch before, if others have
    begun it anew since: up to there nothing is what it was to them. 0 for never.
    """

    @property
    def weaknesses(self) -> Sequence[str]:
        """Why what was answered may be lost there, one line each; none where promise P1 holds."""

    async def append(
        self, batches: Sequence[Sequence[Event]]
    ) -> list[list[Stored] | EventConflict]:
        """
        Store batches in one transaction, with one fsync; each batch all or none.

        An ``event_id`` that is kept already is not stored again: the same body is answered with the
        same seq and ``duplicate``, another body makes its whole batch an ``EventConflict``.
        """

    async def read(
        self,
        after: int,
        limit: int,
        wanted: Filter | None = None,
        *,
        until: int | None = None,
        wait: float = 0,
        newest_first: bool = False,
    ) -> Page:
        """
        Return at most `limit` entries with a seq greater than `after`.

        It may return fewer when the entries are large: a page ends after ``PAGE_BYTES``, and
        ``looked`` is then its last entry.

        Args:
            wanted: Return only what it matches.
            until: Look no further than this seq; None for the end.
            wait: Seconds to wait for growth when there is nothing after `after`.
            newest_first: Begin at the end; ``looked`` is then the last seq.
        """

    async def grown(self, after: int, wait: float) -> int:
        """
        Return the last seq that is known, once it is greater than `after`.

        Args:
            wait: Seconds after which it is returned all the same.
        """

    async def find(self, event_id: str) -> int | None:
        """Return the seq of the entry with this id; None when none is kept."""

    async def seek(self, timestamp: float) -> int:
        """
        Return the seq before the first entry stored at or after `timestamp`.

        Stored, not happened: publishers' clocks differ, and one event of the future would do.
        """

    async def latest(self, wanted: Filter) -> list[Entry]:
        """Return the newest matching entry of each type, oldest first."""

    async def bounds(self) -> Bounds:
        """Return the first and the last seq that are kept."""

    async def retain(self, max_events: int, max_age: float, max_bytes: int) -> Bounds:
        """
        Delete the oldest entries until the rest is within every limit; 0 is no limit.

        Args:
            max_events: Entries to keep.
            max_age: Seconds since an entry was stored; see ``aged`` for how many at once.
            max_bytes: Sum of the wire bytes to keep.
        Returns:
            What is kept now.
        """

    async def check(self) -> None:
        """
        Look whether appends can be stored, without one.

        Raises:
            StoreError: They would be refused.
        """

    async def close(self) -> None:
        """End; what was appended stays. Closing twice is allowed."""


@runtime_checkable
class SharedStore(Protocol):
    """What a store that several daemons share can do besides: let them find one another."""

    async def meet(self, name: str, told: bytes, forget: float) -> dict[str, tuple[float, bytes]]:
        """
        Leave word beside the log, and find what others have left.

        Args:
            name: Who this is.
            told: What the others are to find; empty to leave no word any more.
            forget: Seconds after which a word that was not renewed is taken away.
        Returns:
            What was there before, by name: how many seconds ago it was left, and the word.
        """


def newest(bounds: Bounds, count: int) -> int:
    """
    Return the first of the newest seqs, so many of them, that are to be kept.

    What a hole has is not counted: where a log lost its end a million seqs never were.
    """
    reach = bounds.last
    for after, before in sorted(bounds.holes, reverse=True):
        if reach - before + 1 >= count:
            break
        count -= max(0, reach - before + 1)
        reach = after
    return max(bounds.first, reach - count + 1)


def aged(kept: Bounds, first: int) -> int:
    """Return the seq to keep from when entries before `first` are too old: not all go at once."""
    most = max(AGED_LEAST, int(AGED_SHARE * (kept.last - kept.first + 1)))
    return min(first, kept.first + most)
