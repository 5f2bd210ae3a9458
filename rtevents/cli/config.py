"""rtevents config: the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli.output import notice, safe
from rtevents.errors import ConfigError, Taken

if TYPE_CHECKING:
    from rtevents.config.paths import Paths

HELP = """
Show, check or print the settings.

\b
rtevents config default --write
rtevents config check
rtevents config show
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)

File = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Another file.")]


@app.command()
def show(file: File = None) -> None:
    """
    Print the settings in force: defaults, file, environment.

    \b
    rtevents config show
    """
    from rtevents.config.load import load
    from rtevents.config.paths import find_paths
    from rtevents.config.render import to_yaml

    print(to_yaml(load(find_paths(config=file), named=file is not None)), end="")


@app.command()
def check(file: File = None) -> None:
    """
    Check the configuration; exit code 2 when it is unusable.

    It is looked at as `rtevents serve` does; every mistake is told, and what has no effect is a
    warning.

    \b
    rtevents config check
    rtevents config check --config other.yaml
    """
    from rtevents.cli.serve import load_checked
    from rtevents.config.paths import find_paths

    paths = find_paths(config=file)
    try:
        loaded, unwatched = load_checked(paths, named=file is not None)
    except ConfigError as error:
        raise _all(paths, error, named=file is not None) from error
    warnings = [*loaded.warnings, *unwatched]
    for warning in warnings:
        notice(warning)
    if warnings:
        print(f"{paths.config} can be used, but see the warnings")
        return
    there = "is fine" if paths.config.exists() else "is not there: every setting has its default"
    print(f"{paths.config} {there}")


def _all(paths: Paths, first: ConfigError, *, named: bool) -> ConfigError:
    """Tell every mistake but the last, and return that."""
    from rtevents.cli.serve import mistakes

    *others, last = mistakes(paths, named=named) or [str(first)]
    for text in others:
        notice(text)
    return ConfigError(last, field=first.field)


@app.command()
def default(
    write: Annotated[
        bool, typer.Option("--write", help="Write them to the configuration file, if it is new.")
    ] = False,
    file: File = None,
) -> None:
    """
    Print every setting with its default, unit and meaning.

    \b
    rtevents config default
    rtevents config default --write
    """
    from rtevents.config.render import default_yaml

    if write:
        _write_new(default_yaml(), file)
    elif file is not None:
        raise typer.BadParameter("--config is where to write to: add --write")
    else:
        print(default_yaml(), end="")


def _write_new(text: str, name: str | None) -> None:
    """Write the configuration file, for the user alone; one that is there is not touched."""
    from rtevents.config.paths import find_paths

    file = find_paths(config=name).config
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as opened:
            file.chmod(0o600)
            opened.write(text)
    except FileExistsError:
        raise Taken(f"{file} is there already; compare: rtevents config default") from None
    print(f"written: {safe(str(file))}")
