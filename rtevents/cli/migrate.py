"""rtevents migrate: move the log from this machine's file to Redis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import options
from rtevents.cli.doctor.daemon import lock_owner
from rtevents.cli.output import print_json, safe
from rtevents.errors import ConfigError, RteventsError

if TYPE_CHECKING:
    from rtevents.config.paths import Paths

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def migrate(
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="[STORE]",
            help="Where to; without it the configuration's `store`, so that no password is seen.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The log to move; without it the daemon's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Move the log to Redis: every entry with its seq and its age, compared afterwards by checksum.

    The log is only read, and what is in Redis already is not moved again. So move most of it while
    the daemon runs, end the daemon, and move the rest: before that no daemon begins there. It may
    be interrupted at any time. The log keeps its name: subscribers and sinks go on where they were.

    \b
    rtevents migrate 'redis://127.0.0.1:6379/0?log=events'   while the daemon runs
    rtevents stop
    rtevents migrate 'redis://127.0.0.1:6379/0?log=events'   the rest
    rtevents serve                                           with `store: redis://…`
    """
    import asyncio

    from rtevents.config.load import load
    from rtevents.config.logs import wrong_store
    from rtevents.config.paths import find_paths
    from rtevents.stores import STORES, store_name

    paths = find_paths()
    url = store or load(paths).store
    if words := wrong_store(url):
        raise ConfigError(f"store: {words}", field="store")
    if not url.startswith(tuple(f"{name}:" for name in STORES if name.startswith("redis"))):
        raise ConfigError(
            f"store: expected a log of Redis to move to, got {safe(store_name(url))}; "
            "name one, as 'redis://127.0.0.1:6379/0?log=events'",
            field="store",
        )
    try:
        from rtevents.stores.move import move
    except ModuleNotFoundError as error:
        raise ConfigError(
            "store: redis needs the extra `redis`: pip install 'rtevents[redis]'", field="store"
        ) from error
    source = file.expanduser().absolute() if file else paths.database
    pid = _user(source, paths)
    moved = asyncio.run(move(source, url, is_in_use=pid is not None, tell=_tell))
    name = store_name(url)
    if as_json:
        print_json({"from": str(source), "to": name, **moved._asdict()})
        return
    span = f" ({moved.first} to {moved.last})" if moved.entries else ""
    print(f"{moved.moved} entries moved; {moved.entries}{span} are the same here and there")
    print(f"sha256 {moved.sha256}")
    for weakness in moved.weaknesses:
        print(f"note: {safe(weakness)}", file=sys.stderr)
    if pid is None:
        print(f"now start every daemon with `store: {safe(name)}`, and put the old file away")
    else:
        print(
            f"the daemon (pid {safe(pid)}) goes on in its file: rtevents stop, and this once "
            "more for the rest; no daemon begins there before that"
        )


def _user(file: Path, paths: Paths) -> str | None:
    """Return the pid of the daemon that may append to a file; None where there is none."""
    from rtevents.config.logs import MAIN

    owner, is_held = lock_owner(file.with_name(paths.state_lock.name))
    if not is_held:
        return None
    # Behind it stands where it listens.
    pid = owner.partition(" ")[0]
    if file.parent.resolve() != paths.state.resolve():
        return pid
    try:
        with options.own_client() as client:
            status = client.status()
    except RteventsError:
        # It hangs, or is on its way up or down.
        return pid
    logs = status.get("logs") or [{"name": MAIN, "store": status["store"]}]
    used = [paths.log_file(log["name"]) for log in logs if log["store"].startswith("sqlite")]
    return pid if file.name in [each.name for each in used] else None


def _tell(what: str, share: float) -> None:
    """Tell a person how far it is."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if share >= 1 else ""
        print(f"\r{share:4.0%} {what} …", end=end, file=sys.stderr, flush=True)
