"""A log that goes into a backup, out of it, or out of what is left of it: F42 and F7."""

from __future__ import annotations

import json
import os
import pty
import random
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rtevents.core.event import Entry, Gap
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import History, everything
from tests.faults.test_damage import corrupted, epoch, fill, hurt, kill, resume
from tests.faults.test_disk import database, publish


def entries(daemon: Daemon) -> list[Entry]:
    """Return its log."""
    with daemon.client() as client:
        return everything(client)


def restore(daemon: Daemon, copy: Path) -> None:
    """Put a copy in the place of the log of a daemon that does not run."""
    file = database(daemon)
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_bytes(copy.read_bytes())


@pytest.fixture
def other(home: Path) -> Path:
    """Return the home of another daemon."""
    folder = home / "other"
    folder.mkdir()
    return folder


def test_a_backup_under_load_is_restored_elsewhere_whole(daemon: Daemon, other: Path) -> None:
    """F42: it holds all that was acknowledged before, in order, and nobody was kept waiting."""
    copy = daemon.home / "copy.db"
    with History(daemon, publishers=4, size=500) as history:
        wait_for(lambda: len(history.acknowledged) > 200, "they publish")
        before = dict(history.acknowledged)
        done = daemon.run("backup", str(copy), "--json")
        after = len(history.acknowledged)
        wait_for(lambda: len(history.acknowledged) > after + 50, "they go on")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["first"] == 1
    assert told["entries"] == told["last"]
    assert told["damaged"] == 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert history.refused == {}
    log = history.check()
    elsewhere = Daemon(other)
    restore(elsewhere, copy)
    elsewhere.start("--no-project")
    try:
        restored = entries(elsewhere)
        assert [entry.wire for entry in restored] == [entry.wire for entry in log[: len(restored)]]
        assert before.items() <= {entry.event_id: entry.seq for entry in restored}.items()
        assert epoch(elsewhere) != epoch(daemon)
        assert publish(elsewhere, "goes on") == len(restored) + 1
    finally:
        elsewhere.stop()


def test_a_log_that_went_back_to_a_backup_tells_its_readers(daemon: Daemon) -> None:
    """F42: who has seen what is no more is told first, and then gets all that is kept."""
    fill(daemon, 10)
    copy = daemon.home / "copy.db"
    assert daemon.run("backup", str(copy)).returncode == 0
    fill(daemon, 10)
    publish(daemon, "lost")
    with daemon.client() as client:
        bookmark = str(client.status()["bookmark"])
    daemon.stop()
    restore(daemon, copy)

    daemon.start("--no-project")

    gap, *rest = resume(daemon, bookmark)
    assert isinstance(gap, Gap)
    assert gap.reason == "other-epoch"
    assert [e.event_id for e in rest if isinstance(e, Entry)][:10] == [
        f"e{n}" for n in range(1, 11)
    ]


def test_a_backup_needs_no_daemon_not_even_after_a_crash(daemon: Daemon) -> None:
    """F42: what is in the WAL alone is copied too."""
    fill(daemon, 30)
    kill(daemon)
    copy = daemon.home / "copy.db"

    done = daemon.run("backup", str(copy))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 entries (1 to 30), ")
    daemon.start("--no-project")
    assert len(entries(daemon)) == 30


@pytest.mark.parametrize("size", [0, 1000])
def test_a_look_at_an_emptied_log_leaves_what_its_wal_holds(daemon: Daemon, size: int) -> None:
    """F7, P1: neither doctor nor backup opens it, for SQLite would delete the WAL."""
    fill(daemon, 50)
    kill(daemon)
    file = database(daemon)
    os.truncate(file, size)
    wal = file.with_name("events.db-wal")
    held = wal.read_bytes()

    examined = daemon.run("doctor")
    copied = daemon.run("backup", str(daemon.home / "copy.db"))

    assert wal.read_bytes() == held
    assert (examined.returncode, copied.returncode) == (1, 1)
    [line] = [line for line in examined.stdout.splitlines() if str(file) in line][:1]
    assert line.startswith("problem")
    if not size:
        assert f"{file}: empty, but its write-ahead log holds {len(held)} bytes" in line
    assert f"rtevents doctor --recover {file}" in examined.stdout
    assert f"rtevents doctor --recover {file}" in copied.stderr
    found = daemon.run("doctor", "--recover", str(file))
    assert len(found.stdout.splitlines()) == 50
    daemon.start("--no-project")
    [aside] = corrupted(file)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == held
    assert publish(daemon, "goes on") == 52


def test_a_backup_replaces_nothing_that_was_not_meant(daemon: Daemon) -> None:
    """F42: exit 1 and a line that says what to do; not the log itself either."""
    fill(daemon, 3)
    copy = daemon.home / "copy.db"
    copy.write_text("precious")

    refused = daemon.run("backup", str(copy))
    forced = daemon.run("backup", str(copy), "--force")
    itself = daemon.run("backup", str(database(daemon)), "--force")
    output = [daemon.run("backup", "-"), daemon.run("doctor", "--recover", "x", "--into", "-")]

    assert [done.returncode for done in output] == [2, 2]
    assert all("not an output; name one" in done.stderr for done in output)
    assert not (daemon.home / "-").exists()
    assert (refused.returncode, forced.returncode, itself.returncode) == (1, 0, 1)
    assert len(refused.stderr.splitlines()) == 1
    assert "--force" in refused.stderr
    assert "the log itself" in itself.stderr
    assert copy.read_bytes().startswith(b"SQLite format 3\0")
    assert publish(daemon, "goes on") == 4


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("point", ["pwrite64:signal=SIGKILL:when=5", "fsync:signal=SIGKILL"])
def test_a_backup_that_is_killed_leaves_nothing_that_looks_like_one(
    daemon: Daemon, point: str
) -> None:
    """F42: the copy is in its place when it is whole and synced, not before."""
    fill(daemon, 100, size=2000)
    copy = daemon.home / "copy.db"
    quiet = ["strace", "-qq", "-f", "-o", os.devnull, "-e", f"trace={point.partition(':')[0]}"]
    command = [sys.executable, "-m", "rtevents", "backup", str(copy)]

    done = subprocess.run(
        [*quiet, "-e", f"inject={point}", *command],
        env=daemon.env,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == -signal.SIGKILL
    assert not copy.exists()
    assert daemon.run("backup", str(copy)).returncode == 0


def test_a_person_sees_how_far_a_backup_is(daemon: Daemon) -> None:
    """F42: on a terminal, and nowhere else."""
    fill(daemon, 50, size=2000)
    copy = daemon.home / "copy.db"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rtevents", "backup", str(copy)],
        env=daemon.env,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as copying:
        os.close(theirs)
        out, _ = copying.communicate(timeout=PATIENCE)
    said = os.read(ours, 10_000)
    os.close(ours)

    assert b"100% copied" in said
    assert b"50 entries" in out
    assert daemon.run("backup", str(copy), "--force").stderr == ""


@pytest.mark.parametrize("fault", ["garbage", "truncated", "page"])
def test_doctor_recovers_what_can_be_read_of_a_quarantined_log(
    stopped_daemon: Daemon, fault: str
) -> None:
    """F7: as NDJSON, exactly as it was, and it says how many of how many."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 300, size=1000)
    before = {entry.seq: entry.wire.decode() for entry in entries(daemon)}
    daemon.stop()
    file = database(daemon)
    hurt(file, fault)
    daemon.start("--no-project")
    [aside] = corrupted(file)

    done = daemon.run("doctor", "--recover", str(aside))

    lines = done.stdout.splitlines()
    found = {json.loads(line)["seq"]: line for line in lines}
    assert found.items() <= before.items()
    assert list(found) == sorted(found)
    least, most = {"garbage": (0, 0), "truncated": (100, 250), "page": (280, 300)}[fault]
    assert least <= len(found) <= most
    assert f"{len(found)} of 300 entries (1 to 300) are recovered" in done.stderr
    assert done.returncode == (0 if found else 1)
    told = daemon.run("doctor").stdout
    assert f"rtevents doctor --recover {aside}" in told


def test_doctor_makes_a_new_log_of_a_damaged_one(daemon: Daemon) -> None:
    """F7: with the seqs that they had; a daemon goes on with it."""
    fill(daemon, 300, size=1000)
    before = {entry.seq: entry.wire for entry in entries(daemon)}
    daemon.stop()
    file = database(daemon)
    with file.open("r+b") as opened:
        opened.seek(8192 * 10)
        opened.write(random.randbytes(8192 * 5))
    new = daemon.home / "new.db"

    done = daemon.run("doctor", "--recover", str(file), "--into", str(new))
    again = daemon.run("doctor", "--recover", str(file), "--into", str(new))

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].endswith("there is a file already; name another")
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    restore(daemon, new)
    daemon.start("--no-project")
    kept = {e.seq: e.wire for e in entries(daemon) if e.type == "RISK_ALERT"}
    assert 200 < len(kept) < 300
    assert kept.items() <= before.items()
    assert f"{len(kept)} of 300 entries" in done.stderr
    assert publish(daemon, "goes on") > 300 - 50


def test_doctor_says_so_when_there_is_nothing_to_recover(stopped_daemon: Daemon) -> None:
    """F7: exit 1 and one line; misuse is exit 2."""
    daemon = stopped_daemon
    noise = daemon.home / "noise"
    noise.write_bytes(random.randbytes(100_000))

    nothing = daemon.run("doctor", "--recover", str(noise))
    missing = daemon.run("doctor", "--recover", str(daemon.home / "nowhere"))
    misuse = daemon.run("doctor", "--into", str(noise))

    assert (nothing.returncode, missing.returncode, misuse.returncode) == (1, 1, 2)
    assert "there are no entries in it" in nothing.stderr
    assert "no such file" in missing.stderr
    assert all(len(done.stderr.splitlines()) == 1 for done in (nothing, missing, misuse))


def test_a_log_in_memory_has_no_file_to_copy(stopped_daemon: Daemon) -> None:
    """F42: it is said, rather than that an old file is copied."""
    daemon = stopped_daemon
    daemon.start("--no-project", env={"RTEVENTS_STORE": "memory"})

    done = daemon.run("backup", str(daemon.home / "copy.db"))

    assert done.returncode == 1
    assert "the daemon keeps its log in memory" in done.stderr
