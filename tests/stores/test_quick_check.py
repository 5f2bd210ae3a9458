"""A log that is looked at from outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from rtevents.stores.quick_check import VERSION, is_new_enough, quick_check


def test_a_whole_database_has_nothing_wrong(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY)")
        before = file.read_bytes()

        assert quick_check(file) is None
    assert file.read_bytes() == before


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO entry VALUES (?, ?)", [(n, "x" * 500) for n in range(100)])
        db.commit()
    content = bytearray(file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    file.write_bytes(content)

    said = quick_check(file)

    assert said
    assert "\n" not in said


def test_what_is_no_database_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database" * 1000)

    assert quick_check(tmp_path / "text") == "file is not a database"
    assert quick_check(tmp_path / "gone") == "unable to open database file"
    assert not (tmp_path / "gone").exists()


def test_the_library_is_new_enough() -> None:
    assert is_new_enough()
    assert sqlite3.sqlite_version == VERSION
