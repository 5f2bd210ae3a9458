"""rtevents sinks: the configured reactions, and what they gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options, suggest
from rtevents.cli.output import moment, notice, pretty_line, print_json, safe
from rtevents.cli.status import sink_line
from rtevents.errors import NotFound, NotReachable, Taken

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.sinks.place import DeadLetters

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Which sink.", autocompletion=suggest.sinks)
]
LetterId = Annotated[
    str, typer.Argument(metavar="[ID]", help="Which letter; every one by default.")
]


@app.callback()
def sinks(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show the configured reactions and the names of `rtevents on --as NAME`: how they are, how far
    they lag, what they gave up.

    \b
    rtevents sinks
    rtevents sinks dead chat
    rtevents sinks replay chat
    rtevents sinks resume chat      try now, when it rests or its receiver was gone
    rtevents sinks forget pager     drop the place of rtevents on --as pager
    """
    if context.invoked_subcommand is not None:
        return
    with options.client() as client:
        found = client.sinks() + _named(client)
    if as_json:
        print_json(found)
        return
    if not found:
        notice("there are none: see rtevents docs reactions")
    for sink in found:
        print(_name_line(sink) if sink["kind"] == "on" else sink_line(sink))


@app.command()
def dead(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which sink.", autocompletion=suggest.sinks),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show what was given up, and why.

    NAME is a sink of the configuration, or of `rtevents on --as NAME`.

    \b
    rtevents sinks dead
    rtevents sinks dead chat --json
    """
    if name is not None:
        found = [letter | {"sink": name} for letter in _letters(name)]
    else:
        found = _all_letters()
    if as_json:
        print_json(found)
        return
    from rtevents.core.event import decode_entry

    for letter in found:
        when = moment(letter["at"], "%Y-%m-%d %H:%M:%S")
        often = f"{letter['attempts']} attempts" if letter["attempts"] > 1 else "1 attempt"
        print(f"{safe(letter['sink'])}  {letter['id']}  {when}, {often}: {safe(letter['reason'])}")
        typer.echo(f"    {pretty_line(decode_entry(_encode(letter['event'])))}")


@app.command()
def replay(name: Name, letter_id: LetterId = "") -> None:
    """
    Do again what was given up.

    Each is tried once, in the background; what fails again stays.

    \b
    rtevents sinks replay chat
    rtevents sinks replay chat a1b2c3d4-42
    """
    with options.client() as client:
        try:
            count = client.replay_letters(name, letter_id)
        except NotFound as error:
            if _own(name) is None:
                raise
            raise NotFound(
                f"{name} is run by rtevents on: rtevents on --as {name} --replay … -- CMD"
            ) from error
    print(f"replaying {count}; see: rtevents sinks dead {safe(name)}")


@app.command()
def discard(name: Name, letter_id: LetterId = "") -> None:
    """
    Forget what was given up.

    \b
    rtevents sinks discard chat a1b2c3d4-42
    """
    try:
        with options.client() as client:
            count = client.discard_letters(name, letter_id)
    except (NotFound, NotReachable):
        if (own := _own(name)) is None:
            raise
        chosen = own.ids if not letter_id else [each for each in own.ids if each == letter_id]
        if letter_id and not chosen:
            raise NotFound(f"no dead letter {letter_id[:80]!r}") from None
        for each in chosen:
            own.remove(each)
        count = len(chosen)
    print(f"discarded {count}")


@app.command()
def resume(name: Name) -> None:
    """
    Have a sink that rests try now.

    It rests after failures in a row, and for good when its receiver answered 410.

    \b
    rtevents sinks resume chat
    """
    with options.client() as client:
        client.resume_sink(name)
    print(f"resumed {safe(name)}")


@app.command()
def forget(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which name.", autocompletion=suggest.names)
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also what it gave up, its dead letters.")
    ] = False,
) -> None:
    """
    Forget a name of `rtevents on --as`.

    Used again, it begins anew. A sink of the configuration is taken out there.

    \b
    rtevents sinks forget pager
    """
    from rtevents.config.paths import find_paths
    from rtevents.sinks.names import forget as forget_name
    from rtevents.sinks.names import letters

    folder = find_paths().names
    kept = letters(folder, name)
    if kept and not force:
        raise Taken(
            f"{name} has {len(kept)} dead letters: rtevents sinks dead {name}; "
            f"to forget them as well: rtevents sinks forget --force {name}"
        )
    forget_name(folder, name)
    print(f"forgot {safe(name)}")


def _named(client: Client) -> list[dict[str, Any]]:
    """Return the names of `rtevents on --as NAME`, as far behind as they are."""
    from rtevents.config.paths import find_paths
    from rtevents.core.event import Bookmark
    from rtevents.sinks.names import all_names

    if not (names := all_names(find_paths().names)):
        return []
    status = client.status()
    several = status.get("logs")
    logs = {each["epoch"]: each for each in several or [status]}
    found = []
    for each in names:
        place = Bookmark.parse(each.bookmark) if each.bookmark else None
        log = logs.get(place.epoch) if place else None
        found.append(
            {
                "name": each.name,
                "kind": "on",
                "state": "running" if each.pid is not None else "ended",
                "bookmark": each.bookmark,
                "lag": max(0, log["newest"] - place.seq) if place and log else None,
                "log": log["name"] if several and log else None,
                "dead": each.dead,
                "pid": each.pid,
                "since": each.since,
            }
        )
    return found


def _name_line(name: dict[str, Any]) -> str:
    """Return a name in a line."""
    when = moment(name["since"], "%Y-%m-%d %H:%M")
    runs = (
        f"running since {when}, pid {name['pid']}" if name["pid"] else f"not running since {when}"
    )
    of = f" in {name['log']}" if name["log"] else ""
    lag = "at no place of this log" if name["lag"] is None else f"lag {name['lag']}{of}"
    words = [runs, lag, *([f"{name['dead']} dead"] if name["dead"] else [])]
    return f"{safe(name['name'])}  on  {', '.join(words)}  {name['bookmark']}"


def _names() -> list[str]:
    """Return the names of what may have given something up."""
    from rtevents.config.paths import find_paths

    with options.client() as client:
        found = [sink["name"] for sink in client.sinks()]
    folder = find_paths().names
    own = sorted(each.name for each in folder.glob("*") if _own(each.name) is not None)
    return found + [each for each in own if each not in found]


def _all_letters() -> list[dict[str, Any]]:
    found = []
    for name in _names():
        try:
            found += [letter | {"sink": name} for letter in _letters(name)]
        except NotFound as error:  # the daemon has another configuration meanwhile
            notice(str(error))
    return found


def _letters(name: str) -> list[dict[str, Any]]:
    """Return the dead letters of a sink of the daemon's, or of a name of `rtevents on`."""
    try:
        with options.client() as client:
            found = client.dead_letters(name)
    except (NotFound, NotReachable):
        if (own := _own(name)) is None:
            raise
        import msgspec

        return [msgspec.json.decode(msgspec.json.encode(each)) for each in own.read(own.ids)]
    letters: list[dict[str, Any]] = found["letters"]
    if found["total"] > len(letters):
        notice(f"{name}: the oldest {len(letters)} of {found['total']}")
    return letters


def _own(name: str) -> DeadLetters | None:
    """Return the dead letters of `rtevents on --as NAME`; None when there is no such name."""
    from rtevents.config.paths import find_paths
    from rtevents.sinks.names import letters

    return letters(find_paths().names, name)


def _encode(event: dict[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(event)
