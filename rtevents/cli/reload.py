"""rtevents reload: have the daemon read its configuration again."""

from __future__ import annotations

import typer

from rtevents.cli import options
from rtevents.cli.output import notice, safe

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def reload() -> None:
    """
    Have the daemon read its configuration again: all of it is taken on, or nothing.

    \b
    rtevents reload                           rtevents config check tells mistakes without it

    Streams stay open, and projects of which it says the same go on. What cannot change while the
    daemon runs (where it listens, its store) is refused by name.
    """
    with options.own_client() as client:
        told = client.reload()
    for warning in told["warnings"]:
        notice(warning)
    print(f"changed: {safe(', '.join(told['changed']))}" if told["changed"] else "nothing changed")
