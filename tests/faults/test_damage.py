"""What is on disk is not what was written: F4, F7 and F8."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from rtevents import __version__
from rtevents.client.sync import Client
from rtevents.core.event import Entry, Gap
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import History, Subscriber, everything, risk
from tests.faults.test_disk import NOTICED, database, health, publish


def fill(daemon: Daemon, count: int, *, size: int = 0) -> None:
    """Publish so many events, each for itself."""
    with Client(daemon.socket) as client:
        for number in range(1, count + 1):
            client.publish(risk(f"number {number} {'x' * size}", event_id=f"e{number}"))


def kill(daemon: Daemon) -> None:
    """End it as a crash does."""
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait(PATIENCE)


def epoch(daemon: Daemon) -> str:
    """Return the name of its log."""
    with daemon.client() as client:
        return str(client.status()["bookmark"]).partition("-")[0]


def resume(daemon: Daemon, bookmark: str) -> list[Entry | Gap]:
    """Return what a reader gets that comes back with its bookmark, up to the log's end."""
    found: list[Entry | Gap] = []
    with daemon.client() as client:
        last = everything(client)[-1:]
        for item in client.stream(since=bookmark):
            found.append(item)
            if [item] == last:
                return found
    raise AssertionError("the stream ended")


def kept(entries: list[Entry]) -> list[str]:
    """Return the ids of what was published."""
    return [entry.event_id for entry in entries if entry.type == "RISK_ALERT"]


def told(daemon: Daemon, event: str) -> list[Entry]:
    """Return what the daemon told of itself in the stream, under that name."""
    with daemon.client() as client:
        return [
            entry
            for entry in everything(client)
            if entry.type == "SYSTEM_STATUS" and entry.event.data.get("event") == event
        ]


def corrupted(file: Path) -> list[Path]:
    """Return what was put aside, without the files that belong to it."""
    names = file.parent.glob("events.db.corrupt-*Z")
    return sorted(names)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_wal_that_lost_its_end_keeps_what_is_before_and_tells_the_rest(
    stopped_daemon: Daemon, damage: str
) -> None:
    """F4: the loss is told at once, even of the last second, and no seq is given twice."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    name = epoch(daemon)
    fill(daemon, 20)
    kill(daemon)
    wal = database(daemon).with_name("events.db-wal")
    size = wal.stat().st_size
    place = random.randrange(size // 2, size)
    print(f"place {place}")  # noqa: T201 - to repeat a failure
    if damage == "cut":
        os.truncate(wal, place)
    else:
        with wal.open("r+b") as opened:
            opened.seek(place)
            [byte] = opened.read(1)
            opened.seek(place)
            opened.write(bytes([byte ^ 1]))

    daemon.start("--no-project")

    wait_for(lambda: told(daemon, "store.lost"), "it is told in the stream")
    with daemon.client() as client:
        found = everything(client)
    ids = kept(found)
    assert ids == [f"e{n}" for n in range(1, len(ids) + 1)]
    assert len(ids) < 20
    assert epoch(daemon) != name
    assert health(daemon)[0] == "degraded"
    assert "are lost" in health(daemon)[1]
    gap, *rest = resume(daemon, f"{name}-20")
    assert isinstance(gap, Gap)
    assert gap.reason == "other-epoch"
    assert rest == found


def test_a_payload_that_changed_on_disk_is_served_as_corrupt(stopped_daemon: Daemon) -> None:
    """F4: live, replayed and in the history; the stream goes on, and the health tells it."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 9)
    daemon.stop()
    file = database(daemon)
    content = file.read_bytes()
    assert b"number 5 " in content
    file.write_bytes(content.replace(b"number 5 ", b"number 7 "))

    daemon.start("--no-project")

    wait_for(lambda: told(daemon, "store.corrupt"), "it is told in the stream")
    with daemon.client() as client:
        found = everything(client)
    assert kept(found) == [f"e{n}" for n in range(1, 10)]
    assert [entry.seq for entry in found if entry.is_corrupt] == [5]
    wire = msgspec.json.decode(found[4].wire)
    assert (wire["corrupt"], wire["data"], wire["event_id"]) == (True, {}, "e5")
    assert resume(daemon, f"{epoch(daemon)}-4") == found[4:]
    assert health(daemon)[0] == "degraded"
    assert "entry 5 is damaged" in health(daemon)[1]
    shown = daemon.run("history", "--limit", "20", "-o", "pretty").stdout.splitlines()
    assert sum("damaged on the disk" in line for line in shown) == 1
    tailed = daemon.run("tail", "--since", "all", "-T").stdout.splitlines()
    assert sum('"corrupt":true' in line for line in tailed) == 1
    assert publish(daemon, "after") == len(found) + 1


def test_a_page_that_changed_on_disk_is_never_served_as_good(stopped_daemon: Daemon) -> None:
    """F4: whichever bit of the database flips, each entry is as it was, corrupt or in a gap."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 60, size=300)
    with daemon.client() as client:
        before = {entry.seq: entry.wire for entry in everything(client)}
    name = epoch(daemon)
    daemon.stop()
    file = database(daemon)
    saved = {each: each.read_bytes() for each in file.parent.iterdir() if each.is_file()}
    chance = random.Random()
    for _ in range(6):
        place = chance.randrange(100, len(saved[file]))
        bit = 1 << chance.randrange(8)
        print(f"place {place}, bit {bit}")  # noqa: T201 - to repeat a failure
        for each in file.parent.iterdir():
            if each.is_file():
                each.unlink()
        for each, content in saved.items():
            each.write_bytes(content)
            each.chmod(0o600)
        flipped = bytearray(saved[file])
        flipped[place] ^= bit
        file.write_bytes(flipped)
        daemon.start("--no-project")

        with daemon.client() as client:
            found = [e for e in everything(client) if e.seq in before and e.type != "SYSTEM_STATUS"]
        good = {entry.seq: entry.wire for entry in found if not entry.is_corrupt}
        assert good.items() <= before.items()
        if len(found) < len(before):
            assert epoch(daemon) != name
        daemon.stop()


def hurt(file: Path, fault: str) -> None:
    """Damage a database."""
    size = file.stat().st_size
    match fault:
        case "garbage":
            file.write_bytes(random.randbytes(size))
        case "truncated":
            os.truncate(file, size // 2)
        case "one byte" | "one page":
            os.truncate(file, 1 if fault == "one byte" else 8192)
        case "page":
            with file.open("r+b") as opened:
                opened.seek(8192 * (size // 8192 // 2))
                opened.write(random.randbytes(8192))


@pytest.mark.parametrize("fault", ["garbage", "truncated", "one byte", "one page", "page"])
def test_a_damaged_database_is_put_aside_and_a_new_log_begins(
    stopped_daemon: Daemon, fault: str
) -> None:
    """F7: with another name, behind the last seq; told in the stream, the health and the log."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    name = epoch(daemon)
    fill(daemon, 100, size=1000)
    daemon.stop()
    file = database(daemon)
    hurt(file, fault)
    damaged = file.read_bytes()

    daemon.start("--no-project")

    [aside] = corrupted(file)
    assert aside.read_bytes() == damaged
    assert epoch(daemon) != name
    wait_for(lambda: told(daemon, "store.quarantined"), "it is told in the stream")
    [entry] = told(daemon, "store.quarantined")
    assert entry.event.data["status"] == "degraded"
    assert aside.name in entry.event.data["reasons"][0]
    assert str(file.parent) not in entry.event.data["reasons"][0]
    assert entry.seq == 101
    status, reason = health(daemon)
    assert (status, aside.name in reason) == ("degraded", True)
    advice = f"rtevents doctor --recover {aside}"
    wait_for(lambda: advice in daemon.log.read_text(), "the log tells what to do")
    gap, *rest = resume(daemon, f"{name}-100")
    assert isinstance(gap, Gap)
    assert (gap.before, gap.reason) == (101, "other-epoch")
    assert rest == [entry]
    assert publish(daemon, "after") == 102


@pytest.mark.parametrize("fault", ["garbage", "truncated", "page"])
def test_strict_refuses_a_damaged_database_and_leaves_it(
    stopped_daemon: Daemon, fault: str
) -> None:
    """F7: exit 1 and one line that says what to do; not a byte is changed."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 100, size=1000)
    daemon.stop()
    file = database(daemon)
    hurt(file, fault)
    damaged = file.read_bytes()

    done = daemon.run("serve", "--no-project", "--strict")

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"rtevents: {file}: ")
    assert line.endswith("start it without --strict to put it aside and begin a new log")
    assert file.read_bytes() == damaged
    assert corrupted(file) == []


def overwrite(file: Path) -> None:
    """Write over what a database holds while it is open, but for its first pages."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(8192 * 5)
        opened.write(random.randbytes(size - 8192 * 5))
    # A commit that touches the first page only: nobody goes on with what its cache holds.
    with closing(sqlite3.connect(file)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version}")


def test_damage_while_it_runs_is_put_aside_and_nobody_is_kept_waiting(
    stopped_daemon: Daemon,
) -> None:
    """F7: what is published goes on, a live reader misses nothing, a late one is told."""
    daemon = stopped_daemon
    # So that who comes late reads from the disk.
    daemon.start("--no-project", env={"RTEVENTS_EVENT_RETENTION": "10"})
    name = epoch(daemon)
    fill(daemon, 300, size=1000)
    live = Subscriber(daemon, since="new")
    live.start()
    wait_for(lambda: live.epochs, "it follows")
    file = database(daemon)
    with History(daemon, publishers=2) as history:
        wait_for(lambda: len(history.acknowledged) > 20, "they publish")
        overwrite(file)
        with daemon.client() as client:
            client.history(limit=50)
        wait_for(lambda: corrupted(file), "it is put aside")
        before = len(history.acknowledged)
        wait_for(lambda: len(history.acknowledged) > before + 20, "they go on")

    assert history.refused == {}
    wait_for(lambda: told(daemon, "store.quarantined"), "it is told in the stream")
    assert epoch(daemon) != name
    assert "store.quarantined" in health(daemon)[1]
    with daemon.client() as client:
        log = everything(client)
    wait_for(lambda: live.entries[-1:] == log[-1:], "everything is delivered")
    assert live.failure is None
    assert live.gaps == []
    seqs = [entry.seq for entry in live.entries]
    assert seqs == list(range(301, 301 + len(seqs)))
    acknowledged = history.acknowledged
    delivered = {entry.event_id: entry.seq for entry in live.entries}
    assert acknowledged.items() <= delivered.items()
    gap, *rest = resume(daemon, f"{name}-5")
    assert isinstance(gap, Gap)
    assert gap.reason == "other-epoch"
    assert rest == log
    daemon.stop()
    daemon.start("--no-project")
    with daemon.client() as client:
        assert everything(client) == log


@pytest.mark.parametrize("size", [0, 1, 8192])
def test_a_database_that_is_cut_while_it_runs_takes_no_more(
    stopped_daemon: Daemon, size: int
) -> None:
    """F7: it is noticed within two seconds by itself; what is stored then is there for good."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 50)
    daemon.stop()
    daemon.start("--no-project")
    name = epoch(daemon)
    assert publish(daemon, "one more") == 51
    os.truncate(database(daemon), size)

    wait_for(lambda: epoch(daemon) != name, "it is noticed", NOTICED)
    wait_for(lambda: told(daemon, "store.quarantined"), "it is told in the stream")
    assert health(daemon)[0] == "degraded"
    assert len(corrupted(database(daemon))) == 1
    after = publish(daemon, "after")
    kill(daemon)
    daemon.start("--no-project")

    with daemon.client() as client:
        assert after in [entry.seq for entry in everything(client) if entry.type == "RISK_ALERT"]
    gap, *_ = resume(daemon, f"{name}-51")
    assert isinstance(gap, Gap)


def test_strict_refuses_what_comes_when_it_finds_damage_while_it_runs(
    stopped_daemon: Daemon,
) -> None:
    """F7: nothing is put aside, nothing more is accepted, and the health says why."""
    daemon = stopped_daemon
    daemon.start("--no-project", "--strict", env={"RTEVENTS_EVENT_RETENTION": "10"})
    fill(daemon, 300, size=1000)
    file = database(daemon)
    overwrite(file)

    done = daemon.run("history", "--limit", "50")

    assert done.returncode == 1
    assert "events.db: damaged" in done.stderr
    wait_for(lambda: health(daemon)[0] == "failed", "it is seen")
    assert "damaged" in health(daemon)[1]
    refused = daemon.run("publish", "risk", "refused", "--severity", "low")
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert corrupted(file) == []


def test_a_database_of_a_newer_release_is_refused_untouched(stopped_daemon: Daemon) -> None:
    """F8: exit 1, and both versions are named."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 3)
    daemon.stop()
    file = database(daemon)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 9")
        db.execute("UPDATE meta SET value = '7.3.1' WHERE name = 'version'")
        db.commit()
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    names = sorted(each.name for each in file.parent.iterdir())

    done = daemon.run("serve", "--no-project")

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "made by rtevents 7.3.1 (schema 9)" in line
    assert f"this is {__version__}" in line
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert sorted(each.name for each in file.parent.iterdir()) == names


def test_a_wal_without_its_database_is_put_aside(stopped_daemon: Daemon) -> None:
    """F7: what it holds is not thrown away."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 20)
    kill(daemon)
    file = database(daemon)
    wal = file.with_name("events.db-wal").read_bytes()
    shutil.move(file, daemon.home / "gone")

    daemon.start("--no-project")

    [aside] = file.parent.glob("events.db.corrupt-*-wal")
    assert aside.read_bytes() == wal
    wait_for(lambda: told(daemon, "store.quarantined"), "it is told in the stream")
    assert publish(daemon, "after") == 22


@pytest.mark.parametrize("fault", ["removed", "emptied", "removed while it runs"])
def test_a_database_that_is_gone_at_the_start_is_told(stopped_daemon: Daemon, fault: str) -> None:
    """F10: a new log begins behind what the hint tells of; --strict refuses."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    name = epoch(daemon)
    fill(daemon, 20)
    file = database(daemon)
    if fault == "removed while it runs":
        file.unlink()
        wait_for(lambda: health(daemon)[0] == "failed", "it is noticed")
        assert "problem  log" in daemon.run("doctor").stdout
    daemon.stop()
    if fault == "emptied":
        os.truncate(file, 0)
    else:
        file.unlink(missing_ok=True)

    examined = daemon.run("doctor")
    refused = daemon.run("serve", "--no-project", "--strict")
    daemon.start("--no-project")

    lost = f"{'empty' if fault == 'emptied' else 'not there'}, and its entries up to 20 are lost"
    assert f"{file}: {lost}" in examined.stdout
    assert (examined.returncode, refused.returncode) == (1, 1)
    assert refused.stderr == (
        f"rtevents: {file}: {lost}; start it without --strict to begin a new log\n"
    )
    wait_for(lambda: told(daemon, "store.lost"), "it is told in the stream")
    [entry] = told(daemon, "store.lost")
    assert entry.seq == 21
    assert entry.event.data["reasons"] == [f"events.db: {lost}; a new log begins"]
    assert health(daemon)[0] == "degraded"
    assert epoch(daemon) != name
    gap, *rest = resume(daemon, f"{name}-20")
    assert isinstance(gap, Gap)
    assert gap.reason == "other-epoch"
    assert rest == [entry]
    assert publish(daemon, "after") == 22
    daemon.stop()
    daemon.start("--no-project", "--strict")
    assert health(daemon) == ("ok", "")


def test_a_log_on_a_disk_that_is_not_mounted_is_refused(stopped_daemon: Daemon) -> None:
    """F10: the link to it stays, and no other log begins beside it."""
    daemon = stopped_daemon
    daemon.start("--no-project")
    fill(daemon, 3)
    daemon.stop()
    file = database(daemon)
    disk = daemon.home / "disk"
    disk.mkdir()
    file.rename(disk / "events.db")
    file.symlink_to(disk / "events.db")
    daemon.start("--no-project")
    assert publish(daemon, "goes on") == 4
    daemon.stop()
    disk.rename(daemon.home / "elsewhere")

    done = daemon.run("serve", "--no-project")

    assert done.returncode == 1
    assert f"{file}: a link to {disk}/events.db, where nothing is" in done.stderr
    assert file.is_symlink()
    assert "problem  log" in daemon.run("doctor").stdout
    copied = daemon.run("backup", str(daemon.home / "copy"))
    assert (copied.returncode, "where nothing is" in copied.stderr) == (1, True)
    (daemon.home / "elsewhere").rename(disk)
    daemon.start("--no-project")
    assert publish(daemon, "back") == 5
