"""Little that becomes much: S18."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.faults.checker import everything

from .wire import Peer, request

MIB = 1024 * 1024

HANDSHAKE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip

TEXT, CONTINUED, CLOSE, PING = 1, 0, 8, 9


def frame(
    data: bytes, opcode: int = TEXT, *, first: int = 0x80, length: int | None = None
) -> bytes:
    """
    Return a frame of a client (RFC 6455, section 5.2), masked by zeros.

    Args:
        first: The bits above the opcode: FIN, RSV1 to RSV3.
        length: What it says of its length; the truth when None.
    """
    size = len(data) if length is None else length
    if size < 126:
        head = bytes([first | opcode, 0x80 | size])
    elif size < 65536:
        head = bytes([first | opcode, 0x80 | 126]) + struct.pack(">H", size)
    else:
        head = bytes([first | opcode, 0x80 | 127]) + struct.pack(">Q", size)
    return head + b"\0\0\0\0" + data


def memory_kib(daemon: Daemon) -> int:
    """Return the most memory that a daemon has had."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def websocket(daemon: Daemon, *headers: str) -> tuple[Peer, bytes]:
    """Return a peer whose WebSocket is open, and the head of the answer."""
    peer = Peer(daemon.socket)
    peer.send(request("GET /v1/events/ws", *HANDSHAKE, *headers))
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.socket.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return peer, head


def close_code(said: bytes) -> int:
    """Return the code of the close frame with which something ends."""
    start = said.rindex(b"\x88")
    return int.from_bytes(said[start + 2 : start + 4], "big")


@pytest.mark.parametrize(
    "offer",
    ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"],
)
def test_no_compression_is_agreed_on(daemon: Daemon, offer: str) -> None:
    """S18: what is never unpacked cannot grow; a frame that says it is packed ends the stream."""
    peer, head = websocket(daemon, f"Sec-WebSocket-Extensions: {offer}")
    with peer:
        assert b"extensions" not in head.lower()
        before = memory_kib(daemon)
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = packer.compress(b"\0" * 200 * MIB) + packer.flush(zlib.Z_SYNC_FLUSH)
        peer.send(frame(bomb[:-4], first=0xC0))
        assert close_code(peer.rest()) == 1002
    assert memory_kib(daemon) - before < 4 * 1024


def test_a_message_that_says_it_is_huge_is_not_waited_for(daemon: Daemon) -> None:
    """S18: 200 MB in one frame, or more than any memory: refused by its head alone."""
    before = memory_kib(daemon)
    for length in (200 * MIB, 16 * MIB + 1, 2**62):
        peer, _ = websocket(daemon)
        with peer:
            peer.send(frame(b"", length=length))
            assert close_code(peer.rest()) == 1009
    assert memory_kib(daemon) - before < 4 * 1024


def test_a_message_in_pieces_is_no_larger(daemon: Daemon) -> None:
    """S18: the pieces of a message count together."""
    peer, _ = websocket(daemon)
    with peer:
        peer.send(frame(b" " * MIB, first=0))
        for _ in range(16):
            peer.send(frame(b" " * MIB, CONTINUED, first=0))
        assert close_code(peer.rest()) == 1009
    assert daemon.answers()


def test_nothing_said_a_million_times_takes_no_memory(daemon: Daemon) -> None:
    """S18: empty pieces, and pings, as many as a peer likes."""
    peer, _ = websocket(daemon)
    with peer:
        peer.send(frame(b"", first=0))
        before = memory_kib(daemon)
        for _ in range(20):
            peer.send(frame(b"", CONTINUED, first=0) * 25_000)
            peer.send(frame(b"ping", PING) * 10)
        peer.send(frame(b'{"op":"ping","ref":7}', CONTINUED))
        said = b""
        while b'"ref":7' not in said:
            said += peer.socket.recv(65536)
        assert memory_kib(daemon) - before < 8 * 1024


@pytest.mark.parametrize("path", ["/v1/events", "/v1/tokens", "/v1/login"])
def test_a_body_without_end_is_refused(daemon: Daemon, path: str) -> None:
    """S18: by its length before it comes, and in chunks when it is too much."""
    before = memory_kib(daemon)
    kind = "Content-Type: application/json"
    with Peer(daemon.socket) as peer:
        peer.send(request(f"POST {path}", kind, f"Content-Length: {2**40}"))
        peer.send(b" " * MIB)
        answer = peer.answer()
        assert answer.status == 413, answer
    with Peer(daemon.socket) as peer:
        peer.send(request(f"POST {path}", kind, "Transfer-Encoding: chunked"))
        for _ in range(20):
            peer.send(b"100000\r\n" + b" " * MIB + b"\r\n")
        answer = peer.answer()
        assert answer.status == 413, answer
    # A request may have 16 MiB, and is joined once.
    assert memory_kib(daemon) - before < 48 * 1024
    with daemon.client() as client:
        assert everything(client) == []
