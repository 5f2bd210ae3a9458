"""rtevents backup: copy the log while it is in use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import print_json, safe, size
from rtevents.errors import RteventsError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy, a file of its own.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Copy the log as it is at this moment, while events are published and read.

    It works without a daemon. It copies the main log, if that is in a file: one in Redis is copied
    there, or its events are written to a file by rtevents export. The copy is verified, and for you
    alone. To go back to it: end the daemon, remove events.db and events.db-wal, put the copy in its
    place, and start it again.

    \b
    rtevents backup ~/backup/events-$(date +%F).db
    """
    from rtevents.config.paths import find_paths
    from rtevents.stores.backup import backup as copy

    options.refuse_output("FILE", file)
    _check_store()
    source, target = find_paths().database, file.expanduser().absolute()
    copied = copy(source, target, force=force, tell=_tell)
    if as_json:
        print_json({"file": str(target), **copied._asdict()})
        return
    span = f" ({copied.first} to {copied.last})" if copied.entries else ""
    print(f"{copied.entries} entries{span}, {size(copied.size_bytes)}, in {safe(str(target))}")
    if copied.damaged:
        print(f"{copied.damaged} of them are damaged, here as there", file=sys.stderr)


def _check_store() -> None:
    """Make sure that the daemon, the one that runs or the next, keeps its log in the file."""
    store = _store()
    if store.startswith("redis"):
        raise RteventsError(
            f"the daemon keeps its log in {safe(store)}, of which there is no file here: copy it "
            "there (redis-cli BGSAVE, then dump.rdb; or the folder appendonlydir), or write its "
            "events to a file: rtevents export FILE"
        )
    if not store.startswith("sqlite"):
        raise RteventsError(
            f"the daemon keeps its log in {safe(store)}: there is no file to copy; write its "
            "events to one: rtevents export FILE"
        )


def _store() -> str:
    """Return where the log is, as it may be told."""
    from rtevents.config.load import load
    from rtevents.config.paths import find_paths
    from rtevents.stores import store_name

    try:
        with options.own_client() as client:
            return str(client.status()["store"])
    except RteventsError:
        # None runs that could tell otherwise.
        pass
    try:
        return store_name(load(find_paths()).store)
    except RteventsError:
        # A log can be copied whatever the configuration says.
        return "sqlite"


def _tell(share: float) -> None:
    """Tell a person how far it is."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if share >= 1 else ""
        print(f"\r{share:4.0%} copied …", end=end, file=sys.stderr, flush=True)
