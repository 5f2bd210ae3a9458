"""What streams hold besides events, and what a WebSocket takes: the reference shows these."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rtevents.core.event import Stored
from rtevents.server.answers.events import Missing
from rtevents.server.answers.refusals import Refusal
from rtevents.server.requests import FilterQuery, NewEvent

Verdict = Literal["new", "complete", "truncated", "unknown-id", "other-epoch"]


class HelloFrame(msgspec.Struct):
    """
    The first frame of a stream.

    Args:
        connection_id: By which the stream can be changed, or ended.
        epoch: The log's name.
        bookmark: The place at which it begins.
        verdict: What became of the place that was asked for.
        filter: What the stream wants, within its grant.
        max_latency: Seconds that an event may wait for others; absent for none.
        logs: Each log that it reads, with its epoch; absent where that is one.
    """

    connection_id: str
    epoch: str
    bookmark: str
    verdict: Verdict
    filter: dict[str, list[str]]
    max_latency: float | msgspec.UnsetType = msgspec.UNSET
    logs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class LiveFrame(msgspec.Struct):
    """
    What was kept is told: from here on events come as they happen.

    Args:
        bookmark: The place up to which it was told.
    """

    bookmark: str


class LogFrame(msgspec.Struct):
    """
    What follows, up to the next of these, is of one of the logs that the stream reads.

    Args:
        log: The log's name.
        bookmark: The place before it; after an event, it is this with the event's `seq` at its end.
    """

    log: str
    bookmark: str


class BookmarkFrame(msgspec.Struct):
    """
    A place to come back to, while the filter hides what happens.

    Args:
        bookmark: The place.
    """

    bookmark: str


class ByeFrame(msgspec.Struct):
    """
    The last frame of a stream that the daemon ends.

    Args:
        reason: Why: `shutdown`, `slow`, `inactive`, `no pong`, `changed`, `error` or `ended`; after
            that last one, do not come back.
        bookmark: The place to come back to.
    """

    reason: str
    bookmark: str


FRAMES: dict[str, type[msgspec.Struct]] = {
    "hello": HelloFrame,
    "gap": Missing,
    "live": LiveFrame,
    "log": LogFrame,
    "bookmark": BookmarkFrame,
    "bye": ByeFrame,
}
"""The control frames of a stream, by name."""


class SubscribeCommand(FilterQuery, kw_only=True):
    """
    Replace the filter of the stream.

    Args:
        ref: Comes back in the answer.
        since: Where it goes on; where it is when left out.
    """

    op: Literal["subscribe"]
    ref: Any = None
    since: str | float | None = None


class UnsubscribeCommand(msgspec.Struct, kw_only=True):
    """
    Let events stop; the connection and its place stay.

    Args:
        ref: Comes back in the answer.
    """

    op: Literal["unsubscribe"]
    ref: Any = None


class PublishCommand(msgspec.Struct, kw_only=True):
    """
    Store events, all or none.

    Args:
        ref: Comes back in the answer.
    """

    op: Literal["publish"]
    ref: Any = None
    events: list[NewEvent]


class PingCommand(msgspec.Struct, kw_only=True):
    """
    Ask where the stream is.

    Args:
        ref: Comes back in the answer.
    """

    op: Literal["ping"]
    ref: Any = None


class AuthCommand(msgspec.Struct):
    """The token of a page that can send no header: the first message, once."""

    op: Literal["auth"]
    token: str


class CommandDone(msgspec.Struct, kw_only=True):
    """
    The answer to a command that was obeyed.

    Args:
        ref: That of the command.
        bookmark: The place after which it holds.
        filter: Of a `subscribe`, what the stream wants now.
        verdict: Of a `subscribe` with `since`, what became of that.
        events: Of a `publish`, what was stored.
    """

    ref: Any
    bookmark: str
    filter: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET
    verdict: Verdict | msgspec.UnsetType = msgspec.UNSET
    events: list[Stored] | msgspec.UnsetType = msgspec.UNSET


class CommandRefused(Refusal, kw_only=True):
    """
    The answer to a command that was not obeyed; nothing was changed.

    Args:
        ref: That of the command.
        status: What HTTP would answer.
    """

    ref: Any


COMMANDS: dict[str, type[msgspec.Struct]] = {
    "subscribe": SubscribeCommand,
    "unsubscribe": UnsubscribeCommand,
    "publish": PublishCommand,
    "ping": PingCommand,
    "auth": AuthCommand,
}
"""What a WebSocket takes, by its `op`."""

ANSWERS: dict[str, type[msgspec.Struct]] = {"ok": CommandDone, "error": CommandRefused}
"""What a command is answered, by name."""
