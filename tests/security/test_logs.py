"""What the daemon's log tells, and what it never does: S8 and S12."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtevents.errors import RteventsError
from tests.conftest import Daemon, wait_for

from .wire import Peer, port_of, request, risk

FORGED = '\n{"level":"INFO","message":"forged"}\r\n\x1b]0;owned\x07\x9b2J\u202e\u2028'
"""What would begin a line of its own, or steer a terminal."""


def written(home: Path) -> bytes:
    """Return everything that the daemon has written to a file, but for its lists of digests."""
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


def log_of(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the lines of a detached daemon's log; fail when one of them is no JSON object."""
    file = daemon.home / "state" / "rtevents" / "daemon.log"
    lines = [json.loads(line) for line in file.read_text("ascii").splitlines()]
    assert all(list(line) == ["time", "level", "logger", "message"] for line in lines)
    return lines


def test_no_token_is_in_any_file_after_a_whole_session(stopped_daemon: Daemon) -> None:
    """S8: made, used, mistaken, sent in a URL, in malformed headers, and revoked."""
    daemon = stopped_daemon
    daemon.start("--no-project", env={"RTEVENTS_LOG_LEVEL": "debug"})
    assert daemon.process is not None
    address = port_of(daemon)
    host = f"{address[0]}:{address[1]}"
    with daemon.client() as client:
        made = client.create_token("owner")
    secret = made["token"]
    secrets = [secret, secret[:-1] + ("x" if secret[-1] != "x" else "y")]
    for token in secrets:
        bearer = f"Authorization: Bearer {token}"
        for sent in (
            request("GET /v1/stats", bearer, host=host),
            request("POST /v1/events", bearer, host=host, body=risk("hello")),
            request("POST /v1/events", bearer, "Accept-Language: en", host=host, body=b"{"),
            request(f"GET /v1/events?token={token}", host=host),
            request(f"GET /{token}", bearer, f"Referer: http://{host}/{token}", host=host),
            request("GET /v1/stats", f"{bearer}\0", host=host),
            request("GET /v1/stats", f"{bearer}\r", host=host),
            request("GET /v1/stats", f"{token}", host=host),
            request("GET /v1/stats", f"Cookie: rtevents_{address[1]}={token}", host=host),
            request("GET /v1/stats", f"Expect: {token}", host=host),
            request("GET /v1/stats", f"Host: {token}", host=host),
            request("GET /v1/events/ws", f"Sec-WebSocket-Protocol: {token}", bearer, host=host),
            request("POST /v1/login", f"Origin: http://{token}", host=host, body=b'{"ticket":1}'),
        ):
            with Peer(address) as peer:
                peer.send(sent)
                assert token.encode() not in peer.answer().body.replace(b"/" + token.encode(), b"")
        for path in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{daemon.process.pid}/{path}").read_bytes()
    with daemon.client() as client:
        client.revoke_token(made["id"])
    assert daemon.stop() == 0

    found = written(daemon.home)
    for token in secrets:
        assert token[4:].encode() not in found
        assert token.split("_", 2)[2].encode() not in found


def test_a_secret_that_comes_into_a_line_is_not_written(stopped_daemon: Daemon) -> None:
    """S8: whatever is logged, a token or a session's cookie in it is not."""
    daemon = stopped_daemon
    daemon.start("--no-project", env={"RTEVENTS_GIT__INTERVAL": "0.1"})
    root = daemon.repository("rte_0123abcd_abcdefghijklmnop")
    with daemon.client() as client:
        client.add_project(root)
        (root / ".git" / "HEAD").unlink()
        wait_for(lambda: b"[redacted]" in daemon.log.read_bytes(), "a line about it is written")

    told = [line for line in daemon.log.read_text().splitlines() if "[redacted]" in line]
    assert told
    assert not re.search(r"rte_0123abcd", "".join(told))


def test_each_line_of_the_log_is_one_record(stopped_daemon: Daemon) -> None:
    """S12: names, payloads, headers and errors of strangers begin no line and steer no terminal."""
    daemon = stopped_daemon
    root = daemon.repository("evil" + FORGED.replace("/", ""))
    done = daemon.run("serve", "--detach", str(root))
    assert done.returncode == 0, done.stderr
    try:
        address = port_of(daemon)
        bad = FORGED.encode()
        for sent in (
            b"GET /" + bad + b" HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: \xc2\x9b" + bad + b"\r\n\r\n",
            b"POST /v1/events HTTP/1.1\r\nHost: \x9b\xff\r\nContent-Length: 0\r\n\r\n",
        ):
            for place in (address, daemon.socket):
                with Peer(place) as peer:
                    peer.send(sent)
                    peer.answer()
        with daemon.client() as client:
            with pytest.raises(RteventsError):
                client.add_project(daemon.home / ("gone" + FORGED.replace("/", "")))
            (root / ".git" / "HEAD").unlink()
            wait_for(lambda: len(log_of(daemon)) > 1, "something is told of the repository")
    finally:
        daemon.run("stop")

    lines = log_of(daemon)
    assert not [line for line in lines if line["message"] == "forged"]
    assert any("evil" in line["message"] for line in lines)
    assert lines[-1]["message"] == "stopping"


@pytest.mark.parametrize(("setting", "is_json"), [("auto", False), ("json", True)])
def test_a_person_reads_text(stopped_daemon: Daemon, setting: str, is_json: bool) -> None:
    """S12: on a terminal the log is text in which nothing steers it, unless JSON is asked for."""
    daemon = stopped_daemon
    ours, theirs = pty.openpty()
    seen = b""
    daemon.process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", "serve", "--no-project"],
        env=daemon.env | {"RTEVENTS_LOG__FORMAT": setting},
        cwd=daemon.home,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        while b"listening on" not in seen:
            seen += os.read(ours, 4096)
        assert daemon.stop() == 0
        while b"stopping" not in seen:
            seen += os.read(ours, 4096)
    finally:
        os.close(ours)

    (line,) = [line for line in seen.decode().splitlines() if "stopping" in line]
    assert line.startswith("{") == is_json
    assert line.endswith(" INFO rtevents.daemon.run: stopping") != is_json
