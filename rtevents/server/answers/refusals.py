"""What answers hold when something was not done."""

from __future__ import annotations

import msgspec

from rtevents.server.answers.logs import Seq


class Refusal(msgspec.Struct, kw_only=True):
    """
    Why something was not done.

    Args:
        detail: What is wrong, in one line.
        index: Of several events, the one that is meant, from 0.
        field: The field that is meant.
        event_id: The id that is taken by another event.
        seq: Where that one is.
    """

    title: str
    status: int
    detail: str
    index: int | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET
    event_id: str | msgspec.UnsetType = msgspec.UNSET
    seq: Seq | msgspec.UnsetType = msgspec.UNSET


class Problem(Refusal, kw_only=True):
    """Why a request was not done (RFC 9457)."""

    type: str
