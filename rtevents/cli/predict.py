"""rtevents predict: which files are likely to change next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rtevents.cli import options, suggest
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import is_terminal, print_json, safe

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files that changed.")],
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            metavar="ID",
            help="Their project; then the paths are relative to it.",
            autocompletion=suggest.projects,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100, metavar="N", help="Files at most.")
    ] = 10,
    output: Annotated[
        Literal["pretty", "json"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else json."),
    ] = None,
) -> None:
    """
    Tell which files usually change together with these, the likeliest first.

    \b
    rtevents predict src/app.py
    rtevents predict --project web src/app.py src/app.css -n 5

    It is learned from the commits and changes that the daemon saw, and the 1000 before those.
    """
    with options.client() as client:
        if project is None:
            project, names = _place(client.projects(), paths)
        else:
            tell_unknown(client, [project])
            names = [path.as_posix() for path in paths]
        found = client.predictions(project, names, limit)
    if not (is_terminal() if output is None else output == "pretty"):
        print_json(found)
        return
    if not found["likely"]:
        print("nothing is known to change together with that")
    for each in found["likely"]:
        often = f"{each['lift']:.0f} times as often as usual"
        print(f"{each['probability']:>5.0%}  {safe(each['path'])}  ({often})")


def _place(projects: list[dict[str, object]], paths: list[Path]) -> tuple[str, list[str]]:
    """Return the project of some paths, and the paths within it."""
    roots = {Path(str(each["path"])): str(each["id"]) for each in projects}
    # Not through links: a file that is one is watched as itself.
    absolute = [Path(os.path.normpath(path.absolute())) for path in paths]
    inside = [root for root in roots if all(path.is_relative_to(root) for path in absolute)]
    if not inside:
        said = ", ".join(str(path) for path in paths)
        raise typer.BadParameter(f"{said}: in no project that is watched; name one with --project")
    root = max(inside, key=lambda root: len(root.parts))
    return roots[root], [path.relative_to(root).as_posix() for path in absolute]
