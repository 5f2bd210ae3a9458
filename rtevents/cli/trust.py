"""rtevents trust: let a project's own file have its commands run."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import moment, notice, safe
from rtevents.errors import ConfigError, NotFound, RteventsError

if TYPE_CHECKING:
    from rtevents.config.project_file import ProjectFile
    from rtevents.config.sinks import CommandSettings
    from rtevents.sinks.trust import Trust

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def trust(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[PATH]", help="The project; the one around this folder."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show what would be trusted, and trust nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Run nothing of it, and do not ask again.")
    ] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Forget what was said of it: trusted or refused.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show what was said of which.")] = False,
) -> None:
    """
    Let a project's own .rtevents.yaml have its commands run, as it is now.

    A project that was cloned is somebody else's word: none of its commands runs before. What would
    run is shown, and you are asked. When the file changes, nothing of it runs until you have read
    it and trusted it again. What is refused stays so, whatever the file comes to say.

    \b
    rtevents trust                     the project around this folder
    rtevents trust --show ~/src/web    what it asks for
    rtevents trust --yes ~/src/web     in a script
    rtevents trust --refuse ~/src/web  no, thanks: the health has nothing to say of it any more
    rtevents trust --list
    rtevents trust --revoke ~/src/web
    """
    from rtevents.config.paths import find_paths
    from rtevents.sinks.trust import Trust

    if sum((show, yes, refuse, revoke, list_)) > 1:
        raise typer.BadParameter("of --show, --yes, --refuse, --revoke and --list, expected one")
    if list_ and path is not None:
        raise typer.BadParameter("--list is about all of them")
    known = Trust(find_paths().trust)
    if list_:
        _list(known)
    elif revoke:
        _revoke(known, path)
    elif refuse:
        _refuse(known, path)
    else:
        _give(known, path, is_shown_only=show, is_sure=yes)


def _give(known: Trust, path: Path | None, *, is_shown_only: bool, is_sure: bool) -> None:
    found = _read(_root(path))
    reactions = found.reactions()
    if not reactions:
        print(f"{safe(str(found.file))} asks for no command: there is nothing to trust")
        return
    print(f"{safe(str(found.file))}: {_state(known, found)}; it asks for")
    for each in reactions:
        command = each.command
        asked = [f"{key}={value}" for key, values in each.query.items() for value in values]
        words = " ".join(asked) or "everything"
        run = _shown(command) if command else ""
        print(f"  {safe(each.name)}: {safe(words)} -> {safe(run)}")
    if is_shown_only:
        return
    if not is_sure:
        _ask()
    known.give(found)
    _tell_daemon()
    print("trusted, as it is now")


def _ask() -> None:
    """Ask the person at the terminal; nobody there is no, and so is any other word."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask you at; read it, then: --yes")
    sys.stdout.flush()
    if not typer.confirm("Run these whenever that happens?", err=True):
        notice("nothing was changed; so that nobody asks again: rtevents trust --refuse")
        raise typer.Exit(1)


def _refuse(known: Trust, path: Path | None) -> None:
    found = _read(_root(path))
    known.refuse(found)
    _tell_daemon()
    print(f"refused: nothing of {safe(str(found.file))} runs, whatever it comes to say")


def _tell_daemon() -> None:
    """Have a daemon that runs know it by now; it would look by itself within some seconds."""
    with suppress(RteventsError), options.own_client() as client:
        client.sinks()


def _shown(command: CommandSettings) -> str:
    """Return a command as a shell has it, with its folder and what its environment changes."""
    folder = [] if command.cwd == "~" else ["cd", shlex.quote(command.cwd), "&&"]
    changed = [f"{name}={shlex.quote(value)}" for name, value in command.env.items()]
    return " ".join([*folder, *changed, shlex.join(command.run)])


def _revoke(known: Trust, path: Path | None) -> None:
    from rtevents.config.project_file import NAME

    # What is not there any more can be revoked too.
    file = (_root(path) if path is None else _folder(path)) / NAME
    if not known.take(file):
        raise NotFound(f"{file} was not trusted, nor refused; see: rtevents trust --list")
    _tell_daemon()
    print(f"not trusted any more: {safe(str(file))}")


def _list(known: Trust) -> None:
    from rtevents.config.project_file import read_project_file

    for each in known.all():
        try:
            found = read_project_file(Path(each.path).parent)
        except ConfigError as error:
            state = str(error)
        else:
            state = "not there" if found is None else _state(known, found)
        when = moment(each.at, "%Y-%m-%d %H:%M")
        print(f"{safe(each.path)}  {when}  {safe(state)}")


def _state(known: Trust, found: ProjectFile) -> str:
    """Return what was said of a file, and whether that holds."""
    said = known.get(found.file)
    if said is None:
        return "not trusted"
    if said.is_refused:
        return "refused: nothing of it runs"
    return "trusted" if known.holds(found) else "changed since: nothing of it runs"


def _read(root: Path) -> ProjectFile:
    from rtevents.config.project_file import NAME, read_project_file

    found = read_project_file(root)
    if found is None:
        raise NotFound(f"{root / NAME}: no such file")
    return found


def _root(path: Path | None) -> Path:
    """Return the folder of the file: the one named, or the nearest around this one."""
    from rtevents.config.project_file import NAME

    if path is not None:
        return _folder(path)
    here = Path.cwd().resolve()
    return next((each for each in (here, *here.parents) if (each / NAME).exists()), here)


def _folder(path: Path) -> Path:
    from rtevents.config.project_file import NAME

    named = path.expanduser().absolute()
    return (named.parent if named.name == NAME else named).resolve()
