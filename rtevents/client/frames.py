"""What comes out of a stream, and the reader's place in it: no I/O, for both clients."""

from __future__ import annotations

from typing import Any

import msgspec

from rtevents.core.event import Bookmark, Entry, Gap, decode_entry
from rtevents.errors import BadInput, ConnectionLost

SILENCE = 75.0
"""Seconds without a byte after which a stream is taken for dead: two heartbeats and a half."""

BACKOFF_MAX = 15.0
"""Longest pause, in seconds, between two attempts to reconnect."""


class Control(msgspec.Struct, frozen=True):
    """
    A control frame: ``hello live bookmark bye``.

    Args:
        name: Which one.
        fields: What it tells; ``bookmark`` and others.
    """

    name: str
    fields: dict[str, Any]


Frame = Entry | Gap | Control
"""What a stream yields. A heartbeat is an entry of type HEALTH_CHECK whose seq is 0."""


class Place:
    """
    Where a reader is, and how it comes back there.

    Args:
        since: Where it begins.
    """

    def __init__(self, since: str) -> None:
        self.since = since
        self._epoch = ""
        self._seq = 0
        self._attempts = 0
        self.has_connected = False

    def read(self, line: bytes) -> Frame:
        """
        Return the frame of a line of NDJSON, and move the place behind it.

        Raises:
            BadInput: It is no frame.
        """
        if line.startswith(b'{"seq":'):
            entry = decode_entry(line)
            self._move(self._epoch, entry.seq)
            return entry
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise BadInput(f"not a frame: {line[:80]!r}") from error
        name = fields.pop("control", None)
        if name is None:
            return decode_entry(line)
        if "bookmark" in fields:
            bookmark = Bookmark.parse(fields["bookmark"])
            self._move(bookmark.epoch, bookmark.seq)
        if name == "hello":
            self.has_connected, self._attempts = True, 0
        if name == "gap":
            return Gap(fields["after"], fields["before"], fields["reason"], fields.get("log", ""))
        return Control(name, fields)

    def lost(self, reason: str, *, reconnect: bool) -> float:
        """
        Return the seconds to wait before coming back.

        Raises:
            ConnectionLost: The stream is not to be opened again.
        """
        if not reconnect:
            raise ConnectionLost(f"the connection is lost: {reason}")
        if reason == "ended":
            raise ConnectionLost("the stream was ended on purpose, by rtevents connections close")
        self._attempts += 1
        import random  # here: a command that publishes has no use for it

        # Jitter, so that a daemon that comes back does not meet everybody at once.
        pause = min(BACKOFF_MAX, 0.1 * 2.0 ** min(self._attempts, 10))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret

    def _move(self, epoch: str, seq: int) -> None:
        # Never back: the snapshot of `last-per-type` is older than the place it leads to.
        if epoch != self._epoch or seq > self._seq:
            self._epoch, self._seq = epoch, seq
            self.since = str(Bookmark(epoch, seq))
