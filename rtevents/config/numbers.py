"""The kinds of numbers that settings are."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=0)]
Pause = Annotated[float, msgspec.Meta(ge=0)]
"""Seconds, or 0 for none."""
