"""rtevents report: what a stretch of the log says when it is counted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import typer

from rtevents.cli import options
from rtevents.cli.known import tell_projects
from rtevents.cli.output import is_terminal, print_json, safe
from rtevents.cli.since import place
from rtevents.cli.status import span

BLOCKS = " ▁▂▃▄▅▆▇█"
"""How much of something there is, from none to most."""

BESIDE = 32
"""Columns of what stands beside a picture over time."""

LEAST = 24
"""Columns of a picture over time, however narrow the terminal is."""

BAR = 24
"""Columns of the longest bar."""

SHOWN = 8
"""Rows of a list."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def report(
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    wheres: options.Wheres = [],
    logs: options.Logs = [],
    since: Annotated[str, typer.Option(metavar="WHEN", help="Where to begin: as in tail.")] = "7d",
    output: Annotated[
        Literal["pretty", "json"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else json."),
    ] = None,
) -> None:
    """
    Tell what happened: events over time, busy files, commits, tasks, risks.

    \b
    rtevents report
    rtevents report --since 30d --project web
    rtevents report -o json | jq .together
    """
    wanted = options.wanted(types, not_types, projects, sources, paths, wheres, logs)
    begin = place(since) or "all"
    with options.client() as client:
        tell_projects(client, wanted, begin)
        found = client.analytics(wanted, begin)
    if is_terminal() if output is None else output == "pretty":
        for line in _lines(found):
            print(line)
    else:
        print_json(found)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if not found["events"]:
        yield "no event in that time"
        return
    yield f"{_number(found['events'], 'event')}, {_day(found['since'])} to {_day(found['until'])}"
    if found["is_cut"]:
        yield "that was too long: only the newest are counted"
    yield from _over_time(found)
    places = found["files"] + found["folders"] + found["together"]
    are_several = len({each["project_id"] for each in places}) > 1
    yield from _bars("busiest files", found["files"], are_several)
    yield from _bars("busiest folders", found["folders"], are_several)
    yield from _together(found["together"], are_several)
    yield from _commits(found["commits"])
    yield from _things("tasks", found["tasks"]["by_status"], found["tasks"])
    risks = found["risks"]
    yield from _things("risks", risks["by_severity"], risks, f"{risks['open']} open, ")


def _over_time(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line of blocks for each type: what there was, over time."""
    size = found["span_seconds"]
    first, last = found["spans"][0]["start"], found["spans"][-1]["start"]
    steps = int((last - first) // size) + 1
    width = min(max(LEAST, shutil.get_terminal_size().columns - BESIDE), steps)
    yield ""
    yield f"by the {'hour' if size == 3600 else 'day'}"
    for kind, count in list(found["by_type"].items())[:SHOWN]:
        row = [0] * width
        for each in found["spans"]:
            at = int((each["start"] - first) // size) * width // steps
            row[at] += each["by_type"].get(kind, 0)
        yield f"  {safe(kind):<18} {blocks(row)} {count:,}"


def blocks(row: Sequence[int]) -> str:
    """Return numbers as blocks: the greatest is a whole one, and only none is empty."""
    most = max([1, *row])
    return "".join(BLOCKS[-(-each * (len(BLOCKS) - 1) // most)] for each in row)


def _bars(title: str, counted: list[dict[str, Any]], are_several: bool) -> Iterator[str]:
    if not counted:
        return
    yield ""
    yield title
    most = counted[0]["count"]
    for each in counted[:SHOWN]:
        bar = "█" * max(1, BAR * each["count"] // most)
        project = _project(each, are_several)
        yield f"  {each['count']:>6,} {bar:<{BAR}} {project}{safe(each['name'])}"


def _project(place: dict[str, Any], are_several: bool) -> str:
    """Return what stands before a path where the projects are several."""
    return f"{safe(place['project_id'])}: " if are_several and place["project_id"] else ""


def _together(pairs: list[dict[str, Any]], are_several: bool) -> Iterator[str]:
    if pairs:
        yield ""
        yield "changed together, and in how many of the commits of the rarer one"
    for pair in pairs[:SHOWN]:
        one, other = map(safe, pair["files"])
        project = _project(pair, are_several)
        yield f"  {pair['count']:>6,} times ({pair['share']:.0%})  {project}{one}  {other}"


def _commits(commits: dict[str, Any]) -> Iterator[str]:
    if not commits["count"]:
        return
    yield ""
    lines = f"+{commits['insertions']:,} -{commits['deletions']:,} lines"
    yield f"{_number(commits['count'], 'commit')}, {lines}"
    yield f"  {'':<4}{''.join(f'{hour:<6}' for hour in range(0, 24, 6))}"
    most = max(map(max, commits["rhythm"]))
    for day, row in zip(DAYS, commits["rhythm"], strict=True):
        # Each day against the busiest hour of the week.
        yield f"  {day} {blocks([*row, most])[:-1]} {sum(row):,}"
    for each in commits["authors"][:SHOWN]:
        yield f"  {each['count']:>6,} {safe(each['name'])}"


def _things(
    title: str, counts: dict[str, int], found: dict[str, Any], words: str = ""
) -> Iterator[str]:
    if not counts:
        return
    yield ""
    told = ", ".join(f"{count:,} {safe(name)}" for name, count in sorted(counts.items()))
    yield f"{title}: {told}"
    over = found.get("done", found.get("closed", 0))
    verb = "done" if "done" in found else "closed"
    took = "" if found["seconds"] is None else f", in the median after {span(found['seconds'])}"
    yield f"  {words}{over:,} {verb} in that time{took}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _day(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # beyond what a calendar holds
        return f"{seconds:g}"
