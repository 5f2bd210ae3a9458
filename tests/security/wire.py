"""Raw connections: bytes as they are, to the daemon or to a proxy in front of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.conftest import PATIENCE, Daemon

Address = Path | tuple[str, int]


class Answer(NamedTuple):
    """One answer; the names of its headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Peer:
    """
    A connection on which anything can be said.

    Args:
        address: A Unix socket, or host and port.
        receive_buffer: Bytes that the kernel keeps for us; None for the usual.
    """

    def __init__(self, address: Address, *, receive_buffer: int | None = None) -> None:
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(str(address) if isinstance(address, Path) else address)
        self._given = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Say something; a peer that has hung up already is no error."""
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def rest(self) -> bytes:
        """Return what comes until the peer hangs up; fail when it does not."""
        with suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self._given += data
        return self.given()

    def given(self) -> bytes:
        """Return what came after the last answer's head or body already."""
        given, self._given = self._given, b""
        return given

    def answer(self) -> Answer:
        """Return the next answer that has a Content-Length."""
        while b"\r\n\r\n" not in self._given:
            self._take()
        head, _, self._given = self._given.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        while len(self._given) < size:
            self._take()
        body, self._given = self._given[:size], self._given[size:]
        return Answer(int(status.split()[1]), headers, body)

    def _take(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"hung up after {self._given!r}"
        self._given += data


def port_of(daemon: Daemon) -> tuple[str, int]:
    """Return where the daemon listens on TCP."""
    with daemon.client() as client:
        host, _, port = str(client.status()["listen"]).rpartition(":")
    return host, int(port)


def request(start: str, *headers: str, body: bytes = b"", host: str = "h") -> bytes:
    """Return a request: its head, with a Content-Length where it has a body, and the body."""
    lines = [f"{start} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def risk(message: str) -> bytes:
    """Return the JSON of a RISK_ALERT."""
    return json.dumps(
        {"type": "RISK_ALERT", "data": {"severity": "low", "message": message}}
    ).encode()
