"""The audit log: each decision, in a chain that shows what was changed, and never a secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, wait_for

from .attacker import Caller, caller, port_of, token

NOBODY = 65534


def file_of(daemon: Daemon) -> Path:
    """Return the audit log's file."""
    return daemon.home / "state" / "rtevents" / "audit.jsonl"


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the lines of the file that is being written."""
    return [json.loads(line) for line in file_of(daemon).read_text().splitlines()]


def told(daemon: Daemon, **fields: Any) -> list[dict[str, Any]]:
    """Return the lines that have these fields."""
    return [line for line in lines(daemon) if fields.items() <= line.items()]


def body(project: str = "a") -> dict[str, Any]:
    """Return an event as JSON."""
    data = {"severity": "high", "message": "a body that is nobody's business"}
    return {"type": "RISK_ALERT", "data": data, "project_id": project}


def test_each_decision_is_written_with_who_where_what_and_why(daemon: Daemon) -> None:
    """S23: who was let in, and who was refused and by which rule, with its address or its uid."""
    secret = token(daemon, "publisher", projects=["a"])
    mine = Caller(daemon, secret)
    mine.post("/v1/events", body())
    mine.post("/v1/events", body("b"))
    mine.get("/v1/events")
    mine.get("/v1/events", Host="evil.test")
    mine.get("/v1/events", Origin="http://evil.test")
    mine.ask("POST", "/v1/events", b"{}", {"Content-Type": "text/plain"})
    Caller(daemon, secret + "x").get("/v1/events")
    Caller(daemon).get("/v1/nothing")

    name = f"token:{secret.split('_')[1]}"
    [made] = told(daemon, action="token made")
    published, *_ = told(daemon, action="POST /v1/events", decision="allowed")
    refused = {line["rule"]: line for line in told(daemon, decision="refused")}

    assert (made["principal"], made["uid"]) == (f"local:{os.getuid()}", os.getuid())
    assert (made["pid"], made["about"]) == (os.getpid(), secret.split("_")[1])
    assert (published["principal"], published["projects"]) == (name, ["a"])
    assert published["address"].startswith("127.0.0.1:")
    assert set(refused) == {"grant", "role viewer", "host", "site", "content type", "credential"}
    assert refused["grant"]["principal"] == refused["role viewer"]["principal"] == name
    assert refused["host"]["principal"] == refused["credential"]["principal"] == "anonymous"
    assert all(line["address"].startswith("127.0.0.1:") for line in refused.values())


def test_no_secret_and_no_event_is_ever_written(daemon: Daemon) -> None:
    """S8: tokens wherever they can be put, tickets, cookies, and what events hold."""
    secret = token(daemon, "owner")
    mine = Caller(daemon, secret)
    ticket = mine.post("/v1/tickets").json["url"].partition("#t=")[2]
    cookie = Caller(daemon).post("/v1/login", {"ticket": ticket}).headers["Set-Cookie"]
    mine.post("/v1/events", body())
    mine.get(f"/v1/events?token={secret}")
    mine.get(f"/v1/{secret}")
    mine.ask("DELETE", f"/v1/tokens/{secret}")
    mine.ask("DELETE", f"/v1/projects/{secret}")
    mine.get("/v1/events", Host=secret)

    written = file_of(daemon).read_text()

    assert told(daemon, action="session made")
    for hidden in (secret, secret.split("_", 2)[2], ticket, cookie.split("=", 1)[1].split(";")[0]):
        assert hidden not in written
    assert "nobody's business" not in written
    assert file_of(daemon).stat().st_mode & 0o777 == 0o600


def test_what_is_read_and_published_is_written_once_for_each_connection(daemon: Daemon) -> None:
    """The audit costs an event nothing: the first of a connection is written, the rest are not."""
    with daemon.client() as client:
        client.history()
    before = len(lines(daemon))
    with daemon.client() as client:
        for number in range(50):
            list(client.publish_lines([json.dumps(body() | {"event_id": f"n{number}"}).encode()]))
            client.history()

    added = lines(daemon)[before:]

    assert [line["action"] for line in added] == ["POST /v1/events"]


def test_the_same_refusal_is_counted_and_pushes_nothing_out(daemon: Daemon) -> None:
    """S23: who knocks a thousand times writes one line, and one more that counts them."""
    mine = Caller(daemon)
    for _ in range(300):
        mine.get("/v1/events", Host="evil.test")
    written = told(daemon, decision="refused", rule="host")
    daemon.stop()

    [first, rest] = told(daemon, decision="refused", rule="host")

    assert written == [first]
    assert (rest["repeated"], rest["address"]) == (299, "127.0.0.1")


def verify(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Return what `rtevents audit --verify` says."""
    return daemon.run("audit", "--verify")


def test_the_chain_goes_on_through_rotation_restarts_and_crashes(stopped_daemon: Daemon) -> None:
    """S12: files are full at 2 kB, the daemon is stopped and killed, and every line fits."""
    daemon = stopped_daemon
    small = {"RTEVENTS_AUDIT__MAX_BYTES": "2000", "RTEVENTS_AUDIT__FILES": "50"}
    for number in (15, 9, 15):
        daemon.start(env=small)
        with daemon.client() as client:
            for _ in range(10):
                client.create_token("viewer")
        assert verify(daemon).returncode == 0
        daemon.stop(number)

    shown = daemon.run("audit", "--json").stdout.splitlines()
    verdict = verify(daemon)

    numbers = [json.loads(line)["n"] for line in shown]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(list(file_of(daemon).parent.glob("audit.*.jsonl"))) > 3
    assert sum("token made" in line for line in shown) == 30
    assert verdict.returncode == 0
    assert verdict.stdout.startswith(f"{len(numbers)} lines, 1 to {len(numbers)}, fit; ")


def test_old_files_go_and_the_rest_still_fits(stopped_daemon: Daemon) -> None:
    """S12: of full files as many are kept as the configuration says."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_AUDIT__MAX_BYTES": "1000", "RTEVENTS_AUDIT__FILES": "2"})
    with daemon.client() as client:
        for _ in range(30):
            client.create_token("viewer")

    kept = sorted(each.name for each in file_of(daemon).parent.glob("audit*.jsonl"))
    verdict = verify(daemon)

    assert kept == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    assert verdict.returncode == 0
    assert " 1 to " not in verdict.stdout


def change(file: Path, how: str) -> None:
    """Do to an audit log what somebody might who has something to hide."""
    kept = file.read_bytes().splitlines(keepends=True)
    at = len(kept) // 2
    match how:
        case "changed":
            kept[at] = kept[at].replace(b"allowed", b"refused")
        case "taken out":
            del kept[at]
        case "put in":
            kept.insert(at, kept[at])
        case "swapped":
            kept[at], kept[at + 1] = kept[at + 1], kept[at]
        case "cut off":
            del kept[-3:]
        case "emptied":
            kept = []
        case "garbled":
            kept[at] = b"\xff\xfe{}\n"
    file.write_bytes(b"".join(kept))


@pytest.mark.parametrize(
    "how", ["changed", "taken out", "put in", "swapped", "cut off", "emptied", "garbled"]
)
def test_what_was_changed_afterwards_is_found(daemon: Daemon, how: str) -> None:
    """S12: the running daemon knows the end, so that what is cut off there shows as well."""
    with daemon.client() as client:
        for _ in range(10):
            client.create_token("viewer")
    assert verify(daemon).returncode == 0

    change(file_of(daemon), how)
    verdict = verify(daemon)

    assert verdict.returncode == 1
    assert "the audit log was changed: " in verdict.stderr
    assert len(verdict.stderr.splitlines()) == 1


def test_a_line_that_a_power_cut_tore_is_told_and_the_chain_goes_on(daemon: Daemon) -> None:
    """S12: half a line at the end is cut off, which is written."""
    daemon.run("token", "list")
    daemon.stop()
    with file_of(daemon).open("ab") as opened:
        opened.write(b'{"n":999,"time":1')

    daemon.start()
    verdict = verify(daemon)

    assert verdict.returncode == 0
    assert [line["about"] for line in told(daemon, action="audit.cut")] == [
        "the last line was not whole"
    ]


def statuses(daemon: Daemon, mine: Caller) -> dict[str, int]:
    """Return how acts of administration, and of every day, are answered."""
    return {
        "token": mine.post("/v1/tokens", {"role": "viewer"}).status,
        "type": mine.post("/v1/types", {"name": "DEPLOY"}).status,
        "ticket": mine.post("/v1/tickets").status,
        "publish": mine.post("/v1/events", body()).status,
        "history": mine.get("/v1/events").status,
        "status": mine.get("/v1/status").status,
    }


def test_nothing_is_administered_that_cannot_be_written_down(stopped_daemon: Daemon) -> None:
    """S23: no audit log, no act of administration; events go on, and the health says it."""
    daemon = stopped_daemon
    daemon.start()
    mine = caller(daemon, "owner")
    daemon.stop()
    file_of(daemon).rename(file_of(daemon).with_name("moved"))
    file_of(daemon).mkdir()
    daemon.start()
    mine = Caller(daemon, mine.token)

    refused = statuses(daemon, mine)
    answer = mine.post("/v1/tokens", {"role": "viewer"})
    health = mine.get("/v1/status").json["health"]
    tokens = len(mine.get("/v1/tokens").json["tokens"])
    file_of(daemon).rmdir()
    allowed = statuses(daemon, mine)

    assert list(refused.values()) == [503, 503, 503, 201, 200, 200]
    assert "the audit log cannot be written, so this is not done: " in answer.detail
    assert health["status"] == "degraded"
    assert health["reasons"][0].startswith("audit: ")
    assert tokens == 1
    assert list(allowed.values()) == [201, 201, 201, 201, 200, 200]
    assert mine.get("/v1/status").json["health"]["status"] == "ok"


def fill(file: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_full_disk_stops_administration_until_there_is_room(stopped_daemon: Daemon) -> None:
    """S23: ENOSPC in the middle of a line leaves no half of it, and the chain goes on."""
    daemon = stopped_daemon
    state = daemon.home / "state" / "rtevents"
    state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(state)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        daemon.start(env={"RTEVENTS_STORE": "memory"})
        mine = caller(daemon, "owner")
        fill(state / "filler")
        wait_for(lambda: mine.post("/v1/tokens", {"role": "viewer"}).status == 503, "it is refused")
        published = mine.post("/v1/events", body()).status
        (state / "filler").unlink()
        made = mine.post("/v1/tokens", {"role": "viewer"}).status
        verdict = verify(daemon)
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)

    assert (published, made) == (201, 201)
    assert verdict.returncode == 0, verdict.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_another_user_is_refused_on_the_unix_socket_and_written_down(daemon: Daemon) -> None:
    """S7: even where the socket's file would let him in, and with a token in his hand."""
    secret = token(daemon, "owner")
    for folder in (daemon.home, daemon.home / "run", daemon.socket.parent):
        folder.chmod(0o755)
    daemon.socket.chmod(0o666)
    command = [
        *("curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"),
        *(str(daemon.socket), "-H", f"Authorization: Bearer {secret}"),
        "http://localhost/v1/status",
    ]

    theirs = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/",
        user=NOBODY, group=NOBODY, extra_groups=[],
    ).stdout  # fmt: skip
    ours = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    [refused] = told(daemon, decision="refused", rule="peer")

    assert (theirs, ours) == ("403", "200")
    assert (refused["uid"], refused["action"]) == (NOBODY, "GET /v1/status")
    assert refused["pid"] > 0


def test_the_audit_log_is_read_as_lines_and_as_json_from_a_time_on(daemon: Daemon) -> None:
    """S11: foreign text in it, such as a project's id in a path, is made visible."""
    mine = caller(daemon, "owner")
    mine.ask("DELETE", "/v1/projects/%1b%5b2Jx")

    shown = daemon.run("audit", "--since", "1h").stdout
    as_json = daemon.run("audit", "--json").stdout.splitlines()
    later = daemon.run("audit", "--since", "2099-01-01").stdout

    assert "\x1b" not in shown
    assert "\\x1b[2Jx" in shown
    assert "allowed (role owner)" in shown
    assert [json.loads(line) for line in as_json] == lines(daemon)
    assert later == ""
    assert port_of(daemon) > 0
