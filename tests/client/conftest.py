"""What the tests of both clients share: a daemon whose failures are staged, and the facts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rtevents.core.event import Event
from rtevents.errors import (
    BadInput,
    EventConflict,
    EventRefused,
    EventTooLarge,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RteventsError,
    Taken,
    Unavailable,
)

STATUSES: list[tuple[int, dict[str, Any], type[RteventsError]]] = [
    (400, {}, BadInput),
    (401, {}, NotAuthenticated),
    (403, {}, NotAllowed),
    (404, {}, NotFound),
    (405, {}, BadInput),
    (409, {"event_id": "a", "seq": 7}, EventConflict),
    (409, {}, Taken),
    (413, {}, EventTooLarge),
    (415, {}, BadInput),
    (421, {}, BadInput),
    (422, {"index": 3, "field": "data.status"}, EventRefused),
    (500, {}, RteventsError),
    (502, {}, Unavailable),
    (503, {}, Unavailable),
    (504, {}, Unavailable),
]
"""What an answer says, and the error that it is."""


class Staged:
    """Answers with what was staged, the last one for ever, and remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.bodies: list[bytes] = []

    def answer(self, status: int, fields: object, **headers: str) -> None:
        """Stage an answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, json.dumps(fields).encode()))

    def lines(self, status: int, *fields: object) -> None:
        """Stage an answer in NDJSON."""
        body = b"".join(json.dumps(each).encode() + b"\n" for each in fields)
        self.answers.append((status, {"Content-Type": "application/x-ndjson"}, body))


@pytest.fixture
def staged() -> Iterator[Staged]:
    """Return a daemon whose answers are staged."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            found.bodies.append(self.rfile.read(length))
            status, headers, body = (
                found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            )
            self.send_response(status)
            for name, value in ({"Content-Type": "application/problem+json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = Staged(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


STORED = {"events": [{"event_id": "a", "seq": 1, "duplicate": False}], "bookmark": "0123abcd-1"}
"""What a daemon answers to one event."""


def risk(name: str, **fields: Any) -> Event:
    """Return a RISK_ALERT whose id is `name`."""
    data = {"severity": "low", "message": name}
    return Event(**({"type": "RISK_ALERT", "data": data, "event_id": name} | fields))


def wrong(name: str) -> Event:
    """Return an event that every daemon refuses."""
    return Event(type="RISK_ALERT", data={"severity": "huge", "message": "x"}, event_id=name)
