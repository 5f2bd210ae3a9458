"""Who may come in, and what they may do: S1 to S8 of the security reference."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtevents.core.event import Event
from rtevents.core.filter import INCLUDES, OWNER
from rtevents.errors import NotAuthenticated
from rtevents.server import browser as browser_module
from rtevents.server.app import ANY, ROUTES, Route
from rtevents.server.browser import Browsers
from rtevents.server.tokens import Tokens

from .conftest import Houses, Server, risk, task
from .readers import Head, Socket, read_head, request_head

NOBODY = 65534
ORIGIN = "http://localhost:1"


async def knock(server: Server, request: bytes) -> Head:
    """Send a request by TCP as it is; return the head of the answer."""
    async with await server.wire(server.tcp) as wire:
        await wire.send(request)
        return await read_head(wire)


async def ask(server: Server, path: str = "/v1/health/live", **headers: str) -> int:
    """Ask by TCP with a right Host and these headers; return the status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await knock(server, request_head("GET", path, {**server.host, **named}))).status


async def log_in(server: Server) -> str:
    """Return a browser's cookie."""
    origin = f"http://127.0.0.1:{server.tcp[1]}"
    _, secret = server.guard.browsers.log_in(server.ticket(), origin)
    return f"{server.guard.sites.cookie}={secret}"


# Host: DNS rebinding (S1)

ODD_HOSTS = [
    b"",
    b"evil.test",
    b"evil.test:PORT",
    b"127.0.0.1",
    b"127.0.0.1:",
    b"127.0.0.1:1",
    b"127.0.0.1:0PORT",
    b"127.0.0.1:+PORT",
    b"127.0.0.1:PORT.",
    b"127.0.0.1:PORT/",
    b"127.0.0.1:PORT#x",
    b"127.0.0.1:PORT?x",
    b"127.0.0.1:PORT,evil.test",
    b"127.0.0.1:PORT evil.test",
    b"127.0.0.1.evil.test:PORT",
    b"evil.test@127.0.0.1:PORT",
    b"127.0.0.1:PORT@evil.test",
    b"http://127.0.0.1:PORT",
    b"localhost",
    b"localhost.:PORT",
    b"xlocalhost:PORT",
    b"127.1:PORT",
    b"2130706433:PORT",
    b"0x7f.0.0.1:PORT",
    b"0.0.0.0:PORT",
    b"[::]:PORT",
    b"[::ffff:127.0.0.1]:PORT",
    b"[::1%25lo]:PORT",
    b"::1:PORT",
    b"\xff\xfe:PORT",
    "１２７.0.0.1:PORT".encode(),
    b"localhost\xc2\xa0:PORT",
    b"x" * 4000,
]


@pytest.mark.parametrize("host", ODD_HOSTS)
async def test_another_host_is_refused_everywhere(server: Server, host: bytes) -> None:
    host = host.replace(b"PORT", b"%d" % server.tcp[1])
    secret = server.token("owner").encode()
    for path in (b"/", b"/v1/health/live", b"/v1/events", b"/v1/events/stream"):
        head = await knock(
            server,
            b"GET %b HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\n\r\n"
            % (path, host, secret),
        )
        assert head.status in (400, 421), path


@pytest.mark.parametrize(
    "host", ["127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT", "[::1]:PORT"]
)
async def test_the_daemons_own_hosts_are_taken(server: Server, host: str) -> None:
    host = host.replace("PORT", str(server.tcp[1]))

    assert await ask(server, Host=host) == 200
    assert await ask(server, Host=host, Origin=f"http://{host}") == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_request_without_a_host_is_refused(server: Server, version: str) -> None:
    head = await knock(server, f"GET /v1/health/live HTTP/{version}\r\n\r\n".encode())

    assert head.status in (400, 421)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0)])
async def test_two_hosts_are_refused(server: Server, order: tuple[int, int]) -> None:
    names = (f"127.0.0.1:{server.tcp[1]}", "evil.test")
    lines = "".join(f"Host: {names[each]}\r\n" for each in order)

    head = await knock(server, f"GET /v1/health/live HTTP/1.1\r\n{lines}\r\n".encode())

    assert head.status == 400


async def test_the_host_counts_and_not_the_request_target(server: Server) -> None:
    own = f"127.0.0.1:{server.tcp[1]}"
    target = f"GET http://{own}/v1/health/live HTTP/1.1\r\nHost: evil.test\r\n\r\n"

    assert (await knock(server, target.encode())).status == 421


async def test_a_handshake_for_another_host_is_refused(server: Server) -> None:
    headers = {"Host": "evil.test", "Authorization": f"Bearer {server.token('owner')}"}

    assert (await Socket.open(await server.wire(server.tcp), "", headers)).head.status == 421


async def test_a_configured_host_is_taken_with_its_origin(houses: Houses) -> None:
    server = await houses.open(hosts=["Dev.example:8443"])

    assert await ask(server, Host="dev.example:8443") == 200
    assert await ask(server, Host="dev.example:8443", Origin="http://dev.example:8443") == 200
    assert await ask(server, Host="dev.example:8444") == 421


async def test_the_unix_socket_asks_for_no_host(server: Server) -> None:
    answer = await server.owner.get("/v1/status", Host="whatever")

    assert answer.status == 200


# Origin and Sec-Fetch-Site (S2, S3, S4)

ORIGINS = [
    ("http://127.0.0.1:PORT", 200),
    ("http://localhost:PORT", 200),
    ("HTTP://LOCALHOST:PORT", 200),
    ("null", 403),
    ("", 403),
    ("http://127.0.0.1", 403),
    ("http://127.0.0.1:1", 403),
    ("https://127.0.0.1:PORT", 403),
    ("ws://127.0.0.1:PORT", 403),
    ("file://", 403),
    ("http://evil.test", 403),
    ("http://evil.test:PORT", 403),
    ("http://127.0.0.1:PORT.evil.test", 403),
    ("http://evil.test@127.0.0.1:PORT", 403),
    ("http://127.0.0.1:PORT@evil.test", 403),
    ("127.0.0.1:PORT", 403),
    ("//127.0.0.1:PORT", 403),
    ("http://[", 403),
    ("http://[::1", 403),
    ("http://[x]:PORT", 403),
    ("http://127.0.0.1:PORT http://evil.test", 403),
    ("chrome-extension://abc", 403),
]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
async def test_only_the_daemons_own_origins_are_taken(
    server: Server, origin: str, status: int
) -> None:
    origin = origin.replace("PORT", str(server.tcp[1]))
    token = {"Authorization": f"Bearer {server.token('owner')}"}

    assert await ask(server, Origin=origin) == status
    assert await ask(server, "/v1/events", Origin=origin, **token) == status
    wire = await server.wire(server.tcp)
    ws = await Socket.open(wire, "", {**server.host, **token, "Origin": origin})
    assert ws.head.status == (101 if status == 200 else status)


header_bytes = st.binary(max_size=60).map(
    lambda raw: bytes(byte for byte in raw if byte > 0x20 and byte != 0x7F)
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(header_bytes, header_bytes)
async def test_whatever_the_bytes_of_host_and_origin_nothing_breaks(
    server: Server, host: bytes, origin: bytes
) -> None:
    own = b"127.0.0.1:%d" % server.tcp[1]
    for name, value in ((b"Origin", origin), (b"Origin", b"http://" + origin), (b"Cookie", host)):
        head = await knock(
            server, b"GET /v1/types HTTP/1.1\r\nHost: %b\r\n%b: %b\r\n\r\n" % (own, name, value)
        )
        assert head.status in (400, 401, 403)
    head = await knock(server, b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
    assert head.status in (400, 421)


@pytest.mark.parametrize("site", ["same-site", "cross-site", "", "Same-Origin", "\u00e9"])
async def test_what_another_sites_page_sends_is_refused(server: Server, site: str) -> None:
    """A page on another port of this host is same-site, and its cookies are ours (S4)."""
    cookie = await log_in(server)
    headers = {"Sec-Fetch-Site": site, "Cookie": cookie}

    assert await ask(server, "/v1/health/live", **headers) == 403
    assert await ask(server, "/v1/events", **headers) == 403
    assert await ask(server, "/v1/events/stream", **headers) == 403
    wire = await server.wire(server.tcp)
    origin = f"http://127.0.0.1:{server.tcp[1]}"
    ws = await Socket.open(wire, "", {**server.host, **headers, "Origin": origin})
    assert ws.head.status == 403
    answer = await server.caller(**headers).post("/v1/login", {"ticket": server.ticket()})
    assert answer.status == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_what_the_daemons_own_page_sends_is_taken(server: Server, site: str) -> None:
    cookie = await log_in(server)

    assert await ask(server, "/v1/events", Sec_Fetch_Site=site, Cookie=cookie) == 200


@pytest.mark.parametrize("path", ["/v1/health/live", "/v1/events", "/v1/events/stream"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Origin", ("OWN", "http://evil.test")),
        ("origin", ("http://evil.test", "OWN")),
        ("Origin", ("OWN", "OWN")),
        ("Sec-Fetch-Site", ("same-origin", "cross-site")),
        ("sec-fetch-site", ("none", "none")),
    ],
)
async def test_two_words_on_where_a_page_is_from_are_refused(
    server: Server, path: str, name: str, values: tuple[str, str]
) -> None:
    """Like a second Host: whoever stands in front may have looked at the other one."""
    own = f"127.0.0.1:{server.tcp[1]}"
    lines = [f"{name}: {value.replace('OWN', f'http://{own}')}" for value in values]
    bearer = f"Authorization: Bearer {server.token('owner')}"
    head = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {own}", bearer, *lines])

    assert (await knock(server, f"{head}\r\n\r\n".encode())).status == 400


async def test_another_site_may_link_to_the_page_and_to_nothing_behind_it(server: Server) -> None:
    cookie = await log_in(server)
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Cookie": cookie}

    assert await ask(server, "/", **visit) == 200
    assert await ask(server, "/v1/events", **visit) == 403
    assert await ask(server, "/v1/events/stream", **visit) == 403
    answer = await server.caller(**visit).post("/v1/login", {"ticket": server.ticket()})
    assert answer.status == 403


async def test_no_page_elsewhere_is_told_that_it_may_read(server: Server) -> None:
    token = {"Authorization": f"Bearer {server.token('owner')}"}
    for method in ("GET", "OPTIONS"):
        head = await knock(
            server,
            request_head(
                method,
                "/v1/events",
                {**server.host, **token, "Access-Control-Request-Method": "POST"},
            ),
        )
        assert not [name for name in head.headers if name.startswith("access-control")]


# Credentials


async def test_tcp_wants_a_credential(server: Server) -> None:
    head = await knock(server, request_head("GET", "/v1/events", server.host))

    assert head.status == 401
    assert head.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_a_token_is_taken(server: Server, scheme: str) -> None:
    token = server.token("viewer")

    assert await ask(server, "/v1/events", Authorization=f"{scheme} {token}") == 200


async def test_what_is_no_token_is_not_taken(server: Server) -> None:
    token, secret = server.guard.tokens.create("owner")
    revoked, gone = server.guard.tokens.create("owner")
    server.guard.tokens.revoke(revoked.id)
    odd = [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {secret}x",
        f"Bearer {secret[:-1]}",
        f"Bearer {secret.upper()}",
        f"Bearer rte_{token.id}_",
        f"Bearer rte_{token.id}",
        f"Bearer {token.id}",
        f"Bearer {token.digest}",
        f"Bearer rte_{token.id}_{token.digest}",
        f"Bearer {gone}",
        f"Bearer {secret} {secret}",
        f"Basic {secret}",
        f"Bearer\u00e9 {secret}",
        f"Bearer {secret}\u00e9",
        secret,
    ]

    # After ten of them in a minute, the peer is told to stay away; no credential is none wrong.
    statuses = [await ask(server, "/v1/events", Authorization=text) for text in odd]
    assert statuses == [401] * 11 + [429] * 2 + [401, 401, 429, 401]
    assert await ask(server, f"/v1/events?token={secret}") == 401
    assert await ask(server, f"/v1/events?access_token={secret}") == 401


async def test_an_expired_token_is_not_taken(server: Server) -> None:
    token, secret = server.guard.tokens.create("viewer", expires_in=60)
    assert await ask(server, "/v1/events", Authorization=f"Bearer {secret}") == 200
    token.expires = time.time()

    answer = await server.caller(Authorization=f"Bearer {secret}").get("/v1/events")

    assert (answer.status, answer.json["detail"]) == (401, "the token has expired")


async def test_a_cookie_is_taken_and_one_that_nobody_gave_is_not(server: Server) -> None:
    cookie = await log_in(server)
    name, _, secret = cookie.partition("=")

    assert await ask(server, "/v1/events", Cookie=cookie) == 200
    assert await ask(server, "/v1/events", Cookie=f"a=b; {cookie}; c=d") == 200
    assert await ask(server, "/v1/events", Cookie=f"{name}=x{secret}") == 401
    assert await ask(server, "/v1/events", Cookie=f"{name}=") == 401
    assert await ask(server, "/v1/events", Cookie=f"rtevents_1={secret}") == 401
    assert await ask(server, "/v1/events", Cookie=f"rtevents={secret}") == 401
    bearer = f"Bearer {secret}"
    assert await ask(server, "/v1/events", Authorization=bearer) == 401
    assert await ask(server, "/v1/events", Authorization="Bearer x", Cookie=cookie) == 401


async def test_a_cookie_opens_no_websocket_without_an_origin(server: Server) -> None:
    """Every browser tells the origin of a WebSocket: who does not has stolen the cookie (S2)."""
    cookie = await log_in(server)
    origin = f"http://127.0.0.1:{server.tcp[1]}"

    alone = await Socket.open(await server.wire(server.tcp), "", {**server.host, "Cookie": cookie})
    own = await Socket.open(
        await server.wire(server.tcp), "", {**server.host, "Cookie": cookie, "Origin": origin}
    )

    assert (alone.head.status, own.head.status) == (401, 101)


# Tickets and sessions (S8, S23)


async def test_a_ticket_is_good_once(server: Server) -> None:
    ticket = server.ticket()
    caller = server.caller()

    answers = await asyncio.gather(
        *(caller.post("/v1/login", {"ticket": ticket}) for _ in range(10))
    )

    assert sorted(answer.status for answer in answers) == [200] + [401] * 9


async def test_a_ticket_is_good_for_a_short_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "TICKET_SECONDS", 0.0)
    ticket = server.ticket()

    answer = await server.caller().post("/v1/login", {"ticket": ticket})

    assert answer.status == 401
    assert "run rtevents dashboard again" in answer.json["detail"]


@pytest.mark.parametrize("ticket", ["", "x", "é", "\0", "x" * 10_000])
async def test_what_is_no_ticket_is_not_taken(server: Server, ticket: str) -> None:
    server.ticket()

    answer = await server.caller().post("/v1/login", {"ticket": ticket})

    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("length", [f"Content-Length: {2**20}", "Transfer-Encoding: chunked"])
async def test_a_stranger_is_not_waited_for_with_a_long_body(server: Server, length: str) -> None:
    """S18: what it sends lies in memory until it is whole."""
    lines = (f"Host: {server.host['Host']}", "Content-Type: application/json", length, "", "")
    head = await knock(server, "\r\n".join(("POST /v1/login HTTP/1.1", *lines)).encode())

    assert head.status == 413


async def test_tickets_do_not_displace_one_another(server: Server) -> None:
    tickets = [server.ticket() for _ in range(5)]

    for ticket in reversed(tickets):
        assert (await server.caller().post("/v1/login", {"ticket": ticket})).status == 200


async def test_a_session_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_module, "SESSION_SECONDS", 0.0)
    cookie = await log_in(server)

    assert await ask(server, "/v1/events", Cookie=cookie) == 401


def test_sessions_outlive_the_process_and_their_file_holds_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "sessions.json"
    browsers = Browsers(file)
    _, secret = browsers.log_in(browsers.ticket("http://localhost:1", "local:0", OWNER), ORIGIN)

    again = Browsers(file)

    assert again.find(secret, ORIGIN).grant.role == "browser"
    with pytest.raises(NotAuthenticated):
        again.find(secret + "x", ORIGIN)
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_tokens_file_is_for_the_user_alone_and_holds_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    before = os.umask(0)
    try:
        _, secret = Tokens(file).create("owner")
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    assert secret.split("_", 2)[2] not in file.read_text()
    assert Tokens(file).find(secret).role == "owner"
    assert list(tmp_path.iterdir()) == [file]


async def test_a_first_word_that_is_no_token_is_in_the_audit_log(server: Server) -> None:
    server.guard.know((), ["https://app.example"])
    headers = {**server.host, "Origin": "https://app.example"}
    page = await Socket.open(await server.wire(server.tcp), "", headers)

    await page.say(op="publish")
    assert (await page.frame()).code == 4501

    lines = Path(server.socket).with_name("audit.jsonl").read_text().splitlines()
    assert [json.loads(line).get("rule") for line in lines] == [None, "credential"]


async def test_no_secret_reaches_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, ticket = server.token("viewer"), server.ticket()
    cookie = await log_in(server)
    await ask(server, f"/v1/events?token={secret}", Authorization=f"Bearer {secret}")
    await ask(server, "/v1/stats", Authorization=f"Bearer {secret}")
    await ask(server, "/v1/events", Authorization=f"Bearer x{secret}", Cookie=cookie)
    await server.caller().post("/v1/login", {"ticket": ticket})
    stream = await server.tcp_stream("", Authorization=f"Bearer {secret}")
    await stream.live()
    [connection] = server.service.connections.values()
    connection.close("ended")
    await stream.end()

    for hidden in (secret, ticket, cookie.partition("=")[2]):
        assert hidden not in caplog.text
    assert secret not in json.dumps(connection.as_dict(0))


# Roles

PEOPLE = ("owner", "admin", "publisher", "viewer", "browser", "anonymous")


async def status_as(server: Server, who: str, route: Route) -> int:
    """Ask for a route as somebody, with a body that does no harm; return the status."""
    headers: dict[str, str] = {**server.host, "Content-Length": "0"}
    if who == "browser":
        headers |= {"Cookie": await log_in(server), "Sec-Fetch-Site": "same-origin"}
    elif who != "anonymous":
        headers["Authorization"] = f"Bearer {server.token(who)}"
    path = route.path.replace("{id}", "nobody").replace("{name}", "COMMIT")
    return (await knock(server, request_head(route.method, path, headers))).status


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_route_is_for_its_role_and_those_above_it(server: Server, route: Route) -> None:
    statuses = {who: await status_as(server, who, route) for who in PEOPLE}

    for who, status in statuses.items():
        is_anybody = route.role == ANY and who != "anonymous"
        if not route.role or is_anybody or route.role in INCLUDES[who]:
            assert status not in (401, 403), who
        elif who == "anonymous":
            assert status == 401
        else:
            assert status == 403, who


def test_the_roles_are_those_of_the_design() -> None:
    assert {role: set(INCLUDES[role]) for role in ("owner", "admin", "publisher", "viewer")} == {
        "owner": {"owner", "admin", "publisher", "viewer"},
        "admin": {"admin", "publisher", "viewer"},
        "publisher": {"publisher"},
        "viewer": {"viewer"},
    }


# Grants narrow everything alike

GRANTS: list[tuple[dict[str, Any], list[int]]] = [
    ({"projects": ["web"]}, [1, 2]),
    ({"types": ["RISK_ALERT"]}, [2, 3, 4]),
    ({"projects": ["web"], "types": ["RISK_ALERT"]}, [2]),
    ({"projects": ["web", "api"]}, [1, 2, 3]),
    ({"projects": ["none"]}, []),
    ({}, [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("grant", "seqs"), GRANTS)
async def test_a_grant_narrows_live_replay_and_history_alike(
    houses: Houses, grant: dict[str, Any], seqs: list[int]
) -> None:
    server = await houses.open(event_retention=2)
    events = [task(project_id="web"), risk(project_id="web"), risk(project_id="api"), risk()]
    await server.publish(*events)
    bearer = {"Authorization": f"Bearer {server.token('viewer', **grant)}"}

    async def seen(query: str) -> list[int]:
        """Return the seqs of a replay, by each kind of stream."""
        sse = await server.tcp_stream(query, **bearer)
        lines = await server.tcp_stream(query, **bearer, Accept="application/x-ndjson")
        wire = await server.wire(server.tcp)
        ws = await Socket.open(wire, query, {**server.host, **bearer})
        found = [m.json["seq"] for m in await sse.until("live") if m.event == "message"]
        assert found == [m.json["seq"] for m in await lines.until("live") if m.event == "message"]
        assert found == [m["seq"] for m in await ws.until("live") if "seq" in m]
        return found

    assert await seen("?since=all") == seqs
    assert await seen("?since=last") == seqs[-1:]
    assert set(await seen("?since=last-per-type")) <= set(seqs)
    assert await seen(f"?since={server.service.log.epoch}-1") == [seq for seq in seqs if seq > 1]
    caller = server.caller(**bearer)
    for query in ("", "?order=desc", "?since=last-per-type"):
        page = (await caller.get(f"/v1/events{query}")).json["events"]
        assert {event["seq"] for event in page} <= set(seqs)
    page = (await caller.get("/v1/events")).json["events"]
    assert [event["seq"] for event in page] == seqs

    live = await (await server.tcp_stream("", **bearer)).live()
    await server.publish(*(event_again(event) for event in events))
    assert await live.seqs(len(seqs)) == [seq + 4 for seq in seqs]
    *_, connection = server.service.connections.values()
    assert connection.delivered == len(seqs)


def event_again(event: Event) -> Event:
    """Return the same event under another id."""
    return (
        task(project_id=event.project_id)
        if event.type == "TASK_UPDATE"
        else risk(project_id=event.project_id)
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("project=web", 200),
        ("project=api", 403),
        ("project=web,api", 403),
        ("type=RISK_ALERT", 200),
        ("type=COMMIT", 403),
        ("not_type=COMMIT", 200),
        ("source=ci&path=src/**", 200),
    ],
)
async def test_a_filter_that_names_what_the_grant_does_not_hold_is_refused(
    server: Server, query: str, status: int
) -> None:
    token = server.token("viewer", projects=["web"], types=["RISK_ALERT"])
    bearer = {"Authorization": f"Bearer {token}"}

    assert await ask(server, f"/v1/events?{query}", **bearer) == status
    assert await ask(server, f"/v1/events/stream?{query}", **bearer) == status
    wire = await server.wire(server.tcp)
    ws = await Socket.open(wire, f"?{query}", {**server.host, **bearer})
    assert ws.head.status == (101 if status == 200 else status)


# The Unix socket (S6, S7)


async def test_the_same_user_owns_the_daemon(server: Server) -> None:
    await (await server.stream()).live()
    [connection] = server.service.connections.values()

    assert connection.principal == f"local:{os.getuid()}"
    assert connection.pid == os.getpid()
    assert (await server.owner.get("/v1/tokens")).status == 200


async def test_a_credential_changes_nothing_on_the_unix_socket(server: Server) -> None:
    answer = await server.owner.get("/v1/tokens", Authorization="Bearer nonsense")

    assert answer.status == 200


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="rth"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("path", ["/v1/status", "/v1/events", "/v1/events/stream", "/"])
async def test_another_user_is_refused_on_the_unix_socket(
    server: Server, open_folder: Path, path: str
) -> None:
    """Even where the file would let him in."""
    file = open_folder / "socket"
    await server.listen(file)
    file.chmod(0o666)
    token = server.token("owner")

    status = await status_of(file, path, {"Authorization": f"Bearer {token}"}, user=NOBODY)
    own = await status_of(file, "/v1/status", {}, user=0)

    assert (status, own) == (403, 200)


async def status_of(file: Path, path: str, headers: Mapping[str, str], user: int) -> int:
    """Ask on a Unix socket as another user; return the status."""
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    words = ["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"]
    # In a thread: uvloop starts no process as another user.
    done = await asyncio.to_thread(
        subprocess.run,
        [*words, "--unix-socket", str(file), *named, f"http://localhost{path}"],
        stdout=subprocess.PIPE,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[],
        check=False,
    )
    return int(done.stdout)
