"""rtevents history: what is kept, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.output import ascii_line, is_terminal, notice, pretty_line, tell_gap
from rtevents.cli.since import place
from rtevents.errors import BadInput

if TYPE_CHECKING:
    from rtevents.client.calls import History
    from rtevents.client.sync import Client
    from rtevents.core.event import Gap

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def history(
    types: options.Types = [],
    not_types: options.NotTypes = [],
    projects: options.Projects = [],
    sources: options.Sources = [],
    paths: options.PathGlobs = [],
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to begin: as in tail; all by default.")
    ] = None,
    until: options.Until = None,
    after: Annotated[
        str | None, typer.Option(metavar="BOOKMARK", help="Go on after this bookmark.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="Events at most.")
    ] = 100,
    order: Annotated[Literal["asc", "desc"], typer.Option(help="Oldest or newest first.")] = "asc",
    output: Annotated[
        Literal["pretty", "ndjson"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else ndjson."),
    ] = None,
    fail_on_gap: options.FailOnGap = False,
) -> None:
    """
    Show a page of what is kept, and end.

    \b
    rtevents history --since 1h
    rtevents history -t COMMIT --order desc --limit 5
    rtevents history --limit 1000 -o ndjson > events.ndjson
    """
    since, until = place(since), place(until)
    options.refuse_empty("--after", [] if after is None else [after])
    wanted = options.wanted(types, not_types, projects, sources, paths)
    pretty = is_terminal() if output is None else output == "pretty"
    with options.client() as client:
        page = client.history(
            wanted, since=since, until=until, after=after, limit=limit, order=order
        )
        is_seq = after is not None and after.isdigit()
        gap = _gap(client, page, since if after is None else after, is_seq=is_seq)
    if gap is not None:
        tell_gap(gap, fail=fail_on_gap)
    for entry in page.events:
        typer.echo(pretty_line(entry) if pretty else ascii_line(entry.wire))
    if order == "asc" and len(page.events) == limit:
        notice(f"there may be more: --after {page.next}")


def _gap(client: Client, page: History, begin: str | None, *, is_seq: bool) -> Gap | None:
    """
    Return what is missing between where a page was to begin and what is kept.

    Args:
        is_seq: Whether `begin` is a seq alone, which as a place would be a time.
    """
    from rtevents.core.event import Gap
    from rtevents.core.since import parse_since

    if begin is None:
        return None
    found = parse_since(f"{page.next.epoch}-{begin}" if is_seq else begin)
    if found.event_id is not None:
        reason = "unknown-id" if _is_unknown(client, begin) else None
        return Gap(0, page.oldest, reason) if reason else None
    if found.bookmark is None:
        return None
    epoch, seq = found.bookmark.epoch, found.bookmark.seq
    if epoch != page.next.epoch:
        return Gap(0, page.oldest, "other-epoch")
    if seq > page.newest:
        return Gap(page.newest, seq + 1, "ahead")
    return Gap(seq, page.oldest, "trimmed") if seq < page.oldest - 1 else None


def _is_unknown(client: Client, event_id: str) -> bool:
    """Tell whether no event of this id is kept: such a place can begin a page, but not end one."""
    try:
        client.history(until=event_id, limit=1)
    except BadInput as error:
        if error.field != "until":
            raise
        return True
    return False
