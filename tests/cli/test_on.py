"""rtevents on: a command whenever something happens."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Event
from rtevents.sinks.place import DeadLetters, Place
from tests.conftest import PATIENCE, Daemon, wait_for


class Process:
    """
    An `rtevents on` that runs.

    Args:
        arguments: Its options, ``--`` and the command.
    """

    def __init__(self, daemon: Daemon, *arguments: str) -> None:
        self.said = daemon.home / f"on.{len(list(daemon.home.glob('on.*')))}"
        with self.said.open("wb") as said:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "rtevents", "on", *arguments],
                env=daemon.env, cwd=daemon.home, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal; return its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE)

    @property
    def text(self) -> str:
        """What it said."""
        return self.said.read_text()


class Ons:
    """Starts `rtevents on`, and ends what is left."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.out = daemon.home / "out"
        self.started: list[Process] = []

    def run(self, *arguments: str, ready: bool = True) -> Process:
        """Start one; return when it has its place."""
        process = Process(self.daemon, *arguments)
        self.started.append(process)
        if ready:
            name = arguments[arguments.index("--as") + 1]
            wait_for(lambda: self.seq(name) >= 0 or process.popen.poll() is not None, "its place")
            assert process.popen.poll() is None, process.text
        return process

    def shell(self, name: str, text: str, *options: str) -> Process:
        """Start one that runs a text in a shell for each RISK_ALERT."""
        return self.run("-t", "RISK_ALERT", "--as", name, *options, "--", "sh", "-c", text)

    def folder(self, name: str) -> Path:
        """Return the folder of a name."""
        return self.daemon.home / "state" / "rtevents" / "on" / name

    def place(self, name: str) -> Place:
        """Return what is kept of a name."""
        return Place(self.folder(name))

    def seq(self, name: str) -> int:
        """Return the place of a name."""
        bookmark = self.place(name).bookmark
        return bookmark.seq if bookmark else -1

    def publish(self, *messages: str) -> list[int]:
        """Publish a RISK_ALERT for each message; return their seqs."""
        events = [
            Event(type="RISK_ALERT", data={"severity": "low", "message": message})
            for message in messages
        ]
        with self.daemon.client() as client:
            return [stored.seq for stored in client.publish_many(events)]

    def lines(self) -> list[str]:
        """Return what the commands wrote."""
        return self.out.read_text().splitlines() if self.out.exists() else []


@pytest.fixture
def ons(daemon: Daemon) -> Iterator[Ons]:
    """Return what starts `rtevents on` on a daemon."""
    ons = Ons(daemon)
    yield ons
    for process in ons.started:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait()


def test_the_command_gets_the_event_and_what_was_missed_is_done_later(ons: Ons) -> None:
    first = ons.shell("x", f"cat >> {ons.out}; echo $RTEVENTS_TYPE >> {ons.out}")
    ons.publish("one")
    wait_for(lambda: len(ons.lines()) == 2, "it ran")
    assert json.loads(ons.lines()[0])["data"]["message"] == "one"
    assert ons.lines()[1] == "RISK_ALERT"
    wait_for(lambda: ons.seq("x") == 1, "its place is kept")
    assert first.end() == 130
    ons.publish("two")

    ons.shell("x", f"echo $RTEVENTS_SEQ >> {ons.out}")

    wait_for(lambda: ons.lines()[2:] == ["2"], "what was missed is done, and nothing twice")


@pytest.mark.parametrize("point", ["before", "after"])
def test_killed_at_any_point_it_is_done_again(ons: Ons, point: str) -> None:
    """The command kills `rtevents on` itself: before it does its work, or after that."""
    work = f"echo $RTEVENTS_SEQ >> {ons.out}"
    kill = "test -e once || { touch once; kill -9 $PPID; exit; }"
    process = ons.shell("x", "; ".join([kill, work] if point == "before" else [work, kill]))
    ons.publish("one", "two")
    assert process.popen.wait(PATIENCE) == -signal.SIGKILL
    assert ons.seq("x") == 0

    ons.shell("x", f"test -e once; {work}")

    again = ["1", "2"] if point == "before" else ["1", "1", "2"]
    wait_for(lambda: ons.lines() == again, "at least once, in order")
    wait_for(lambda: ons.seq("x") == 2, "its place is exact")


def test_a_thousand_events_at_once_are_done_in_order_and_do_not_gather(ons: Ons) -> None:
    """What it has not done is in the log: it holds a page at most, and it lags."""
    gate = ons.daemon.home / "gate"
    code = (
        "import os, pathlib, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        f"seqs = [__import__('json').loads(line)['seq'] for line in __import__('sys').stdin]\n"
        f"print(*seqs, sep='\\n', file=open({str(ons.out)!r}, 'a'))\n"
    )
    process = ons.run(
        "-t", "RISK_ALERT", "--as", "x", "--batch", "50", "--", sys.executable, "-c", code
    )
    for _ in range(10):
        ons.publish(*["x" * 20_000] * 100)
    wait_for(lambda: "1" in ons.lines() or process.popen.poll() is None, "it runs")
    resident = _resident(process.popen.pid)
    for _ in range(10):
        ons.publish(*["x" * 20_000] * 100)
    grown = _resident(process.popen.pid) - resident
    gate.touch()

    wait_for(lambda: len(ons.lines()) == 2000, "all are done")
    assert list(map(int, ons.lines())) == list(range(1, 2001))
    # A page of 100 holds 2 MB; the second thousand would be 20.
    assert grown < 12 * 1024**2


def _resident(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_drop_runs_the_newest_only(ons: Ons) -> None:
    text = f"echo $RTEVENTS_SEQ >> {ons.out}; while ! test -e gate; do sleep 0.02; done"
    ons.shell("x", text, "--on-busy", "drop")
    ons.publish("one")
    wait_for(lambda: ons.lines() == ["1"], "the first runs")
    ons.publish(*map(str, range(2, 300)))
    (ons.daemon.home / "gate").touch()

    wait_for(lambda: ons.seq("x") == 299, "the newest is done")
    assert ons.lines() == ["1", "299"]


def test_restart_ends_what_runs(ons: Ons) -> None:
    text = f"echo $RTEVENTS_SEQ >> {ons.out}; test $RTEVENTS_SEQ = 3 || exec sleep 600"
    ons.shell("x", text, "--on-busy", "restart")
    for number, message in enumerate(("one", "two", "three"), 1):
        ons.publish(message)
        wait_for(lambda at=number: ons.lines()[-1:] == [str(at)], "it runs instead")  # type: ignore[misc]

    wait_for(lambda: ons.seq("x") == 3, "the newest is done")
    assert ons.lines() == ["1", "2", "3"]


def test_what_fails_is_tried_again_and_then_kept_and_replayed(ons: Ons) -> None:
    process = ons.shell("x", "echo no room >&2; exit 3", "--retry", "1")
    ons.publish("one", "two")
    wait_for(lambda: ons.seq("x") == 2, "both are given up")
    assert process.end() == 130
    assert "x: gave up 1 after 2 attempts: sh failed, exit 3" in process.text
    assert "no room" in process.text

    (ons.folder("") / ".DS_Store").touch()
    assert ons.daemon.run("sinks", "dead").returncode == 0
    told = ons.daemon.run("sinks", "dead", "x")
    assert told.returncode == 0
    assert "2 attempts: sh failed, exit 3" in told.stdout
    letters = json.loads(ons.daemon.run("sinks", "dead", "x", "--json").stdout)
    assert [letter["event"]["data"]["message"] for letter in letters] == ["one", "two"]
    assert "rtevents on --as x --replay" in ons.daemon.run("sinks", "replay", "x").stderr

    ons.shell("x", f"echo again $RTEVENTS_SEQ >> {ons.out}", "--replay")
    wait_for(lambda: ons.lines() == ["again 1", "again 2"], "both are done")
    wait_for(lambda: len(DeadLetters(ons.folder("x"))) == 0, "none is left")
    assert ons.daemon.run("sinks", "discard", "x").stdout == "discarded 0\n"


def test_an_interrupt_lets_the_command_end_and_a_second_one_ends_it(ons: Ons) -> None:
    text = f"trap 'echo ended >> {ons.out}; exit' TERM; echo begun >> {ons.out}; "
    wait = "while ! test -e gate; do sleep 0.02; done"
    process = ons.shell("x", text + wait + f"; echo done >> {ons.out}")
    ons.publish("one", "two")
    wait_for(lambda: ons.lines() == ["begun"], "it runs")
    process.popen.send_signal(signal.SIGINT)
    wait_for(lambda: "ending when the command has" in process.text, "it says so")
    (ons.daemon.home / "gate").touch()
    assert process.popen.wait(PATIENCE) == 130
    assert ons.lines() == ["begun", "done"]
    assert ons.seq("x") == 1

    (ons.daemon.home / "gate").unlink()
    process = ons.shell("x", text + wait)
    wait_for(lambda: len(ons.lines()) == 3, "the second runs")
    process.popen.send_signal(signal.SIGINT)
    wait_for(lambda: "ending when the command has" in process.text, "it says so")
    assert process.end() == 130
    assert ons.lines()[2:] == ["begun", "ended"]
    assert ons.seq("x") == 1


def test_a_terminal_that_is_closed_ends_the_command_too(ons: Ons) -> None:
    """It is in a session of its own: nobody else would tell it."""
    text = f"trap 'echo ended >> {ons.out}; exit' TERM; echo begun >> {ons.out}; "
    process = ons.shell("x", text + "while :; do sleep 0.02; done")
    ons.publish("one")
    wait_for(lambda: ons.lines() == ["begun"], "it runs")

    assert process.end(signal.SIGHUP) == 129
    assert ons.lines() == ["begun", "ended"]
    assert ons.seq("x") == 0


def test_two_of_one_name_exclude_each_other(ons: Ons) -> None:
    process = ons.shell("x", "true")
    second = ons.daemon.run("on", "--as", "x", "--", "true")

    assert second.returncode == 1
    assert f"--as x runs already, pid {process.popen.pid}" in second.stderr


def test_without_a_name_it_begins_now_and_keeps_nothing(ons: Ons) -> None:
    ons.publish("before")
    ons.run(
        "-w", 'data.message == "stop"', "--", "sh", "-c",
        f"echo $RTEVENTS_SEQ >> {ons.out}", ready=False,
    )  # fmt: skip

    def ran() -> bool:
        ons.publish("stop")
        return bool(ons.lines())

    wait_for(ran, "it runs")
    assert ons.lines()[0] != "1"
    assert not ons.folder("").exists()


def test_a_daemon_that_restarts_is_waited_for(ons: Ons) -> None:
    process = ons.shell("x", f"echo $RTEVENTS_SEQ >> {ons.out}")
    ons.daemon.stop()
    wait_for(lambda: "reconnecting" in process.text, "it says so")
    ons.daemon.start()
    ons.publish("one")

    wait_for(lambda: ons.lines() == ["1"], "it goes on")
    assert process.text.count("reconnecting") == 1


def test_the_token_is_not_for_the_command(ons: Ons) -> None:
    ons.daemon.env["RTEVENTS_TOKEN"] = "rte_geheim"
    ons.shell("x", f"env > {ons.out}")
    ons.publish("one")
    wait_for(lambda: ons.seq("x") == 1, "it ran")

    assert "geheim" not in ons.out.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "nonesuch"], "no program 'nonesuch'"),
        (["--as", "a/b", "--", "true"], "--as: expected 1 to 64 of A-Z a-z 0-9 . _ -"),
        (["--as", "..", "--", "true"], "--as: expected 1 to 64"),
        (["--batch", "0", "--", "true"], "--batch: expected 1 to 1000"),
        (["--batch", "5/x", "--", "true"], "--batch: expected a duration"),
        (["--replay", "--", "true"], "--replay: what is given up is kept with --as NAME only"),
        (["--since", "last-per-type", "--", "true"], "--since: last-per-type is no place"),
        ([], "missing argument 'CMD...'"),
    ],
)
def test_what_cannot_be_is_misuse(stopped_daemon: Daemon, words: list[str], said: str) -> None:
    done = stopped_daemon.run("on", *words)

    assert done.returncode == 2
    assert said in done.stderr


def test_what_the_filter_hides_is_no_lag(ons: Ons) -> None:
    ons.shell("x", f"echo $RTEVENTS_SEQ >> {ons.out}")
    ons.publish("one")
    wait_for(lambda: ons.seq("x") == 1, "it is done")
    others = [
        Event(type="PROGRESS_UPDATE", data={"done": number, "total": 50}) for number in range(50)
    ]
    with ons.daemon.client() as client:
        client.publish_many(others)

    wait_for(lambda: ons.seq("x") == 51, "its place is past what it does not want")
    [listed] = json.loads(ons.daemon.run("sinks", "--json").stdout)
    assert listed["lag"] == 0
    ons.publish("two")
    wait_for(lambda: ons.lines() == ["1", "52"], "nothing is left out")


def test_names_are_listed_and_forgotten(ons: Ons) -> None:
    process = ons.shell("x", f"echo $RTEVENTS_SEQ >> {ons.out}")
    failing = ons.shell("y", "exit 3")
    ons.publish("one", "two")
    wait_for(lambda: ons.seq("x") == ons.seq("y") == 2, "both are done with it")

    def listed() -> dict[str, dict[str, Any]]:
        found = json.loads(ons.daemon.run("sinks", "--json").stdout)
        return {each["name"]: each for each in found}

    running = listed()["x"]
    assert (running["kind"], running["state"], running["lag"]) == ("on", "running", 0)
    assert running["pid"] == process.popen.pid
    taken = ons.daemon.run("sinks", "forget", "x")
    assert (taken.returncode, "runs already" in taken.stderr) == (1, True)
    process.end()
    failing.end()
    ons.publish("three")
    ended = listed()["x"]
    assert (ended["state"], ended["pid"], ended["lag"]) == ("ended", None, 1)
    assert ended["bookmark"].endswith("-2")
    shown = ons.daemon.run("sinks").stdout
    assert re.search(r"^x  on  not running since [-0-9]+ [0-9:]+, lag 1  [0-9a-f]+-2$", shown, re.M)
    assert ", lag 1, 2 dead  " in shown

    kept = ons.daemon.run("sinks", "forget", "y")
    assert (kept.returncode, "y has 2 dead letters" in kept.stderr) == (1, True)
    assert ons.daemon.run("sinks", "forget", "--force", "y").stdout == "forgot y\n"
    assert ons.daemon.run("sinks", "forget", "x").stdout == "forgot x\n"
    assert listed() == {}
    assert ons.daemon.run("sinks", "forget", "x").returncode == 1
    assert ons.daemon.run("sinks", "forget", "../x").returncode == 1
    ons.shell("x", f"echo again $RTEVENTS_SEQ >> {ons.out}")
    ons.publish("four")
    wait_for(lambda: ons.lines()[-1:] == ["again 4"], "it begins anew")
    assert "again 3" not in ons.lines()


def test_without_a_daemon_it_says_so(stopped_daemon: Daemon) -> None:
    assert stopped_daemon.run("on", "--", "true").returncode == 3


@pytest.mark.parametrize("words", [["on", "--as", "x", "--", "true"], ["trust", "--yes", "."]])
def test_what_comes_before_the_first_daemon_leaves_it_a_closed_folder(
    stopped_daemon: Daemon, words: list[str]
) -> None:
    state = stopped_daemon.home / "state" / "rtevents"
    if state.exists():
        state.rmdir()
    file = stopped_daemon.home / ".rtevents.yaml"
    file.write_text("on: [{name: a, command: {run: [make, docs], cwd: d, env: {A: b c}}}]")
    done = stopped_daemon.run(*words)

    assert "a: everything -> cd d && A='b c' make docs" in done.stdout or done.returncode == 3
    assert state.stat().st_mode & 0o777 == 0o700
