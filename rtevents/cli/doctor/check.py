"""What a check is."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "problem"]


class Check(msgspec.Struct, frozen=True):
    """
    One thing that was looked at.

    Args:
        name: What it is.
        verdict: `problem` for what does not work, `warning` for what may not.
        text: What was found, in a line.
        remedy: What to do about it; None when there is nothing to do.
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str | None = None


def ok(name: str, text: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, "ok", text)


def warning(name: str, text: str, remedy: str | None = None) -> Check:
    """Return a check that found what may not work."""
    return Check(name, "warning", text, remedy)


def problem(name: str, text: str, remedy: str | None = None) -> Check:
    """Return a check that found what does not work."""
    return Check(name, "problem", text, remedy)
