"""Entries and control frames as SSE, NDJSON and WebSocket bytes; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from rtevents.core.event import Bookmark, Entry, Event, Gap

RETRY_MS = 1000
"""Fewest milliseconds after which a browser's EventSource comes back (HTML standard 9.2.6)."""

RETRY_SPREAD_MS = 2000
"""Most milliseconds more: those whom a restart sends away must not all come back at once."""


class Encoding(Protocol):
    """How a stream is written. Two streams with an equal ``key`` can share their bytes."""

    key: str

    def frames(self, entries: Sequence[Entry], epoch: str) -> list[bytes]:
        """Return the bytes of each entry."""

    def block(self, frames: Sequence[bytes]) -> bytes:
        """Return what is written at once for these frames."""

    def control(self, name: str, fields: dict[str, Any]) -> bytes:
        """Return the bytes of a control frame: ``hello gap live bye`` or an answer."""

    def heartbeat(self, event: Event, bookmark: Bookmark) -> bytes:
        """Return the bytes that move a reader's bookmark and tell it that the stream lives."""

    def aside(self, event: Event) -> bytes:
        """Return the bytes of an event that is not in the log, and moves no bookmark."""

    def end(self, code: int) -> bytes:
        """Return the bytes that end the stream; `code` is a WebSocket's close code."""


class SSE:
    """
    Server-Sent Events in chunks of HTTP/1.1 (HTML standard 9.2.6; RFC 9112, section 7.1).

    Args:
        named: Whether events carry their type in the ``event:`` field; ``onmessage`` is then not
            called for them.
        retry_ms: Milliseconds after which its reader comes back when the stream ends.
    """

    def __init__(self, *, named: bool = False, retry_ms: int = RETRY_MS) -> None:
        self.key = "sse named" if named else "sse"
        self._named = named
        self._retry = b"retry: %d\n" % retry_ms

    def frames(self, entries: Sequence[Entry], epoch: str) -> list[bytes]:
        """Return an event for each entry."""
        name = epoch.encode()
        if self._named:
            return [
                b"event: %b\nid: %b-%d\ndata: %b\n\n" % (e.type.encode(), name, e.seq, e.wire)
                for e in entries
            ]
        return [b"id: %b-%d\ndata: %b\n\n" % (name, e.seq, e.wire) for e in entries]

    def block(self, frames: Sequence[bytes]) -> bytes:
        """Return one chunk."""
        return chunk(b"".join(frames))

    def control(self, name: str, fields: dict[str, Any]) -> bytes:
        """Return a named event; its ``id:`` is the bookmark that it tells."""
        mark = b"id: %b\n" % fields["bookmark"].encode() if "bookmark" in fields else b""
        retry = self._retry if name in ("hello", "bye") else b""
        return chunk(
            b"event: %b\n%b%bdata: %b\n\n" % (name.encode(), mark, retry, _json.encode(fields))
        )

    def heartbeat(self, event: Event, bookmark: Bookmark) -> bytes:
        """Return an ``id:``-only frame and a named event, of which ``onmessage`` hears nothing."""
        return chunk(
            b"id: %b\n\nevent: HEALTH_CHECK\ndata: %b\n\n" % (str(bookmark).encode(), event.body)
        )

    def aside(self, event: Event) -> bytes:
        """Return an event that is named by its type in any case: ``onmessage`` hears the log."""
        return chunk(b"event: %b\ndata: %b\n\n" % (event.type.encode(), event.body))

    def end(self, code: int) -> bytes:
        """Return nothing: the last chunk is the response's own affair."""
        return b""


class NDJSON:
    """One JSON object a line, in chunks of HTTP/1.1."""

    key = "ndjson"

    def frames(self, entries: Sequence[Entry], epoch: str) -> list[bytes]:
        """Return a line for each entry."""
        return [entry.wire + b"\n" for entry in entries]

    def block(self, frames: Sequence[bytes]) -> bytes:
        """Return one chunk."""
        return chunk(b"".join(frames))

    def control(self, name: str, fields: dict[str, Any]) -> bytes:
        """Return a line whose ``control`` names the frame."""
        return chunk(_json.encode({"control": name, **fields}) + b"\n")

    def heartbeat(self, event: Event, bookmark: Bookmark) -> bytes:
        """Return a line with the bookmark and one with the HEALTH_CHECK."""
        mark = _json.encode({"control": "bookmark", "bookmark": str(bookmark)})
        return chunk(b"%b\n%b\n" % (mark, event.body))

    def aside(self, event: Event) -> bytes:
        """Return a line."""
        return chunk(event.body + b"\n")

    def end(self, code: int) -> bytes:
        """Return nothing: the last chunk is the response's own affair."""
        return b""


class WebSocket:
    """One JSON object a text message, unmasked and uncompressed (RFC 6455, section 5.2)."""

    key = "ws"

    def frames(self, entries: Sequence[Entry], epoch: str) -> list[bytes]:
        """Return a text frame for each entry."""
        return [text_frame(entry.wire) for entry in entries]

    def block(self, frames: Sequence[bytes]) -> bytes:
        """Return the frames, joined."""
        return b"".join(frames)

    def control(self, name: str, fields: dict[str, Any]) -> bytes:
        """Return a frame whose ``control`` names it."""
        return text_frame(_json.encode({"control": name, **fields}))

    def heartbeat(self, event: Event, bookmark: Bookmark) -> bytes:
        """Return the bookmark, the HEALTH_CHECK, and a ping that is to be answered."""
        mark = _json.encode({"control": "bookmark", "bookmark": str(bookmark)})
        return text_frame(mark) + text_frame(event.body) + PING

    def aside(self, event: Event) -> bytes:
        """Return a text frame."""
        return text_frame(event.body)

    def end(self, code: int) -> bytes:
        """Return a close frame."""
        return b"\x88\x02" + code.to_bytes(2, "big")


PING = b"\x89\x00"
"""A WebSocket ping without a body."""


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked HTTP/1.1 body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def text_frame(data: bytes) -> bytes:
    """Return an unmasked WebSocket text frame."""
    size = len(data)
    if size < 126:
        return b"\x81%c%b" % (size, data)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), data)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), data)


def gap_fields(gap: Gap, epoch: str) -> dict[str, Any]:
    """Return what a ``gap`` frame tells; its bookmark is the place where the stream goes on."""
    # A reader ahead of the log goes on at the log's end: its own place is still to be filled.
    place = gap.after if gap.reason == "ahead" else gap.before - 1
    return {
        "after": gap.after,
        "before": gap.before,
        "reason": gap.reason,
        "bookmark": str(Bookmark(epoch, place)),
    }


_json = msgspec.json.Encoder()
