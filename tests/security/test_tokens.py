"""Tokens, tickets and browsers' logins: guessed, replayed, stolen, too many; S5, S7, S23."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rtevents.server.audit import Audit
from rtevents.server.browser import Browsers
from rtevents.server.guard import Guard
from rtevents.server.tokens import Tokens
from tests.conftest import Daemon, wait_for

from .attacker import Answer, Caller, caller, port_of, token

NOBODY = 65534


def ticket(daemon: Daemon) -> str:
    """Return a ticket that the owner asked for."""
    url = daemon.run("dashboard", "--print").stdout.strip()
    return url.partition("#t=")[2]


def log_in(daemon: Daemon, secret: str, **headers: str) -> Answer:
    """Show a ticket."""
    return Caller(daemon).post("/v1/login", {"ticket": secret}, **headers)


def cookie(answer: Answer) -> str:
    """Return the cookie of an answer."""
    return answer.headers["Set-Cookie"].partition(";")[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_another_user_of_this_machine_gets_nothing_from_the_port(shared_daemon: Daemon) -> None:
    """S5: any local user can reach the port; without a token it is of no use to him."""
    address = f"http://127.0.0.1:{port_of(shared_daemon)}"
    statuses = [
        subprocess.run(
            ["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", f"{address}{path}"],
            capture_output=True, text=True, check=False, cwd="/",
            user=NOBODY, group=NOBODY, extra_groups=[],
        ).stdout
        for path in ("/v1/events", "/v1/stats", "/v1/events/stream", "/v1/health/live")
    ]  # fmt: skip

    assert statuses == ["401", "401", "401", "200"]


def test_eleven_wrong_credentials_in_a_minute_are_too_many(daemon: Daemon) -> None:
    """S23: 429 and when to come back; a right token is let in all the same."""
    good = caller(daemon, "viewer")
    answers = [Caller(daemon, f"rte_00000000_{n}").get("/v1/events") for n in range(12)]
    ticketed = log_in(daemon, "nonsense")

    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "more than 10 wrong credentials within a minute" in answers[-1].detail
    assert ticketed.status == 429
    assert good.get("/v1/events").status == 200
    assert Caller(daemon).get("/v1/events").status == 401


@pytest.mark.parametrize("how", ["again", "elsewhere", "by a form", "as a token", "guessed"])
def test_a_ticket_is_good_once_where_it_was_made_for(shared_daemon: Daemon, how: str) -> None:
    """S23: replayed, at another origin of the same shared_daemon, or not a ticket at all."""
    secret = ticket(shared_daemon)
    port = port_of(shared_daemon)
    if how == "again":
        first = log_in(shared_daemon, secret)
        assert first.status == 200
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(
            first.headers["Set-Cookie"].split("; ")
        )
        answer = log_in(shared_daemon, secret)
    elif how == "elsewhere":
        there = f"localhost:{port}"
        answer = log_in(shared_daemon, secret, Host=there, Origin=f"http://{there}")
        assert f"the ticket is for http://127.0.0.1:{port}" in answer.detail
        assert log_in(shared_daemon, secret).status == 401  # it is used
    elif how == "by a form":
        raw = f"ticket={secret}".encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = Caller(shared_daemon).ask("POST", "/v1/login", raw, kind)
    elif how == "as a token":
        answer = Caller(shared_daemon, secret).get("/v1/events")
    else:
        answer = log_in(shared_daemon, secret[:-1])

    assert answer.status == (415 if how == "by a form" else 401)
    assert "Set-Cookie" not in answer.headers


def test_tickets_are_few(daemon: Daemon) -> None:
    """S23: sixteen wait to be used, and no more are made until one is."""
    owner = caller(daemon, "owner")
    answers = [owner.post("/v1/tickets") for _ in range(17)]
    log_in(daemon, answers[0].json["url"].partition("#t=")[2])

    again = owner.post("/v1/tickets")

    assert [answer.status for answer in answers] == [201] * 16 + [429]
    assert int(answers[-1].headers["Retry-After"]) <= 30
    assert again.status == 201


def test_a_cookie_is_good_where_it_was_given(daemon: Daemon) -> None:
    """S23: not under another name of this machine, and not in another cookie's name."""
    mine = cookie(log_in(daemon, ticket(daemon)))
    port = port_of(daemon)
    secret = mine.partition("=")[2]

    own = Caller(daemon).get("/v1/events", Cookie=mine)
    elsewhere = Caller(daemon).get("/v1/events", Cookie=mine, Host=f"localhost:{port}")
    renamed = Caller(daemon).get("/v1/events", Cookie=f"rtevents_1={secret}")
    as_token = Caller(daemon, secret).get("/v1/events")

    assert [answer.status for answer in (own, elsewhere, renamed, as_token)] == [200, 401, 401, 401]


def test_a_browser_is_listed_and_shown_out(daemon: Daemon) -> None:
    """S23: `rtevents token list` names it, `token revoke` ends it and what it follows."""
    mine = cookie(log_in(daemon, ticket(daemon)))
    page = Caller(daemon, Cookie=mine)
    with page.stream() as stream:
        hello = json.loads(stream.readline())
        [listed] = [
            each
            for each in json.loads(daemon.run("token", "list", "--json").stdout)
            if each["role"] == "browser"
        ]
        shown = daemon.run("token", "list").stdout
        begun = time.monotonic()
        revoked = daemon.run("token", "revoke", listed["id"])
        frames = [json.loads(line) for line in stream]
        took = time.monotonic() - begun

    assert hello["control"] == "hello"
    assert f"{listed['id']}  browser" in shown
    assert "digest" not in listed
    assert mine.partition("=")[2] not in json.dumps(listed) + shown
    assert revoked.returncode == 0
    assert frames[-1] == {"control": "bye", "reason": "ended"} | frames[-1]
    assert took < 10
    assert page.get("/v1/events").status == 401


def test_a_browser_ends_with_the_token_that_let_it_in(daemon: Daemon) -> None:
    """S23: a stolen owner's token leaves no login behind when it is revoked."""
    secret = token(daemon, "owner")
    made = Caller(daemon, secret).post("/v1/tickets").json["url"].partition("#t=")[2]
    waiting = Caller(daemon, secret).post("/v1/tickets").json["url"].partition("#t=")[2]
    page = Caller(daemon, Cookie=cookie(log_in(daemon, made)))
    before = page.get("/v1/events").status

    daemon.run("token", "revoke", secret.split("_")[1])

    assert (before, page.get("/v1/events").status) == (200, 401)
    assert log_in(daemon, waiting).status == 401


def test_logins_outlive_the_daemon_and_the_files_hold_no_secret(daemon: Daemon) -> None:
    """S23: kept as hashes, for the user alone."""
    secret = token(daemon, "viewer")
    listen = f"127.0.0.1:{port_of(daemon)}"
    mine = cookie(log_in(daemon, ticket(daemon)))
    daemon.stop()
    daemon.start(env={"RTEVENTS_LISTEN": listen})

    statuses = [
        Caller(daemon, secret).get("/v1/events").status,
        Caller(daemon, Cookie=mine).get("/v1/events").status,
    ]
    state = daemon.home / "state" / "rtevents"
    for name in ("tokens.json", "sessions.json"):
        kept = (state / name).read_text()
        assert secret.split("_", 2)[2] not in kept
        assert mine.partition("=")[2] not in kept
        assert (state / name).stat().st_mode & 0o777 == 0o600

    assert statuses == [200, 200]


def test_a_token_is_checked_without_telling_it_to_anybody(daemon: Daemon) -> None:
    """S8: `rtevents token check` reads it from stdin; 4 when it lets nobody in."""
    secret = token(daemon, "viewer", projects=["web"], types=["COMMIT"], expires_in=600)

    good = daemon.run("token", "check", stdin=f"{secret}\n")
    as_json = json.loads(daemon.run("token", "check", "--json", stdin=secret).stdout)
    bad = daemon.run("token", "check", stdin=f"{secret}x\n")
    none = daemon.run("token", "check", stdin="")

    name = secret.split("_")[1]
    assert good.stdout.startswith(f"{name}  viewer     until ")
    assert good.stdout.endswith("  web,COMMIT\n")
    assert (as_json["principal"], as_json["projects"]) == (f"token:{name}", ["web"])
    assert (good.returncode, bad.returncode, none.returncode) == (0, 4, 2)
    assert "rtevents token check < token.txt" in none.stderr
    for done in (good, bad, none):
        assert secret not in done.stdout + done.stderr


def test_who_publishes_more_than_its_limit_waits_and_nobody_else_does(
    stopped_daemon: Daemon,
) -> None:
    """S23: each token has its own limit in events; the owner on the Unix socket has none."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_LIMITS__EVENTS": "5"})
    mine, other = caller(daemon, "publisher"), caller(daemon, "publisher")
    events = [{"type": "RISK_ALERT", "data": {"severity": "low", "message": "x"}}]

    flood = [mine.post("/v1/events", events * 20) for _ in range(3)]
    lines = mine.ask(
        "POST", "/v1/events", json.dumps(events[0]).encode(),
        {"Content-Type": "application/x-ndjson"},
    )  # fmt: skip
    theirs = other.post("/v1/events", events)
    ours = [daemon.run("publish", "risk", "x", "--severity", "low").returncode for _ in range(2)]

    assert [answer.status for answer in flood] == [201, 429, 429]
    assert "may publish 5 events a second" in flood[1].detail
    assert int(flood[1].headers["Retry-After"]) >= 1
    assert lines.status == 429
    assert theirs.status == 201
    assert ours == [0, 0]
    wait_for(lambda: mine.post("/v1/events", events).status == 201, "its time has come")


def test_who_publishes_more_bytes_than_its_limit_waits(stopped_daemon: Daemon) -> None:
    """S23: a batch is taken whole, and what it took too much is waited for."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_LIMITS__BYTES": "1000"})
    mine = caller(daemon, "publisher")
    event = {"type": "RISK_ALERT", "data": {"severity": "low", "message": "x" * 3000}}

    statuses = [mine.post("/v1/events", event).status for _ in range(2)]

    assert statuses == [201, 429]


@pytest.mark.parametrize(
    ("field", "value"),
    [("expires_in", 1e308), ("expires_in", 4e9), ("expires_in", 0), ("name", "x" * 201)],
)
def test_a_token_that_could_not_be_listed_is_not_made(
    shared_daemon: Daemon, field: str, value: object
) -> None:
    """S23: the field is named, and nothing is kept."""
    mine = caller(shared_daemon, "owner", name="mine")
    before = mine.get("/v1/tokens").json["tokens"]

    answer = mine.post("/v1/tokens", {"role": "viewer", field: value})

    assert (answer.status, answer.json["field"]) == (400, field)
    assert mine.get("/v1/tokens").json["tokens"] == before
    assert before[-1]["name"] == "mine"


def test_a_token_that_was_made_to_last_beyond_all_calendars_is_listed(daemon: Daemon) -> None:
    """S23: one that an older daemon took breaks no command."""
    secret = token(daemon, "viewer", expires_in=600)
    daemon.stop()
    file = daemon.home / "state" / "rtevents" / "tokens.json"
    [kept] = json.loads(file.read_text())
    file.write_text(json.dumps([kept | {"expires": 1e308}]))
    daemon.start()

    listed = daemon.run("token", "list")

    assert (listed.returncode, listed.stderr) == (0, "")
    assert "until 1e+308 s after 1970" in listed.stdout
    with Caller(daemon, secret).stream() as stream:
        assert json.loads(stream.readline())["control"] == "hello"


def test_a_browser_changes_no_connection_but_its_own(daemon: Daemon) -> None:
    """S4: a page looks; whoever runs in it does not cut off the others."""
    page = Caller(daemon, Cookie=cookie(log_in(daemon, ticket(daemon))))
    other = caller(daemon, "viewer")
    with other.stream() as theirs, page.stream() as own:
        ids = [json.loads(each.readline())["connection_id"] for each in (theirs, own)]
        listed = {each["connection_id"] for each in page.get("/v1/connections").json["connections"]}
        statuses = [
            (
                page.ask("PATCH", f"/v1/connections/{each}", {"type": ["COMMIT"]}).status,
                page.ask("DELETE", f"/v1/connections/{each}").status,
            )
            for each in ids
        ]

    assert set(ids) <= listed
    assert statuses == [(403, 403), (200, 204)]


def test_an_expired_token_lets_the_daemon_listen_nowhere(tmp_path: Path) -> None:
    """S5: off loopback there has to be a credential, and that is none."""
    guard = Guard(
        Tokens(tmp_path / "tokens.json"),
        Browsers(tmp_path / "sessions.json"),
        Audit(tmp_path / "audit.jsonl"),
    )
    kept, _ = guard.tokens.create("viewer", expires_in=600)
    before = guard.has_credentials
    kept.expires = time.time()

    assert (before, guard.has_credentials) == (True, False)
