"""rtevents publish: an event in a person's words; one file per kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from rtevents.cli import Commands
from rtevents.cli.publish import sending


class Kinds(Commands):
    """The kinds of event that have words of their own."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "commit": (
            "rtevents.cli.publish.commit:app",
            "Publish a commit; the daemon reads it from the repository.",
        ),
        "file": ("rtevents.cli.publish.file:app", "Publish that a file changed."),
        "progress": ("rtevents.cli.publish.progress:app", "Publish how far something has come."),
        "risk": (
            "rtevents.cli.publish.risk:app",
            "Publish something that somebody should look at.",
        ),
        "task": ("rtevents.cli.publish.task:app", "Publish that a task has a new status."),
        "system": ("rtevents.cli.publish.system:app", "Publish how a system is."),
        "dashboard": ("rtevents.cli.publish.dashboard:app", "Publish figures for those who watch."),
        "event": ("rtevents.cli.publish.event:app", "Publish an event of any type."),
        "auto-commit": (
            "rtevents.cli.publish.auto_commit:app",
            "Publish what an automatic commit does.",
        ),
    }


app = typer.Typer(
    cls=Kinds, rich_markup_mode=None, add_completion=False, invoke_without_command=True
)


@app.callback()
def publish(
    context: typer.Context,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Publish events from stdin, one JSON object a line.")
    ] = False,
    spool: sending.Spool = False,
) -> None:
    """
    Publish an event. Exits 0 when it is stored.

    \b
    rtevents publish risk "disk nearly full" --severity high
    rtevents publish task T-12 --status done
    rtevents publish progress --done 7 --total 10 --label import
    rtevents publish file src/a.py --change modified
    rtevents publish commit HEAD
    rtevents publish event DEPLOY --data '{"version": "1.2"}'
    jq -c . events.json | rtevents publish --stdin
    """
    kind = context.invoked_subcommand
    if kind is None:
        if not stdin:
            context.fail("missing what to publish: a kind of event, or --stdin")
        from rtevents.cli.publish.intake import publish_stdin

        publish_stdin(spool=spool)
    elif stdin:
        context.fail(f"--stdin takes no further words, got {kind!r}")
    elif spool:
        context.fail(f"--spool goes behind the kind of event: publish {kind} … --spool")
