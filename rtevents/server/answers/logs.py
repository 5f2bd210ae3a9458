"""What answers hold of each log, where a daemon has several."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rtevents.core.health import Health

Seq = Annotated[int, msgspec.Meta(ge=0)]


class Extent(msgspec.Struct):
    """What one of several logs keeps: its name, and the first and the last seq."""

    epoch: str
    oldest: Seq
    newest: Seq


class LogState(msgspec.Struct, kw_only=True):
    """
    One of several logs.

    Args:
        durability: As for the daemon's own `store`.
        projects: The ids, or patterns of ids, that it has; the log `main` has all others.
        missing: Seqs from `oldest` to `newest` that were never given.
    """

    name: str
    store: str
    durability: str
    projects: list[str]
    epoch: str
    oldest: Seq
    newest: Seq
    missing: Seq
    health: Health
