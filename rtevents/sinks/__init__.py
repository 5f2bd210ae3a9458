"""What is done when something happens: one file per kind, and the table of them all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import msgspec

from rtevents.core.event import Bookmark, Entry, Gap

if TYPE_CHECKING:
    from rtevents.config.sinks import SinkSettings

KINDS = {
    "command": "rtevents.sinks.command:open_command",
    "webhook": "rtevents.sinks.webhook:open_webhook",
    "file": "rtevents.sinks.file:open_file",
    "notify": "rtevents.sinks.notify:open_notify",
}
"""Each kind of reaction by the setting that names it; loaded when it is used."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a sink acts; the fields are those of ``SinkSettings``.

    Args:
        batch: Most entries at once.
        retry_max: The longest pause, in seconds.
    """

    batch: int = 1
    batch_seconds: float = 0.0
    every: float = 0.0
    on_busy: Literal["queue", "drop", "restart"] = "queue"
    retries: int = 5
    retry_pause: float = 1.0
    retry_max: float = 300.0
    breaker: int = 5
    breaker_pause: float = 30.0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is reacted to at once.

    Args:
        sink: The name of the sink.
        entries: At least one, oldest first.
        epoch: The log they are of.
        gap: Entries before or between them that can no longer be read; None for none.
        attempt: Which attempt it is, from 1.
    """

    sink: str
    entries: list[Entry]
    epoch: str
    gap: Gap | None = None
    attempt: int = 1

    @property
    def bookmark(self) -> Bookmark:
        """The place after them."""
        return Bookmark(self.epoch, self.entries[-1].seq)

    @property
    def lines(self) -> bytes:
        """Their wire form, a line each."""
        return b"".join(entry.wire + b"\n" for entry in self.entries)


class Reaction(Protocol):
    """Does something about events."""

    at_once: ClassVar[int]
    """Most entries of a batch, unless the settings say so."""

    every: ClassVar[float]
    """Seconds between two batches at least, unless the settings say so."""

    async def act(self, batch: Batch) -> None:
        """
        Do it, and return when it is done: it may be done again after a crash.

        Cancelling ends what has begun.

        Raises:
            ReactionFailed: It is not done.
        """

    async def close(self) -> None:
        """Let go of what is held open."""


def open_reaction(settings: SinkSettings) -> Reaction:
    """
    Return the reaction of a sink.

    Raises:
        ConfigError: A setting cannot be used; ``field`` is its name, such as ``webhook.url``.
    """
    kind = settings.kinds[0]
    module, _, name = KINDS[kind].partition(":")
    reaction: Reaction = getattr(importlib.import_module(module), name)(getattr(settings, kind))
    return reaction
