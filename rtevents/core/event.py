"""EventType, Event, Entry, Gap and Bookmark: the nouns that travel, and their wire bytes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import msgspec

from rtevents.core.encoding import encoder, is_finite, one_line
from rtevents.core.names import new_event_id
from rtevents.errors import BadInput, BookmarkError, EventRefused, EventTooLarge

MAX_EVENT_BYTES = 1024 * 1024
"""Largest wire form of one event, in bytes (DESIGN section 6)."""

MAX_EXTENSIONS = 32
"""Most entries in `extensions`: more than any CloudEvents extension needs."""

MAX_PATH = 8192
"""Longest path that globs look at, in characters: twice what Linux allows."""

T = TypeVar("T")


class once(cached_property[T]):  # noqa: N801 - used as its base class is
    """A ``cached_property`` without its lock, which until Python 3.12 costs more than the work."""

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> T:  # type: ignore[override]
        """Work the value out, and leave it where it is found from then on."""
        value = instance.__dict__[self.attrname] = self.func(instance)
        return value


class EventType(StrEnum):
    """The eleven built-in event types (DESIGN section 5)."""

    FILE_CHANGE = "FILE_CHANGE"
    COMMIT = "COMMIT"
    PROGRESS_UPDATE = "PROGRESS_UPDATE"
    RISK_ALERT = "RISK_ALERT"
    TASK_UPDATE = "TASK_UPDATE"
    SYSTEM_STATUS = "SYSTEM_STATUS"
    DASHBOARD_UPDATE = "DASHBOARD_UPDATE"
    HEALTH_CHECK = "HEALTH_CHECK"
    AUTO_COMMIT_START = "AUTO_COMMIT_START"
    AUTO_COMMIT_RESULT = "AUTO_COMMIT_RESULT"
    AUTO_COMMIT_ERROR = "AUTO_COMMIT_ERROR"


_NOW = float("nan")  # an object of its own: math.nan may be given
"""Stands for the time of an event for which nobody gave one, until it is made."""


class Event(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    Something that happened.

    An event has its id and time from the moment it is made, so that publishing the same object
    again is the same event (promise P3). So is publishing another with the same id to which no
    timestamp was given.

    Args:
        type: One of ``EventType``, or a type of the user's own.
        data: What happened; the keys are those of the type's payload, and any others.
        event_id: 1 to 128 of ``A-Z a-z 0-9 . _ : -``.
        timestamp: When it happened, in unix seconds; when it was made, if nobody says.
        source: Who says so, such as ``rtevents/git``; the empty string when nobody said.
        project_id: The project it belongs to; None for none.
        extensions: Text by name, carried along: ``traceparent``, ``correlation_id`` and the like.
    Attributes:
        is_dated: Whether the timestamp was given; else it is no part of the body (promise P3).
    """

    is_dated: ClassVar[bool] = True

    event_id: str = msgspec.field(default_factory=new_event_id)
    type: str
    data: dict[str, Any]
    timestamp: float = _NOW
    source: str = ""
    project_id: str | None = None
    extensions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Give it the time of its making if it has none."""
        # Not by a default factory: that would not tell whether somebody gave one.
        if self.timestamp is _NOW:
            msgspec.structs.force_setattr(self, "timestamp", time.time())
            self.__dict__["is_dated"] = False

    @property
    def path(self) -> str:
        """The file this event is about, relative to its project; empty when there is none."""
        path = self.data.get("file_path") or self.data.get("path")
        return path if isinstance(path, str) and len(path) <= MAX_PATH else ""

    @once
    def body(self) -> bytes:
        """
        The wire form without ``seq``: one line of JSON, encoded once.

        Raises:
            EventRefused: Something in the event is not JSON.
            EventTooLarge: It is longer than ``MAX_EVENT_BYTES``.
        """
        try:
            body = encoder.encode(self)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise EventRefused(f"not JSON: {error}", field="data") from error
        # msgspec writes NaN and the infinities as null. Only a body with a null can hide one.
        if b"null" in body and not is_finite(self.data):
            raise EventRefused("not JSON: NaN or infinity", field="data")
        if len(body) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"event of {len(body)} bytes, {MAX_EVENT_BYTES} at most")
        return one_line(body)


def encode_together(events: Sequence[Event]) -> int:
    """
    Encode many events at once: their bodies are then there already.

    Returns:
        The sum of their bodies' lengths, in bytes.
    Raises:
        ValueError, TypeError, RecursionError, OverflowError: Not all of them could be; each has to
            be asked for its body, and says what is wrong.
    """
    lines = one_line(encoder.encode_lines(events))
    if b"null" in lines and not all(is_finite(event.data) for event in events):
        raise ValueError("NaN or infinity")
    bodies = lines.split(b"\n")
    bodies.pop()
    if len(bodies) != len(events) or max(map(len, bodies)) > MAX_EVENT_BYTES:
        raise ValueError("one of them is too long")
    for event, body in zip(events, bodies, strict=True):
        event.__dict__["body"] = body
    return len(lines) - len(bodies)


class Undated(Event, frozen=True, kw_only=True, dict=True):
    """An event without a ``timestamp`` of its publisher's: another time stands in for it."""

    is_dated: ClassVar[bool] = False


class Entry(msgspec.Struct, frozen=True):
    """
    An event in the log: what a filter looks at, and its wire bytes, encoded once.

    Args:
        seq: Its place in the log: greater than every one before.
        path: The file it is about; empty when there is none.
        wire: The event's wire form, one line of JSON that begins with ``{"seq":``.
    """

    seq: int
    event_id: str
    type: str
    project_id: str | None
    source: str
    path: str
    timestamp: float
    wire: bytes

    @classmethod
    def of(cls, event: Event, seq: int) -> Entry:
        """Return the entry that `event` becomes as number `seq`."""
        # Without names: they would double the cost.
        return cls(
            seq,
            event.event_id,
            event.type,
            event.project_id,
            event.source,
            event.path,
            event.timestamp,
            b'{"seq":%d,%b' % (seq, event.body[1:]),
        )

    @classmethod
    def of_all(cls, events: Sequence[Event], seqs: Sequence[int]) -> list[Entry]:
        """Return the entries that events become as these numbers."""
        # A column at a time, so that the loops run in C: this is done for every event.
        wires = [b'{"seq":%d,%b' % (s, e.body[1:]) for e, s in zip(events, seqs, strict=True)]
        paths = [event.path for event in events]
        return list(map(cls, seqs, *columns(events), paths, map(_timestamp, events), wires))

    @property
    def event(self) -> Event:
        """The event itself, decoded from the wire bytes at each call."""
        return _event_decoder.decode(self.wire)

    @property
    def is_corrupt(self) -> bool:
        """Whether it was damaged where it is stored, and nothing but its name is left of it."""
        # No event of a publisher's ends so: what stands last there is text, null or a map of text.
        return self.wire.endswith(_CORRUPT_END)


class Gap(msgspec.Struct, frozen=True):
    """
    Entries that can no longer be read.

    Args:
        after: The last seq before the gap.
        before: The first seq after it.
        reason: ``trimmed`` by retention, or the verdict on the position: ``unknown-id``,
            ``other-epoch`` or ``ahead`` of the log's end.
        log: The name of the log, where it is read with others; else empty.
    """

    after: int
    before: int
    reason: str
    log: str = ""

    @property
    def words(self) -> str:
        """What is missing, for people."""
        return f"log {self.log}: {self._words}" if self.log else self._words

    @property
    def _words(self) -> str:
        if self.reason == "ahead":
            return (
                f"the place {self.before - 1} is beyond the end of the log, {self.after}: "
                "it has lost its end, or the place was never in it"
            )
        if self.reason != "trimmed" and not self.after:
            return f"it is not known what was missed ({self.reason}); going on with what is kept"
        if self.reason == "other-epoch":
            # The seqs between the two were never given: a log that lost its end goes on far behind.
            return (
                f"what came after entry {self.after}, if anything did, was lost ({self.reason}); "
                f"the log goes on at {self.before}"
            )
        first, last = self.after + 1, self.before - 1
        which = f"entry {first}" if first == last else f"entries {first} to {last}"
        return f"{which} can no longer be read ({self.reason})"


class Bookmark(msgspec.Struct, frozen=True):
    """
    A position that a client keeps: everything up to and including `seq` of the log `epoch`.

    In several logs it is written ``<epoch>-<seq>,<epoch>-<seq>``, in any order; `epoch` then has
    the places in the others before it.
    """

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    def within(self, epoch: str) -> Bookmark:
        """Return the place in one of the logs; that in another where it tells nothing of it."""
        places = str(self).split(",")
        own = next((place for place in places if place.startswith(f"{epoch}-")), places[-1])
        return Bookmark.parse(own)

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """
        Read ``<epoch>-<seq>``, or several of them with commas between.

        Raises:
            BookmarkError: It is not of that form.
        """
        if not (match := _BOOKMARK.match(text)):
            raise BookmarkError(f"not a bookmark: {text[:80]!r}")
        return cls(match[1], int(match[2]))


class Stored(msgspec.Struct, frozen=True):
    """The answer to one published event: its place, and whether it was there already."""

    event_id: str
    seq: int
    duplicate: bool


def columns(events: Sequence[Event]) -> tuple[list[str], list[str], list[str | None], list[str]]:
    """Return the ids, types, projects and sources of events."""
    return (
        [event.event_id for event in events],
        [event.type for event in events],
        [event.project_id for event in events],
        [event.source for event in events],
    )


def decode_entry(wire: bytes) -> Entry:
    """
    Read an entry from its wire form; what has no ``seq`` gets 0.

    Raises:
        BadInput: It is not an entry's wire form.
    """
    try:
        event = _numbered_decoder.decode(wire)
    except (msgspec.ValidationError, *NOT_JSON) as error:
        raise BadInput(f"not an entry: {error}") from error
    # Without names: they would double the cost.
    return Entry(
        event.seq,
        event.event_id,
        event.type,
        event.project_id,
        event.source,
        event.path,
        event.timestamp,
        wire,
    )


def corrupt_entry(
    seq: int,
    event_id: str,
    *,
    type: str = "",  # noqa: A002 - the event's field
    timestamp: float = 0.0,
    source: str = "",
    project_id: str | None = None,
) -> Entry:
    """
    Return what stands in the place of an entry that is damaged, as far as it is known.

    Its wire form has no ``data`` to speak of, and ends with ``"corrupt":true``.
    """
    wire = encoder.encode(
        {
            "seq": seq,
            "event_id": event_id,
            "type": type,
            "data": {},
            "timestamp": timestamp,
            "source": source,
            "project_id": project_id,
            "corrupt": True,
        }
    )
    return Entry(seq, event_id, type, project_id, source, "", timestamp, one_line(wire))


def field_bytes(name: str, value: str) -> bytes:
    """Return a field as it stands in every body that has it."""
    return one_line(encoder.encode({name: value}))[1:-1]


def is_same_body(event: Event, stored: Event) -> bool:
    """
    Tell whether publishing `event` repeats `stored` (promise P3).

    The body is ``type``, ``data`` and ``project_id``, and ``timestamp`` if the publisher gave one.
    """
    # As JSON gives them back, so that a tuple equals the list it was stored as.
    again = _event_decoder.decode(event.body)
    return (
        again.type == stored.type
        # Not by ==: to Python true is 1.
        and _sorted_encoder.encode(again.data) == _sorted_encoder.encode(stored.data)
        and again.project_id == stored.project_id
        and (not event.is_dated or again.timestamp == stored.timestamp)
    )


NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is not JSON, or not JSON that anybody should read."""


class _Numbered(Event, frozen=True, kw_only=True, dict=True):
    """An event as it comes back from the log."""

    seq: int = 0


_BOOKMARK = re.compile(r"((?:[0-9a-f]{8}-[0-9]{1,18},){0,63}[0-9a-f]{8})-([0-9]{1,18})\Z")
_CORRUPT_END = b',"corrupt":true}'
_timestamp = attrgetter("timestamp")
_sorted_encoder = msgspec.json.Encoder(order="deterministic")
_event_decoder = msgspec.json.Decoder(Event)
_numbered_decoder = msgspec.json.Decoder(_Numbered)
