"""HTTP/1.1 as a waiting client needs it; to import `http.client` takes longer than to publish."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from rtevents.errors import BadInput

PORT = 8473
"""The port of an address that names none."""

READ_BYTES = 65536
"""Most bytes to take from the socket at once."""

MAX_LINE = 65536
"""Longest line of a response's head, in bytes: what sends more is no daemon."""

HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
"""What the size of a chunk is written with; `int` would take more."""


class Connection:
    """
    One connection, for one request after the other.

    Args:
        address: Path of a Unix socket, or ``http://host:port``, or https.
        timeout: Seconds that connecting may take.
    Raises:
        BadInput: It is no such address.
        OSError: Nobody listens there.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._host = "localhost"
        self._data = b""
        self._at = 0
        self._deadline: float | None = None
        if "://" in address:
            parts = split(address)
            self._host = parts.netloc
            self._socket = socket.create_connection(
                (parts.hostname or "", parts.port or PORT), timeout
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "https":
                self._socket = _encrypt(self._socket, parts.hostname or "")
        else:
            self._socket = _unix(address, timeout)

    def close(self) -> None:
        """Close it; an answer that is being read ends with an error."""
        self._socket.close()

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        seconds: float,
    ) -> Response:
        """
        Send a request; return the response, whose body is still to be read.

        Args:
            seconds: How long the whole answer may take.
        Raises:
            TimeoutError: It took longer.
            OSError: The connection broke, or it is not HTTP that is spoken there.
        """
        self._deadline = time.monotonic() + seconds
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "\r\n"]).encode()
        self._socket.settimeout(seconds)
        # A body that is refused is not read to its end, but the refusal may be there already.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(head + (body or b""))
        status, fields = self._head()
        while 100 <= status < 200:
            status, fields = self._head()
        return Response(self, status, fields)

    def wait_at_most(self, seconds: float) -> None:
        """Give the rest of an answer any time, as long as no pause is longer than `seconds`."""
        self._deadline = None
        self._socket.settimeout(seconds)

    def exactly(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes as they come."""
        while count:
            if self._at == len(self._data):
                self._receive()
            part = self._data[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            yield part

    def until_end(self) -> Iterator[bytes]:
        """Yield bytes until the peer closes."""
        yield self._data[self._at :]
        self._data, self._at = b"", 0
        while data := self._socket.recv(READ_BYTES):
            yield data

    def line(self) -> bytes:
        """Return the next line, without its end."""
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            if len(self._data) - self._at > MAX_LINE:
                raise ConnectionError(f"a line of more than {MAX_LINE} bytes: not HTTP")
            self._receive()
        line = self._data[self._at : end]
        self._at = end + 2
        return line

    def _receive(self) -> None:
        if self._deadline is not None:
            if (left := self._deadline - time.monotonic()) <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
        try:
            data = self._socket.recv(READ_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ConnectionError("it was cut")
        self._data, self._at = self._data[self._at :] + data, 0

    def _head(self) -> tuple[int, dict[str, str]]:
        version, _, rest = self.line().partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ConnectionError("what answers there does not speak HTTP/1.1")
        fields = {}
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        return int(rest[:3]), fields


class Response:
    """
    An answer: its head, and its body to be read once.

    Args:
        fields: Header fields, their names in lower case.
    """

    def __init__(self, connection: Connection, status: int, fields: dict[str, str]) -> None:
        self._connection = connection
        self.status = status
        self.fields = fields

    @property
    def can_go_on(self) -> bool:
        """Whether the connection takes another request when this body has been read."""
        return "close" not in self.fields.get("connection", "").lower() and (
            self._is_chunked or self._length is not None
        )

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.parts())

    def parts(self) -> Iterator[bytes]:
        """Yield the body as it comes (RFC 9112, section 6.3)."""
        if self._is_chunked:
            yield from self._chunks()
        elif self._length is not None:
            yield from self._connection.exactly(self._length)
        else:
            yield from self._connection.until_end()

    @property
    def _is_chunked(self) -> bool:
        return self.fields.get("transfer-encoding", "").lower() == "chunked"

    @property
    def _length(self) -> int | None:
        if self.status in (204, 304):
            return 0
        length = self.fields.get("content-length", "")
        return int(length) if length.isdigit() else None

    def _chunks(self) -> Iterator[bytes]:
        while size := _size(self._connection.line()):
            yield from self._connection.exactly(size)
            self._connection.line()
        while self._connection.line():  # trailers
            pass


def _size(line: bytes) -> int:
    text = line.partition(b";")[0].strip()
    if not 0 < len(text) <= 8 or not set(text) <= HEX_DIGITS:
        raise ConnectionError(f"not the size of a chunk: {text[:20]!r}")
    return int(text, 16)


def split(address: str) -> SplitResult:
    """
    Return the parts of an address that is no path.

    Raises:
        BadInput: It is not ``http[s]://host[:port]``.
    """
    wrong = BadInput(f"not the address of a daemon: {address!r}, expected http[s]://host:port")
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise wrong
        parts.hostname.encode("idna")  # as whoever looks it up does
    except ValueError as error:
        raise wrong from error
    return parts


def _encrypt(opened: socket.socket, host: str) -> socket.socket:
    # Imported here: nobody on this machine needs it. SSL_CERT_FILE names who else to trust.
    import ssl

    try:
        return ssl.create_default_context().wrap_socket(opened, server_hostname=host)
    except OSError:
        opened.close()
        raise


def _unix(path: str, timeout: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(timeout)
    try:
        opened.connect(path)
    except OSError:
        opened.close()
        raise
    return opened
