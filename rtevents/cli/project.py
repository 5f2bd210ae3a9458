"""rtevents project: what is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rtevents.cli import options, suggest
from rtevents.cli.output import print_json, safe

HELP = """
Add, remove or list what is watched.

\b
rtevents project add ~/src/web --id web
rtevents project list
rtevents project remove web
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Its folder.")] = Path(),
    project_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its id; the folder's name by default.")
    ] = None,
    files: Annotated[bool, typer.Option(help="Publish changes of its files.")] = True,
    git: Annotated[bool, typer.Option(help="Publish its commits.")] = True,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Markdown files whose task lists are published, TODO.md by default; none for ''.",
        ),
    ] = None,
    auto_commit: Annotated[
        bool, typer.Option("--auto-commit", help="Commit what changes, after a quiet time.")
    ] = False,
    ignore: Annotated[
        list[str],
        typer.Option(metavar="PATTERN", help="Pattern of files to leave out, as in .gitignore."),
    ] = [],
    force: Annotated[
        bool, typer.Option("--force", help="Even if it is / or the home folder.")
    ] = False,
) -> None:
    """
    Watch a folder from now on, also after a restart.

    \b
    rtevents project add
    rtevents project add ~/src/web --id web --ignore 'dist/'
    rtevents project add ~/notes --tasks TODO.md --tasks 'projects/**/*.md'
    """
    folder = path.expanduser().absolute()
    if not force:
        _refuse_everything(folder.resolve())
    settings: dict[str, Any] = {"id": project_id, "files": files, "git": git, "ignore": ignore}
    if tasks is not None:
        settings["tasks"] = [name for name in tasks if name]
    with options.client() as client:
        project = client.add_project(folder, **settings, auto_commit=auto_commit)
    _refuse_others({**settings, "auto_commit": auto_commit}, project)
    print(f"watching {safe(project['id'])}: {safe(project['path'])}")


def _refuse_others(settings: dict[str, Any], project: dict[str, Any]) -> None:
    """
    Refuse settings that were asked for a folder that is watched already, with others.

    Raises:
        BadInput: One of them is not the default, and not the project's.
    """
    from rtevents.errors import BadInput

    defaults: dict[str, object] = {
        "id": None,
        "files": True,
        "git": True,
        "ignore": [],
        "auto_commit": False,
    }
    others = [
        name
        for name, value in settings.items()
        if (name not in defaults or value != defaults[name]) and project[name] != value
    ]
    if others:
        raise BadInput(
            f"{', '.join(others)}: {project['path']} is project {project['id']!r} already, with "
            f"other settings; to change them: rtevents project remove {project['id']}"
        )


def _refuse_everything(folder: Path) -> None:
    """Refuse a folder that holds all that the user has: each file of it would be watched."""
    home = Path.home().resolve()
    if folder == home or folder in home.parents:
        what = "is the home folder" if folder == home else "holds the home folder"
        raise typer.BadParameter(f"{folder} {what}: name a project in it, or add --force")


@app.command()
def remove(
    project_id: Annotated[
        str, typer.Argument(metavar="ID", help="Its id.", autocompletion=suggest.projects)
    ],
) -> None:
    """
    Watch a project no more; its events stay.

    \b
    rtevents project remove web
    """
    with options.client() as client:
        client.remove_project(project_id)
    print(f"no longer watching {safe(project_id)}")


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Show what is watched.

    \b
    rtevents project list
    """
    with options.client() as client:
        projects = client.projects()
    if as_json:
        print_json(projects)
        return
    for project in projects:
        kinds = " ".join(
            kind for kind in ("files", "git", "tasks", "auto_commit") if project.get(kind)
        )
        error = f"  {safe(project['error'])}" if project["error"] else ""
        print(
            f"{safe(project['id']):<20} {project['state']:<9} {kinds:<9} "
            f"{safe(project['path'])}{error}"
        )
    if not projects:
        print("nothing is watched; add this folder with: rtevents project add")
