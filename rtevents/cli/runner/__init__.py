"""rtevents run: run a command, and tell of it as of a task."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import suggest
from rtevents.cli.output import notice, safe

if TYPE_CHECKING:
    from rtevents.cli.runner.passage import Passage
    from rtevents.cli.runner.said import Tail
    from rtevents.cli.runner.teller import Teller

app = typer.Typer(rich_markup_mode=None, add_completion=False)

MAX_TITLE = 200
"""Longest title that is made of a command, in characters."""

PROGRESS_FD = "RTEVENTS_PROGRESS_FD"
"""Names the descriptor on which a command tells its progress."""

TASK_ID = "RTEVENTS_TASK_ID"
"""Tells a command which task it is."""

SECRET = "(left out: it looks like a secret)"  # noqa: S105 - stands in the place of one


class Progress(StrEnum):
    """Where the progress is read."""

    auto = "auto"
    fd = "fd"
    none = "none"


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    words: Annotated[list[str], typer.Argument(metavar="CMD...", help="What to run.")],
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="ID", help="The task's id; the same for the same command by default."
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The task in words; CMD by default.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What progresses; the title by default.")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The project it belongs to; the one around this folder by default.",
            autocompletion=suggest.projects,
        ),
    ] = None,
    progress: Annotated[
        Progress,
        typer.Option(help="Where CMD tells its progress: also in its output, or not at all."),
    ] = Progress.auto,
    inherit: Annotated[
        bool,
        typer.Option(
            "--inherit", help="Give CMD this terminal itself, for full screens; see no output."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing when the daemon is away.")
    ] = False,
) -> None:
    """
    Run a command, and tell in the stream when it begins, how far it is, and how it ended.

    Its output, its input, its signals and its exit code are as without us; a daemon that is away
    hears of it later.

    \b
    rtevents run -- make test
    rtevents run --task T-12 --title "Import the orders" -- ./import.sh orders.csv
    rtevents run -- sh -c 'for i in 1 2 3; do echo "$i/3" >&$RTEVENTS_PROGRESS_FD; sleep 1; done'
    """
    task_id = task or _task_id(words)
    run_ = _Run(words, task_id, inherit=inherit, progress=progress)
    code = run_.start({**os.environ, TASK_ID: task_id})
    # Only now: the command has not waited for it.
    from rtevents.cli.runner.teller import Teller

    teller = Teller(task_id, lambda: title or _title(words), label, project)
    code = run_.follow(teller, code)
    for told in (teller.doubt, teller.trouble):
        if told and not quiet:
            notice(told)
    raise typer.Exit(code)


class _Run:
    """One run of a command, from its start to its end."""

    def __init__(
        self, words: list[str], task_id: str, *, inherit: bool, progress: Progress
    ) -> None:
        self._words = words
        self._inherit = inherit
        self._progress = progress
        self._passages: dict[int, Passage] = {}
        self._begun = time.monotonic()
        self._teller: Teller | None = None
        # Whether the command tells its progress on the descriptor: its output is no news then.
        self._is_told = False

    def start(self, env: Mapping[str, str]) -> int:
        """Start it; return how a shell ends for one that cannot be started, else 0."""
        from rtevents.cli.runner.child import NOT_FOUND, NOT_RUN, Child, free_descriptor

        self._child: Child | None = None
        self._passages = {} if self._inherit else self._open()
        ours: tuple[int, int] | None = None
        self._reader: int | None = None
        if self._progress is not Progress.none:
            self._reader, writer = os.pipe()
            ours = writer, free_descriptor()
            env = {**env, PROGRESS_FD: str(ours[1])}
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()
        self._begun = time.monotonic()
        try:
            self._child = Child(self._words, env, self._passages, ours)
        except OSError as error:
            notice(f"{self._words[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
        return 0

    def follow(self, teller: Teller, code: int) -> int:
        """Tell of it until it has ended; return its exit code."""
        self._teller = teller
        teller.tell("running")
        teller.start()
        signal_name: str | None = None
        if self._child is not None:
            reader = threading.Thread(target=self._read, args=(teller,), daemon=True)
            reader.start()
            code = self._child.wait()
            if self._reader is not None:
                reader.join(0.2)  # what goes on in the background may hold it open
        if code < 0:
            import signal

            code, signal_name = 128 - code, _name_of(signal.Signals, -code)
        data: dict[str, Any] = {
            "exit_code": code,
            "duration": round(time.monotonic() - self._begun, 3),
        }
        if signal_name is not None:
            data["signal"] = signal_name
        if lines := self._last_lines():
            data["stderr"] = lines
        teller.tell("failed" if code else "done", **data)
        teller.finish()
        return code

    def _open(self) -> dict[int, Passage]:
        """Return what carries each of the outputs that there are."""
        from rtevents.cli.runner.passage import Passage, same_place

        passages: dict[int, Passage] = {}
        for fd in (1, 2):
            try:
                os.fstat(fd)
            except OSError:
                continue
            shared = fd == 2 and 1 in passages and same_place(1, 2)
            passages[fd] = passages[1] if shared else Passage(fd, self._look)
        return passages

    def _look(self, tail: Tail) -> None:
        """Look for the progress in what was printed."""
        from rtevents.cli.runner.said import read_text

        if self._progress is not Progress.auto or self._is_told or self._teller is None:
            return
        if said := read_text(tail.text()):
            self._teller.progress(said)

    def _read(self, teller: Teller) -> None:
        """Read the descriptor until nobody can write to it."""
        from rtevents.cli.runner.said import LONGEST, read_line

        if self._reader is None:
            return
        rest = b""
        with os.fdopen(self._reader, "rb", buffering=0) as lines:
            while data := lines.read(65_536):
                *whole, rest = (rest + data).split(b"\n")
                rest = rest[-LONGEST:]
                for line in whole:
                    if said := read_line(line):
                        self._is_told = True
                        teller.progress(said)
        if said := read_line(rest):
            teller.progress(said)

    def _last_lines(self) -> list[str]:
        """Return the last lines of standard error, safe to be shown, secrets left out."""
        if 2 not in self._passages:
            return []
        return [_harmless(safe(line)) for line in self._passages[2].tail.lines()]


def _task_id(words: list[str]) -> str:
    """Return an id that the same command in the same folder has again."""
    import hashlib
    import re

    name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(words[0]))[:40]  # noqa: PTH119
    try:
        folder = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # the command may do without one
        folder = ""
    text = "\0".join([folder, *words])
    return f"run-{name}-{hashlib.blake2b(os.fsencode(text), digest_size=4).hexdigest()}"


def _title(words: list[str]) -> str:
    import shlex

    text = shlex.join(words).encode(errors="replace").decode()
    return _harmless(safe(text)[:MAX_TITLE])


def _harmless(text: str) -> str:
    """Return a text, or what stands in its place where it looks like a secret."""
    from rtevents.producers.secrets import looks_secret

    return SECRET if looks_secret("", text.encode(errors="replace")) else text


def _name_of(signals: Any, number: int) -> str:
    try:
        return str(signals(number).name)
    except ValueError:
        return f"signal {number}"
