"""rtevents on: run a command whenever something happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import notice
from rtevents.cli.since import place as place_of

if TYPE_CHECKING:
    from rtevents.core.filter import Filter
    from rtevents.sinks import Terms
    from rtevents.sinks.engine import Sink

app = typer.Typer(rich_markup_mode=None, add_completion=False)

ASKED_SECONDS = 5.0
"""Longest wait for the daemon's word on the projects that are named."""

MOST = 1000
"""Most events of a batch."""


@app.command(context_settings={"allow_interspersed_args": False})
def on(
    command: Annotated[
        list[str], typer.Argument(metavar="CMD...", help="The command; -- comes before it.")
    ],
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="Keep the place under this name: what was missed is done."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Where to begin, as in tail; a kept place comes before."),
    ] = None,
    on_busy: Annotated[
        Literal["queue", "drop", "restart"],
        typer.Option(help="What comes while it runs: wait, run the newest only, run that instead."),
    ] = "queue",
    batch: Annotated[
        str, typer.Option(metavar="N[/TIME]", help="Up to N events a run, gathered for TIME.")
    ] = "1",
    retry: Annotated[
        int, typer.Option(min=0, metavar="N", help="Attempts after one that failed.")
    ] = 0,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="End a run that takes longer: it has failed.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="First run again what --as NAME has given up.")
    ] = False,
) -> None:
    """
    Run a command whenever something happens, one run after the other, in order.

    The event is JSON on standard input, and in RTEVENTS_TYPE, _SEQ, _EVENT_ID, _PROJECT, _SOURCE,
    _PATH, _TIMESTAMP, _BOOKMARK, _COUNT, _ATTEMPT and _GAP. There is no shell but the one you name.

    \b
    rtevents on -t COMMIT --project web -- make test
    rtevents on --path 'docs/**' --on-busy restart -- mkdocs build
    rtevents on -t RISK_ALERT --as pager --retry 5 -- sh -c 'jq -r .data.message | pager'
    rtevents on -t FILE_CHANGE --batch 100/2s -- rsync -a ./ host:mirror/

    With --as NAME an event counts as done when the command has ended with 0: after a crash it
    runs again (at least once); what fails to the end is kept: rtevents sinks dead NAME.
    Ctrl-C lets the command end, a second one ends it.
    """
    from rtevents.config.sinks import NAME

    if name is not None and not NAME.match(name):
        raise typer.BadParameter(f"--as: expected 1 to 64 of A-Z a-z 0-9 . _ -, got {name!r}")
    if replay and name is None:
        raise typer.BadParameter("--replay: what is given up is kept with --as NAME only")
    if (begin := place_of(since)) == "last-per-type":
        raise typer.BadParameter("--since: last-per-type is no place to go on from")
    if shutil.which(command[0]) is None:
        raise typer.BadParameter(f"no program {command[0]!r}")
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    seconds = options.seconds(timeout, "--timeout")
    from rtevents.sinks import Terms

    size, gathered = _batch(batch)
    terms = Terms(
        batch=size, batch_seconds=gathered, on_busy=on_busy, retries=retry, breaker=0, retry_max=30
    )
    with _held(name) as folder:
        if projects:
            with options.client(timeout=ASKED_SECONDS, retry_for=0) as client:
                tell_unknown(client, projects)
        code = _run(
            command, wanted, begin, terms,
            name=name, folder=folder, timeout=seconds, replay=replay,
        )  # fmt: skip
    raise typer.Exit(code)


def _batch(text: str) -> tuple[int, float]:
    """Return the number and the seconds of `100` or `100/2s`."""
    match = re.fullmatch(r"([0-9]{1,4})(?:/(.+))?", text)
    if not match or not 1 <= int(match[1]) <= MOST:
        raise typer.BadParameter(f"--batch: expected 1 to {MOST}, as 100 or 100/2s, got {text!r}")
    return int(match[1]), options.seconds(match[2], "--batch") or 0.0


@contextmanager
def _held(name: str | None) -> Iterator[Path | None]:
    """Return the folder of a name, which is ours alone meanwhile; None for no name."""
    if name is None:
        yield None
        return
    from rtevents.config.paths import find_paths
    from rtevents.sinks.names import held

    with held(find_paths().names, name) as folder:
        yield folder


def _run(
    command: list[str],
    wanted: Filter,
    since: str | None,
    terms: Terms,
    *,
    name: str | None,
    folder: Path | None,
    timeout: float | None,
    replay: bool,
) -> int:
    import asyncio

    from rtevents.client.asyncio import Client
    from rtevents.client.reader import HistoryReader
    from rtevents.sinks.command import CommandReaction
    from rtevents.sinks.engine import Sink
    from rtevents.sinks.place import DeadLetters, Place

    async def run() -> int:
        reaction = CommandReaction(
            command, cwd=Path.cwd(), environ=os.environ, timeout=timeout, is_shown=True
        )
        async with Client() as client:
            sink = Sink(
                name or "on",
                HistoryReader(client, wanted, since or "new", tell=notice),
                reaction,
                place=Place(folder),
                dead=DeadLetters(folder) if folder else None,
                terms=terms,
                tell=notice,
            )
            if replay and sink.dead:
                sink.replay(sink.dead.ids)
            return await _until_interrupted(sink)

    return asyncio.run(run())


async def _until_interrupted(sink: Sink) -> int:
    """Run a sink until a signal asks for its end; return the exit code."""
    import asyncio

    loop = asyncio.get_running_loop()
    running = asyncio.create_task(sink.run())
    asked: list[int] = []

    def interrupt(number: int) -> None:
        asked.append(number)
        # With its terminal gone nobody is there to wait, or to ask again.
        if len(asked) > 1 or number == signal.SIGHUP:
            running.cancel()
            return
        if sink.attempts.is_acting:
            notice("ending when the command has; Ctrl-C again ends it now")
        sink.end()

    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        ends.append(signal.SIGHUP)
    for number in ends:
        loop.add_signal_handler(number, interrupt, number)
    try:
        await running
    except asyncio.CancelledError:
        if not asked:
            raise
    return 128 + asked[0] if asked else 0
