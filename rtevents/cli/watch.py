"""rtevents watch: what is watched, and why something is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import notice, print_json, safe
from rtevents.errors import NotReachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtevents.config.settings import ProjectSettings

HELP = """
Tell why a path is watched, or is not.

\b
rtevents watch explain src/app.py
"""

app = typer.Typer(rich_markup_mode=None, add_completion=False, help=HELP)


@app.callback(help=HELP)
def watch() -> None:
    """Keep `explain` a word of its own, although it is the only one."""


@app.command()
def explain(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files or folders, there or not.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Tell which rule hides or shows a path, and its last event.

    The exit code is 1 when one of them is not watched.

    \b
    rtevents watch explain src/app.py
    rtevents watch explain --json node_modules/
    """
    import msgspec

    from rtevents.config.paths import find_paths
    from rtevents.producers.explain import explain as explain_path

    own = find_paths().own
    projects, states = _projects()
    reports = []
    for path in paths:
        report = explain_path(path, projects, own)
        state = states.get(report.project or "", {})
        last = _last(report.project, report.relative) if report.project and state else None
        reports.append(msgspec.to_builtins(report) | {"state": state or None, "last": last})
    if as_json:
        print_json(reports)
    else:
        for given, each in zip(paths, reports, strict=True):
            _print(str(given), each)
    if not all(each["is_watched"] for each in reports):
        raise typer.Exit(1)


def _projects() -> tuple[Sequence[ProjectSettings], dict[str, Any]]:
    """Return the projects, and how each is; without a daemon, those that it would watch."""
    from rtevents.config.settings import ProjectSettings

    try:
        with options.own_client() as client:
            found = client.projects()
    except NotReachable:
        from rtevents.config.load import load
        from rtevents.config.paths import find_paths
        from rtevents.producers.known import known_projects

        notice("no daemon runs: the rules are told, not what was published")
        return known_projects(load(find_paths()), find_paths()), {}
    projects = [
        ProjectSettings(
            path=each["path"], id=each["id"], files=each["files"], ignore=each["ignore"]
        )
        for each in found
    ]
    return projects, {
        each["id"]: {"state": each["state"], "error": each["error"]} for each in found
    }


def _last(project: str, relative: str | None) -> dict[str, Any] | None:
    """Return the last event of a file: its seq, its time, what happened."""
    from rtevents.core.filter import Filter

    if relative is None:
        return None
    wanted = Filter(
        types=frozenset({"FILE_CHANGE"}),
        projects=frozenset({project}),
        paths=frozenset({_quoted(relative)}),
    )
    with options.own_client() as client:
        found = client.history(wanted, limit=1, order="desc").events
    if not found:
        return None
    event = found[0].event
    return {"seq": found[0].seq, "time": event.timestamp, "change": event.data["change_type"]}


def _quoted(path: str) -> str:
    """Return the pattern that matches this path alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def _print(given: str, report: dict[str, Any]) -> None:
    word = "watched" if report["is_watched"] else "not watched"
    project = f"  project {safe(report['project'])}" if report["project"] else ""
    typer.echo(f"{safe(given)}  {typer.style(word, bold=True)}{project}")
    print(f"  {safe(report['reason'])}")
    if rule := report["rule"]:
        print(f"  {safe(rule['file'])}:{rule['line']}: {safe(rule['text'])}")
    state = report["state"]
    if state and (state["state"] != "watching" or state["error"]):
        print(f"  the project is {state['state']}: {safe(state['error'] or 'in a moment')}")
    if last := report["last"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last["time"]))
        print(f"  last event: {safe(last['change'])} at {when}, seq {last['seq']}")
    elif state and report["is_watched"]:
        print("  no event of it is kept")
