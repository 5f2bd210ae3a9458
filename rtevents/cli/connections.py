"""rtevents connections: who is connected."""

from __future__ import annotations

from typing import Annotated

import typer

from rtevents.cli import options, suggest
from rtevents.cli.output import print_json, safe

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)


@app.callback()
def connections(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show who is connected, with filter, lag and bytes.

    \b
    rtevents connections
    rtevents connections close CONNECTION_ID
    """
    if context.invoked_subcommand is not None:
        return
    with options.client() as client:
        found = client.connections()
    if as_json:
        print_json(found)
        return
    from rtevents.cli.stats import ORDERS, connections_table, wide_console

    console = wide_console()
    console.print(connections_table(sorted(found, key=ORDERS["lag"]), console.width))


@app.command()
def close(
    connection_id: Annotated[
        str,
        typer.Argument(
            metavar="CONNECTION_ID", help="Which one.", autocompletion=suggest.connections
        ),
    ],
) -> None:
    """
    End a connection; its client is told not to come back.

    \b
    rtevents connections close g6IPXieZswZdQsGRZ7tlFg
    """
    with options.client() as client:
        client.close_connection(connection_id)
    print(f"ended {safe(connection_id)}")
