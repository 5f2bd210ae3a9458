"""rtevents config: the settings."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli.output import notice

HELP = """
Show, check or print the settings.

\b
rtevents config default > ~/.config/rtevents/config.yaml
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
    Check the configuration as `rtevents serve` does; exit code 2 when it is unusable.

    \b
    rtevents config check
    rtevents config check --config other.yaml
    """
    from rtevents.cli.serve import load_checked
    from rtevents.config.paths import find_paths

    paths = find_paths(config=file)
    loaded, unwatched = load_checked(paths, named=file is not None)
    warnings = [*loaded.warnings, *unwatched]
    for warning in warnings:
        notice(warning)
    if warnings:
        print(f"{paths.config} can be used, but see the warnings")
        return
    there = "is fine" if paths.config.exists() else "is not there: every setting has its default"
    print(f"{paths.config} {there}")


@app.command()
def default() -> None:
    """
    Print every setting with its default, unit and meaning.

    \b
    rtevents config default > ~/.config/rtevents/config.yaml
    """
    from rtevents.config.render import default_yaml

    print(default_yaml(), end="")
