"""What answers hold of sinks."""

from __future__ import annotations

import msgspec

from rtevents.server.answers.events import StoredEvent


class SinkState(msgspec.Struct):
    """
    A sink.

    Args:
        kind: What it does: `command`, `webhook`, `file` or `notify`.
        project: The project whose own file asks for it; null for one of the configuration.
        filter: What it wants.
        state: `running`; `resting` after failures; `gone` until it is resumed; `failed`.
        bookmark: Everything up to there is done, or among the dead letters.
        lag: Entries that it has not looked at, or not done.
        delivered: Events that were done since the start.
        failures: Attempts that failed since the start.
        last_success: Unix seconds; null for never.
        last_error: Why the last attempt failed; null when it did not.
        breaker: `closed`, `open` while it rests, `half-open` while one attempt is made.
        dead: Dead letters that are kept.
        dropped: Dead letters that no longer are, because there were too many.
        gap: What can no longer be read and is still to be told; null for nothing.
    """

    name: str
    kind: str
    project: str | None
    filter: dict[str, list[str]]
    state: str
    bookmark: str
    lag: int
    delivered: int
    failures: int
    last_success: float | None
    last_error: str | None
    breaker: str
    dead: int
    dropped: int
    gap: str | None


class Sinks(msgspec.Struct):
    """Every sink."""

    sinks: list[SinkState]


class DeadLetter(msgspec.Struct):
    """
    An event that a sink gave up.

    Args:
        id: Its name: the bookmark after the event.
        at: Unix seconds of the last attempt.
        reason: Why that failed.
        attempts: How many there were.
    """

    id: str
    at: float
    reason: str
    attempts: int
    event: StoredEvent


class DeadLetters(msgspec.Struct):
    """
    The dead letters of a sink, the oldest first, as many as an answer takes.

    Args:
        total: How many there are.
    """

    letters: list[DeadLetter]
    total: int


class Count(msgspec.Struct):
    """How many it concerned."""

    count: int
