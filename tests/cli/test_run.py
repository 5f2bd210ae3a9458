"""rtevents run: a command runs as without us, and the stream tells of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rtevents.core.event import Event
from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

RUN = [sys.executable, "-m", "rtevents", "run"]


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """Return a daemon that is never started: a command runs all the same."""
    home = tmp_path_factory.mktemp("away")
    return Daemon(home)


def told(daemon: Daemon, task_id: str, kind: str = "TASK_UPDATE") -> list[Event]:
    """Return what the log tells of a task."""
    with daemon.client() as client:
        page = client.history(Filter(types=frozenset({kind})), order="desc", limit=100)
        events = [entry.event for entry in page.events[::-1]]
        return [event for event in events if event.data.get("task_id") == task_id]


def run(
    daemon: Daemon, *words: str, given: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command through us."""
    return subprocess.run(
        [*RUN, *words], input=given, env=daemon.env, cwd=cwd or daemon.home, capture_output=True,
        timeout=30, check=False,
    )  # fmt: skip


def start(daemon: Daemon, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start a command through us."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"stdin": subprocess.DEVNULL, **pipes, **more}
    return subprocess.Popen([*RUN, *words], env=daemon.env, cwd=daemon.home, **options)


def test_the_stream_tells_of_the_start_and_of_the_end(shared_daemon: Daemon) -> None:
    script = 'echo out; for i in 1 2 3; do echo "oops $i" >&2; done; exit 3'
    done = run(shared_daemon, "--task", "T-1", "--title", "Try it", "--", "sh", "-c", script)
    started, ended = told(shared_daemon, "T-1")

    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr == b"oops 1\noops 2\noops 3\n"
    assert started.data == {"task_id": "T-1", "status": "running", "title": "Try it"}
    assert ended.data["status"] == "failed"
    assert ended.data["exit_code"] == 3
    assert ended.data["stderr"] == ["oops 1", "oops 2", "oops 3"]
    assert 0 <= ended.data["duration"] < 30
    assert ended.extensions == {
        "correlation_id": started.event_id, "causation_id": started.event_id,
    }  # fmt: skip


def test_the_same_command_is_the_same_task(shared_daemon: Daemon) -> None:
    for code in (1, 0):
        (shared_daemon.home / "code").write_text(str(code))
        assert run(shared_daemon, "--", "sh", "-c", "exit $(cat code)").returncode == code
    with shared_daemon.client() as client:
        page = client.history(Filter(types=frozenset({"TASK_UPDATE"})), order="desc", limit=4)

    assert [each.event.data["status"] for each in page.events[::-1]] == [
        "running", "failed", "running", "done",
    ]  # fmt: skip
    assert len({each.event.data["task_id"] for each in page.events}) == 1
    assert page.events[0].event.data["title"] == "sh -c 'exit $(cat code)'"


def test_progress_is_read_from_the_descriptor(shared_daemon: Daemon) -> None:
    script = (
        'echo "99%"; echo "1/4 first" >&$RTEVENTS_PROGRESS_FD; sleep 0.7; '
        'printf \'{"done":3,"total":4,"unit":"files"}\\n4/4\' >&$RTEVENTS_PROGRESS_FD'
    )
    run(shared_daemon, "--task", "T-2", "--label", "import", "--", "sh", "-c", script)
    found = [each.data for each in told(shared_daemon, "T-2", "PROGRESS_UPDATE")]

    assert (found[0]["done"], found[0]["total"], found[0]["label"]) == (1, 4, "first")
    assert (found[-1]["done"], found[-1]["percent"], found[-1]["label"]) == (4, 100, "import")
    with shared_daemon.client() as client:
        newest = client.history(order="desc", limit=2).events
    assert [entry.type for entry in newest] == ["TASK_UPDATE", "PROGRESS_UPDATE"]
    assert [each.data["status"] for each in told(shared_daemon, "T-2")] == ["running", "done"]


def test_progress_is_read_from_the_output_and_told_now_and_then(shared_daemon: Daemon) -> None:
    script = "for i in $(seq 500); do printf '\\r%d/500 done' $i; done; echo; echo 45% >&2"
    done = run(shared_daemon, "--task", "T-3", "--", "sh", "-c", script)
    found = [each.data for each in told(shared_daemon, "T-3", "PROGRESS_UPDATE")]

    assert done.stdout.endswith(b"\r500/500 done\n")
    assert {each["total"] for each in found} <= {500, 100}
    assert 1 <= len(found) <= 10


def test_progress_of_a_command_that_prints_all_the_time_is_told(shared_daemon: Daemon) -> None:
    seen = shared_daemon.home / "seen"
    script = (
        f"i=0; while [ ! -e {seen} ]; do i=$((i + 1)); echo $i/99999; sleep 0.01; done; "
        "echo end; exec cat"  # and no look at its end
    )
    with start(
        shared_daemon, "--task", "T-55", "--", "sh", "-c", script,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            wait_for(lambda: told(shared_daemon, "T-55", "PROGRESS_UPDATE"), "it is told meanwhile")
        finally:
            seen.touch()
            process.communicate(timeout=30)


def test_a_label_that_is_no_text_hides_no_end(shared_daemon: Daemon) -> None:
    script = 'echo \'{"done":1,"total":2,"label":"a\\udc80"}\' >&$RTEVENTS_PROGRESS_FD; sleep 0.3'
    done = run(shared_daemon, "--task", "T-56", "--", "sh", "-c", script)

    assert done.stderr == b""
    assert [each.data["status"] for each in told(shared_daemon, "T-56")] == ["running", "done"]
    assert [each.data["label"] for each in told(shared_daemon, "T-56", "PROGRESS_UPDATE")] == ["a?"]


def test_progress_is_not_read_where_it_is_not_wanted(shared_daemon: Daemon) -> None:
    script = 'echo "45% ${RTEVENTS_PROGRESS_FD-none}"'
    done = run(shared_daemon, "--task", "T-4", "--progress", "none", "--", "sh", "-c", script)

    assert done.stdout == b"45% none\n"
    assert told(shared_daemon, "T-4", "PROGRESS_UPDATE") == []


def test_it_belongs_to_the_project_around_the_folder(shared_daemon: Daemon) -> None:
    root = shared_daemon.home / "own"
    (root / "src").mkdir(parents=True)
    with shared_daemon.client() as client:
        client.add_project(root, git=False)
        run(shared_daemon, "--task", "T-5", "--", "true", cwd=root / "src")
        run(shared_daemon, "--task", "T-6", "--project", "other", "--", "true", cwd=root)
        client.remove_project("own")

    assert {each.project_id for each in told(shared_daemon, "T-5")} == {"own"}
    assert {each.project_id for each in told(shared_daemon, "T-6")} == {"other"}


def test_a_secret_is_neither_in_the_title_nor_in_the_lines(shared_daemon: Daemon) -> None:
    secret = "ghp_" + "a1B2" * 9
    run(shared_daemon, "--task", "T-7", "--", "sh", "-c", f"echo bad {secret} >&2; echo x >&2")

    assert secret not in json.dumps([each.data for each in told(shared_daemon, "T-7")])
    assert told(shared_daemon, "T-7")[1].data["stderr"][1] == "x"


def test_what_a_terminal_obeys_is_left_out_and_lines_are_bounded(shared_daemon: Daemon) -> None:
    script = (
        "import sys; sys.stderr.write('x' * 9000 + '\\n'); "
        "[sys.stderr.write(f'\\x1b[31mred {i}\\x1b[0m\\x07 a\\rb\\n') for i in range(50)]"
    )
    run(shared_daemon, "--task", "T-8", "--", sys.executable, "-c", script)

    lines = told(shared_daemon, "T-8")[1].data["stderr"]
    assert lines == ["b"] * 10


def test_what_waited_comes_in_order_when_the_daemon_is_back(stopped_daemon: Daemon) -> None:
    done = run(stopped_daemon, "--task", "T-9", "--", "sh", "-c", "exit 4")
    quiet = run(stopped_daemon, "--quiet", "--task", "T-9", "--", "true")
    stopped_daemon.start()
    wait_for(lambda: len(told(stopped_daemon, "T-9")) == 4, "delivered")

    assert done.returncode == 4
    assert b"kept until it can be stored" in done.stderr
    assert (quiet.returncode, quiet.stderr) == (0, b"")
    assert [each.data["status"] for each in told(stopped_daemon, "T-9")] == [
        "running", "failed", "running", "done",
    ]  # fmt: skip


def test_a_daemon_that_hangs_holds_no_command_up(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = run(daemon, "--task", "T-10", "--", "sh", "-c", "date +%s.%N")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    wait_for(lambda: len(told(daemon, "T-10")) == 2, "delivered")

    assert done.returncode == 0
    assert [each.data["status"] for each in told(daemon, "T-10")] == ["running", "done"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0), (["false"], 1), (["sh", "-c", "exit 77"], 77),
        (["sh", "-c", "kill -9 $$"], 137), (["sh", "-c", "kill -TERM $$"], 143),
        (["/no/such"], 127), (["/"], 126),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_commands(away: Daemon, words: list[str], code: int) -> None:
    assert run(away, "-q", "--", *words).returncode == code


@pytest.mark.parametrize("merged", [False, True], ids=["apart", "merged"])
def test_every_byte_passes_unchanged(away: Daemon, merged: bool) -> None:
    data = os.urandom(3_000_000)
    command = ["tee", "/dev/stderr"]
    with start(
        away, "-q", "--", *command, stdin=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    ) as process:  # fmt: skip
        out, err = process.communicate(data, timeout=30)

    if merged:
        assert len(out) == 2 * len(data)
    else:
        assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
        assert hashlib.sha256(err).digest() == hashlib.sha256(data).digest()


def test_what_goes_to_one_place_keeps_its_order(away: Daemon) -> None:
    script = "import os\nfor i in range(3000): os.write(1 + i % 2, b'%d\\n' % i)"
    with start(away, "-q", "--", sys.executable, "-c", script, stderr=subprocess.STDOUT) as process:
        out, _ = process.communicate(timeout=30)

    assert out == b"".join(b"%d\n" % i for i in range(3000))


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_descriptors_are_closed_for_the_command(away: Daemon, closed: str) -> None:
    line = f'"$@" {closed}'
    words = ["sh", "-c", line, "sh", *RUN, "-q", "--", "sh", "-c", "exit 4"]
    done = subprocess.run(words, env=away.env, cwd=away.home, timeout=30, check=False)

    assert done.returncode == 4


def test_a_folder_that_is_gone_keeps_no_command_from_running(away: Daemon) -> None:
    (away.home / "gone").mkdir(exist_ok=True)
    script = 'rmdir ../gone; "$@"'
    words = ["sh", "-c", script, "sh", *RUN, "-q", "--", "sh", "-c", "exit 4"]
    done = subprocess.run(words, env=away.env, cwd=away.home / "gone", timeout=30, check=False)

    assert done.returncode == 4


def test_a_reader_that_ends_ends_the_command(away: Daemon) -> None:
    with start(away, "-q", "--", "yes") as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 128 + signal.SIGPIPE


def test_what_runs_on_in_the_background_holds_nothing_up(away: Daemon) -> None:
    done = run(away, "-q", "--", "sh", "-c", "sleep 20 & echo $!")
    os.kill(int(done.stdout), signal.SIGKILL)

    assert done.returncode == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGQUIT"])
def test_a_signal_is_passed_on(away: Daemon, name: str) -> None:
    number = getattr(signal, name)
    script = f"trap 'echo caught; exit 9' {name[3:]}; echo ready; while :; do sleep 0.05; done"
    with start(away, "-q", "--", "sh", "-c", script, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"caught\n"
        assert process.wait(30) == 9


def test_it_stops_and_goes_on_with_its_command(away: Daemon) -> None:
    with start(away, "-q", "--", "sh", "-c", "echo $$; exec sleep 60", process_group=0) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGTSTP)
        wait_for(lambda: _state(process.pid) == _state(child) == "T", "both are stopped")
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: _state(process.pid) == _state(child) == "S", "both go on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


class Terminal:
    """A terminal in which a command is run through us, and what it shows."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))

        def take() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*RUN, "-q", "--", *words], stdin=theirs, stdout=theirs, stderr=theirs,
            env=daemon.env, cwd=daemon.home, start_new_session=True, preexec_fn=take,
        )  # fmt: skip
        os.close(theirs)
        self.shown = b""

    def until(self, condition: Callable[[bytes], object]) -> None:
        """Read until what is shown is so."""
        deadline = time.monotonic() + 20
        while not condition(self.shown):
            assert time.monotonic() < deadline, self.shown
            with contextlib.suppress(OSError):
                self.shown += os.read(self.ours, 4096)

    def close(self) -> int:
        """Return how the command ended."""
        code = self.process.wait(20)
        os.close(self.ours)
        return code


def test_a_terminal_is_a_terminal_for_the_command(away: Daemon) -> None:
    script = (
        "test -t 0 && test -t 1 && test -t 2 && stty size <&1; printf 'a\\nb\\n'; read x; echo $x"
    )
    terminal = Terminal(away, "sh", "-c", script)
    terminal.until(lambda shown: b"b\r\n" in shown)
    os.write(terminal.ours, b"hello\n")
    terminal.until(lambda shown: shown.count(b"hello") == 2)

    assert b"33 99\r\na\r\nb\r\n" in terminal.shown
    assert b"\r\r" not in terminal.shown
    assert terminal.close() == 0


def test_ctrl_c_reaches_the_command_once(away: Daemon) -> None:
    script = (
        "import signal, time\nseen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "print('ready', flush=True)\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3); print('seen', len(seen)); raise SystemExit(5)"
    )
    terminal = Terminal(away, sys.executable, "-c", script)
    terminal.until(lambda shown: b"ready" in shown)
    os.write(terminal.ours, b"\x03")
    terminal.until(lambda shown: b"seen " in shown and shown.endswith(b"\n"))

    assert b"seen 1" in terminal.shown
    assert terminal.close() == 5


def test_a_terminal_that_is_resized_is_resized_for_the_command(away: Daemon) -> None:
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(1), flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()"
    )
    terminal = Terminal(away, sys.executable, "-c", script)
    terminal.until(lambda shown: b"ready" in shown)
    fcntl.ioctl(terminal.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 55, 0, 0))
    terminal.until(lambda shown: b"columns=55, lines=11" in shown)
    os.write(terminal.ours, b"\x03")

    assert terminal.close() == 130


def test_a_command_that_inherits_has_our_output_itself(away: Daemon) -> None:
    file = away.home / "out"
    for words, is_ours in ((["--inherit"], True), ([], False)):
        with file.open("wb") as out:
            process = start(away, "-q", *words, "--", "readlink", "/proc/self/fd/1", stdout=out)
            _, said = process.communicate(timeout=30)

        assert (process.returncode, said) == (0, b"")
        assert (file.read_text() == f"{file.resolve()}\n") == is_ours


def test_inherited_descriptors_and_the_environment_are_the_commands(away: Daemon) -> None:
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    script = f'echo hello >&{theirs}; echo "$RTEVENTS_TASK_ID"; echo 1/2 >&$RTEVENTS_PROGRESS_FD'
    words: Sequence[str] = ("-q", "--task", "T-1", "--", "bash", "-c", script)
    with start(away, *words, close_fds=False, pass_fds=()) as process:
        out, _ = process.communicate(timeout=30)
    os.close(theirs)

    assert os.read(ours, 100) == b"hello\n"
    assert out == b"T-1\n"
    os.close(ours)
