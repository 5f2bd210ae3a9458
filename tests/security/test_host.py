"""Pages of elsewhere: another Host, another Origin, what a form can send; S1 to S4, by raw TCP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rtevents.server.app import ROUTES
from tests.conftest import PATIENCE, Daemon, shared

from .attacker import Caller, caller, port_of, token
from .wire import Peer

FRONT = "https://app.example:8443"

WITH_FRONT = {"RTEVENTS_ORIGINS": f"[{FRONT}]"}

HOSTS = [
    "", "evil.test", "evil.test:PORT", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:0PORT",
    "127.0.0.1:+PORT", "127.0.0.1:PORT.", "127.0.0.1:PORT/", "127.0.0.1:PORT#x",
    "127.0.0.1:PORT,evil.test", "127.0.0.1:PORT evil.test", "127.0.0.1.evil.test:PORT",
    "evil.test@127.0.0.1:PORT", "127.0.0.1:PORT@evil.test", "http://127.0.0.1:PORT", "localhost",
    "localhost.:PORT", "xlocalhost:PORT", "127.1:PORT", "2130706433:PORT", "0x7f.0.0.1:PORT",
    "0.0.0.0:PORT", "[::]:PORT", "[::ffff:127.0.0.1]:PORT", "::1:PORT",
]  # fmt: skip


@pytest.fixture
def open_daemon(stopped_daemon: Daemon) -> Daemon:
    """Return a daemon that knows a front end of the user's own."""
    stopped_daemon.start(env=WITH_FRONT)
    return stopped_daemon


@pytest.fixture(scope="module")
def shared_open_daemon() -> Iterator[Daemon]:
    """Return one that others use too: nobody publishes there."""
    with shared(WITH_FRONT) as daemon:
        yield daemon


def body() -> dict[str, Any]:
    """Return an event as JSON."""
    return {"type": "RISK_ALERT", "data": {"severity": "high", "message": "x"}}


def newest(daemon: Daemon) -> int:
    """Return how many events there are."""
    with daemon.client() as client:
        return client.history().newest


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
def test_a_name_that_was_pointed_here_gets_nothing_wherever_it_asks(
    shared_daemon: Daemon, method: str
) -> None:
    """S1: 26 odd Hosts at a page, at the interface, and at what is not there: 421 or 400."""
    mine = caller(shared_daemon, "owner")
    statuses = {
        (host, path): mine.ask(
            method, path, headers={"Host": host.replace("PORT", str(mine.port))}
        ).status
        for host in HOSTS
        for path in ("/", "/v1/events", "/nothing")
    }

    assert set(statuses.values()) <= {400, 421}
    assert statuses["evil.test", "/nothing"] == 421


@pytest.mark.parametrize("count", [0, 2])
def test_a_request_has_one_host(shared_daemon: Daemon, count: int) -> None:
    """S1: no Host, or two of which one is right, is refused."""
    port = port_of(shared_daemon)
    lines = b"".join([b"Host: 127.0.0.1:%d\r\n" % port, b"Host: evil.test\r\n"][:count])
    with Peer(("127.0.0.1", port)) as peer:
        peer.send(b"GET /v1/health/live HTTP/1.1\r\n" + lines + b"\r\n")
        status = peer.answer().status

    assert status in (400, 421)


def test_the_order_of_the_guard_is_the_same_for_every_route(shared_daemon: Daemon) -> None:
    """S4: Host, then the site, then the body's type, then the credential, then the role."""
    viewer = token(shared_daemon, "viewer")
    mine, anybody = Caller(shared_daemon, viewer), Caller(shared_daemon)
    wrong = {
        "Host": "evil.test",
        "Origin": "http://evil.test",
        "Content-Type": "text/plain",
        "Authorization": "Bearer nonsense",
    }
    places = [("POST", "/v1/nothing"), ("POST", "/v1/events"), ("DELETE", "/v1/tokens/x")]
    for method, path in places:
        steps = dict(wrong)
        statuses = []
        for name in wrong:
            statuses.append(anybody.ask(method, path, b"{}", steps).status)
            del steps[name]
            if name == "Content-Type":
                steps[name] = "application/json"
        statuses.append(anybody.ask(method, path, None, steps).status)
        statuses.append(mine.ask(method, path).status)

        last = 404 if path == "/v1/nothing" else 403
        assert statuses == [421, 403, 415, 401, 401, last], path


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_or_port_reaches_no_route(shared_daemon: Daemon, site: str) -> None:
    """S4: by Sec-Fetch-Site, whatever the method, and with our own cookie in its hand."""
    mine = caller(shared_daemon, "owner")
    for route in ROUTES:
        path = route.path.replace("{id}", "x").replace("{name}", "COMMIT")
        answer = mine.ask(route.method, path, None, {"Sec-Fetch-Site": site})
        assert answer.status == 403, path


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_what_a_form_can_send_is_no_event(shared_daemon: Daemon, kind: str) -> None:
    """S4: 415 for the simple types, before the credential is looked at."""
    raw = json.dumps(body()).encode()

    with_token = caller(shared_daemon, "publisher").ask(
        "POST", "/v1/events", raw, {"Content-Type": kind}
    )
    without = Caller(shared_daemon).ask("POST", "/v1/events", raw, {"Content-Type": kind})

    assert (with_token.status, without.status) == (415, 415)
    assert newest(shared_daemon) == 0


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.test", "https://127.0.0.1:PORT", "http://127.0.0.1:1", "file://", ""],
)
def test_no_websocket_opens_for_a_page_of_elsewhere(shared_daemon: Daemon, origin: str) -> None:
    """S2: an Origin that is not our own is refused at the handshake, `null` among them."""
    secret = token(shared_daemon, "owner")
    port = port_of(shared_daemon)
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"ws://127.0.0.1:{port}/v1/events/ws",
            additional_headers={
                "Authorization": f"Bearer {secret}",
                "Origin": origin.replace("PORT", str(port)),
            },
        ),
    ):
        pass

    assert refused.value.response.status_code == 403


def test_a_front_end_of_ones_own_reads_and_publishes_with_a_token(open_daemon: Daemon) -> None:
    """S4: exact CORS for a listed origin: its preflight, its requests, and what it may read."""
    mine = caller(open_daemon, "owner")
    from_front = {"Origin": FRONT, "Sec-Fetch-Site": "cross-site"}
    asks = from_front | {"Access-Control-Request-Method": "POST"}

    preflight = Caller(open_daemon).ask("OPTIONS", "/v1/events", None, asks)
    sent = mine.ask("POST", "/v1/events", body(), from_front)
    read = mine.ask("GET", "/v1/events", None, from_front)
    refused = Caller(open_daemon).ask("GET", "/v1/events", None, from_front)

    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == FRONT
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert [sent.status, read.status, refused.status] == [201, 200, 401]
    for answer in (sent, read, refused):
        assert answer.headers["Access-Control-Allow-Origin"] == FRONT
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example", "http://app.example:8443", "https://app.example:84430", "null",
        "https://app.example:8443.evil.test", "https://evil.test", "https://app.example:8443/",
    ],
)  # fmt: skip
def test_an_origin_that_only_resembles_a_listed_one_is_refused(
    shared_open_daemon: Daemon, origin: str
) -> None:
    """S4: compared as a whole, and no answer tells such a page that it may read."""
    mine = caller(shared_open_daemon, "owner")
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answers = [
        mine.ask("OPTIONS", "/v1/events", None, asks),
        mine.ask("GET", "/v1/events", None, {"Origin": origin}),
    ]

    assert [answer.status for answer in answers] == [403, 403]
    assert not any("Access-Control-Allow-Origin" in answer.headers for answer in answers)


def test_our_cookie_counts_for_nothing_on_a_listed_origin(shared_open_daemon: Daemon) -> None:
    """S4: such a page shows a token of its own; a cookie it may not even know of."""
    ticket = caller(shared_open_daemon, "owner").post("/v1/tickets").json["url"].partition("#t=")[2]
    logged = Caller(shared_open_daemon).post("/v1/login", {"ticket": ticket})
    cookie = logged.headers["Set-Cookie"].partition(";")[0]

    own = Caller(shared_open_daemon).get("/v1/events", Cookie=cookie)
    foreign = Caller(shared_open_daemon).get("/v1/events", Cookie=cookie, Origin=FRONT)

    assert (own.status, foreign.status) == (200, 401)


@contextmanager
def talk(daemon: Daemon, origin: str = FRONT, query: str = "") -> Iterator[ClientConnection]:
    """Open a WebSocket as a page does: without a credential."""
    with connect(
        f"ws://127.0.0.1:{port_of(daemon)}/v1/events/ws{query}",
        additional_headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"},
        open_timeout=PATIENCE,
    ) as socket:
        yield socket


def rest(socket: ClientConnection) -> list[str | bytes]:
    """Return what comes until the connection is closed."""
    heard = []
    with suppress(ConnectionClosed):
        while True:
            heard.append(socket.recv(timeout=PATIENCE))
    return heard


def frame(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    got: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE))
    return got


def test_a_page_of_a_listed_origin_says_its_token_first(open_daemon: Daemon) -> None:
    """S2: a page can send no header with a WebSocket; what it says next is heard as well."""
    secret = token(open_daemon, "owner")
    with talk(open_daemon) as socket:
        socket.send(json.dumps({"op": "auth", "token": secret}))
        socket.send(json.dumps({"op": "publish", "ref": 1, "events": [body()]}))
        frames = [frame(socket)]
        while frames[-1].get("ref") != 1:
            frames.append(frame(socket))

    assert frames[0]["control"] == "hello"
    assert frames[-1]["control"] == "ok"
    assert newest(open_daemon) == 1


@pytest.mark.parametrize(
    "first",
    [
        '{"op":"auth","token":"rte_00000000_nonsense"}', '{"op":"publish","events":[]}', "hello",
        '{"op":"ping","token":"x"}', b"\x00\x01", "x" * 100_000, "",
    ],
)  # fmt: skip
def test_a_page_that_says_no_token_first_is_shown_out(
    shared_open_daemon: Daemon, first: str | bytes
) -> None:
    """S2: it is told why by a close code that says not to come back, and hears nothing else."""
    with talk(shared_open_daemon) as socket:
        socket.send(first)
        heard = rest(socket)

    assert heard == []
    assert socket.close_code == 4501
    assert newest(shared_open_daemon) == 0


def test_a_token_said_first_gives_what_its_grant_holds(shared_open_daemon: Daemon) -> None:
    """S2: roles and filters are held to it as everywhere."""
    publisher = token(shared_open_daemon, "publisher")
    limited = token(shared_open_daemon, "viewer", projects=["a"])
    with talk(shared_open_daemon) as one:
        one.send(json.dumps({"op": "auth", "token": publisher}))
        none = rest(one)
    with talk(shared_open_daemon, query="?project=b") as two:
        two.send(json.dumps({"op": "auth", "token": limited}))
        beyond = rest(two)
    with talk(shared_open_daemon) as three:
        three.send(json.dumps({"op": "auth", "token": limited}))
        hello = frame(three)

    assert (none, one.close_code) == ([], 4501)
    assert (beyond, two.close_code) == ([], 4501)
    assert hello["filter"] == {"project": ["a"]}


def test_who_says_nothing_is_shown_out(shared_open_daemon: Daemon) -> None:
    """S2: ten seconds are given; nobody keeps a place without a credential."""
    with talk(shared_open_daemon) as socket:
        heard = rest(socket)

    assert (heard, socket.close_code) == ([], 4501)


def test_a_first_word_in_pieces_is_heard_whole(shared_open_daemon: Daemon) -> None:
    """S2: byte by byte, as TCP may bring it."""
    secret = token(shared_open_daemon, "viewer")
    port = port_of(shared_open_daemon)
    key = base64.b64encode(b"0123456789abcdef").decode()
    text = json.dumps({"op": "auth", "token": secret}).encode()
    head = (
        f"GET /v1/events/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {FRONT}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    with Peer(("127.0.0.1", port)) as peer:
        # Even before the handshake is answered.
        for byte in head + bytes([0x81, 0x80 | len(text)]) + bytes(4) + text:
            peer.send(bytes([byte]))
        given = b""
        while b'"control":"hello"' not in given:
            data = peer.socket.recv(4096)
            assert data
            given += data

    assert given.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("origin", ["*", "null", "app.example", "https://*.example", FRONT + "/"])
def test_an_origin_that_is_none_is_refused_in_the_configuration(
    stopped_daemon: Daemon, origin: str
) -> None:
    """S4: a pattern would let in more than was meant."""
    done = stopped_daemon.run("config", "check", env={"RTEVENTS_ORIGINS": f'["{origin}"]'})

    assert done.returncode == 2
    assert "expected an origin such as https://app.example:8443" in done.stderr
