"""Small files that must be whole."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from rtevents.core.keep import load, save, save_aside, write_whole
from rtevents.errors import StoreError

MANY_KINDS = """
import sys
from pathlib import Path
from threading import Barrier, Thread
from msgspec import defstruct
from rtevents.core.keep import load

sys.setswitchinterval(1e-6)
for number in range(500):
    parts = [(f"part{at}", dict[str, list[int]], {}) for at in range(20)]
    part = defstruct(f"Part{number}", parts)
    kind = defstruct(f"Kind{number}", [("all", list[part], []), ("one", part | None, None)])
    begin = Barrier(4)

    def read():
        begin.wait()
        assert load(Path(sys.argv[1]), kind, kind()).all[0].part0 == {"x": [1]}

    readers = [Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
print("read")
"""


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


def test_threads_that_read_files_of_one_kind_for_the_first_time_do_no_harm(tmp_path: Path) -> None:
    """As the producers of several projects do when the daemon starts: msgspec 0.22 crashed."""
    save(tmp_path / "kept", {"all": [{"part0": {"x": [1]}}]})
    done = subprocess.run(
        [sys.executable, "-c", MANY_KINDS, str(tmp_path / "kept")], capture_output=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"read\n"), done.stderr
