"""What the README promises, held on the real daemon."""

from __future__ import annotations

import itertools
import json
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.client.frames import Control
from rtevents.client.sync import Client
from rtevents.core.event import Bookmark, Entry, Gap
from rtevents.core.filter import Filter
from rtevents.errors import EventConflict, Unavailable

from .conftest import PATIENCE, Daemon, wait_for
from .faults.checker import History, Subscriber, everything, risk

README = Path(__file__).parent.parent / "README.md"

ROUNDS = 20


def test_stored_means_stored_and_one_order_and_nothing_missed_across_kill_9(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    daemon.start()
    chance = random.Random()
    with History(daemon) as history:
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.05, 0.4))
            assert daemon.process is not None
            daemon.process.kill()
            daemon.process.wait()
            daemon.start()

    history.check()
    assert len(history.acknowledged) > 100


def test_the_same_event_is_stored_once_and_another_body_is_a_conflict(daemon: Daemon) -> None:
    first = risk("one", event_id="once", project_id="web")
    with daemon.client() as client:
        stored = client.publish(first)
        again = client.publish(first)
        undated = json.dumps(
            {"event_id": "once", "type": "risk-alert", "project_id": "web",
             "data": {"severity": "low", "message": "one"}}
        )  # fmt: skip
        third = next(client.publish_lines([undated.encode()]))
        with pytest.raises(EventConflict) as caught:
            client.publish(risk("two", event_id="once", project_id="web"))

    assert (again.seq, again.duplicate) == (stored.seq, True)
    assert third.stored is not None
    assert (third.stored.seq, third.stored.duplicate) == (stored.seq, True)
    assert caught.value.seq == stored.seq


def test_a_reader_that_comes_back_is_told_first_what_can_no_longer_be_read(
    stopped_daemon: Daemon,
) -> None:
    stopped_daemon.start(
        env={"RTEVENTS_RETENTION__MAX_EVENTS": "10", "RTEVENTS_RETENTION__INTERVAL": "0.05",
             "RTEVENTS_EVENT_RETENTION": "5"}
    )  # fmt: skip
    with stopped_daemon.client() as client:
        client.publish_many([risk(str(number)) for number in range(100)])
        wait_for(lambda: client.status()["oldest"] == 91, "trimmed")
        epoch = client.status()["epoch"]

        def begin(since: str) -> tuple[str, list[object]]:
            with closing(client.stream(since=since, control=True)) as frames:  # type: ignore[type-var]
                hello = next(frames)
                assert isinstance(hello, Control)
                first = list(itertools.islice(frames, 2))
            return hello.fields["verdict"], list(first)

        verdict, first = begin(str(Bookmark(epoch, 20)))
        assert (verdict, first[0]) == ("truncated", Gap(20, 91, "trimmed"))
        assert isinstance(first[1], Entry)
        assert first[1].seq == 91
        assert begin("00000000-20")[0] == "other-epoch"
        assert begin("never-heard-of")[0] == "unknown-id"
        verdict, first = begin(str(Bookmark(epoch, 95)))
        assert verdict == "complete"
        assert isinstance(first[0], Entry)
        assert first[0].seq == 96


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def read_stream(connection: socket.socket) -> Iterator[Entry]:
    """Yield the entries of an NDJSON stream that is read by hand."""
    rest = b""
    while data := connection.recv(65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b'{"seq":'):
                fields = json.loads(line)
                yield Entry(
                    seq=fields["seq"], event_id=fields["event_id"], type=fields["type"],
                    project_id=None, source="", path="", timestamp=0, wire=line,
                )  # fmt: skip


def test_a_slow_reader_harms_nobody_and_gets_everything_in_the_end(daemon: Daemon) -> None:
    slow = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(PATIENCE)
    slow.connect(str(daemon.socket))
    slow.sendall(
        b"GET /v1/events/stream?since=all HTTP/1.1\r\nHost: localhost\r\n"
        b"Accept: application/x-ndjson\r\n\r\n"
    )
    quick = Subscriber(daemon)
    quick.start()
    count, size = 600, 50_000
    assert daemon.process is not None
    with daemon.client() as client, closing(slow):
        client.publish(risk("warm"))
        wait_for(lambda: quick.entries, "the quick reader follows")
        before = memory_kib(daemon.process.pid)
        for _ in range(count // 20):
            client.publish_many([risk("x" * size) for _ in range(20)])
        wait_for(lambda: len(quick.entries) == count + 1, "the quick reader has all")
        # The window of the newest entries is bounded, and is not the reader's cost.
        window = client.stats()["log"]["window_bytes"] // 1024
        grown = memory_kib(daemon.process.pid) - before - window
        lags = [each["lag"] for each in client.connections() if each["kind"] == "ndjson"]
        seqs = [entry.seq for entry in itertools.islice(read_stream(slow), count + 1)]

    assert max(lags) > count // 2
    assert grown < 20 * 1024
    assert seqs == list(range(1, count + 2))


def test_what_cannot_be_kept_is_refused_with_the_reason(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    daemon.start()
    assert daemon.process is not None
    with daemon.client() as client:
        first = client.publish(risk("first"))
        limit = 3_000_000
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        acknowledged = [first.seq]
        refusal = publish_until_refused(daemon, acknowledged)
        health = client.status()["health"]
        entries = everything(client)

    assert refusal.retry_after >= 1
    assert health["status"] == "failed"
    assert "events cannot be stored" in health["reasons"][0]
    assert [entry.seq for entry in entries] == acknowledged


def publish_until_refused(daemon: Daemon, acknowledged: list[int]) -> Unavailable:
    """Publish large events until one is refused; note the seq of those that were not."""
    with Client(daemon.socket, retry_for=0) as client:
        for number in range(1000):
            try:
                acknowledged += [client.publish(risk(f"{number} " + "x" * 20_000)).seq]
            except Unavailable as error:
                return error
    raise AssertionError("nothing was refused")


def test_commits_made_while_the_daemon_was_down_appear_once_and_marked(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.start(str(root))
    daemon.stop()
    shas = []
    for number in range(5):
        daemon.git("commit", "-q", "--allow-empty", "-m", f"while away {number}", cwd=root)
        shas.append(daemon.git("rev-parse", "HEAD", cwd=root))
    daemon.start()
    with daemon.client() as client:
        commits = Filter(types=frozenset({"COMMIT"}))
        wait_for(lambda: len(client.history(commits).events) == 5, "five commits")
        daemon.stop()
        daemon.start()
        daemon.git("commit", "-q", "--allow-empty", "-m", "after", cwd=root)
        wait_for(lambda: len(client.history(commits).events) >= 6, "the sixth commit")
        found = [entry.event for entry in client.history(commits).events]

    assert [event.data["commit_hash"] for event in found[:5]] == shas
    assert [event.data.get("reconciled") for event in found] == [True] * 5 + [None]
    assert found[0].event_id == f"git:web:{shas[0]}"


def test_work_on_a_repository_is_seen_once_and_in_order_by_every_kind_of_reader(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.start(str(root))
    daemon.run("hook", "install", cwd=root)
    tail = daemon.popen("tail", "--since", "all", "-o", "ndjson")
    risks = daemon.popen("tail", "--type", "RISK_ALERT", "--since", "all", "-o", "ndjson")
    others = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for command in readers(daemon.socket)
    ]
    try:
        (root / "a.txt").write_text("one\n")
        daemon.git("add", ".", cwd=root)
        daemon.git("commit", "-qm", "Add a", cwd=root)
        daemon.git("checkout", "-qb", "side", "HEAD~1", cwd=root)
        (root / "b.txt").write_text("two\n")
        daemon.git("add", ".", cwd=root)
        daemon.git("commit", "-qm", "Add b", cwd=root)
        daemon.git("checkout", "-q", "main", cwd=root)
        daemon.git("merge", "-q", "--no-ff", "-m", "Merge side", "side", cwd=root)
        daemon.git("checkout", "-qb", "topic", "HEAD~1", cwd=root)
        daemon.git("commit", "-q", "--allow-empty", "-m", "Topic", cwd=root)
        daemon.git("rebase", "-q", "main", cwd=root)
        assert daemon.run("publish", "risk", "look", "--severity", "high").returncode == 0
        shas = set(daemon.git("rev-list", "--all", "--reflog", "--not", "main~2",
                              cwd=root).split())  # fmt: skip
        shas -= {daemon.git("rev-parse", "main~2", cwd=root)}
        wanted = Filter(types=frozenset({"COMMIT"}))
        with daemon.client() as client:
            wait_for(
                lambda: len({e.event_id for e in client.history(wanted).events}) >= len(shas),
                "every commit",
            )
            changes = Filter(types=frozenset({"FILE_CHANGE"}))
            wait_for(
                lambda: {"a.txt", "b.txt"} <= {e.path for e in client.history(changes).events},
                "both files",
            )
            client.publish(risk("the end", event_id="the-end"))
            log = everything(client)
        lines = list(read_until_end(tail))
        risk_lines = list(read_until_end(risks))
        seen = [
            [json.loads(line.removeprefix("data: ")) for line in read_until_end(process)
             if line.removeprefix("data: ").startswith('{"seq"')]
            for process in others
        ]  # fmt: skip
    finally:
        for process in (tail, risks, *others):
            process.kill()
            process.communicate()

    commits = [entry.event.data["commit_hash"] for entry in log if entry.type == "COMMIT"]
    files = [entry.path for entry in log if entry.type == "FILE_CHANGE"]
    assert sorted(commits) == sorted(shas)
    assert {"a.txt", "b.txt"} <= set(files)
    assert [json.loads(line) for line in lines] == [json.loads(entry.wire) for entry in log]
    assert seen == [[json.loads(entry.wire) for entry in log]] * len(others)
    assert [json.loads(line)["data"]["message"] for line in risk_lines] == ["look", "the end"]


WEBSOCKET = """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(sys.argv[1])) as session:
        async with session.ws_connect("http://localhost/v1/events/ws?since=all") as socket:
            async for message in socket:
                print(message.data, flush=True)
asyncio.run(main())
"""


def readers(socket: Path) -> list[list[str]]:
    """Return the commands of a WebSocket client, and of curl where it is there."""
    commands = [[sys.executable, "-c", WEBSOCKET, str(socket)]]
    if shutil.which("curl"):
        url = "http://localhost/v1/events/stream?since=all"
        commands.append(["curl", "-sN", "--unix-socket", str(socket), url])
    return commands


def read_until_end(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield lines up to the one that tells of the last event."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")
        if '"the-end"' in line:
            return


def test_a_hundred_thousand_events_reach_three_readers_in_order_with_flat_memory(
    daemon: Daemon,
) -> None:
    assert daemon.process is not None
    pid = daemon.process.pid
    readers = [Counter(daemon) for _ in range(3)]
    for reader in readers:
        reader.start()
    lines = (
        b'{"type":"PROGRESS_UPDATE","data":{"done":%d,"total":100000}}' % n for n in range(100_000)
    )
    memory = []
    with Client(daemon.socket, timeout=PATIENCE) as client:
        for number, answer in enumerate(client.publish_lines(lines), 1):
            assert answer.stored is not None
            if number % 20_000 == 0:
                memory.append(memory_kib(pid))
    for reader in readers:
        reader.join(60)

    assert [reader.count for reader in readers] == [100_000] * 3
    assert [reader.is_in_order for reader in readers] == [True] * 3
    # The first fifth fills the window of the newest entries; from then on nothing is to grow.
    assert max(memory) - memory[0] < 16 * 1024, memory


class Counter(threading.Thread):
    """Reads a stream and checks its order without keeping it."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self.count = 0
        self.is_in_order = True

    def run(self) -> None:
        """Read a hundred thousand entries."""
        with Client(self._daemon.socket) as client:
            for item in client.stream(since="all"):
                assert isinstance(item, Entry)
                self.count += 1
                self.is_in_order &= item.seq == self.count
                if self.count == 100_000:
                    return


def test_the_daemon_drains_and_says_goodbye_when_it_is_told_to_end(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.publish(risk("one"))
        frames = client.stream(since="all", control=True)
        assert [type(next(frames)).__name__ for _ in range(3)] == ["Control", "Entry", "Control"]
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        bye = next(frames)

    assert isinstance(bye, Control)
    assert (bye.name, bye.fields["reason"]) == ("bye", "shutdown")
    assert daemon.process.wait(PATIENCE) == 0
    assert not daemon.socket.exists()


def test_one_daemon_per_home(daemon: Daemon) -> None:
    again = daemon.run("serve", "--no-project")
    assert (again.returncode, "running already" in again.stdout) == (0, True)

    with daemon.client() as client:
        assert client.status()["pid"] == daemon.process.pid  # type: ignore[union-attr]


def test_every_promise_is_in_the_readme() -> None:
    text = README.read_text()

    assert [f"**P{number} " in text for number in range(1, 8)] == [True] * 7


def test_the_files_of_the_daemon_are_for_the_user_alone(daemon: Daemon) -> None:
    modes = {
        str(path.relative_to(daemon.home)): oct(path.lstat().st_mode & 0o777)
        for folder in ("run", "state")
        for path in (daemon.home / folder / "rtevents").rglob("*")
        if path.is_file() or path.is_socket()
    }

    assert (daemon.home / "run" / "rtevents").stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {"0o600"}, modes
