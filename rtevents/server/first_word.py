"""The first word of a WebSocket whose page is not the daemon's own: its token."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from rtevents.errors import BadInput, NotAuthenticated
from rtevents.server.keys import decode

SECONDS = 10.0
"""Seconds in which it must come."""

MAX_WORD = 16_384
"""Longest first message, in bytes."""


class _Word(msgspec.Struct, forbid_unknown_fields=True):
    op: str
    token: str


class _Ear:
    """What aiohttp gives the bytes of an upgraded connection to, first of all a message."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.given = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; what follows the first message is kept."""
        self.given += data
        if not self.heard.done():
            try:
                if (text := take_message(self.given)) is not None:
                    self.heard.set_result(text)
            except BadInput as error:
                self.heard.set_exception(error)
        return False, b""

    def feed_eof(self) -> None:
        """Tell who waits that nothing more comes."""
        if not self.heard.done():
            self.heard.set_exception(ConnectionResetError("the peer is gone"))


async def first_word(request: web.Request) -> tuple[str, bytearray]:
    """
    Return the token that a page says as ``{"op":"auth","token":"rte_…"}``.

    Returns:
        The token, and what the page said next: it grows until the connection is taken over.

    Raises:
        NotAuthenticated: It said something else, or nothing in time.
        ConnectionError: It is gone.
    """
    ear = _Ear()
    request.protocol.set_parser(ear)  # type: ignore[arg-type] # any with these two methods will do
    try:
        async with asyncio.timeout(SECONDS):
            word = decode(await ear.heard, _Word)
    except TimeoutError:
        raise NotAuthenticated(f"no token came within {SECONDS:g} seconds") from None
    except BadInput as error:
        raise NotAuthenticated('expected {"op":"auth","token":"…"} first') from error
    if word.op != "auth":
        raise NotAuthenticated('expected {"op":"auth","token":"…"} first')
    return word.token, ear.given


def take_message(given: bytearray) -> bytes | None:
    """
    Cut the first message of a WebSocket from what was received (RFC 6455, section 5.2).

    Returns:
        Its text; None while it is not whole.
    Raises:
        BadInput: It is no text in one masked frame of at most ``MAX_WORD`` bytes.
    """
    if len(given) < 2:
        return None
    size, at = given[1] & 0x7F, 2
    if given[0] != 0x81 or not given[1] & 0x80 or size == 127:
        raise BadInput("expected a short text message")
    if size == 126:
        if len(given) < 4:
            return None
        size, at = int.from_bytes(given[2:4], "big"), 4
    if size > MAX_WORD:
        raise BadInput("expected a short text message")
    if len(given) < at + 4 + size:
        return None
    mask, text = given[at : at + 4], given[at + 4 : at + 4 + size]
    del given[: at + 4 + size]
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
