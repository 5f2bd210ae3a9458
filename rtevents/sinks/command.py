"""A command that is run for events: no shell, a small environment, ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, ClassVar

from rtevents.config.paths import expand
from rtevents.config.sinks import CommandSettings
from rtevents.errors import ReactionFailed
from rtevents.sinks import Batch

PASSED = (
    "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
    "LOGNAME", "PATH", "SHELL", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "WAYLAND_DISPLAY",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
)  # fmt: skip
"""What a command gets of our environment: nothing of it is a secret (S26)."""

WITHHELD = ("RTEVENTS_TOKEN", "RTEVENTS_GAP")
"""What no command gets of a user's environment either: a secret, and the gap of an outer one."""

TAIL_BYTES = 4096
"""Bytes that are kept of what a command prints: the last ones."""

SAID = 300
"""Characters of its last line that are told when it fails."""

TRY_LATER = os.EX_TEMPFAIL
"""Exit code of a command that cannot do it now: 75, as sysexits(3) has it."""

GRACE_SECONDS = 2.0
"""Seconds between the request to end and the end."""

DRAIN_SECONDS = 0.5
"""Seconds to read on after it has ended: what it left running may hold its output open."""


class CommandReaction:
    """
    Runs a command for each batch, which comes as lines of JSON on its standard input.

    Exit code 0 is success; 75 says that it cannot be done now, whatever the event. What it prints
    is read to its end and forgotten but for the last of it.

    Args:
        run: The program and its arguments.
        cwd: Where it runs.
        environ: Its environment, besides ``RTEVENTS_*``.
        timeout: Seconds after which it fails; None for never.
        is_shown: Whether it prints to our own output.
    """

    at_once: ClassVar[int] = 1
    every: ClassVar[float] = 0.0

    def __init__(
        self,
        run: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        timeout: float | None,
        is_shown: bool = False,
    ) -> None:
        self._run = list(run)
        self._cwd = cwd
        self._environ = {name: v for name, v in environ.items() if name not in WITHHELD}
        self._timeout = timeout
        self._is_shown = is_shown

    async def act(self, batch: Batch) -> None:
        """Run it; cancelling ends it, with all that it started."""
        tail = _Tail()
        async with self._started(batch, tail) as process:
            try:
                async with asyncio.timeout(self._timeout):
                    code = await process.wait()
            except TimeoutError:
                words = f"{self._name} took longer than {self._timeout:g} s"
                raise ReactionFailed(words) from None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await tail.ended.wait()
        if code:
            how = f"exit {code}" if code > 0 else f"ended by {_signal_name(-code)}"
            words = ": ".join([f"{self._name} failed, {how}", *tail.last_line()])
            raise ReactionFailed(words, is_down=code == TRY_LATER)

    async def close(self) -> None:
        """Hold nothing open."""

    @property
    def _name(self) -> str:
        return Path(self._run[0]).name

    @asynccontextmanager
    async def _started(self, batch: Batch, tail: _Tail) -> AsyncIterator[_Process]:
        """Run it with the batch at hand; when that is left it is ended, if it has not."""
        with _given(batch.lines) as given:
            async with _reading(tail, is_shown=self._is_shown) as output:
                try:
                    process = _Process(
                        subprocess.Popen(  # noqa: ASYNC220 - so does asyncio's own
                            self._run,
                            cwd=self._cwd,
                            env={**self._environ, **variables(batch)},
                            stdin=given,
                            stdout=output,
                            stderr=None if output is None else subprocess.STDOUT,
                            # Of its own: a Ctrl-C for us is not for it, and it can be ended whole.
                            start_new_session=True,
                        )
                    )
                except (OSError, ValueError) as error:
                    words = getattr(error, "strerror", None) or error
                    where = getattr(error, "filename", None) or self._run[0]
                    raise ReactionFailed(f"{where}: {words}") from error
                finally:
                    if output is not None:
                        os.close(output)
                try:
                    yield process
                finally:
                    await _end(process)


def open_command(settings: CommandSettings) -> CommandReaction:
    """Return the reaction of a daemon's sink: a small environment, and nobody at a terminal."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return CommandReaction(
        settings.run,
        cwd=expand(settings.cwd),
        environ=passed | settings.env,
        timeout=settings.timeout,
    )


def variables(batch: Batch) -> dict[str, str]:
    """Return what a command finds of its last event in its environment."""
    entry = batch.entries[-1]
    found = {
        "TYPE": entry.type,
        "SEQ": str(entry.seq),
        "EVENT_ID": entry.event_id,
        "PROJECT": entry.project_id or "",
        "SOURCE": entry.source,
        "PATH": entry.path,
        "TIMESTAMP": repr(entry.timestamp),
        "BOOKMARK": str(batch.bookmark),
        "SINK": batch.sink,
        "COUNT": str(len(batch.entries)),
        "ATTEMPT": str(batch.attempt),
    }
    if batch.gap is not None:
        found["GAP"] = f"{batch.gap.after + 1}-{batch.gap.before - 1} {batch.gap.reason}"
    return {f"RTEVENTS_{name}": value.replace("\0", "") for name, value in found.items()}


@contextmanager
def _given(text: bytes) -> Iterator[IO[bytes]]:
    """Return what a command reads; it is gone when that is left."""
    # A file, not a pipe: who does not read it, or leaves somebody who holds it, blocks nobody.
    with contextlib.ExitStack() as stack:
        try:
            given = stack.enter_context(tempfile.TemporaryFile())
            given.write(text)
            given.seek(0)
        except OSError as error:
            # Not the file, another one each time: a failure that repeats is told once.
            where = Path(error.filename).parent if error.filename else "a temporary file"
            raise ReactionFailed(f"{where}: {error.strerror or error}") from error
        yield given


class _Tail(asyncio.Protocol):
    """Reads what a command prints, and keeps the last of it."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._kept = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep what came, and forget what is too long ago."""
        self._kept += data
        del self._kept[:-TAIL_BYTES]

    def connection_lost(self, error: Exception | None) -> None:
        """Know that there is no more."""
        self.ended.set()

    def last_line(self) -> list[str]:
        """Return the last line with text; none when there is none."""
        lines = [line.strip() for line in self._kept.decode(errors="replace").splitlines()]
        return [line[-SAID:] for line in lines if line][-1:]


@asynccontextmanager
async def _reading(tail: _Tail, *, is_shown: bool) -> AsyncIterator[int | None]:
    """Return where a command is to print to; it is read from there until that is left."""
    if is_shown:
        tail.ended.set()
        yield None
        return
    # A pipe of our own: the end of asyncio's waits for everybody who holds it.
    reading, writing = os.pipe()
    pipe = os.fdopen(reading, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: tail, pipe)
    try:
        yield writing
    finally:
        transport.close()


class _Process:
    """
    A process of our own, on whatever event loop.

    uvloop's own would have open files of ours, and may outlive being cancelled (0.23).
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        threading.Thread(target=self._see_off, name="rtevents command", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ended.done()

    async def wait(self) -> int:
        """Return its exit code when it has ended; cancelling is safe."""
        code: int = await asyncio.shield(self._ended)
        return code

    def _see_off(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended before it
            self._loop.call_soon_threadsafe(self._ended.set_result, code)


async def _end(process: _Process) -> None:
    """End a command that still runs, with all that it started: by request, and then by force."""
    if process.is_over:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    finally:
        # What outlived its parent has had its time too, and who cancels this wants no more of it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
