"""A copy of a log is whole, verified and the user's alone, or it is not there."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.core.store import Bounds
from rtevents.errors import StoreDamaged, StoreError, Taken
from rtevents.stores import backup as backup_module
from rtevents.stores.backup import Copied, backup
from rtevents.stores.sqlite import SQLiteStore
from tests.stores.samples import events, everything
from tests.stores.test_migrate import older


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Make a log of 2,000 entries, closed."""
    path = tmp_path / "events.db"
    store = await SQLiteStore.open(path=path)
    await store.append([events(2000)])
    await store.close()
    return path


def left(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def test_a_copy_has_what_the_log_has_and_another_name(path: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    target = tmp_path / "safe" / "copy.db"
    shares: list[float] = []

    copied = backup(path, target, tell=shares.append)

    assert copied == Copied(2000, 1, 2000, 0, target.stat().st_size)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert left(target.parent) == {"copy.db"}
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    log, copy = await SQLiteStore.open(path=path), await SQLiteStore.open(path=target)
    assert await everything(copy) == await everything(log)
    assert copy.epoch != log.epoch
    await log.close()
    await copy.close()


async def test_a_copy_is_of_one_moment_while_entries_are_appended_and_trimmed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "PAGES", 1)
    store = await SQLiteStore.open(path=path)
    await store.append([events(1)])
    steps = 0

    def publish(share: float) -> None:
        nonlocal steps
        steps += 1
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM entry WHERE seq = ?", (steps,))
            db.commit()

    copied = backup(path, tmp_path / "copy", tell=publish)

    assert steps > 20
    assert copied[:4] == (2001, 1, 2001, 0)
    await store.close()


async def test_damaged_entries_are_counted(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE entry SET body = '{}' WHERE seq IN (3, 4)")
        db.commit()

    assert backup(path, tmp_path / "copy").damaged == 2


def test_a_log_of_an_older_release_is_copied_as_it_is(tmp_path: Path) -> None:
    older(tmp_path / "events.db", 2)

    assert backup(tmp_path / "events.db", tmp_path / "copy")[:4] == (35, 7, 41, 0)


async def test_an_empty_log_is_copied(tmp_path: Path) -> None:
    await (await SQLiteStore.open(path=tmp_path / "events.db")).close()

    assert backup(tmp_path / "events.db", tmp_path / "copy")[:4] == (0, 1, 0, 0)
    copy = await SQLiteStore.open(path=tmp_path / "copy")
    assert await copy.bounds() == Bounds(1, 0)
    await copy.close()


def test_what_is_there_is_not_replaced_without_force(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.write_text("precious")

    with pytest.raises(Taken, match="there is a file already"):
        backup(path, target)

    assert target.read_text() == "precious"
    assert backup(path, target, force=True).entries == 2000


def test_a_write_ahead_log_that_was_left_is_no_part_of_the_copy(path: Path, tmp_path: Path) -> None:
    target, wal = tmp_path / "copy", tmp_path / "copy-wal"
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE other (x)")
        wal.write_bytes((tmp_path / "other-wal").read_bytes())

    with pytest.raises(Taken, match="the write-ahead log of another database is there"):
        backup(path, target)

    assert backup(path, target, force=True).entries == 2000
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM entry").fetchone() == (2000,)


def test_what_comes_meanwhile_is_not_replaced(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"

    with pytest.raises(Taken, match="there is a file already"):
        backup(path, target, tell=lambda _: target.touch())

    assert target.read_bytes() == b""
    assert left(tmp_path) >= {"copy", "events.db"}
    assert not [name for name in left(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_is_never_replaced(path: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "copy"
    if kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to("nowhere")
    else:
        os.mkfifo(target)

    with pytest.raises(Taken, match="there is something else than a file"):
        backup(path, target, force=True)


def test_the_log_itself_is_no_place_for_its_copy(path: Path) -> None:
    with pytest.raises(StoreError, match="the log itself"):
        backup(path, path, force=True)


def test_a_damaged_log_leaves_no_copy(path: Path, tmp_path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192 * 10)
        file.write(b"\xff" * 8192)

    with pytest.raises(StoreDamaged, match=f"rtevents doctor --recover {path}$"):
        backup(path, tmp_path / "copy")

    assert "copy" not in left(tmp_path)
    assert not [name for name in left(tmp_path) if name.startswith(".")]
    os.truncate(path, size // 2)
    with pytest.raises(StoreDamaged, match=f"malformed.*rtevents doctor --recover {path}$"):
        backup(path, tmp_path / "copy")


def test_what_is_no_log_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"events\.db: there is no log$"):
        backup(tmp_path / "events.db", tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "other")) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="a database, but not of rtevents"):
        backup(tmp_path / "other", tmp_path / "copy")


def test_a_folder_that_is_not_there_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/copy: cannot be written: no such file"):
        backup(path, tmp_path / "nowhere" / "copy")


def test_a_disk_that_fails_is_told_and_nothing_is_left(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StoreError, match="copy: cannot be written: input/output error"):
        backup(path, tmp_path / "copy")

    assert "copy" not in left(tmp_path)
    assert not [name for name in left(tmp_path) if name.startswith(".")]


def test_a_log_that_cannot_be_read_is_told(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN EXCLUSIVE")

        with pytest.raises(StoreError, match=r"not copied to .*: locked by another process"):
            backup(path, tmp_path / "copy", patience=0.05)
