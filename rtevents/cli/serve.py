"""rtevents serve: run the daemon."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, notice, pretty_line, safe
from rtevents.errors import NotReachable, RteventsError

if TYPE_CHECKING:
    from logging.handlers import QueueListener

    from rtevents.config.load import Loaded
    from rtevents.config.paths import Paths
    from rtevents.daemon import Running

logger = logging.getLogger(__name__)

app = typer.Typer(rich_markup_mode=None, add_completion=False)

LEAVE_SECONDS = 1.0
"""How long the end waits for the terminal to take the last lines, in seconds."""

START_SECONDS = 20.0
"""How long a detached daemon may take to answer, in seconds."""


@app.command()
def serve(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Projects to watch; this one by default."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; the log goes to a file.")
    ] = False,
    no_project: Annotated[
        bool, typer.Option("--no-project", help="Watch nothing but what is known already.")
    ] = False,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="The configuration file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a damaged log; else a new one begins.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no line per event.")] = False,
) -> None:
    """
    Run the daemon, or add projects to the one that runs.

    \b
    rtevents serve                        watch the project you are in
    rtevents serve ~/src/web ~/src/api
    rtevents serve --detach               in the background; rtevents stop ends it
    """
    # Until the daemon takes it: who asks for a reload so early must not end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if config:
        os.environ["RTEVENTS_CONFIG"] = str(Path(config).absolute())
    folders = [] if no_project else _folders(paths)
    if not is_activated(os.environ) and _add_to_running(folders):
        if config:
            notice("the daemon that runs keeps its own configuration")
        return
    if not folders and not no_project:
        notice("this folder is no project: watching only what is known; name one with: serve PATH")
    if detach:
        _detach(folders, strict=strict)
        return
    _run(folders, quiet=quiet, strict=strict)


def _folders(paths: list[Path] | None) -> list[Path]:
    """Return the projects to watch: those that are named, else the one around this folder."""
    if paths:
        return [path.expanduser().absolute() for path in paths]
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".git").exists():
            return [folder]
    return [] if here in (Path.home(), Path("/")) else [here]


def is_activated(environ: Mapping[str, str]) -> bool:
    """Tell whether systemd opened our socket for us: who asks there waits for ourselves."""
    return environ.get("LISTEN_PID") == str(os.getpid())


def _add_to_running(folders: list[Path]) -> bool:
    """Add the projects to a daemon that runs already; return whether there is one."""
    with options.own_client() as client:
        try:
            pid = client.status()["pid"]
        except NotReachable:
            return False
        print(f"a daemon is running already, pid {pid}")
        for folder in folders:
            project = client.add_project(folder)
            print(f"it watches {safe(project['id'])}: {safe(project['path'])}")
    return True


def load_checked(places: Paths, *, named: bool = False) -> tuple[Loaded, list[str]]:
    """
    Read the configuration, and look at it as the daemon does when it starts.

    Returns:
        The configuration, and what cannot be watched as things are now.
    Raises:
        ConfigError: The daemon would refuse it.
    """
    from rtevents.config.load import read
    from rtevents.daemon.check import check
    from rtevents.daemon.types import kept_types

    loaded = read(places, named=named)
    return loaded, check(loaded, added=kept_types(places.types))


def mistakes(places: Paths, *, named: bool = False) -> list[str]:
    """Return all that ``load_checked`` would refuse, each with its place."""
    from rtevents.config.mistakes import find_mistakes
    from rtevents.daemon.check import check

    return find_mistakes(places, os.environ, check, named=named)


def _run(folders: list[Path], *, quiet: bool, strict: bool) -> NoReturn:
    # Hundreds of modules, of which nothing is garbage: to look for it takes a fifth of the start.
    gc.disable()
    from rtevents.config.paths import find_paths
    from rtevents.daemon import run
    from rtevents.daemon.logs import start_log

    gc.freeze()
    gc.enable()
    places = find_paths()
    loaded, _ = load_checked(places)  # what is not watched, the daemon tells itself
    settings = loaded.config
    form = settings.log.format
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    log = start_log(settings.log_level, as_json=as_json, clean=safe)
    warn = logger.warning if as_json else notice
    for warning in loaded.warnings:
        warn(warning)

    def tell(running: Running) -> None:
        _tell(running)
        for warning in running.warnings:
            warn(warning)
        if as_json:
            logger.info("listening on %s", running.socket)
        if not quiet:
            _follow_aside(running)

    try:
        code = run(settings, places, projects=folders, strict=strict, on_ready=tell)
    except RteventsError:
        log.stop()
        raise
    _leave(log, code)


def _leave(log: QueueListener, code: int) -> NoReturn:
    """End the process, with what there is to say if the terminal takes it in time."""

    def say() -> None:
        log.stop()
        sys.stdout.flush()

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(LEAVE_SECONDS)
    os._exit(code)


def _tell(running: Running) -> None:
    """Print where the daemon listens and what it watches."""
    print(f"listening on {safe(str(running.socket))}", flush=True)
    if running.url:
        print(f"listening on {safe(running.url)} (open it with: rtevents dashboard)")
    for project in running.projects:
        print(f"watching {safe(project)}")
    if is_terminal():
        print("try: rtevents publish risk 'hello' · Ctrl-C ends", flush=True)
    sys.stdout.flush()


def _follow_aside(running: Running) -> None:
    """
    Print a line per event, in a thread with a stream of its own.

    A terminal that is held, by Ctrl-S or a pager, is then a slow reader like any other.
    """
    threading.Thread(target=_follow, args=(running,), daemon=True).start()


def _follow(running: Running) -> None:
    from rtevents.client.sync import Client
    from rtevents.core.event import Entry

    # The daemon's end is this stream's end.
    with contextlib.suppress(RteventsError, OSError), Client(running.socket) as client:
        for item in client.stream(since=running.bookmark, reconnect=False):
            if isinstance(item, Entry):
                typer.echo(pretty_line(item))


def _detach(folders: list[Path], *, strict: bool) -> None:
    from rtevents.config.paths import find_paths

    places = find_paths()
    load_checked(places)  # a mistake in it is told here, not in a log
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = [str(folder) for folder in folders] or ["--no-project"]
    if strict:
        arguments.append("--strict")
    with places.daemon_log.open("ab") as log:
        places.daemon_log.chmod(0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "rtevents", "serve", "--quiet", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # lines for a person, and the log is JSON
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    _wait(process, places)


def _wait(process: subprocess.Popen[bytes], places: Paths) -> None:
    """Return when the daemon answers; tell why when it does not."""
    deadline = time.monotonic() + START_SECONDS
    with options.own_client() as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                lines = places.daemon_log.read_text(errors="replace").splitlines() or [""]
                reason = lines[-1].removeprefix("rtevents: ")
                raise RteventsError(f"the daemon ended: {reason} (see {places.daemon_log})")
            try:
                status = client.status()
            except RteventsError:
                time.sleep(0.05)
                continue
            print(f"the daemon runs, pid {status['pid']}, listening on {safe(status['socket'])}")
            if status["url"]:
                print(f"and on {safe(status['url'])}; its log is {safe(str(places.daemon_log))}")
            return
    raise RteventsError(f"the daemon does not answer yet; see {places.daemon_log}")
