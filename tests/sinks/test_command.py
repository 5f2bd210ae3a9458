"""A command that is run for events."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rtevents.config.sinks import CommandSettings
from rtevents.core.event import Entry, Event, Gap
from rtevents.errors import ReactionFailed
from rtevents.sinks import Batch, command
from rtevents.sinks.command import CommandReaction, open_command

from .conftest import Sinks, until


def change(number: int = 7, **fields: object) -> Entry:
    """Return a FILE_CHANGE as an entry."""
    data = {"file_path": "src/a.py", "change_type": "modified"}
    given = {"data": data, "source": "test", "project_id": "web", "event_id": f"e-{number}"}
    event = Event(type="FILE_CHANGE", timestamp=1700000000.5, **(given | fields))  # type: ignore[arg-type]
    return Entry.of(event, number)


def batch(*entries: Entry, gap: Gap | None = None) -> Batch:
    """Return a batch."""
    return Batch(sink="s", entries=list(entries) or [change()], epoch="0badcafe", gap=gap)


def shell(text: str, folder: Path, *, timeout: float = 20.0) -> CommandReaction:
    """Return a command that runs a text in a shell."""
    settings = CommandSettings(run=["sh", "-c", text], cwd=str(folder), timeout=timeout)
    return open_command(settings)


async def test_the_event_is_on_standard_input_and_in_the_environment(tmp_path: Path) -> None:
    sent = batch(gap=Gap(2, 6, "trimmed"))
    await shell("cat > in; env | grep ^RTEVENTS_ | sort > env", tmp_path).act(sent)

    assert (tmp_path / "in").read_bytes() == sent.lines == sent.entries[0].wire + b"\n"
    assert (tmp_path / "env").read_text().splitlines() == [
        "RTEVENTS_ATTEMPT=1", "RTEVENTS_BOOKMARK=0badcafe-7", "RTEVENTS_COUNT=1",
        "RTEVENTS_EVENT_ID=e-7", "RTEVENTS_GAP=3-5 trimmed", "RTEVENTS_PATH=src/a.py",
        "RTEVENTS_PROJECT=web", "RTEVENTS_SEQ=7", "RTEVENTS_SINK=s", "RTEVENTS_SOURCE=test",
        "RTEVENTS_TIMESTAMP=1700000000.5", "RTEVENTS_TYPE=FILE_CHANGE",
    ]  # fmt: skip


async def test_several_are_lines_and_the_variables_are_of_the_last(tmp_path: Path) -> None:
    await shell("wc -l > n; echo $RTEVENTS_SEQ $RTEVENTS_COUNT >> n", tmp_path).act(
        batch(change(7), change(8), change(9))
    )

    assert (tmp_path / "n").read_text().split() == ["3", "9", "3"]


async def test_no_secret_of_ours_is_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S26."""
    for name in ("RTEVENTS_TOKEN", "AWS_SECRET_ACCESS_KEY", "GIT_DIR", "HOOK_SECRET"):
        monkeypatch.setenv(name, "geheim")
    settings = CommandSettings(run=["sh", "-c", "env > env"], cwd=str(tmp_path), env={"MINE": "x"})
    await open_command(settings).act(batch())

    text = (tmp_path / "env").read_text()
    assert "geheim" not in text
    assert "MINE=x" in text
    assert "PATH=" in text


async def test_it_has_no_open_file_of_ours(tmp_path: Path) -> None:
    """S26."""
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        await shell("ls -l /proc/$$/fd | grep -c ' -> ' > n", tmp_path).act(batch())
    finally:
        os.close(held)

    assert int((tmp_path / "n").read_text()) <= 4  # its three, and what ls reads


async def test_foreign_text_is_no_shell_and_no_null_character_ends_it(tmp_path: Path) -> None:
    evil = {"file_path": "$(touch pwned);`touch pwned`\n\0x\u202e", "change_type": "modified"}
    reaction = open_command(
        CommandSettings(run=["sh", "-c", 'printf %s "$RTEVENTS_PATH" > out'], cwd=str(tmp_path))
    )
    await reaction.act(batch(change(data=evil)))

    assert (tmp_path / "out").read_text() == "$(touch pwned);`touch pwned`\nx\u202e"
    assert not (tmp_path / "pwned").exists()


async def test_a_failure_tells_the_exit_code_and_the_last_line(tmp_path: Path) -> None:
    with pytest.raises(ReactionFailed) as caught:
        await shell("echo first; echo 'no room' >&2; echo; exit 3", tmp_path).act(batch())

    assert str(caught.value) == "sh failed, exit 3: no room"


async def test_a_signal_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ReactionFailed, match="sh failed, ended by SIGKILL"):
        await shell("kill -9 $$", tmp_path).act(batch())


async def test_a_program_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    missing = CommandSettings(run=["/nonesuch"], cwd=str(tmp_path))
    with pytest.raises(ReactionFailed, match="/nonesuch: No such file or directory"):
        await open_command(missing).act(batch())
    nowhere = CommandSettings(run=["true"], cwd="/nonesuch")
    with pytest.raises(ReactionFailed, match="/nonesuch: No such file or directory"):
        await open_command(nowhere).act(batch())


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be seen off does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_too_long_ends_it_with_all_that_it_started(tmp_path: Path) -> None:
    reaction = shell("sleep 600 & echo $! > child; wait", tmp_path, timeout=0.5)
    with pytest.raises(ReactionFailed, match=r"sh took longer than 0\.5 s"):
        await reaction.act(batch())

    child = int((tmp_path / "child").read_text())
    await until(lambda: not runs(child), "its child has ended too")


async def test_who_ignores_the_request_is_ended_by_force(tmp_path: Path) -> None:
    text = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"
    reaction = shell(text, tmp_path, timeout=0.5)
    with pytest.raises(ReactionFailed, match="took longer"):
        await reaction.act(batch())

    assert not runs(int((tmp_path / "pid").read_text()))


async def test_cancelling_ends_it(tmp_path: Path) -> None:
    acting = asyncio.create_task(shell("echo $$ > pid; exec sleep 600", tmp_path).act(batch()))
    await until((tmp_path / "pid").exists, "it runs")
    await until(lambda: (tmp_path / "pid").read_text(), "it runs")
    acting.cancel()
    await asyncio.gather(acting, return_exceptions=True)

    assert not runs(int((tmp_path / "pid").read_text()))


async def test_what_it_leaves_running_holds_nobody_up(tmp_path: Path) -> None:
    reaction = shell("sleep 600 & echo $! > child", tmp_path)
    before = time.monotonic()
    await reaction.act(batch())
    with suppress(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)

    assert time.monotonic() - before < 300


async def test_endless_output_is_read_and_forgotten(tmp_path: Path) -> None:
    """A hundred megabytes, and the last line is what is told."""
    code = (
        "import sys; [sys.stdout.write('x' * 99_999 + '\\n') for _ in range(1000)]; sys.exit('end')"
    )
    reaction = CommandReaction([sys.executable, "-c", code], cwd=tmp_path, environ={}, timeout=60)
    with pytest.raises(ReactionFailed) as caught:
        await reaction.act(batch())

    assert len(str(caught.value)) < 400
    assert str(caught.value).endswith(": end")


async def test_who_does_not_read_a_large_event_blocks_nobody(tmp_path: Path) -> None:
    large = change(data={"file_path": "x", "change_type": "modified", "text": "y" * 900_000})
    await shell("exit 0", tmp_path).act(batch(large, large, large))


async def test_cancelled_again_while_it_is_ended_it_is_ended_by_force(tmp_path: Path) -> None:
    text = "trap 'touch asked' TERM; echo $$ > pid; while :; do sleep 0.05; done"
    acting = asyncio.create_task(shell(text, tmp_path).act(batch()))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
    acting.cancel()
    await until((tmp_path / "asked").exists, "it was asked to end")
    acting.cancel()
    await asyncio.gather(acting, return_exceptions=True)

    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not runs(pid), "it has ended")


async def test_what_ended_in_time_has_not_failed_while_its_output_is_held_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "DRAIN_SECONDS", 3.0)
    reaction = shell("sleep 600 & echo $! > child", tmp_path, timeout=1.0)
    try:
        await reaction.act(batch())
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


async def test_a_disk_that_has_no_room_for_the_event_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nonesuch"))
    with pytest.raises(ReactionFailed, match="nonesuch: No such file or directory"):
        await shell("true", tmp_path).act(batch())


async def test_the_gap_of_an_outer_command_is_not_its_own(tmp_path: Path) -> None:
    environ = {**os.environ, "RTEVENTS_GAP": "3-5 trimmed"}
    run = ["sh", "-c", "! env | grep ^RTEVENTS_GAP"]
    await CommandReaction(run, cwd=tmp_path, environ=environ, timeout=20).act(batch())


async def test_a_command_may_say_that_it_cannot_be_done_now(sinks: Sinks, tmp_path: Path) -> None:
    """It waits in the log, however often that is said; any other code is held against the event."""
    text = f"test -e {tmp_path}/back || exit 75; echo $RTEVENTS_SEQ >> {tmp_path}/out"
    reaction = open_command(CommandSettings(run=["sh", "-c", text], cwd=str(tmp_path)))
    sink = await sinks.started(reaction, retries=0)
    await sinks.publish(1, 2)
    await until(lambda: sink.attempts.failures > 4, "it was tried far more often")
    assert sink.as_dict()["dead"] == 0
    (tmp_path / "back").touch()

    await until(lambda: sinks.bookmark.endswith("-2"), "both are done")
    # Back between the two, the second one is tried, and done again after the first.
    assert (tmp_path / "out").read_text().split()[-2:] == ["1", "2"]
