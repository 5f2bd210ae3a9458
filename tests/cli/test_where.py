"""One filter language: the command line, HTTP, WebSocket and both clients give the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from rtevents import docs
from rtevents.core.event import Entry, Event
from rtevents.core.filter import Filter
from tests.conftest import Daemon, shared

CONDITION = 'data.severity >= "high" and data.path matches "src/**"'


@pytest.fixture(scope="module")
def filled() -> Iterator[Daemon]:
    """Return a daemon, shared, whose log has risks of all kinds: 3 and 7 are what is wanted."""
    found = [
        ("low", "src/a.py"), ("critical", "lib/a.py"), ("high", "src/b.py"), ("medium", "src/c.py"),
        ("high", "README"), ("low", "src/d.py"), ("critical", "src/e/f.py"),
    ]  # fmt: skip
    with shared() as daemon:
        with daemon.client() as client:
            client.publish_many(
                [
                    Event(type="RISK_ALERT", data={"severity": one, "message": "m", "path": path})
                    for one, path in found
                ]
            )
        yield daemon


def test_the_command_line_takes_it(filled: Daemon) -> None:
    for command in ("history", "tail --since all -T"):
        done = filled.run(*command.split(), "--where", CONDITION, "-o", "ndjson")
        assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [3, 7]
    done = filled.run("history", "-w", "seq == 1", "-w", "seq == 2", "-o", "ndjson")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2]


def test_the_command_line_tells_the_column(filled: Daemon) -> None:
    for command in ("history", "tail"):
        done = filled.run(command, "--where", 'data.severity >= "hgih"')
        assert done.returncode == 2
        assert done.stderr == (
            "rtevents: where: column 18: a severity is one of low, medium, high, critical\n"
        )
    assert filled.run("tail", "--where", " ").returncode == 2


async def test_every_transport_takes_it(filled: Daemon) -> None:
    connector = aiohttp.UnixConnector(str(filled.socket))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        async with session.get(f"/v1/events?where={quote(CONDITION)}") as answer:
            page = await answer.json()
        async with session.get("/v1/events?where=seq%20is%201") as answer:
            refused = answer.status, (await answer.json())["field"]
        async with session.ws_connect("/v1/events/ws?since=all&type=COMMIT") as ws:
            await ws.send_json({"op": "subscribe", "ref": 1, "where": [CONDITION], "since": "all"})
            found: list[int] = []
            while len(found) < 2:
                frame = await ws.receive_json(timeout=20)
                found += [frame["seq"]] if "seq" in frame else []
        async with session.get(f"/v1/events/stream?since=all&where={quote(CONDITION)}") as stream:
            hello = await stream.content.readuntil(b"\n\n")

    assert [event["seq"] for event in page["events"]] == [3, 7]
    assert refused == (400, "where")
    assert found == [3, 7]
    assert json.loads(hello.partition(b"data: ")[2])["filter"] == {"where": [CONDITION]}, hello


def test_the_client_takes_it(filled: Daemon) -> None:
    wanted = Filter(wheres=frozenset({CONDITION}))
    with filled.client() as client:
        assert [entry.seq for entry in client.history(wanted).events] == [3, 7]
        stream = client.stream(wanted, since="all")
        seqs = [frame.seq for frame in (next(stream), next(stream)) if isinstance(frame, Entry)]
        assert seqs == [3, 7]
        assert {"where": [CONDITION]} in [each["filter"] for each in client.connections()]


def test_a_commit_is_found_by_a_file_it_touches(daemon: Daemon) -> None:
    commit = {
        "commit_hash": "a" * 40, "message": "m", "author": "a",
        "files": [{"path": "README.md", "insertions": 1}, {"path": "src/a.py", "insertions": 2}],
    }  # fmt: skip
    with daemon.client() as client:
        client.publish_many(
            [
                Event(type="COMMIT", data=commit),
                Event(type="COMMIT", data={**commit, "files": [{"path": "docs/src/a.py"}]}),
                Event(type="RISK_ALERT", data={"severity": "low", "message": "src/a.py"}),
            ]
        )

    for asked in (
        ["--path", "src/a.py"],
        ["--path", "src/**"],
        ["--where", 'path matches "src/**"'],
        ["--where", 'data.files contains "src/a.py"'],
        ["--where", 'data.files.path == "src/a.py" and data.files.insertions > 1'],
    ):
        for command in ("history", "tail --since all -T"):
            done = daemon.run(*command.split(), *asked, "-o", "ndjson")
            assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1], asked


def test_what_the_page_shows_is_taken(filled: Daemon) -> None:
    page = (Path(docs.__file__).parent / "where.md").read_text()
    shown = [shlex.split(line) for line in re.findall(r"^rtevents (?:tail|history) .*", page, re.M)]
    assert len(shown) >= 6
    for _, command, *words in shown:
        more = ["--since", "all", "-T"] if command == "tail" else []
        done = filled.run(command, *words, *more)
        assert (done.returncode, done.stderr) == (0, ""), words
    told = re.findall(r"^rtevents: (where: .*)", page, re.M)
    for text, said in zip(REFUSED, told, strict=True):
        done = filled.run("history", "--where", text)
        assert (done.returncode, done.stderr) == (2, f"rtevents: {said}\n")


REFUSED = (
    'seq > "5"', 'type == "COMIT"', 'type == "RISK_ALERT" and data.severity == "hihg"',
    'data.severity >= "hgih"',
)  # fmt: skip
"""What the page's errors are of."""
