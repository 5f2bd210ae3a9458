"""rtevents hook: the git hook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rtevents.cli.output import safe

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
    force: Annotated[
        bool, typer.Option("--force", help="Also where hooks are outside the repository.")
    ] = False,
) -> None:
    """
    Put the post-commit hook in, beside any that is there.

    \b
    rtevents hook install
    rtevents hook install -C ~/src/web
    """
    from rtevents.producers import hook

    print(safe(hook.install(repository.resolve(), force=force).describe()))


@app.command()
def uninstall(repository: Repository = Path()) -> None:
    """
    Take the hook out; all else is as it was, to the byte.

    \b
    rtevents hook uninstall
    """
    from rtevents.producers import hook

    was_there = hook.status(repository.resolve()).is_installed
    left = hook.uninstall(repository.resolve())
    print(safe(f"removed: {left.file}" if was_there else left.describe()))


@app.command()
def status(repository: Repository = Path()) -> None:
    """
    Tell what hook is there.

    \b
    rtevents hook status
    """
    from rtevents.producers import hook

    found = hook.status(repository.resolve())
    print(safe(found.describe()))
    if not found.is_installed:
        raise typer.Exit(1)
