"""How long streams go on whose token is revoked."""

from __future__ import annotations

import selectors
import socket
import time
from pathlib import Path

import msgspec

from rtevents.client.sync import Client
from tests.benchmarks.load import TIMEOUT, Target, Work


class Ended(msgspec.Struct, frozen=True):
    """
    What a revocation took.

    Args:
        ok: Whether every stream of the token ended, and that of another went on.
        ended: Milliseconds from the wish until the last of the streams had ended.
    """

    ok: bool
    ended: float


def revoked(target: Target, work: Work) -> Ended:
    """
    Open streams with one token, and one with another, and revoke the first.

    Args:
        target: The daemon, by its socket; it listens on TCP as well.
        work: How many streams.
    Raises:
        RuntimeError: A stream did not open.
    """
    with Client(Path(target.address)) as client:
        port = int(client.status()["url"].rpartition(":")[2])
        first, other = client.create_token("viewer"), client.create_token("viewer")
        streams = [_stream(port, first["token"]) for _ in range(work.subscribers)]
        kept = _stream(port, other["token"])
        try:
            begun = time.perf_counter()
            client.revoke_token(first["id"])
            ended = _until_all_end(streams)
            took = (ended - begun) * 1000
            kept.setblocking(False)
            return Ended(ok=not _is_ended(kept), ended=took)
        finally:
            for each in (*streams, kept):
                each.close()


def _stream(port: int, token: str) -> socket.socket:
    """Open an SSE stream and return it when the daemon has begun to answer."""
    wire = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    wire.sendall(
        f"GET /v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    if not (said := wire.recv(1 << 16)).startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a stream did not open: {said[:200]!r}")
    return wire


def _until_all_end(streams: list[socket.socket]) -> float:
    """Read until nothing more comes of any; return the moment."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(TIMEOUT)
            if not ready:
                raise RuntimeError(f"{len(selector.get_map())} streams did not end")
            for key, _ in ready:
                if not key.fileobj.recv(1 << 16):  # type: ignore[union-attr]
                    selector.unregister(key.fileobj)
        return time.perf_counter()


def _is_ended(stream: socket.socket) -> bool:
    """Tell whether the other side has closed a stream that does not block."""
    try:
        while stream.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    return True
