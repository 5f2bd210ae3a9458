"""rtevents hook: the git hook."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli.output import print_json, safe

if TYPE_CHECKING:
    from rtevents.producers.hook import HookStatus

HELP = """
Install, remove or inspect the git hook.

\b
rtevents hook install
rtevents hook status -C ~/src/web
rtevents hook uninstall
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)

Repository = Annotated[
    Path, typer.Option("--repository", "-C", metavar="PATH", help="A folder of the repository.")
]


@app.command()
def install(
    repository: Repository = Path(),
    way: Annotated[
        Literal["config", "file"] | None,
        typer.Option(
            help="In the repository's configuration (git 2.54 and newer), or as a file; "
            "by default the first that git can do."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where hooks are outside the repository.")
    ] = False,
) -> None:
    """
    Put the post-commit hook in, beside any that is there.

    \b
    rtevents hook install
    rtevents hook install -C ~/src/web
    rtevents hook install --way file
    """
    from rtevents.producers import hook

    _tell(hook.install(repository.resolve(), way=way, force=force))


@app.command()
def uninstall(repository: Repository = Path()) -> None:
    """
    Take the hook out; all else is as it was, to the byte.

    \b
    rtevents hook uninstall
    """
    from rtevents.producers import hook

    before = hook.status(repository.resolve())
    left = hook.uninstall(repository.resolve())
    if before.is_installed:
        print(safe(f"removed: {before.place}"))
    else:
        _tell(left)


@app.command()
def status(
    repository: Repository = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Tell what hook is there, whether it runs, and who reads it.

    The exit code is 1 when it does not run.

    \b
    rtevents hook status
    rtevents hook status --json
    """
    import msgspec

    from rtevents.producers import hook

    found, is_up = hook.status(repository.resolve()), _is_up()
    if as_json:
        print_json(msgspec.to_builtins(found, enc_hook=str) | {"is_daemon_up": is_up})
    else:
        _tell(found)
        _tell_reader(found, is_up=is_up)
    if not found.is_installed or found.problems:
        raise typer.Exit(1)


@app.command()
def tell(repository: Repository = Path()) -> None:
    """
    Tell the daemon of the commits that wait for it.

    The hook runs this where no daemon watches the repository.

    \b
    rtevents hook tell
    """
    from rtevents.client.sync import Client
    from rtevents.errors import BadInput
    from rtevents.producers import hook

    root = repository.resolve()
    spool = hook.spool(root)
    with spool.alone() as is_alone, Client() as client:
        if is_alone and spool.is_watched:
            # A daemon that does not watch it, or not any more, takes the mark away.
            client.commit(root)
        while is_alone and not spool.is_watched and (noted := spool.take()):
            for sha in noted:
                with contextlib.suppress(BadInput):  # it is not there any more
                    client.commit(root, sha)
            spool.forget()


def _tell(found: HookStatus) -> None:
    print(safe(found.describe()))
    for problem in found.problems:
        print(safe(f"  {problem.text}: {problem.remedy}"))


def _tell_reader(found: HookStatus, *, is_up: bool) -> None:
    notes = f"; commits that wait for it: {found.notes}" if found.notes else ""
    if not is_up:
        print(f"  no daemon answers{notes}: rtevents serve")
    elif found.is_watched:
        print(f"  a daemon watches this repository{notes}")
    elif found.notes:
        print(f"  this repository is no project of the daemon{notes}: rtevents hook tell")
    else:
        told = "; of its commits it knows what the hook tells" if found.is_installed else ""
        print(f"  this repository is no project of the daemon{told}: rtevents project add .")
    if not found.is_installed:
        print("  to install it: rtevents hook install")


def _is_up() -> bool:
    """Tell whether a daemon answers."""
    from rtevents.client.sync import Client
    from rtevents.errors import RteventsError

    try:
        with Client(timeout=2.0, retry_for=0.0) as client:
            client.status()
    except RteventsError:
        return False
    return True
