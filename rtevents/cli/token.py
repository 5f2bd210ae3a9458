"""rtevents token: who may come in over TCP."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal

import typer

from rtevents.cli import options, suggest
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import moment, print_json, safe
from rtevents.errors import NotFound

HELP = """
Make, list, check or revoke what lets in over TCP.

\b
rtevents token create --role viewer --project web --expires 30d
rtevents token list
rtevents token check < token.txt
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
        tell_unknown(client, projects)
        made = client.create_token(
            role, projects=projects, types=types, expires_in=expires_in, name=name
        )
    print(made["token"])


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show every token and every browser that is logged in.

    \b
    rtevents token list
    """
    with options.client() as client:
        tokens = [*client.tokens(), *client.sessions()]
    if as_json:
        print_json(tokens)
        return
    for token in tokens:
        words = f"{token['role']:<9}  {_until(token)}  {safe(_limits(token))}"
        print(f"{token['id']}  {words}  {safe(token['name'])}")


def _until(token: dict[str, Any]) -> str:
    if token["expires"] is None:
        return "for ever"
    return "until " + moment(token["expires"], "%Y-%m-%d %H:%M")


def _limits(token: dict[str, Any]) -> str:
    return ",".join([*token["projects"], *token["types"]]) or "everything"


@app.command()
def check(
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The daemon; $RTEVENTS_URL or this machine's own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Tell what the token on stdin may do, and until when.

    It ends with 4 when the token lets nobody in. The token is no argument: other users of this
    machine see the arguments of a command.

    \b
    rtevents token check < token.txt
    """
    from rtevents.client.sync import Client

    secret = sys.stdin.readline().strip()
    if not secret:
        raise typer.BadParameter("no token on stdin: rtevents token check < token.txt")
    address = url or os.environ.get("RTEVENTS_URL")
    if address is None:
        with options.own_client() as client:
            address = client.status()["url"]
        if address is None:
            raise NotFound("the daemon listens on no TCP port, where tokens count; see `listen`")
    with Client(address, token=secret) as client:
        found = client.check_token()
    if as_json:
        print_json(found)
        return
    name = found["principal"].removeprefix("token:")
    print(safe(f"{name}  {found['role']:<9}  {_until(found)}  {_limits(found)}"))


@app.command()
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="Which one.", autocompletion=suggest.tokens)
    ],
) -> None:
    """
    Forget a token or a browser's login, and end its streams.

    \b
    rtevents token revoke c43f8153
    """
    with options.client() as client:
        client.revoke_token(token_id)
    print(f"revoked {safe(token_id)}")
