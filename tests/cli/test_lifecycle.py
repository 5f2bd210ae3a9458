"""rtevents serve, stop and status: how a daemon begins, is asked, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.conftest import PATIENCE, Daemon, wait_for


@pytest.fixture
def detached(stopped_daemon: Daemon) -> Iterator[Daemon]:
    """Return a daemon that runs in the background."""
    done = stopped_daemon.run("serve", "--detach", "--no-project")
    assert done.returncode == 0, done.stderr
    yield stopped_daemon
    stopped_daemon.run("stop")


def test_serve_tells_where_it_listens_what_it_watches_and_what_happens(
    stopped_daemon: Daemon,
) -> None:
    root = stopped_daemon.repository()
    process = stopped_daemon.popen("serve", cwd=root / ".git" / "..")
    assert process.stdout
    with process:
        lines = [process.stdout.readline() for _ in range(3)]
        stopped_daemon.run("publish", "risk", "disk\x1bfull", "--severity", "high")
        # The repository's own commit may come first.
        seen = next(line for line in process.stdout if "RISK_ALERT" in line)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)

    assert lines[0] == f"listening on {stopped_daemon.socket}\n"
    assert lines[1].startswith("listening on http://127.0.0.1:")
    assert lines[2] == "watching web\n"
    assert seen.split(maxsplit=2)[1:] == ["-", "RISK_ALERT          high: disk\\x1bfull\n"]
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_no_socket(daemon: Daemon, number: int) -> None:
    assert daemon.stop(number) == 0
    assert not daemon.socket.exists()


def test_a_log_line_is_said_once(daemon: Daemon) -> None:
    daemon.stop()

    (line,) = [line for line in daemon.log.read_text().splitlines() if "stopping" in line]
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("INFO", "rtevents.daemon.run")
    assert told["message"] == "stopping"


def test_a_second_serve_adds_its_project_to_the_first(daemon: Daemon) -> None:
    assert daemon.process
    root = daemon.repository("api")

    done = daemon.run("serve", str(root))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"a daemon is running already, pid {daemon.process.pid}",
        f"it watches api: {root}",
    ]
    assert "api" in daemon.run("project", "list").stdout


def test_two_that_start_at_once_make_one_daemon(stopped_daemon: Daemon) -> None:
    both = [stopped_daemon.popen("serve", "--no-project") for _ in range(2)]
    wait_for(lambda: any(each.poll() is not None for each in both), "one of them ends")
    loser = next(each for each in both if each.poll() is not None)
    winner = next(each for each in both if each is not loser)
    with loser, winner:
        _, said = loser.communicate()
        stopped_daemon.run("stop")
        winner.communicate(timeout=PATIENCE)

    assert loser.returncode in (0, 1)
    assert len(said.splitlines()) <= 1
    assert "Traceback" not in said
    assert winner.returncode == 0


def test_a_detached_daemon_answers_when_serve_returns_and_ends_on_stop(
    stopped_daemon: Daemon,
) -> None:
    started = stopped_daemon.run("serve", "--detach", "--no-project")
    status = json.loads(stopped_daemon.run("status", "--json").stdout)
    stopped = stopped_daemon.run("stop")

    assert started.returncode == 0
    assert started.stdout.splitlines() == [
        f"the daemon runs, pid {status['pid']}, listening on {stopped_daemon.socket}",
        f"and on http://{status['listen']}; "
        f"its log is {stopped_daemon.home}/state/rtevents/daemon.log",
    ]
    assert stopped.stdout == f"the daemon has ended, pid {status['pid']}\n"
    assert stopped_daemon.run("status").returncode == 3


def test_stop_without_a_daemon_exits_with_3(stopped_daemon: Daemon) -> None:
    never = stopped_daemon.run("stop")
    stopped_daemon.start()
    stopped_daemon.stop(signal.SIGKILL)
    killed = stopped_daemon.run("stop")

    assert (never.returncode, never.stderr) == (3, "rtevents: no daemon runs\n")
    assert (killed.returncode, killed.stderr) == (3, "rtevents: no daemon runs\n")


@pytest.mark.parametrize(
    "words", [["serve", "--no-project"], ["serve", "--detach"], ["config", "check"]]
)
def test_a_bad_configuration_exits_with_2_and_its_place(
    stopped_daemon: Daemon, words: list[str]
) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir()
    file.write_text("listen: none\nmax_queu_size: 5\n")

    done = stopped_daemon.run(*words)

    said = f"{file}:2: max_queu_size: unknown setting, did you mean max_queue_size?"
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"rtevents: {said}"
    assert "Traceback" not in done.stderr


def test_a_configuration_that_is_named_must_be_there(stopped_daemon: Daemon) -> None:
    done = stopped_daemon.run("serve", "--no-project", "--config", "nothing.yaml")

    assert done.returncode == 2
    assert done.stderr == f"rtevents: {stopped_daemon.home}/nothing.yaml: no such file\n"


def test_the_named_configuration_is_used_by_a_detached_daemon(stopped_daemon: Daemon) -> None:
    (stopped_daemon.home / "mine.yaml").write_text("store: memory\nlisten: none\n")

    del stopped_daemon.env["RTEVENTS_LISTEN"]
    done = stopped_daemon.run("serve", "--detach", "--no-project", "--config", "mine.yaml")
    status = json.loads(stopped_daemon.run("status", "--json").stdout)
    again = stopped_daemon.run("serve", "--no-project", "--config", "mine.yaml")
    stopped_daemon.run("stop")

    assert done.returncode == 0, done.stderr
    assert (status["store"], status["listen"]) == ("memory", None)
    assert again.stderr == "rtevents: the daemon that runs keeps its own configuration\n"


def test_a_taken_port_is_a_warning_and_the_socket_goes_on(stopped_daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        stopped_daemon.start("--no-project", env={"RTEVENTS_LISTEN": address})

        status = stopped_daemon.run("status")

    said = f"not listening on {address}: "
    log = stopped_daemon.log.read_text()
    assert said in log
    assert log.count(said) == 1
    assert f"http     {said}" in status.stdout
    assert status.returncode == 0


def test_status_tells_people_and_programs_the_same(daemon: Daemon) -> None:
    assert daemon.process
    root = daemon.repository()
    daemon.run("project", "add", str(root))

    found = json.loads(daemon.run("status", "--json").stdout)
    lines = daemon.run("status").stdout.splitlines()

    assert found["pid"] == daemon.process.pid
    assert found["health"]["status"] == "ok"
    assert found["projects"][0]["id"] == "web"
    assert lines[0].startswith(f"ok  rtevents {found['version']}, pid {found['pid']}, up ")
    assert [line.split()[0] for line in lines[1:]] == ["socket", "http", "store", "log", "project"]
    assert f"socket   {daemon.socket}" in lines


def test_an_empty_log_is_said_in_words(daemon: Daemon) -> None:
    found = json.loads(daemon.run("status", "--json").stdout)

    assert f"log      {found['epoch']}, no entries yet" in daemon.run("status").stdout.splitlines()
    assert "no entries yet, 0 (0 B) in memory" in daemon.run("stats", "--once").stdout


def test_without_a_daemon_status_exits_with_3(stopped_daemon: Daemon) -> None:
    done = stopped_daemon.run("status", "--json")

    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_daemon_that_cannot_start_says_why_in_the_foreground(stopped_daemon: Daemon) -> None:
    folder = stopped_daemon.home / "state" / "rtevents"
    folder.mkdir(mode=0o700)
    (folder / "events.db").write_bytes(b"this is no database, but long enough to be read as one")

    here = stopped_daemon.run("serve", "--no-project", "--strict")
    behind = stopped_daemon.run("serve", "--no-project", "--detach", "--strict")

    assert (here.returncode, behind.returncode) == (1, 1)
    assert "events.db" in here.stderr
    assert len(here.stderr.splitlines()) == 1
    assert "events.db" in behind.stderr
    assert len(behind.stderr.splitlines()) == 1


def test_a_folder_that_is_not_there_is_told(daemon: Daemon) -> None:
    done = daemon.run("serve", "nothing")

    assert done.returncode != 0
    assert f"{daemon.home}/nothing" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_detached_daemon_survives_the_end_of_its_terminal(detached: Daemon) -> None:
    pid = json.loads(detached.run("status", "--json").stdout)["pid"]

    assert os.getsid(pid) != os.getsid(0)
    os.kill(pid, 0)  # it is there


def test_serve_is_about_this_machine_whatever_the_url_names(stopped_daemon: Daemon) -> None:
    env = {"RTEVENTS_URL": "http://127.0.0.1:1"}

    done = stopped_daemon.run("serve", "--detach", "--no-project", env=env)

    assert done.returncode == 0, done.stderr
    assert stopped_daemon.run("serve", str(stopped_daemon.home), env=env).returncode == 0
    assert stopped_daemon.run("stop", env=env).returncode == 0


def test_a_folder_that_cannot_be_watched_is_no_reason_why_nothing_listens(
    stopped_daemon: Daemon,
) -> None:
    stopped_daemon.start(str(stopped_daemon.home / "missing"), env={"RTEVENTS_LISTEN": "none"})

    assert "missing: No such file" in stopped_daemon.log.read_text()
    assert "http     none\n" in stopped_daemon.run("status").stdout


def test_a_project_whose_path_leads_round_is_waited_for(stopped_daemon: Daemon) -> None:
    (stopped_daemon.home / "round").symlink_to("round")
    file = stopped_daemon.home / "mine.yaml"
    file.write_text(f"projects:\n  - {{path: {stopped_daemon.home}/round, id: web}}\n")

    stopped_daemon.start("--no-project", "--config", str(file))

    assert "project  web " in stopped_daemon.run("status").stdout
    assert "a bug" not in stopped_daemon.run("doctor").stderr
