"""What attacks share: requests of any shape to a real daemon by TCP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.conftest import PATIENCE, Daemon

LOOPBACK = "127.0.0.1"


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """What an error says."""
        return str(self.json["detail"])


def port_of(daemon: Daemon) -> int:
    """Return the TCP port of a daemon."""
    with daemon.client() as client:
        return int(client.status()["listen"].rpartition(":")[2])


class Caller:
    """
    Asks a daemon by TCP.

    Args:
        token: Its credential; None for none.
        source: The address from which it asks.
    """

    def __init__(
        self, daemon: Daemon, token: str | None = None, *, source: str = LOOPBACK, **headers: str
    ) -> None:
        self.port = port_of(daemon)
        self.token = token
        self._source = (source, 0)
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        self._headers = bearer | {name.replace("_", "-"): v for name, v in headers.items()}

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        Ask, and read the answer.

        Args:
            body: Bytes as they are, anything else as JSON; None for none.
        """
        sent = {**self._headers, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        wire = self._connection()
        try:
            wire.request(method, path, body, sent)
            answer = wire.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            wire.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            LOOPBACK, self.port, timeout=PATIENCE, source_address=self._source
        )

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for something."""
        return self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Send something."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("POST", path, body, named)

    @contextmanager
    def stream(self, query: str = "", **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Follow a stream of NDJSON."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        wire = self._connection()
        try:
            accept = {"Accept": "application/x-ndjson"}
            wire.request("GET", f"/v1/events/stream{query}", headers=self._headers | accept | named)
            with wire.getresponse() as answer:
                yield answer
        finally:
            wire.close()

    def first_frame(self, query: str, **headers: str) -> dict[str, Any]:
        """Return the first frame of a stream: `hello`, or why there is none."""
        with self.stream(query, **headers) as stream:
            frame: dict[str, Any] = json.loads(stream.readline())
            return frame


def token(daemon: Daemon, role: str, **grant: Any) -> str:
    """Return the secret of a new token."""
    with daemon.client() as client:
        return str(client.create_token(role, **grant)["token"])


def caller(daemon: Daemon, role: str, **grant: Any) -> Caller:
    """Return a caller with a token of its own."""
    return Caller(daemon, token(daemon, role, **grant))
