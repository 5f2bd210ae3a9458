"""Who is at the other end of a connection, as far as the connection itself tells."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from typing import Protocol

import msgspec

from rtevents.core.filter import OWNER, Grant
from rtevents.errors import NotAllowed
from rtevents.server.principal import NOBODY, Principal

_PEER = struct.Struct("3i")
"""What Linux tells of a peer: process, user and group."""


class Asking(Protocol):
    """What is looked at of a request: aiohttp's has it all."""

    @property
    def transport(self) -> asyncio.BaseTransport | None:
        """Where it came from."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, their names in title case or in any."""

    @property
    def method(self) -> str:
        """Its method."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """Its cookies."""


def stranger(request: Asking) -> Principal:
    """Return what is known of a peer before it has said a word."""
    opened = request.transport.get_extra_info("socket") if request.transport else None
    if opened is None or opened.family != socket.AF_UNIX:
        # What has gone already is nobody, somewhere on TCP.
        name = request.transport.get_extra_info("peername") if request.transport else None
        host, port, *_ = name or ("?", 0)
        return Principal("anonymous", NOBODY, address=f"{host}:{port}")
    if not hasattr(socket, "SO_PEERCRED"):
        # The socket's folder lets nobody else in, and this system tells no more.
        return Principal("anonymous", NOBODY, uid=os.getuid())
    raw = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(raw)
    return Principal("anonymous", NOBODY, pid, uid)


def same_user(who: Principal) -> Principal:
    """
    Return who is at the other end of a Unix socket: the same user owns the daemon (S7).

    Raises:
        NotAllowed: It is another user.
    """
    if who.uid not in (os.getuid(), 0):
        raise NotAllowed(f"the daemon belongs to user {os.getuid()}, not to {who.uid}")
    return known(who, f"local:{who.uid}", OWNER)


def known(who: Principal, name: str, grant: Grant) -> Principal:
    """Return who has said who that is, and by what is believed."""
    return msgspec.structs.replace(who, name=name, grant=grant)
