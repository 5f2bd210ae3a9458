"""
Every error of rtevents, and what each means to HTTP and to a shell.

    RteventsError
    ├── BadInput                what was given cannot be read at all
    │   ├── FilterError         a filter, a limit or a `since` that names nothing
    │   ├── BookmarkError       not a bookmark and not an event id
    │   └── ConfigError         a setting that cannot be used
    ├── EventRefused            the event is not what its type demands
    │   ├── EventTooLarge       an event, or a request, beyond its limit
    │   └── EventConflict       the event_id names another event already
    ├── NotAllowed              the grant does not hold what was asked
    │   └── NotAuthenticated    no credential, or one nobody knows
    ├── NotFound                a connection, project or token that is not there
    ├── Taken                   a project id, or a daemon's place, that another holds
    ├── Unavailable             P1 cannot be kept now: come back after `retry_after` seconds
    │   ├── QueueFull           the intake queue had no room within `queue_timeout`
    │   ├── Throttled           asked too often: wrong credentials, tickets, or over `limits`
    │   ├── StoreError          the store refused or broke
    │   │   └── StoreDamaged    what is stored is not what was written
    │   └── LogClosed           the log ended while waiting
    ├── NotReachable            no daemon answers
    ├── ConnectionLost          a stream ended and was not to be reopened
    ├── GapFound                entries can no longer be read, and that was to be an error
    ├── ReactionFailed          a sink's command, webhook or file did not take an event
    └── TimedOut                what was waited for did not come
"""

from __future__ import annotations


class RteventsError(Exception):
    """Root of every error that rtevents raises on purpose; its text is one line for people."""


class BadInput(RteventsError):  # noqa: N818 - named for the reader's situation, as all below
    """What was given cannot be read; the text names the place."""

    def __init__(self, text: str, *, index: int | None = None, field: str | None = None) -> None:
        super().__init__(text)
        self.index = index
        self.field = field


class FilterError(BadInput):
    """A filter that names something which does not exist, or cannot be read."""


class BookmarkError(BadInput):
    """A position that is neither a bookmark nor an event id."""


class ConfigError(BadInput):
    """A setting that cannot be used; the text names file, line and key."""


class EventRefused(RteventsError):  # noqa: N818
    """
    An event that is not what its type demands.

    Attributes:
        index: Which event of the request, from 0; None when there is only one.
        field: Path of the offending field, such as ``data.severity``; None when it is the event.
    """

    def __init__(self, text: str, *, index: int | None = None, field: str | None = None) -> None:
        super().__init__(text)
        self.index = index
        self.field = field


class EventTooLarge(EventRefused):
    """An event or a request beyond its limit in bytes or in number."""


class EventConflict(EventRefused):
    """
    The ``event_id`` is stored already, with another body (promise P3).

    Attributes:
        seq: Where it is stored; 0 when the same request gave the id twice, or when that is not for
            who asks to know.
    """

    def __init__(
        self, event_id: str, seq: int, *, index: int | None = None, is_hidden: bool = False
    ) -> None:
        there = f"stored already as seq {seq}" if seq else "given twice in this request"
        there = "stored already" if is_hidden else there
        super().__init__(
            f"event_id {event_id!r} is {there} with another body",
            index=index,
            field="event_id",
        )
        self.event_id = event_id
        self.seq = seq


class NotAllowed(RteventsError):  # noqa: N818
    """
    The grant does not hold what was asked for.

    Attributes:
        about: The name of that, such as a project's; for the audit log.
    """

    def __init__(self, text: str, *, about: str = "") -> None:
        super().__init__(text)
        self.about = about


class NotAuthenticated(NotAllowed):
    """No credential was given, or one that nobody knows."""


class NotFound(RteventsError):  # noqa: N818
    """A connection, a project or a token that is not there."""


class Taken(RteventsError):  # noqa: N818
    """A name or a place that another holds; the text says who."""


class Unavailable(RteventsError):  # noqa: N818
    """
    An event cannot be accepted now (promise P6).

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, text: str, *, retry_after: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class QueueFull(Unavailable):
    """The intake queue had no room within ``queue_timeout``."""


class Throttled(Unavailable):
    """Somebody asked too often, or published more than its limit."""


class StoreError(Unavailable):
    """The store refused or broke; nothing of the batch is acknowledged."""


class StoreDamaged(StoreError):  # noqa: N818
    """What is stored cannot be read as what was written: it does not get better by itself."""


class LogClosed(Unavailable):
    """The log ended: the daemon is stopping."""


class NotReachable(RteventsError):  # noqa: N818
    """No daemon answers at the address."""


class ConnectionLost(RteventsError):  # noqa: N818
    """A stream ended and was not to be opened again."""


class GapFound(RteventsError):  # noqa: N818
    """Entries can no longer be read, and the caller asked for an error in that case."""


class ReactionFailed(RteventsError):  # noqa: N818
    """
    A reaction did not succeed.

    Attributes:
        is_final: Whether trying again is of no use: this event is refused for good.
        is_gone: Whether nothing is to be sent there any more.
        is_down: Whether it says nothing of the event: nobody answers, or not now.
        retry_after: Seconds that the other side asked for before the next attempt; 0 for none.
    """

    def __init__(
        self,
        text: str,
        *,
        is_final: bool = False,
        is_gone: bool = False,
        is_down: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.is_final = is_final
        self.is_gone = is_gone
        self.is_down = is_down
        self.retry_after = retry_after


class TimedOut(RteventsError):  # noqa: N818
    """What was waited for did not come in time."""


EXIT_MISUSE = 2
"""Exit code for a command line that cannot be understood (DESIGN section 6)."""

EXIT_INTERRUPTED = 130
"""Exit code after SIGINT: 128 + 2, as shells have it."""

OUTCOMES: dict[type[RteventsError], tuple[int, int]] = {
    RteventsError: (500, 1),
    BadInput: (400, EXIT_MISUSE),
    EventRefused: (422, 5),
    EventTooLarge: (413, 5),
    EventConflict: (409, 5),
    NotAllowed: (403, 4),
    NotAuthenticated: (401, 4),
    NotFound: (404, 1),
    Taken: (409, 1),
    Unavailable: (503, 1),
    Throttled: (429, 1),
    NotReachable: (503, 3),
    ConnectionLost: (500, 7),
    GapFound: (410, 6),
    TimedOut: (504, 124),
}
"""HTTP status and exit code of each error; a class that is not listed has those of its parent."""


def outcome(error: RteventsError) -> tuple[int, int]:
    """Return the HTTP status and the exit code of an error."""
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)
