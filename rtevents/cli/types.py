"""rtevents types: the event types, and your own."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, print_json, safe
from rtevents.cli.stats import PIPE_WIDTH

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)


@app.callback()
def types(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page, with what each field means.")
    ] = False,
) -> None:
    """
    Show the event types, and what their data holds.

    \b
    rtevents types
    rtevents types --markdown > EVENTS.md
    rtevents types add DEPLOY
    rtevents types add DEPLOY --schema @deploy.schema.json
    """
    if context.invoked_subcommand is not None:
        return
    with options.client() as client:
        found = client.types()
    if as_json:
        print_json(found)
        return
    if as_markdown:
        print("\n\n".join(["# Event types", *map(_section, found)]))
        return
    for each in found:
        name = f"{safe(each['name']):<20}"
        typer.echo(f"{typer.style(name, bold=True)}{safe(each['summary'])}")
        fields = [
            field["name"] if field["required"] else f"[{field['name']}]" for field in each["fields"]
        ]
        if fields:
            typer.echo(typer.style(_indented(safe(" ".join(fields))), dim=True))


def _section(kind: dict[str, Any]) -> str:
    """Return what a page says of a type."""
    lines = [f"## {safe(kind['name'])}", "", safe(kind["summary"])]
    if kind["fields"]:
        lines += ["", "| field | type | required | meaning |", "|---|---|---|---|"]
    for field in kind["fields"]:
        cells = [
            f"`{field['name']}`", field["type"], "yes" if field["required"] else "",
            field["meaning"],
        ]  # fmt: skip
        # A bar would begin another cell.
        lines.append(f"| {' | '.join(safe(cell).replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def _indented(text: str) -> str:
    """Return `text` behind the column of names, in lines that fit where a person reads."""
    width = shutil.get_terminal_size().columns if is_terminal() else PIPE_WIDTH
    return textwrap.fill(text, width, initial_indent=" " * 20, subsequent_indent=" " * 20)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: A-Z 0-9 _.")],
    schema: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON Schema of its data: JSON or @FILE.")
    ] = None,
) -> None:
    """
    Add an event type of your own.

    \b
    rtevents types add DEPLOY --schema '{"required": ["version"]}'
    """
    with options.client() as client:
        added = client.add_type(name, _schema(schema))
    print(f"{safe(added['name'])} is an event type now")


def _schema(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as failure:
        raise typer.BadParameter(f"--schema: {text[1:]}: {failure.strerror}") from failure
    except ValueError as failure:
        raise typer.BadParameter(f"--schema: not JSON: {failure}") from failure
    if not isinstance(value, dict):
        raise typer.BadParameter("--schema: expected a JSON object")
    return value
