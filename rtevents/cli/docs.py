"""rtevents docs: the pages that ship with the package."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from rtevents.cli import suggest
from rtevents.cli.output import is_terminal
from rtevents.docs import TOPICS

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def docs(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", help="Which page; none lists them.", autocompletion=suggest.topics
        ),
    ] = None,
) -> None:
    """
    Read a page of the manual; without a topic, list them.

    \b
    rtevents docs
    rtevents docs events
    rtevents docs websocket | less
    """
    if topic is None:
        for name, about in TOPICS.items():
            print(f"{name:<12} {about}")
        return
    if topic not in TOPICS:
        raise typer.BadParameter(f"no page {topic!r}, expected one of {', '.join(TOPICS)}")
    text = files("rtevents.docs").joinpath(f"{topic}.md").read_text(encoding="utf-8")
    if not is_terminal():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
