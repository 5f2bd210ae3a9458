"""What a disk does to those who keep something on it: F5, F6, F9 and F10."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from rtevents.client.sync import Client
from rtevents.errors import Unavailable
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import History, everything, risk
from tests.security.attacker import Caller

NOTICED = 2.0 + 1.0
"""Seconds within which trouble is seen, and one for a machine that has other things to do."""


def database(daemon: Daemon) -> Path:
    """Return the database's file."""
    return daemon.home / "state" / "rtevents" / "events.db"


def health(daemon: Daemon) -> tuple[str, str]:
    """Return the daemon's verdict on itself, and its first reason."""
    with daemon.client() as client:
        told = client.status()["health"]
    return told["status"], next(iter(told["reasons"]), "")


def publish(daemon: Daemon, text: str) -> int:
    """Publish once, and return the seq."""
    with Client(daemon.socket, retry_for=0) as client:
        return client.publish(risk(text)).seq


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=10",
        "fdatasync:error=EIO:when=40..47",
        "fdatasync:error=EIO:when=10+5",
        "pwrite64:error=EIO:when=40+20",
        "pwrite64:error=ENOSPC:when=60..90",
    ],
)
def test_what_could_not_be_synced_is_refused_and_stays_so(
    stopped_daemon: Daemon, fault: str
) -> None:
    """F5: a failed write or sync is a 503; that event is not there, nor after a crash."""
    daemon = stopped_daemon
    daemon.start()  # the database is made
    daemon.stop()
    call, _, _ = fault.partition(":")
    quiet = ["strace", "-qq", "-f", "-o", os.devnull, "-e", f"trace={call}"]
    daemon.start(through=[*quiet, "-e", f"inject={fault}"])

    with History(daemon, publishers=3) as history:
        wait_for(lambda: len(history.acknowledged) > 200 and history.refused, "some fail, some not")

    assert all("the disk failed" in why or "no room" in why for why in history.refused.values())
    history.check()
    assert daemon.process is not None
    subprocess.run(["pkill", "-KILL", "-P", str(daemon.process.pid)], check=True)
    daemon.process.wait(PATIENCE)
    daemon.start()
    history.check()


@pytest.fixture
def small_disk(stopped_daemon: Daemon) -> Iterator[Path]:
    """Mount a disk of 12 MiB where the daemon's state is to be."""
    folder = database(stopped_daemon).parent
    folder.mkdir(mode=0o700)
    if said := mount(folder, "size=12m,mode=700"):
        pytest.skip(f"a disk cannot be mounted here: {said}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, options: str) -> str:
    """Mount a disk in memory, or change it; return why that failed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


def test_a_full_disk_refuses_with_the_reason_and_goes_on_by_itself_when_there_is_room(
    stopped_daemon: Daemon, small_disk: Path
) -> None:
    """F6: reads go on, the health says why, and nothing that was acknowledged is lost."""
    daemon = stopped_daemon
    daemon.start()
    with History(daemon, publishers=3, size=20_000) as history:
        wait_for(lambda: len(history.refused) > 20, "the disk is full")

    assert all("no room left on the disk" in why for why in history.refused.values())
    wait_for(lambda: health(daemon)[0] == "failed", "that is seen", NOTICED)
    assert "no room left on the disk" in health(daemon)[1]
    assert daemon.run("tail", "-n", "3", "-T").returncode == 0
    assert daemon.run("stats").returncode == 0
    with daemon.client() as client:
        counted = client.stats()["events"]["refused"]
    assert counted >= len(history.refused)
    history.check()
    assert mount(small_disk, "remount,size=40m") == ""
    # Nobody publishes: whoever obeys the readiness never would.
    wait_for(lambda: health(daemon)[0] != "failed", "there is room", NOTICED)
    assert publish(daemon, "again") == len(history.acknowledged) + 1


def test_on_a_full_disk_nothing_is_half_done(stopped_daemon: Daemon, small_disk: Path) -> None:
    """F6: what cannot be kept is refused with the reason, and is as before, also afterwards."""
    daemon = stopped_daemon
    daemon.start()
    web, api = daemon.repository("web"), daemon.repository("api")
    daemon.run("project", "add", str(web))
    with daemon.client() as client:
        kept = client.create_token("viewer")
    with (small_disk / "full").open("wb") as full, suppress(OSError):
        while True:
            full.write(bytes(65536))
            full.flush()

    for command in (
        ["token", "create", "--role", "viewer"], ["token", "revoke", str(kept["id"])],
        ["types", "add", "DEPLOY"], ["project", "add", str(api)], ["project", "remove", "web"],
    ):  # fmt: skip
        done = daemon.run(*command)
        assert done.returncode == 1, done.stdout
        assert "no space left on device" in done.stderr.lower()

    def state() -> tuple[list[str], list[str], bool]:
        with daemon.client() as client:
            return (
                [each["id"] for each in client.tokens()],
                [each["id"] for each in client.projects()],
                "DEPLOY" in [each["name"] for each in client.types()],
            )

    assert state() == ([kept["id"]], ["web"], False)
    assert Caller(daemon, kept["token"]).get("/v1/events").status == 200
    daemon.stop(signal.SIGKILL)
    (small_disk / "full").unlink()
    daemon.start()
    assert state() == ([kept["id"]], ["web"], False)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the database's lock, as another process would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


def test_a_lock_of_another_process_refuses_appends_and_holds_up_nobody_else(
    daemon: Daemon,
) -> None:
    """F9: publishers wait for the lock's time, then get a 503; reads never wait."""
    publish(daemon, "before")
    longest = 0.0
    with locked(database(daemon)):
        refusals: list[str] = []

        def be_refused() -> None:
            try:
                publish(daemon, "refused")
            except Unavailable as error:
                refusals.append(str(error))

        publishing = threading.Thread(target=be_refused)
        since = time.monotonic()
        publishing.start()
        while publishing.is_alive():
            begun = time.monotonic()
            with daemon.client() as client:
                assert len(everything(client)) == 1
            longest = max(longest, time.monotonic() - begun)
        waited = time.monotonic() - since
        wait_for(lambda: health(daemon)[0] == "failed", "the health tells it")

    assert refusals == ["events.db: locked by another process (database is locked)"]
    assert waited > 1.9
    # The lock's time is two seconds: whoever had waited for it would have taken as long.
    assert longest < 1.5
    wait_for(lambda: health(daemon) == ("ok", ""), "the lock is gone", NOTICED)
    assert publish(daemon, "after") == 2
    with daemon.client() as client:
        told = [entry.event.data.get("message") for entry in everything(client)]
    assert told == ["before", "after"]


UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
"""What runs a command as a user whom modes hold up: root may do everything."""


PUBLISH = """
import sys
from rtevents.client.sync import Client
from rtevents.core.event import Event
from rtevents.errors import Unavailable
event = Event(type="RISK_ALERT", data={"severity": "low", "message": "x"})
try:
    Client(sys.argv[1], retry_for=0).publish(event)
except Unavailable as error:
    sys.exit(str(error))
"""
"""Publishes once, where the command would try again for ten seconds."""


def is_held_up(daemon: Daemon) -> bool:
    """Tell whether a daemon can be run as another user here."""
    command = [*UNPRIVILEGED, sys.executable, "-c", "import rtevents.daemon"]
    try:
        done = subprocess.run(command, env=daemon.env, cwd="/", capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def test_a_folder_that_becomes_read_only_is_noticed_by_itself(stopped_daemon: Daemon) -> None:
    """F10: within two seconds, with the reason; and it goes on when the mode is back."""
    daemon = stopped_daemon
    if os.geteuid() != 0:
        through = []
    elif is_held_up(daemon):
        through = UNPRIVILEGED
        for place in (daemon.home, *daemon.home.rglob("*")):
            os.chown(place, 65534, 65534)
    else:
        pytest.skip("no unprivileged user can run a daemon here")
    daemon.start("--no-project", through=through)
    # Who publishes must be the same user, for whom the socket is.
    command = [*through, sys.executable, "-c", PUBLISH, str(daemon.socket)]

    def try_to_publish() -> tuple[int, str]:
        done = subprocess.run(
            command, env=daemon.env, cwd=daemon.home, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    assert try_to_publish() == (0, "")
    folder = database(daemon).parent
    folder.chmod(0o500)
    wait_for(lambda: health(daemon)[0] == "failed", "it is noticed", NOTICED)
    reason = "events.db: its folder cannot be written"
    assert health(daemon)[1] == f"events cannot be stored: {reason}"
    code, said = try_to_publish()
    assert code != 0
    assert reason in said
    folder.chmod(0o700)
    wait_for(lambda: health(daemon)[0] != "failed", "it can be written again", NOTICED)
    assert try_to_publish() == (0, "")


@pytest.mark.parametrize("fault", ["removed", "replaced"])
def test_a_database_that_is_gone_is_noticed_by_itself(daemon: Daemon, fault: str) -> None:
    """F10: within two seconds; what went on into a file without a name would be lost."""
    publish(daemon, "before")
    file = database(daemon)
    aside = file.with_name("aside")
    if fault == "replaced":
        shutil.copy(file, aside)
        file.rename(file.with_name("old"))
        aside.rename(file)
        reason = "another file is in its place"
    else:
        file.rename(file.with_name("old"))
        reason = "no such file or directory"

    wait_for(lambda: health(daemon)[0] == "failed", "it is noticed", NOTICED)
    assert health(daemon)[1] == f"events cannot be stored: events.db: {reason}"
    with pytest.raises(Unavailable, match=reason):
        publish(daemon, "lost")
    with suppress(FileNotFoundError):
        file.rename(aside)
    file.with_name("old").rename(file)
    wait_for(lambda: health(daemon) == ("ok", ""), "it is back", NOTICED)
    assert publish(daemon, "after") == 2
