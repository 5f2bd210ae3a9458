"""rtevents dashboard: open the daemon in a browser, logged in."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli import options, suggest
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import is_terminal

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def dashboard(
    show: Annotated[
        bool, typer.Option("--print", help="Print the address instead of opening it.")
    ] = False,
    projects: Annotated[
        list[str],
        typer.Option(
            "--project", metavar="ID", help="Only this project.", autocompletion=suggest.projects
        ),
    ] = [],
    types: options.Types = [],
    viewer: Annotated[
        bool, typer.Option("--viewer", help="The stream alone: no connections, no statistics.")
    ] = False,
) -> None:
    """
    Open the stream in your browser, logged in. The address is good once, for 30 seconds.

    \b
    rtevents dashboard
    rtevents dashboard --print
    rtevents dashboard --viewer --project web --print     for a screen on the wall
    """
    import webbrowser

    options.refuse_empty("--project", projects)
    options.refuse_empty("--type", types)
    with options.client() as client:
        tell_unknown(client, projects)
        role = "viewer" if viewer else "browser"
        url = client.ticket(role=role, projects=projects, types=types)["url"]
    if show or not is_terminal() or not webbrowser.open(url):
        print(url)
