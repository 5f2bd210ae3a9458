"""The audit log: each decision, in a chain that shows what was changed, and never a secret."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from rtevents.server.audit import ABOUT, MOST_REFUSALS
from tests.conftest import PATIENCE, Daemon, wait_for

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


def name_of(mine: Caller) -> str:
    """Return how the audit log names who has a token."""
    assert mine.token is not None
    return f"token:{mine.token.split('_')[1]}"


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
    assert (made["pid"], made["about"]) == (
        os.getpid(),
        f"{secret.split('_')[1]} publisher projects=a",
    )
    assert (published["principal"], published["projects"]) == (name, ["a"])
    assert published["address"].startswith("127.0.0.1:")
    assert set(refused) == {"grant", "role viewer", "host", "site", "content type", "credential"}
    assert refused["grant"]["about"] == "RISK_ALERT of b"
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

    # The daemon's own lines are a stream as well, which begins when it likes.
    added = [line for line in lines(daemon)[before:] if line["pid"] == os.getpid()]

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


def test_nobody_without_a_credential_pushes_anything_out(daemon: Daemon) -> None:
    """S23: what is for everybody is not written, and of what is refused so much, then counted."""
    probe, port = Caller(daemon), port_of(daemon)
    before = len(lines(daemon))
    for number in range(40):
        assert probe.get("/v1/health/live").status == 200
        assert probe.get("/").status == 200
        assert probe.post("/v1/login", {"ticket": f"{number}"}).status in (401, 429)
    once = lines(daemon)[before:]
    for number in range(2, 102):
        wire = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE, source_address=(f"127.0.0.{number}", 0)
        )
        wire.request("GET", "/v1/events")
        assert wire.getresponse().status == 401
        wire.close()
    many = lines(daemon)[before:]
    daemon.stop()
    left = lines(daemon)[before:]

    login = {"action": "POST /v1/login", "decision": "refused", "rule": "ticket"}
    assert [line | login for line in once] == once
    assert len(once) == 1
    assert len([line for line in many if line["decision"] == "refused"]) <= MOST_REFUSALS + 1
    counted = {line["action"]: line["repeated"] for line in left if "repeated" in line}
    assert counted == {"POST /v1/login": 39, "more": 100 - (MOST_REFUSALS - 1)}


def test_a_login_is_written_once_it_is_one(daemon: Daemon) -> None:
    """S23: a ticket that is good makes one line, with the session's id."""
    before = len(lines(daemon))
    ticket = daemon.run("dashboard", "--print").stdout.partition("#t=")[2].strip()
    assert Caller(daemon).post("/v1/login", {"ticket": ticket}).status == 200
    with daemon.client() as client:
        [session] = client.sessions()

    told_of_me = [line for line in lines(daemon)[before:] if line["principal"] == "anonymous"]

    assert [(line["action"], line["about"]) for line in told_of_me] == [
        ("session made", session["id"])
    ]


def test_a_credential_is_written_once_for_all_its_connections(shared_daemon: Daemon) -> None:
    """The audit log: another connection has another port, and is no other peer for that."""
    mine = caller(shared_daemon, "viewer")
    before = len(lines(shared_daemon))

    for _ in range(5):
        assert mine.get("/v1/events").status == 200

    added = [line for line in lines(shared_daemon)[before:] if line["principal"] == name_of(mine)]
    assert [line["action"] for line in added] == ["GET /v1/events"]


@pytest.mark.parametrize("headers", [{}, {"Accept-Language": "en"}], ids=["express", "slow"])
@pytest.mark.parametrize(("projects", "decisions"), [("bb", ["b"]), ("bab", ["b", "a"])])
def test_lines_are_written_down_as_they_are_answered(
    shared_daemon: Daemon, headers: dict[str, str], projects: str, decisions: list[str]
) -> None:
    """S23: of NDJSON what was stored is allowed, if anything was, and what was refused is named."""
    mine = caller(shared_daemon, "publisher", projects=["a"])
    before = len(lines(shared_daemon))
    raw = b"\n".join(json.dumps(body(each)).encode() for each in projects)

    answer = mine.ask(
        "POST", "/v1/events", raw, {"Content-Type": "application/x-ndjson", **headers}
    )

    assert answer.status == 403
    written = [
        (line["decision"], line.get("about"))
        for line in lines(shared_daemon)[before:]
        if line["principal"] == name_of(mine)
    ]
    wanted = {"b": ("refused", "RISK_ALERT of b"), "a": ("allowed", None)}
    assert written == [wanted[each] for each in decisions]


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "slow", "ws"])
def test_what_is_refused_is_named_and_not_said_to_be_allowed(
    shared_daemon: Daemon, kind: str
) -> None:
    """S23: a limited publisher who tries another project: by each way of publishing."""
    mine = caller(shared_daemon, "publisher", projects=["a"])
    before = len(lines(shared_daemon))
    if kind == "ws":
        mine = caller(shared_daemon, "admin", projects=["a"])
        before = len(lines(shared_daemon))
        with connect(
            f"ws://127.0.0.1:{mine.port}/v1/events/ws",
            additional_headers={"Authorization": f"Bearer {mine.token}"},
            proxy=None,
        ) as socket:
            socket.send(json.dumps({"op": "publish", "ref": 1, "events": [body("b")]}))
            while json.loads(socket.recv(PATIENCE)).get("control") != "error":
                pass
    else:
        more = {"Accept-Language": "en"} if kind == "slow" else {}
        sent = {"Content-Type": "application/json" if kind == "slow" else kind}
        answer = mine.ask("POST", "/v1/events", json.dumps(body("b")).encode(), sent | more)
        assert answer.status == 403

    mine_alone = [
        (line["decision"], line["about"])
        for line in lines(shared_daemon)[before:]
        if line["principal"] == name_of(mine) and "GET" not in line["action"]
    ]

    assert mine_alone == [("refused", "RISK_ALERT of b")]
    assert "nobody's business" not in file_of(shared_daemon).read_text()


def test_what_was_administered_is_told(daemon: Daemon) -> None:
    """S23: which folder, which type and which token; long ones are cut, and no secret is there."""
    mine = caller(daemon, "owner")
    root = daemon.repository()
    mine.post("/v1/projects", {"path": str(root), "id": "web", "git": False, "files": False})
    mine.post("/v1/types", {"name": "DEPLOY"})
    mine.post("/v1/commits", {"path": str(root)})
    made = mine.post(
        "/v1/tokens", {"role": "viewer", "projects": ["web"], "types": ["DEPLOY", "COMMIT"]}
    ).json
    long = mine.post("/v1/tokens", {"role": "viewer", "projects": [f"p{n}" for n in range(200)]})

    abouts = {(line["action"], line.get("about")) for line in lines(daemon)}

    assert ("POST /v1/projects", f"{root} as web") in abouts
    assert ("POST /v1/types", "DEPLOY") in abouts
    assert ("POST /v1/commits", f"HEAD of {root}") in abouts
    told_of_it = f"{made['id']} viewer projects=web types=COMMIT,DEPLOY"
    assert ("token made", told_of_it) in abouts
    assert long.status == 201
    assert max(len(about or "") for _, about in abouts) == ABOUT
    assert made["token"] not in file_of(daemon).read_text()


@pytest.mark.parametrize("odd", ["%ff%fe", "%ed%b2%80", "%00", "%0a", "%e2%80%ae"])
def test_what_is_no_text_can_be_written_down(shared_daemon: Daemon, odd: str) -> None:
    """S12: whatever a path holds that names nothing, its line is one."""
    mine = caller(shared_daemon, "owner")
    limited = caller(shared_daemon, "viewer", projects=["a"])

    statuses = [
        mine.ask("DELETE", f"/v1/projects/{odd}").status,
        mine.get(f"/v1/types/{odd}").status,
        limited.get(f"/v1/events?project={odd}").status,
    ]

    assert statuses[:2] == [404, 404]
    assert statuses[2] in (200, 400, 403)
    assert told(shared_daemon, action="DELETE /v1/projects/{id}", principal=name_of(mine))
    assert verify(shared_daemon).returncode == 0
    assert b"Traceback" not in shared_daemon.log.read_bytes()


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


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_that_goes_while_it_is_written_is_missed(daemon: Daemon, how: str) -> None:
    """S12: another is begun that says so, the health tells, and the chain does not fit."""
    mine = caller(daemon, "owner")
    file = file_of(daemon)
    aside = file.with_name("elsewhere")
    aside.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    if how == "removed":
        file.unlink()
    elif how == "moved":
        file.rename(aside)
    else:
        aside.replace(file)
    moved = aside.read_bytes() if how == "moved" else b""

    at_once = verify(daemon)
    made = mine.post("/v1/tokens", {"role": "viewer"}).status
    health = mine.get("/v1/status").json["health"]
    daemon.stop()
    later = verify(daemon)

    assert (at_once.returncode, later.returncode) == (1, 1)
    said = "was changed, or one before it" if how == "replaced" else "missing"
    assert said in at_once.stderr
    assert said in later.stderr
    assert made == 201
    assert health["status"] == "degraded"
    assert "was removed or moved away while it was written" in health["reasons"][0]
    assert told(daemon, action="audit.lost")
    if how == "moved":
        assert aside.read_bytes() == moved


def test_a_file_that_goes_while_none_can_be_written_is_missed(daemon: Daemon) -> None:
    """S12: a folder stood in its place for a while: what was before is missing all the same."""
    mine = caller(daemon, "owner")
    file_of(daemon).unlink()
    file_of(daemon).mkdir()
    refused = mine.post("/v1/tokens", {"role": "viewer"}).status
    file_of(daemon).rmdir()
    made = mine.post("/v1/tokens", {"role": "viewer"}).status
    health = mine.get("/v1/status").json["health"]

    assert (refused, made) == (503, 201)
    assert "was removed or moved away while it was written" in str(health)
    assert verify(daemon).returncode == 1


@pytest.mark.parametrize("which", ["audit.1.jsonl", "audit.3.jsonl", "all", "every old one"])
def test_an_old_file_that_was_removed_is_missed(stopped_daemon: Daemon, which: str) -> None:
    """S12: what made room for others is told from what was taken out, the daemon running or not."""
    daemon = stopped_daemon
    daemon.start(env={"RTEVENTS_AUDIT__MAX_BYTES": "1500", "RTEVENTS_AUDIT__FILES": "3"})
    with daemon.client() as client:
        for _ in range(40):
            client.create_token("viewer")
    assert verify(daemon).returncode == 0
    daemon.stop()
    before = verify(daemon)
    for file in file_of(daemon).parent.glob("audit*.jsonl"):
        if which in (file.name, "all") or (which == "every old one" and file != file_of(daemon)):
            file.unlink()
    if which == "all":
        shutil.copy(daemon.log, file_of(daemon))  # something else in its place

    verdict = verify(daemon)

    assert before.returncode == 0
    assert " 1 to " not in before.stdout
    assert verdict.returncode == 1
    assert "missing" in verdict.stderr or which == "all"


def test_fewer_files_are_kept_when_the_configuration_says_so(stopped_daemon: Daemon) -> None:
    """S12: what is beyond the new number goes, and what is left fits."""
    daemon = stopped_daemon
    for files in ("5", "2"):
        daemon.start(env={"RTEVENTS_AUDIT__MAX_BYTES": "1500", "RTEVENTS_AUDIT__FILES": files})
        with daemon.client() as client:
            for _ in range(40):
                client.create_token("viewer")
        assert verify(daemon).returncode == 0
        daemon.stop()

    kept = sorted(each.name for each in file_of(daemon).parent.glob("audit*.jsonl"))

    assert kept == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]


def test_a_bad_line_hides_none_of_the_others(daemon: Daemon) -> None:
    """S12: what is no line is told on stderr, all else is shown, and it ends with 1."""
    with daemon.client() as client:
        for _ in range(5):
            client.create_token("viewer")
    kept = file_of(daemon).read_bytes().splitlines(keepends=True)
    bad = [b"\xff\xfe\x1b[2J\n", b"[]\n", b'{"time":"x","action":"y"}\n', b'{"n":1}\n']
    odd = b'{"time":1e300,"action":"made up","decision":"allowed"}\n'
    file_of(daemon).write_bytes(b"".join([*kept[:2], *bad, odd, *kept[2:]]))

    shown = daemon.run("audit")
    as_json = daemon.run("audit", "--json")

    for done in (shown, as_json):
        assert done.returncode == 1
        assert done.stdout.count("token made") == 5
        assert "made up" in done.stdout
        assert "Traceback" not in done.stderr
        for place in range(3, 7):
            assert f"audit.jsonl:{place} is no line of the audit log" in done.stderr
    assert verify(daemon).returncode == 1


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
