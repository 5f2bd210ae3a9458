"""What answers hold of a stretch of the log, and of what is likely next."""

from __future__ import annotations

import msgspec

from rtevents.core.analysis import Report


class Analytics(Report, frozen=True, kw_only=True):
    """
    What a stretch of the log says when it is counted.

    Args:
        is_cut: Whether it was too long: only the newest 200,000 entries were looked at.
    """

    is_cut: bool


class LikelyFile(msgspec.Struct):
    """
    A file that is likely to change as well.

    Args:
        probability: How likely, from 0 to 1.
        lift: How many times as likely as in any change.
        seen: In about how many changes it was there together with what was asked for.
    """

    path: str
    probability: float
    lift: float
    seen: float


class Predictions(msgspec.Struct):
    """What is likely to change next, the likeliest first."""

    project: str
    paths: list[str]
    likely: list[LikelyFile]
