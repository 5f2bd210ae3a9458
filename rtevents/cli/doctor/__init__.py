"""rtevents doctor: what is wrong, from cause to effect, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtevents.cli import options
from rtevents.cli.output import print_json, safe
from rtevents.errors import ConfigError

if TYPE_CHECKING:
    from rtevents.cli.doctor.check import Check

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_COLOURS = {
    "ok": typer.colors.GREEN,
    "warning": typer.colors.YELLOW,
    "problem": typer.colors.RED,
}


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--recover", metavar="FILE", help="Print what can be read of a damaged log."),
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="NEW", help="Make a new log of it instead.")
    ] = None,
) -> None:
    """
    Look for what is wrong, from cause to effect, and tell what to do about it.

    It works without a daemon. The exit code is 1 when there is a problem.

    \b
    rtevents doctor
    rtevents doctor --json
    rtevents doctor --recover events.db.corrupt-20261124T093000Z > events.ndjson
    rtevents doctor --recover events.db.corrupt-20261124T093000Z --into events.db
    """
    if file is not None:
        from rtevents.cli.doctor.recover import recover

        options.refuse_output("--into", into)
        recover(file, into)
        return
    if into is not None:
        raise typer.BadParameter("--into: it goes with --recover")
    found = []
    for check in _checks():
        found.append(check)
        if not as_json:
            _print(check)
    if as_json:
        print_json(found)
    else:
        count = {word: sum(each.verdict == word for each in found) for word in _COLOURS}
        print(f"\nproblems: {count['problem']}, warnings: {count['warning']}, ok: {count['ok']}")
    if any(check.verdict == "problem" for check in found):
        raise typer.Exit(1)


def _print(check: Check) -> None:
    verdict = typer.style(f"{check.verdict:<8}", fg=_COLOURS[check.verdict], bold=True)
    typer.echo(f"{verdict} {safe(check.name):<18} {safe(check.text)}")
    if check.remedy:
        print(f"{'':<28}{safe(check.remedy)}")


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Tell a person what takes so long."""
    if not sys.stderr.isatty():
        yield
        return
    print(f"{what} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _checks() -> Iterator[Check]:
    """Yield each check as it is made."""
    from rtevents.cli.doctor import daemon, libraries, logs, machine, projects
    from rtevents.cli.doctor.check import problem
    from rtevents.cli.serve import load_checked
    from rtevents.config.paths import find_paths
    from rtevents.producers.known import known_projects

    paths = find_paths()
    try:
        loaded, unwatched = load_checked(paths)
    except ConfigError as error:
        yield problem("configuration", str(error), "mend it there")
        return
    yield machine.configuration(loaded, unwatched)
    yield from machine.folders(paths)
    yield machine.disk(paths)
    yield libraries.libraries()
    version = machine.sqlite()
    yield version
    if version.verdict == "ok":
        with _progress("looking at the logs"):
            checks = list(logs.logs(loaded.config, paths))
        yield from checks
    yield machine.git()
    with options.own_client() as client:
        checks = list(daemon.daemon(client, paths))
        yield from checks
        # Who does not answer is not waited for a second time.
        is_silent = checks[0].verdict == "problem"
        told = None if is_silent else daemon.told_projects(client)
        known = known_projects(loaded.config, paths)
        with _progress("counting folders"):
            count = sum(map(projects.count_folders, known))
        yield from machine.watch_limits(count)
        for settings in known:
            by_id = {each["id"]: each for each in told or ()}
            yield from projects.project(settings, by_id.get(settings.id))
        if told is not None:
            with options.own_client() as reader:
                yield daemon.canary(client, reader)
