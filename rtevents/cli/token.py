"""rtevents token: who may come in over TCP."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from rtevents.cli import options, suggest
from rtevents.cli.output import print_json, safe

HELP = """
Make, list or revoke what lets in over TCP.

\b
rtevents token create --role viewer --project web --expires 30d
rtevents token list
rtevents token revoke c43f8153
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)


@app.command()
def create(
    role: Annotated[
        Literal["viewer", "publisher", "admin", "owner"], typer.Option(help="What it may do.")
    ],
    projects: Annotated[
        list[str],
        typer.Option(
            "--project", metavar="ID", help="Only this project.", autocompletion=suggest.projects
        ),
    ] = [],
    types: Annotated[
        list[str],
        typer.Option(
            "--type", metavar="TYPE", help="Only this event type.", autocompletion=suggest.types
        ),
    ] = [],
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Its life, such as 30d; endless by default."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="A name for the list.")] = "",
) -> None:
    """
    Make a token and print it: it is told this once.

    \b
    rtevents token create --role viewer --project web --type RISK_ALERT --expires 30d
    """
    options.refuse_empty("--project", projects)
    options.refuse_empty("--type", types)
    expires_in = options.seconds(expires, "--expires")
    with options.client() as client:
        made = client.create_token(
            role, projects=projects, types=types, expires_in=expires_in, name=name
        )
    print(made["token"])


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show every token, without its secret.

    \b
    rtevents token list
    """
    with options.client() as client:
        tokens = client.tokens()
    if as_json:
        print_json(tokens)
        return
    for token in tokens:
        until = "for ever"
        if token["expires"] is not None:
            until = "until " + time.strftime("%Y-%m-%d %H:%M", time.localtime(token["expires"]))
        limits = ",".join([*token["projects"], *token["types"]]) or "everything"
        print(f"{token['id']}  {token['role']:<9}  {until}  {safe(limits)}  {safe(token['name'])}")


@app.command()
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="Which one.", autocompletion=suggest.tokens)
    ],
) -> None:
    """
    Forget a token, and end the streams that it opened.

    \b
    rtevents token revoke c43f8153
    """
    with options.client() as client:
        client.revoke_token(token_id)
    print(f"revoked {safe(token_id)}")
