"""rtevents trace: what caused an event, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rtevents.cli import options
from rtevents.cli.output import is_terminal, notice, print_json, safe, summary
from rtevents.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rtevents.client.sync import Client
    from rtevents.core.causes import Node
    from rtevents.core.event import Entry
    from rtevents.core.filter import Filter

MOST = 5000
"""Events of a tree that are shown, at most."""

TOGETHER = 40
"""Most ids that are asked for at once: a request's first line has at most 8,190 characters."""

TOGETHER_LETTERS = 2000
"""Most characters of them, for the same reason: each may be three in a request."""

DEEPEST = 30
"""Levels by which a line is moved to the right; what is deeper stays there."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def trace(
    event: Annotated[str, typer.Argument(metavar="ID", help="The id of an event, or its seq.")],
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=MOST, metavar="N", help="Events at most.")
    ] = 1000,
    logs: options.Logs = [],
    output: Annotated[
        Literal["pretty", "json"] | None,
        typer.Option("--output", "-o", help="pretty on a terminal, else json."),
    ] = None,
) -> None:
    """
    Show what caused an event, and what came of it, as a tree with the time between.

    What an event names as its `causation_id` stands above it, what names it below, and so does what
    shares its `correlation_id`. The daemon's own events name both; rtevents docs risks tells more.

    \b
    rtevents trace 1042
    rtevents trace git:web:5f0c2e1 -o json
    rtevents publish task T-12 --status done --caused-by 0199c3f0-…
    """
    from rtevents.core.causes import tree

    wanted = options.wanted([], [], [], [], [], [], logs)
    with options.client() as client:
        if "," in client.history(wanted, since="new", limit=1).next.epoch:
            raise BadInput(
                "there are several logs, and a trace is of one: name it (--log NAME)", field="log"
            )
        asked = _entry(client, event, wanted)
        found = _Search(client, limit, wanted)
        found.follow(asked)
    nodes = tree(found.entries.values())
    pretty = is_terminal() if output is None else output == "pretty"
    if pretty:
        _show(nodes, asked)
    else:
        print_json(_fields(nodes, asked, is_whole=found.is_whole))
    if not found.is_whole:
        notice(f"there are more than the {len(nodes)} events shown: --limit")


def _entry(client: Client, event: str, wanted: Filter) -> Entry:
    """Return the event that a person means: by its seq, else by its id."""
    if event.isascii() and event.isdecimal() and len(event) <= 18 and int(event):
        page = client.history(wanted, after=str(int(event) - 1), limit=1)
        if page.events and page.events[0].seq == int(event):
            return page.events[0]
        if len(event) < 18:
            raise NotFound(f"no event {event} is kept: {page.oldest} to {page.newest} are")
    return client.find(event)


class _Search:
    """Gathers the events that hang together, as many as are wanted, where they are looked for."""

    def __init__(self, client: Client, limit: int, wanted: Filter) -> None:
        self.entries: dict[str, Entry] = {}
        self.is_whole = True
        self._client = client
        self._limit = limit
        self._wanted = wanted

    def follow(self, asked: Entry) -> None:
        """Gather all that hangs together with an event."""
        self._take([asked])
        self._climb(asked)
        # What an event caused comes after it.
        after = max(0, min(entry.seq for entry in self.entries.values()) - 1)
        names = [*self.entries.values()]
        while names and self.is_whole:
            before = set(self.entries)
            wheres = _conditions(names)
            if wheres is None:
                # More than a request can name: whatever has a cause is looked at, once.
                self._sift(after)
                return
            for entries in self._pages(wheres, after):
                self._take(entries)
            names = [entry for name, entry in self.entries.items() if name not in before]

    def _climb(self, entry: Entry) -> None:
        """Go up from an event to what caused it, and to what began its story."""
        from rtevents.core.causes import CAUSATION, CORRELATION, extensions_of

        waiting = [entry]
        while waiting and self.is_whole:
            extensions = extensions_of(waiting.pop())
            for name in (CAUSATION, CORRELATION):
                above = extensions.get(name)
                if above is None or above in self.entries:
                    continue
                if (cause := self._find(above)) is not None:
                    self._take([cause])
                    waiting.append(cause)

    def _find(self, event_id: str) -> Entry | None:
        """Return the event of an id; a correlation need not be one's, and a cause may be gone."""
        try:
            return self._client.find(event_id)
        except (NotFound, BadInput):
            return None

    def _sift(self, after: int) -> None:
        """Take what hangs together with what is there, of all that hangs together with anything."""
        from rtevents.core.causes import CAUSATION, CORRELATION, extensions_of, story_of

        stories = {story_of(entry) for entry in self.entries.values()}
        anything = frozenset({"extensions.causation_id exists", "extensions.correlation_id exists"})
        for entries in self._pages(anything, after):
            for entry in entries:
                extensions = extensions_of(entry)
                is_caused = extensions.get(CAUSATION) in self.entries
                if is_caused or extensions.get(CORRELATION) in stories:
                    stories.add(story_of(entry))
                    self._take([entry])

    def _pages(self, wheres: frozenset[str], after: int) -> Iterator[list[Entry]]:
        """Yield the pages of what fulfils a condition, until there are enough events."""
        import msgspec

        wanted = msgspec.structs.replace(self._wanted, wheres=wheres)
        place = str(after)
        while self.is_whole:
            page = self._client.history(wanted, after=place, limit=1000).of_one_log()
            yield page.events
            if page.next.seq >= page.newest:
                return
            place = str(page.next)

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if len(self.entries) >= self._limit and entry.event_id not in self.entries:
                self.is_whole = False
                return
            self.entries[entry.event_id] = entry


def _conditions(entries: Sequence[Entry]) -> frozenset[str] | None:
    """Return the conditions for what shares a story with these or names one; None for too many."""
    import json

    from rtevents.core.causes import CAUSATION, CORRELATION, story_of

    names = {
        CORRELATION: [json.dumps(each) for each in {story_of(entry) for entry in entries}],
        CAUSATION: [json.dumps(entry.event_id) for entry in entries],
    }
    words = [word for some in names.values() for word in some]
    if len(words) > TOGETHER or sum(map(len, words)) > TOGETHER_LETTERS:
        return None
    return frozenset(f"extensions.{name} in [{', '.join(some)}]" for name, some in names.items())


def _fields(nodes: Sequence[Node], asked: Entry, *, is_whole: bool) -> dict[str, object]:
    """Return the tree as JSON shows it: a list in its order, for no reader nests so deep."""
    import msgspec

    times = [node.entry.timestamp for node in nodes]
    return {
        "event_id": asked.event_id,
        "seconds": max(times) - min(times),
        "is_whole": is_whole,
        "events": [
            {
                "depth": node.depth,
                "parent": node.parent,
                "seconds": node.seconds,
                "event": msgspec.Raw(node.entry.wire),
            }
            for node in nodes
        ],
    }


def _show(nodes: Sequence[Node], asked: Entry) -> None:
    """Print the tree for a person."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(highlight=False)
    root = Tree("", hide_root=True, guide_style="dim")
    places: list[Tree] = [root]
    for node in nodes:
        level = min(node.depth, DEEPEST)
        del places[level + 1 :]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{node.entry.seq}  ", style="dim")
        # Before the words: those are what a narrow terminal may cut off.
        if node.parent is not None:
            text.append(f"{duration(node.seconds)}  ", style="cyan")
        text.append(safe(node.entry.type), style="bold" if node.entry is asked else "")
        text.append(f"  {safe(_said(node.entry))}")
        places.append(places[-1].add(text))
    console.print(root)
    times = [node.entry.timestamp for node in nodes]
    told = "1 event" if len(nodes) == 1 else f"{len(nodes)} events"
    console.print(f"{told} in {duration(max(times) - min(times)).lstrip('+')}", style="dim")


def _said(entry: Entry) -> str:
    return "damaged on the disk" if entry.is_corrupt else summary(entry.type, entry.event.data)


def duration(seconds: float) -> str:
    """Return a time between two events in words: `+1.2 s`; an earlier one has a minus."""
    sign, seconds = "-" if seconds < 0 else "+", abs(seconds)
    if seconds < 1:
        return f"{sign}{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{sign}{seconds:.1f} s"
    if seconds < 7200:
        return f"{sign}{seconds / 60:.0f} min"
    return (
        f"{sign}{seconds / 3600:.1f} h" if seconds < 172_800 else f"{sign}{seconds / 86400:.0f} d"
    )
