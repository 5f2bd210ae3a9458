"""rtevents trust: let a project's own file have its commands run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli.output import moment, safe
from rtevents.errors import ConfigError, NotFound

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
    list_: Annotated[bool, typer.Option("--list", help="Show what is trusted.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no more.")] = False,
) -> None:
    """
    Let a project's own .rtevents.yaml have its commands run, as it is now.

    A project that was cloned is somebody else's word: none of its commands runs before. When the
    file changes, none runs until you have read it and trusted it again.

    \b
    rtevents trust                     the project around this folder; it shows what will run
    rtevents trust ~/src/web
    rtevents trust --list
    rtevents trust --revoke ~/src/web
    """
    from rtevents.config.paths import find_paths
    from rtevents.sinks.trust import Trust

    if list_ and (revoke or path is not None):
        raise typer.BadParameter("--list is about all of them")
    known = Trust(find_paths().trust)
    if list_:
        _list(known)
    elif revoke:
        _revoke(known, path)
    else:
        _give(known, path)


def _give(known: Trust, path: Path | None) -> None:
    found = _read(_root(path))
    reactions = found.reactions()
    if not reactions:
        print(f"{safe(str(found.file))} asks for no command: there is nothing to trust")
        return
    known.give(found)
    print(f"trusted, as it is now: {safe(str(found.file))}")
    for each in reactions:
        command = each.command
        asked = [f"{key}={value}" for key, values in each.query.items() for value in values]
        words = " ".join(asked) or "everything"
        run = _shown(command) if command else ""
        print(f"  {safe(each.name)}: {safe(words)} -> {safe(run)}")


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
        raise NotFound(f"{file} was not trusted; see: rtevents trust --list")
    print(f"not trusted any more: {safe(str(file))}")


def _list(known: Trust) -> None:
    from rtevents.config.project_file import read_project_file

    for each in known.all():
        try:
            found = read_project_file(Path(each.path).parent)
        except ConfigError as error:
            state = str(error)
        else:
            state = "not there" if found is None else "trusted"
            if found is not None and found.digest != each.digest:
                state = "changed since: nothing of it runs"
        when = moment(each.at, "%Y-%m-%d %H:%M")
        print(f"{safe(each.path)}  {when}  {safe(state)}")


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
