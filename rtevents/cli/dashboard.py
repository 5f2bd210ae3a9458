"""rtevents dashboard: open the daemon in a browser, logged in."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def dashboard(
    show: Annotated[
        bool, typer.Option("--print", help="Print the address instead of opening it.")
    ] = False,
) -> None:
    """
    Open the stream in your browser, logged in. The address is good once, for 30 seconds.

    \b
    rtevents dashboard
    rtevents dashboard --print
    """
    import webbrowser

    with options.client() as client:
        url = client.ticket()["url"]
    if show or not is_terminal() or not webbrowser.open(url):
        print(url)
