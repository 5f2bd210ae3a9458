"""rtevents audit: who was let in to do what, and who was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtevents.cli import options
from rtevents.cli.output import moment, notice, print_json, safe
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

    What is read and published is written once for each credential, address and hour.

    \b
    rtevents audit --since 1h
    rtevents audit --verify
    """
    from rtevents.config.paths import find_paths
    from rtevents.core.since import parse_time
    from rtevents.server.chain import read

    file = find_paths().audit
    if verify:
        _verify(file)
        return
    bad: list[str] = []

    def tell_bad(place: str) -> None:
        bad.append(place)
        notice(f"{place} is no line of the audit log")

    for line in read(file, parse_time(since) if since else 0.0, on_bad=tell_bad):
        if as_json:
            print_json(line)
        else:
            print(_line(line))
    if bad:
        raise RteventsError("not all lines could be read; see: rtevents audit --verify")


def _verify(file: Path) -> None:
    """
    Say whether the chain fits.

    Raises:
        RteventsError: It does not.
    """
    from rtevents.server.chain import verify

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
    when = moment(line["time"], "%Y-%m-%d %H:%M:%S")
    if "decision" not in line:
        return safe(f"{when}  {line['action']}")
    peer = line.get("address") or (f"pid {line['pid']}" if line.get("pid") else "")
    told = [line.get("principal"), peer, line["action"], line.get("about", "")]
    how = f"{line['decision']} ({line.get('rule')})"
    if line.get("repeated"):
        how += f", {line['repeated']} times more"
    return safe(f"{when}  {how:<30}  {'  '.join(str(word) for word in told if word)}")
