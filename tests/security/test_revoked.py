"""What was begun with a credential that counts no more: streams, long polls, slow bodies; S23."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rtevents.core.event import Event
from tests.conftest import PATIENCE, Daemon, wait_for

from .attacker import Caller, caller, token
from .test_audit import told

EVENT: dict[str, Any] = {"type": "RISK_ALERT", "data": {"severity": "high", "message": "late"}}


@contextmanager
def asked(
    mine: Caller, method: str, path: str, **headers: str
) -> Iterator[http.client.HTTPConnection]:
    """Send a request, or its head, whose answer is read later."""
    wire = http.client.HTTPConnection("127.0.0.1", mine.port, timeout=PATIENCE)
    wire.putrequest(method, path)
    for name, value in {"Authorization": f"Bearer {mine.token}", **headers}.items():
        wire.putheader(name.replace("_", "-"), value)
    wire.endheaders()
    try:
        yield wire
    finally:
        wire.close()


def revoke(daemon: Daemon, mine: Caller) -> None:
    """Revoke a caller's token."""
    assert mine.token is not None
    with daemon.client() as client:
        client.revoke_token(mine.token.split("_")[1])


def publish(daemon: Daemon) -> None:
    """Store an event."""
    with daemon.client() as client:
        client.publish(Event(**EVENT))


def newest(daemon: Daemon) -> int:
    """Return the newest seq."""
    with daemon.client() as client:
        return client.history().newest


@pytest.mark.parametrize("since", ["new", "all"])
def test_a_long_poll_ends_with_its_token(daemon: Daemon, since: str) -> None:
    """S23: at once, with 401, and with nothing that was stored afterwards."""
    mine = caller(daemon, "viewer")
    with asked(mine, "GET", f"/v1/events?since={since}&wait=60") as wire:
        # The kernel has the request, the daemon may not: what it waits with is not to be seen.
        assert mine.get("/v1/events").status == 200
        revoke(daemon, mine)
        publish(daemon)
        begun = time.monotonic()
        answer = wire.getresponse()
        took = time.monotonic() - begun
        said = json.loads(answer.read())

    assert answer.status == 401
    assert "events" not in said
    assert took < 30  # of the 60 that it would have waited
    assert told(daemon, decision="refused", action="GET /v1/events", rule="credential")


def test_a_long_poll_ends_when_its_token_expires(daemon: Daemon) -> None:
    """S23: it waits no longer than its grant is good for."""
    mine = caller(daemon, "viewer", expires_in=2)
    begun = time.monotonic()

    answer = mine.get("/v1/events?since=new&wait=60")
    took = time.monotonic() - begun
    publish(daemon)

    assert answer.status == 401 or answer.json["events"] == []
    assert took < 30
    assert mine.get("/v1/events").status == 401


def test_a_long_poll_of_somebody_else_goes_on(daemon: Daemon) -> None:
    """S23: it may answer that there is nothing yet, and nothing is lost."""
    mine, other = caller(daemon, "viewer"), caller(daemon, "viewer")
    with asked(other, "GET", "/v1/events?since=new&wait=60") as wire:
        assert other.get("/v1/events").status == 200
        revoke(daemon, mine)
        publish(daemon)
        answer = wire.getresponse()
        page = json.loads(answer.read())
    after = other.get(f"/v1/events?after={page['next']}").json["events"]

    assert answer.status == 200
    assert len(page["events"] + after) in (0, 1)  # it may have begun after the event


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/events", "application/x-ndjson"),
        ("/v1/events", "application/json"),
        ("/v1/tokens", "application/json"),
    ],
)
def test_a_body_that_was_begun_before_does_nothing_afterwards(
    daemon: Daemon, path: str, content_type: str
) -> None:
    """S23: a chunked body that ends after its token was revoked."""
    mine = caller(daemon, "owner")
    body = json.dumps(EVENT if path == "/v1/events" else {"role": "owner"}).encode()
    headers = {"Content_Type": content_type, "Transfer_Encoding": "chunked"}
    with asked(mine, "POST", path, **headers) as wire:
        wire.send(b"%x\r\n%b\r\n" % (len(body), body))
        revoke(daemon, mine)
        wire.send(b"0\r\n\r\n")
        status = wire.getresponse().status

    assert status == 401
    assert newest(daemon) == 0
    with daemon.client() as client:
        assert client.tokens() == []


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_stream_ends_with_its_token(daemon: Daemon, accept: str) -> None:
    """S23: by `bye`, and what is stored afterwards is not in it."""
    mine = caller(daemon, "viewer")
    with mine.stream("?since=all", Accept=accept) as stream:
        first = stream.readline()
        revoke(daemon, mine)
        publish(daemon)
        rest = stream.read()

    assert first
    assert b'"reason":"ended"' in rest
    assert b"late" not in rest
    assert mine.get("/v1/events").status == 401


def test_a_stream_ends_when_its_token_expires(daemon: Daemon) -> None:
    """S23: by itself."""
    mine = Caller(daemon, token(daemon, "viewer", expires_in=4))
    with mine.stream() as stream:
        frames: list[Any] = [json.loads(line) for line in stream]
    publish(daemon)

    assert [frame["control"] for frame in frames][-1] == "bye"
    wait_for(lambda: mine.get("/v1/events").status == 401, "the token has expired")
