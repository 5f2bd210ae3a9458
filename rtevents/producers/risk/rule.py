"""Rule: what looks at the stream for one kind of risk."""

from __future__ import annotations

from typing import Any, Protocol

from rtevents.core.event import Entry
from rtevents.producers.risk.book import Book


class Rule(Protocol):
    """
    Looks at events, and tells the book what it finds.

    What it remembers is bounded, and is JSON: it is kept across restarts together with the place in
    the log, so that every event is counted once.
    """

    name: str
    """Names it in RISK_ALERT and in the configuration."""

    types: frozenset[str]
    """The event types that it looks at; empty for every one."""

    project_id: str | None
    """The project whose own rule it is; None for a rule of every project."""

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """
        Look at an event.

        Args:
            when: When it happened, in unix seconds, and never later than now.
        """

    def pass_time(self, now: float, book: Book) -> None:
        """Look at what has not happened, every few seconds."""

    def remembered(self) -> Any:
        """Return what is to be kept, as JSON; None for nothing."""

    def remember(self, kept: Any) -> None:
        """
        Take up what was kept.

        Raises:
            msgspec.ValidationError: It is of another form; nothing is remembered then.
        """
