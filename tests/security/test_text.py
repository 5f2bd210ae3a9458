"""Text of strangers: in frames of a stream, and on a terminal; S9, S10, S11."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtevents.core.event import Event
from rtevents.core.names import is_project_id
from tests.chromium import CHROMIUM, browsing
from tests.conftest import PATIENCE, Daemon

from .attacker import caller, port_of

FRAMES = [
    "a\nb", "a\r\nb", "a\rb", "\n\ndata: forged\n\n", "\nid: 9-9\n", "\nevent: bye\n",
    "\nretry: 999999999\n", ":comment\n", "data:", "\ufeffdata: x", "\u2028", "\u2029", "\u0085",
    "a\u2028b\u2029c\u0085d", "\x0b\x0c\x1c\x1d\x1e", "\0", "\x00\n\x00", "\\n\\n", '"}\n\n{"',
    "é€😀", "x" * 20_000, " leading", "trailing ", "", "\t", "\x7f\x80\x9f", "\ufffe\uffff",
]  # fmt: skip
"""What would end a frame, or begin another, where a writer or a reader is careless."""

TERMINAL = [
    "\x1b]0;owned\x07", "\x1b]2;owned\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1b]8;;http://evil\x07x",
    "\x1b[2J\x1b[H", "\x1b[?1049h", "\x1b[31mred", "\x1b[8mhidden", "\x1b[6n", "\x1b[c", "\x1b[>c",
    "\x1b[=c", "\x1b[5n", "\x1b[21t", "\x1b[18t", "\x1bP$q\"p\x1b\\", "\x1bc", "\x1b#8", "\x1b(0",
    "\x1b[999C", "\x1b[1A\x1b[2K", "\x1b[1000D", "\x1b[?25l", "\x1b[?1000h", "\x1b[4h", "\x1b[20h",
    "\x1b[3;5r", "\x1b^pm\x1b\\", "\x1b_apc\x1b\\", "\x1bXsos\x1b\\", "\x9b31m", "\x9d0;owned\x9c",
    "\x90q\x9c", "\x85\x84\x8d", "\x05", "\x07\x07", "\x08\x08\x08x", "\x0e\x0f", "\r overwritten",
    "\n\n\nforged line", "\x0b\x0c", "\u202egpj.exe", "\u2066x\u2069", "a\u200bb\ufeff",
    "\x1b]4;1;?\x07",
    "\x1b]10;?\x07", "\x1b]1337;File=:AAAA\x07", "\x1b[?2004h", "\x7f\x7f",
]  # fmt: skip
"""What a terminal would obey, answer, or hide (CVE-2009-4487, CVE-2023-28486)."""


def hostile(text: str) -> list[Event]:
    """Return events that hold a text wherever there is room for any."""
    common: dict[str, Any] = {
        "source": text[:100],
        "project_id": text if is_project_id(text) else None,
        "extensions": {"note": text},
    }
    datas: list[tuple[str, dict[str, Any]]] = [
        ("RISK_ALERT", {"severity": "high", "message": f"m{text}", "rule": text}),
        ("TASK_UPDATE", {"task_id": "T", "status": "open", "title": text, text: [text]}),
    ]
    return [Event(type=kind, data=data, **common) for kind, data in datas]


def content(event: Any) -> list[Any]:
    """Return what a reader has to have of an event."""
    return [event["type"], event["data"], event["source"], event["extensions"]]


def publish(daemon: Daemon, events: list[Event]) -> list[list[Any]]:
    """Store events; return what is to be read of them."""
    with daemon.client() as client:
        for event in events:
            client.publish(event)
    return [content(json.loads(event.body)) for event in events]


def test_each_event_is_one_message_to_httpx(daemon: Daemon) -> None:
    """S9 S10: a client that splits lines as Python does; equal content, in order, and no more."""
    events = [event for text in FRAMES for event in hostile(text)]
    wanted = publish(daemon, events)

    assert by_httpx(daemon, "since=all") == wanted


def by_httpx(daemon: Daemon, query: str) -> list[list[Any]]:
    """Return what httpx reads of a replay by SSE."""
    httpx = pytest.importorskip("httpx")
    httpx_sse = pytest.importorskip("httpx_sse")
    bearer = {"Authorization": f"Bearer {caller(daemon, 'viewer').token}"}
    url = f"http://127.0.0.1:{port_of(daemon)}/v1/events/stream?{query}"
    seen = []
    with (
        httpx.Client(headers=bearer, timeout=PATIENCE, trust_env=False) as client,
        httpx_sse.connect_sse(client, "GET", url) as source,
    ):
        for message in source.iter_sse():
            if message.event == "live":
                break
            if message.event == "message":
                seen.append(content(message.json()))
    return seen


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_each_event_is_one_message_to_a_browser(daemon: Daemon) -> None:
    """S9 S10: by EventSource, and by WebSocket."""
    texts = [text for text in FRAMES if len(text) < 1000]
    wanted = publish(daemon, [event for text in texts for event in hostile(text)])
    script = """
      new Promise(done => {
        const seen = {sse: [], ws: [], other: []};
        let open = 2;
        const end = () => { if (!--open) done(JSON.stringify(seen)); };
        const source = new EventSource('/v1/events/stream?since=all');
        source.onmessage = message => seen.sse.push(JSON.parse(message.data));
        source.addEventListener('bye', message => seen.other.push(message.data));
        source.addEventListener('live', () => { source.close(); end(); });
        const socket = new WebSocket(`ws://${location.host}/v1/events/ws?since=all`);
        socket.onmessage = message => {
          const frame = JSON.parse(message.data);
          if (frame.control === 'live') { socket.close(); end(); }
          else if (!frame.control) seen.ws.push(frame);
        };
      })
    """
    async with browsing() as browser:
        url = daemon.run("dashboard", "--print").stdout.strip()
        await browser.call("Page.navigate", url=url)
        await browser.until("document.getElementById('state')?.textContent === 'live'")
        seen = json.loads(await browser.run(script))

    assert [content(event) for event in seen["sse"]] == wanted
    assert [content(event) for event in seen["ws"]] == wanted
    assert seen["other"] == []


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.text(
        st.one_of(
            # Where Python ends a line, and SSE does not.
            st.sampled_from("\u2028\u2029\x85\r\n\x0b\x0c\x1c\x1d\x1e:"),
            st.characters(exclude_categories=["Cs"]),
        ),
        max_size=60,
    )
)
@example("\u2028")
@example("\u2029data: x\u2029\u2029")
@example("\x85id: 9-9\x85\x85data: y")
def test_any_text_comes_back_as_it_was_sent(daemon: Daemon, text: str) -> None:
    """S9 S10: what hypothesis thinks of, in every field, through publish, replay and SSE."""
    with daemon.client() as client:
        before = client.history().newest
    wanted = publish(daemon, hostile(text))

    with caller(daemon, "viewer").stream("?since=last&type=TASK_UPDATE") as stream:
        frames = [json.loads(stream.readline()) for _ in range(3)]
    with daemon.client() as client:
        kept = client.history(after=str(before)).events
    epoch = frames[0]["epoch"]

    assert by_httpx(daemon, f"since={epoch}-{before}") == wanted
    assert [frame.get("control") for frame in frames] == ["hello", None, "live"]
    assert content(frames[1]) == wanted[1]
    assert [content(json.loads(entry.wire)) for entry in kept] == wanted


def on_a_terminal(daemon: Daemon, *arguments: str) -> bytes:
    """Run `rtevents` on a terminal of 200 columns; return what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", *arguments],
        env=daemon.env | {"TERM": "xterm-256color", "COLUMNS": "200"},
        cwd=daemon.home, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while select.select([ours], [], [], PATIENCE)[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the last who had it open is gone
            break
        if not data:
            break
        written += data
    os.close(ours)
    assert process.wait(PATIENCE) == 0, written
    return written


COMMANDS = [
    ["tail", "--since", "all", "-T", "-o", "pretty"],
    ["tail", "--since", "all", "-T", "-o", "ndjson"],
    ["history", "--limit", "1000", "-o", "pretty"],
    ["history", "--limit", "1000", "-o", "ndjson"],
    ["token", "list"],
    ["token", "list", "--json"],
    ["audit"],
    ["connections"],
    ["stats", "--once"],
    ["status"],
    ["types"],
    ["project", "list"],
]


@pytest.fixture(scope="module")
def haunted() -> Iterator[Daemon]:
    """Return a daemon that holds hostile text wherever somebody else can put it."""
    home = Path(tempfile.mkdtemp(prefix="rth"))
    daemon = Daemon(home)
    daemon.start()
    with daemon.client() as client:
        for text in TERMINAL:
            for event in hostile(text):
                client.publish(event)
            client.create_token("viewer", name=text)
        folder = home / "evil\x1b]0;owned\x07\u202e"
        folder.mkdir()
        client.add_project(folder, id="evil")
    mine = caller(daemon, "owner")
    for text in TERMINAL[:10]:
        mine.ask("DELETE", "/v1/projects/" + "".join(f"%{b:02x}" for b in text.encode()))
    yield daemon
    daemon.stop()
    shutil.rmtree(home)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_text_of_a_stranger_moves_a_terminal(haunted: Daemon, command: list[str]) -> None:
    """S11: title, clipboard, modes and screen are as they were, and nothing is typed back."""
    pyte = pytest.importorskip("pyte")
    written = on_a_terminal(haunted, *command)
    answers: list[str] = []

    class Screen(pyte.Screen):  # type: ignore[misc,name-defined,unused-ignore]
        def write_process_input(self, data: str) -> None:
            answers.append(data)

    screen = Screen(200, 60)
    modes = set(screen.mode)
    pyte.ByteStream(screen).feed(written)

    sequences = {
        written[at : at + 2] for at in range(len(written)) if written[at : at + 1] == b"\x1b"
    }
    assert written
    assert (screen.title, screen.icon_name, answers) == ("", "", [])
    assert set(screen.mode) == modes
    assert screen.margins is None
    # Our own colours, and nothing else that begins with an escape.
    assert sequences <= {b"\x1b["}
    assert b"\x07" not in written
    assert b"\x08" not in written
    assert not any(byte in written.decode() for byte in "\x9b\x9d\x90\u202e\u2066\ufeff\u200b")


@pytest.mark.parametrize("command", COMMANDS[:4], ids=" ".join)
def test_each_event_is_one_line_whatever_it_holds(haunted: Daemon, command: list[str]) -> None:
    """S11: into a pipe as well: as many lines as events, none of them forged."""
    said = haunted.run(*command).stdout

    with haunted.client() as client:
        count = len(client.history(limit=1000).events)
    assert len(said.split("\n")) - 1 == count
    assert said.isascii() or command[-1] == "pretty"
    assert all(character == "\n" or character.isprintable() for character in said)
