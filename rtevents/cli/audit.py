"""rtevents audit: who was let in to do what, and who was refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import notice, print_json, safe
from rtevents.errors import NotReachable, RteventsError

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def audit(
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From when on, such as 1h or 2026-05-01.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Tell whether lines were changed or taken out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are.")] = False,
) -> None:
    """
    Show who was let in to do what, and who was refused; the daemon need not run.

    What is read and published is written once for each peer and hour.

    \b
    rtevents audit --since 1h
    rtevents audit --verify
    """
    from rtevents.config.paths import find_paths
    from rtevents.core.since import parse_time
    from rtevents.server.audit import read

    file = find_paths().audit
    if verify:
        _verify(file)
        return
    for line in read(file, parse_time(since) if since else 0.0):
        if as_json:
            print_json(line)
        else:
            print(_line(line))


def _verify(file: Path) -> None:
    """
    Say whether the chain fits.

    Raises:
        RteventsError: It does not.
    """
    from rtevents.server.audit import verify

    known = None
    try:
        with options.own_client() as client:
            state = client.status()["audit"]
        if state["number"]:
            known = (state["number"], state["hash"])
    except NotReachable:
        notice("no daemon runs that would know the last line: lines cut off at the end do not show")
    verdict = verify(file, known)
    if verdict.problem:
        raise RteventsError(f"the audit log was changed: {verdict.problem}; keep a copy of it")
    first = verdict.number - verdict.lines + 1
    print(f"{verdict.lines} lines, {first} to {verdict.number}, fit; the last hash: {verdict.head}")


def _line(line: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["time"]))
    if "decision" not in line:
        return safe(f"{moment}  {line['action']}")
    peer = line.get("address") or (f"pid {line['pid']}" if line.get("pid") else "")
    told = [line["principal"], peer, line["action"], line.get("about", "")]
    how = f"{line['decision']} ({line['rule']})"
    if line.get("repeated"):
        how += f", {line['repeated']} times more"
    return safe(f"{moment}  {how:<30}  {'  '.join(word for word in told if word)}")
