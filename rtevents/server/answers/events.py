"""What answers hold of events."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rtevents.core.event import Stored
from rtevents.server.answers.logs import Extent, Seq


class StoredEvent(msgspec.Struct, kw_only=True):
    """
    An event of the log.

    Args:
        seq: Its place: greater than every one before.
        timestamp: When it happened, in unix seconds.
        corrupt: It was damaged where it is stored; what is left of it is its name.
    """

    seq: Seq
    event_id: str
    type: str
    data: dict[str, Any] | None = None
    timestamp: float
    source: str
    project_id: str | None
    extensions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    corrupt: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class Published(msgspec.Struct):
    """
    What was stored, in the order in which it was published.

    Args:
        bookmark: The place after the last of them.
    """

    events: list[Stored]
    bookmark: str


class Missing(msgspec.Struct):
    """
    Entries that can no longer be read.

    Args:
        after: The last seq before them.
        before: The first seq after them.
        reason: Why: `trimmed`, `unknown-id`, `other-epoch` or `ahead`.
        bookmark: The place from which it goes on.
        log: The name of the log, where there are several.
    """

    after: int
    before: int
    reason: Literal["trimmed", "unknown-id", "other-epoch", "ahead"]
    bookmark: str
    log: str | msgspec.UnsetType = msgspec.UNSET


class HistoryPage(msgspec.Struct):
    """
    A page of events.

    Args:
        next: The bookmark to go on from: with `after`, or newest first with `until`.
        epoch: The log's name.
        oldest: The first seq that is kept.
        newest: The last seq that was given.
        until: Newest first, the bookmark from which the page goes down.
        gap: What is missing where the page was to begin.
        gaps: Everything that is missing, where the page is of several logs.
        logs: Of several logs, what each keeps. `newest` is then the last number of `next` and how
            many come after it, `oldest` no more than that number if there are older ones.
    """

    events: list[StoredEvent]
    next: str
    epoch: str
    oldest: Seq
    newest: Seq
    until: str | msgspec.UnsetType = msgspec.UNSET
    gap: Missing | msgspec.UnsetType = msgspec.UNSET
    gaps: list[Missing] | msgspec.UnsetType = msgspec.UNSET
    logs: dict[str, Extent] | msgspec.UnsetType = msgspec.UNSET
