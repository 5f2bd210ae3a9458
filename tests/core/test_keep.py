"""Small files that must be whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtevents.core.keep import load, save, save_aside, write_whole
from rtevents.errors import StoreError


def test_what_is_saved_is_loaded_and_for_the_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    save(file, {"a": 1})
    save(file, {"a": 2})

    assert load(file, dict[str, int], {}) == {"a": 2}
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


async def test_a_save_that_is_cancelled_is_over_when_the_task_is(tmp_path: Path) -> None:
    file, value = tmp_path / "place.json", [*range(200_000)]
    saving = asyncio.create_task(save_aside(file, value))
    await asyncio.sleep(0)  # so that it has begun
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving

    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert load(file, list[int], []) == value


def test_nothing_saved_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path / "place.json", list[int], [7]) == [7]


def test_a_file_that_cannot_be_read_is_told_and_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "place.json"
    for garbage in (b"{", b'{"a": "text"}', b'{"\xff": 1}'):
        write_whole(file, garbage)
        assert load(file, dict[str, int], {}) == {}
        assert (tmp_path / "place.json.bad").read_bytes() == garbage

    assert len(caplog.records) == 3


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / ".place.json.tmp").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="symbolic links"):
        save(tmp_path / "place.json", {})

    assert (tmp_path / "target").read_text() == "precious"
