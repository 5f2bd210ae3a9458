"""A file to which events are written."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from pathlib import Path

import pytest

from rtevents.config.sinks import FileSinkSettings
from rtevents.core.event import Entry, Event
from rtevents.errors import ConfigError, ReactionFailed
from rtevents.sinks import Batch
from rtevents.sinks.file import FileReaction, open_file

from .conftest import risk


def batch(*seqs: int) -> Batch:
    """Return a batch of entries of these numbers."""
    return Batch(sink="s", entries=[Entry.of(risk(n), n) for n in seqs], epoch="0badcafe")


def seqs(file: Path) -> list[int]:
    """Return the numbers in a file."""
    return [json.loads(line)["seq"] for line in file.read_text().splitlines()]


async def test_a_line_for_each_event_in_a_file_for_the_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "log"
    reaction = open_file(FileSinkSettings(path=str(file)))
    await reaction.act(batch(1, 2))
    await reaction.act(batch(3))

    assert seqs(file) == [1, 2, 3]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_full_file_is_put_aside_and_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "log"
    reaction = FileReaction(file, max_bytes=1, files=2)
    for number in range(1, 6):
        await reaction.act(batch(number))

    found = {each.name: seqs(each) for each in tmp_path.iterdir()}
    assert found == {"log": [5], "log.1": [4], "log.2": [3]}


async def test_none_may_be_kept(tmp_path: Path) -> None:
    reaction = FileReaction(tmp_path / "log", max_bytes=1, files=0)
    await reaction.act(batch(1))
    await reaction.act(batch(2))

    assert {each.name: seqs(each) for each in tmp_path.iterdir()} == {"log": [2]}


async def test_an_old_file_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "log"
    data = {"severity": "low", "message": "long ago"}
    old = Event(type="RISK_ALERT", data=data, timestamp=time.time() - 7200)
    file.write_bytes(Entry.of(old, 1).wire + b"\n")
    reaction = FileReaction(file, max_bytes=10**9, max_age=3600)
    await reaction.act(batch(2))
    await reaction.act(batch(3))

    assert (seqs(tmp_path / "log.1"), seqs(file)) == ([1], [2, 3])


async def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(batch(1).lines + batch(2).lines[:40])
    await FileReaction(file, max_bytes=10**9).act(batch(2, 3))

    assert seqs(file) == [1, 2, 3]


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReactionFailed):
        await FileReaction(tmp_path / "log", max_bytes=10**9).act(batch(1))

    assert not (tmp_path / "elsewhere").exists()


async def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    reaction = FileReaction(tmp_path / "log", max_bytes=10**9)
    await reaction.act(batch(1))
    (tmp_path / "log").unlink()
    await reaction.act(batch(2))

    assert seqs(tmp_path / "log") == [2]


async def test_a_full_disk_leaves_what_is_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    reaction = FileReaction(file, max_bytes=10**9)
    await reaction.act(batch(1))

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(ReactionFailed, match="No space left on device"):
            await reaction.act(batch(2))
    assert seqs(file) == [1]
    await reaction.act(batch(2))

    assert seqs(file) == [1, 2]


@pytest.mark.parametrize("path", ["log", "/nonesuch/log", "/"])
def test_what_is_no_place_for_a_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"file\.path: expected a file in a folder that is there"):
        open_file(FileSinkSettings(path=path))


async def test_what_is_old_when_it_comes_puts_no_file_aside(tmp_path: Path) -> None:
    """As what is imported: each batch would begin another file, and the oldest would be lost."""
    reaction = FileReaction(tmp_path / "log", max_bytes=2**20, max_age=3600, files=1)
    for number in (1, 2, 3):
        await reaction.act(
            Batch(
                sink="s",
                entries=[Entry.of(Event(type="X", data={}, timestamp=60.0 * number), number)],
                epoch="0badcafe",
            )
        )

    assert {each.name: seqs(each) for each in tmp_path.iterdir()} == {"log": [1, 2, 3]}


@pytest.mark.parametrize("text", ["one\ntwo", "all in one line", '{"a": 1}'])
async def test_what_another_wrote_without_a_line_end_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "log"
    file.write_text(text)
    await open_file(FileSinkSettings(path=str(file))).act(batch(1))

    assert file.read_text().startswith(text + "\n{")


async def test_a_new_file_is_in_its_folder_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync(2): that of a file says nothing of its entry in the folder."""
    synced = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    reaction = FileReaction(tmp_path / "log", max_bytes=2**20)
    await reaction.act(batch(1))
    await reaction.act(batch(2))

    assert synced == [False, True, False]
