"""rtevents publish: an event in a person's words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, notice, print_json, safe
from rtevents.errors import ConnectionLost, NotReachable, RteventsError, Unavailable, outcome

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.core.event import Event, Stored

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=False, invoke_without_command=True
)
auto_commit = typer.Typer(rich_markup_mode=None, add_completion=False)

Project = Annotated[str | None, typer.Option("--project", help="The project it belongs to.")]
Source = Annotated[str, typer.Option("--source", help="Who says so.")]
Id = Annotated[
    str | None, typer.Option("--id", help="The event's id: published again, it is stored once.")
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="WHEN", help="When it happened; now by default.")
]
Spool = Annotated[
    bool,
    typer.Option("--spool", help="Keep it on disk when the daemon is away; it is delivered later."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="JSON", help="More fields: JSON, @FILE, or - for stdin."),
]


@app.callback()
def publish(
    context: typer.Context,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Publish events from stdin, one JSON object a line.")
    ] = False,
    spool: Spool = False,
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
        from rtevents.cli.intake import publish_stdin

        publish_stdin(spool=spool)
    elif stdin:
        context.fail(f"--stdin takes no further words, got {kind!r}")
    elif spool:
        context.fail(f"--spool goes behind the kind of event: publish {kind} … --spool")


@app.command()
def commit(
    revision: Annotated[str, typer.Argument(help="A commit, as git names it.")] = "HEAD",
    repository: Annotated[
        Path, typer.Option("--repository", "-C", help="A folder of the repository.")
    ] = Path(),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False,
) -> None:
    """
    Publish a commit; the daemon reads it from the repository.

    \b
    rtevents publish commit
    rtevents publish commit v1.2 -C ~/src/web
    """
    try:
        with options.client() as client:
            stored = client.commit(repository.resolve(), revision)
    except RteventsError as failure:
        if quiet:
            raise typer.Exit(outcome(failure)[1]) from None
        raise
    if not quiet:
        _tell(stored.event_id, stored.seq, duplicate=stored.duplicate)


@app.command()
def file(
    path: Annotated[str, typer.Argument(help="The file, relative to its project.")],
    change: Annotated[
        Literal["created", "modified", "deleted", "renamed"], typer.Option(help="What happened.")
    ] = "modified",
    old_path: Annotated[str | None, typer.Option(help="Where it was, when renamed.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish that a file changed.

    \b
    rtevents publish file src/a.py --change modified --project web
    """
    fields = {"file_path": path, "change_type": change, "old_path": old_path}
    _publish("FILE_CHANGE", fields, project, source, event_id, when, data, spool)


@app.command()
def progress(
    done: Annotated[float, typer.Option(help="Units that are done.")],
    total: Annotated[float, typer.Option(help="Units that there are.")],
    label: Annotated[str | None, typer.Option(help="What progresses.")] = None,
    unit: Annotated[str | None, typer.Option(help="What is counted.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish how far something has come.

    \b
    rtevents publish progress --done 7 --total 10 --label import --unit files
    """
    fields: dict[str, Any] = {"done": _whole(done), "total": _whole(total)}
    if total > 0:
        fields["percent"] = round(min(100.0, 100 * done / total), 2)
    fields |= {"label": label, "unit": unit}
    _publish("PROGRESS_UPDATE", fields, project, source, event_id, when, data, spool)


@app.command()
def risk(
    message: Annotated[str, typer.Argument(help="What it is, in one line.")],
    severity: Annotated[
        Literal["low", "medium", "high", "critical"], typer.Option(help="How bad it is.")
    ] = "medium",
    rule: Annotated[str | None, typer.Option(help="The rule that found it.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish something that somebody should look at.

    \b
    rtevents publish risk "disk nearly full" --severity high
    """
    fields = {"severity": severity, "message": message, "rule": rule}
    _publish("RISK_ALERT", fields, project, source, event_id, when, data, spool)


@app.command()
def task(
    task_id: Annotated[str, typer.Argument(help="The task.")],
    status: Annotated[str, typer.Option(help="Its state: open, running, done, failed, …")],
    title: Annotated[str | None, typer.Option(help="The task in words.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish that a task has a new status.

    \b
    rtevents publish task T-12 --status done --title "Write the guide"
    """
    fields = {"task_id": task_id, "status": status, "title": title}
    _publish("TASK_UPDATE", fields, project, source, event_id, when, data, spool)


@app.command()
def system(
    status: Annotated[
        Literal["ok", "degraded", "failed"], typer.Argument(help="How the system is.")
    ],
    reason: Annotated[list[str], typer.Option(help="Why; may be given several times.")] = [],
    event: Annotated[str | None, typer.Option(help="What made it change.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish how a system is.

    \b
    rtevents publish system degraded --reason "queue 90 % full"
    """
    fields = {"status": status, "event": event, "reasons": reason or None}
    _publish("SYSTEM_STATUS", fields, project, source, event_id, when, data, spool)


@app.command()
def dashboard(
    metrics: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Figures.")],
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish figures for those who watch.

    \b
    rtevents publish dashboard users=12 load=0.7 branch=main
    """
    fields = {"metrics": dict(_metric(text) for text in metrics)}
    _publish("DASHBOARD_UPDATE", fields, project, source, event_id, when, data, spool)


@app.command()
def event(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="The event type.")],
    data: Data = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    spool: Spool = False,
) -> None:
    """
    Publish an event of any type.

    \b
    rtevents publish event DEPLOY --data '{"version": "1.2"}'
    rtevents publish event TASK_UPDATE --data @task.json
    """
    _publish(kind, {}, project, source, event_id, when, data, spool)


@auto_commit.command()
def start(
    changes: Annotated[int, typer.Option(min=0, help="Files it is about to commit.")],
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish that an automatic commit begins.

    \b
    rtevents publish auto-commit start --changes 3
    """
    fields = {"changes_count": changes}
    _publish("AUTO_COMMIT_START", fields, project, source, event_id, when, data, spool)


@auto_commit.command()
def result(
    message: Annotated[str, typer.Argument(help="The commit's message, or why there is none.")],
    changes: Annotated[int, typer.Option(min=0, help="Files it committed.")],
    failed: Annotated[bool, typer.Option("--failed", help="There is no commit.")] = False,
    commit_hash: Annotated[str | None, typer.Option("--commit", help="The commit.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish how an automatic commit ended.

    \b
    rtevents publish auto-commit result "Save work" --changes 3 --commit 0a1b2c3d
    """
    fields = {
        "success": not failed,
        "changes_count": changes,
        "message": message,
        "commit_hash": commit_hash,
    }
    _publish("AUTO_COMMIT_RESULT", fields, project, source, event_id, when, data, spool)


@auto_commit.command()
def error(
    text: Annotated[str, typer.Argument(help="What went wrong, in one line.")],
    details: Annotated[str | None, typer.Option(help="More of it.")] = None,
    project: Project = None,
    source: Source = "cli",
    event_id: Id = None,
    when: Time = None,
    data: Data = None,
    spool: Spool = False,
) -> None:
    """
    Publish that an automatic commit failed.

    \b
    rtevents publish auto-commit error "no identity"
    """
    fields = {"error": text, "details": details}
    _publish("AUTO_COMMIT_ERROR", fields, project, source, event_id, when, data, spool)


app.add_typer(auto_commit, name="auto-commit", help="Publish what an automatic commit does.")


def _publish(
    kind: str,
    fields: dict[str, Any],
    project: str | None,
    source: str,
    event_id: str | None,
    when: str | None,
    data: str | None,
    spool: bool,
) -> None:
    from rtevents.core.event import Event, type_name
    from rtevents.core.since import parse_time

    common: dict[str, Any] = {"project_id": project, "source": source}
    if event_id is not None:
        common["event_id"] = event_id
    if when is not None:
        common["timestamp"] = parse_time(when)
    given = {name: value for name, value in fields.items() if value is not None}
    _send(Event(type=type_name(kind), data=given | _more(data), **common), spool=spool)


def _send(event: Event, *, spool: bool) -> None:
    from rtevents.core.event import check_event

    check_event(event)
    with options.client() as client:
        stored = _spooled(client, event) if spool else client.publish(event)
    if stored is None:
        return
    _tell(stored.event_id, stored.seq, duplicate=stored.duplicate)


def _spooled(client: Client, event: Event) -> Stored | None:
    """Publish what waits, then `event`; keep it when the daemon is away, and return None then."""
    from rtevents.client.spool import deliver, keep
    from rtevents.config import find_paths

    folder = find_paths().spool
    try:
        deliver(client, folder)
        return client.publish(event)
    except (NotReachable, ConnectionLost, Unavailable) as failure:
        keep(folder, event)
        notice(f"kept until the daemon is back: {failure}")
        return None


def _tell(event_id: str, seq: int, *, duplicate: bool) -> None:
    if is_terminal():
        print(f"{seq}  {safe(event_id)}" + ("  (stored before)" if duplicate else ""))
    else:
        print_json({"event_id": event_id, "seq": seq, "duplicate": duplicate})


def _more(data: str | None) -> dict[str, Any]:
    if data is None:
        return {}
    try:
        if data == "-":
            text = sys.stdin.buffer.read().decode()
        elif data.startswith("@"):
            text = Path(data[1:]).read_text(encoding="utf-8")
        else:
            text = data
        value = json.loads(text, parse_constant=_no_constant)
    except OSError as failure:
        raise typer.BadParameter(f"--data: {data[1:]}: {failure.strerror}") from failure
    except (ValueError, RecursionError) as failure:
        raise typer.BadParameter(f"--data: not JSON: {failure}") from failure
    if not isinstance(value, dict):
        raise typer.BadParameter("--data: expected a JSON object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _metric(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return name, value
