"""Options that several commands share: the filter, and the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import suggest

if TYPE_CHECKING:
    from pathlib import Path

    from rtevents.client.sync import Client
    from rtevents.core.filter import Filter

Types = Annotated[
    list[str],
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="Only this event type; several are OR.",
        autocompletion=suggest.types,
    ),
]
NotTypes = Annotated[
    list[str],
    typer.Option(
        "--not-type", metavar="TYPE", help="Not this event type.", autocompletion=suggest.types
    ),
]
Projects = Annotated[
    list[str],
    typer.Option(
        "--project", metavar="ID", help="Only this project.", autocompletion=suggest.projects
    ),
]
Sources = Annotated[list[str], typer.Option("--source", metavar="NAME", help="Only this source.")]
PathGlobs = Annotated[
    list[str],
    typer.Option(
        "--path", metavar="GLOB", help="Only files, and commits of files, such as 'src/**'."
    ),
]
Wheres = Annotated[
    list[str],
    typer.Option(
        "--where",
        "-w",
        metavar="CONDITION",
        help="Only where this holds, such as 'data.severity >= \"high\"'; see rtevents docs where.",
    ),
]
Logs = Annotated[
    list[str],
    typer.Option(
        "--log",
        metavar="NAME",
        help="Only this log, where there are several.",
        autocompletion=suggest.logs,
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="NAME",
        help="This log alone, where there are several.",
        autocompletion=suggest.logs,
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", help="Where to end; as --since.", metavar="WHEN")
]

FailOnGap = Annotated[
    bool, typer.Option("--fail-on-gap", help="End with 6 when entries can no longer be read.")
]


def client(**settings: float) -> Client:
    """Return a client of the user's daemon; `timeout` and `retry_for` are in seconds."""
    from rtevents.client.sync import Client

    return Client(**settings)  # type: ignore[arg-type]  # none of them is an address


def own_client() -> Client:
    """Return a client of this user's daemon on this machine, whatever `$RTEVENTS_URL` names."""
    from rtevents.client.sync import Client
    from rtevents.config.paths import find_paths

    return Client(find_paths().socket)


def wanted(
    types: list[str],
    not_types: list[str],
    projects: list[str],
    sources: list[str],
    paths: list[str],
    wheres: list[str],
    logs: list[str],
) -> Filter:
    """
    Return the filter; whether a type is known is the daemon's to say, its own ones included.

    Raises:
        typer.BadParameter: A value is empty.
    """
    from rtevents.core.filter import Filter
    from rtevents.core.names import type_name

    lists = {"--type": types, "--not-type": not_types, "--project": projects, "--log": logs}
    for option, values in lists.items():
        refuse_empty(option, [part for value in values for part in value.split(",")])
    for option, values in (("--source", sources), ("--path", paths), ("--where", wheres)):
        refuse_empty(option, values)

    def names(values: list[str]) -> frozenset[str]:
        return frozenset(type_name(part) for value in values for part in value.split(","))

    return Filter(
        types=names(types),
        not_types=names(not_types),
        projects=frozenset(projects),
        sources=frozenset(sources),
        paths=frozenset(paths),
        wheres=frozenset(wheres),
        logs=frozenset(logs),
    )


def refuse_empty(option: str, values: list[str]) -> None:
    """
    Refuse values that are empty: a shell variable that is not set must not lift a limit.

    Raises:
        typer.BadParameter: There is one.
    """
    for value in values:
        if not value.strip():
            raise typer.BadParameter(f"{option}: expected a value, got {value!r}")


def refuse_output(option: str, file: Path | None) -> None:
    """Refuse ``-`` where a file is made: others write to standard output then."""
    if file is not None and str(file) == "-":
        raise typer.BadParameter(f"{option}: it is a file that is made, not an output; name one")


def seconds(text: str | None, option: str) -> float | None:
    """
    Return the seconds of `10s`, `5m` or `30`.

    Raises:
        typer.BadParameter: It is none of these.
    """
    from rtevents.core.since import parse_duration

    if text is None:
        return None
    value = parse_duration(text)
    if value is None:  # a number alone: seconds
        value = parse_duration(f"{text}s")
    if value is None:
        raise typer.BadParameter(f"{option}: expected a duration such as 30s, got {text!r}")
    return value
