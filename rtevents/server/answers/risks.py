"""What answers hold of risks."""

from __future__ import annotations

from typing import Any

import msgspec


class RiskRule(msgspec.Struct):
    """
    A rule for risks.

    Args:
        severity: How bad what it finds is; `none` for a rule that is switched off.
        about: What it looks for, or the message of a rule of the user's own.
        settings: Its thresholds.
        project_id: The project whose own rule it is; null for a rule of every project.
    """

    name: str
    severity: str
    about: str
    settings: dict[str, Any]
    project_id: str | None


class RiskRules(msgspec.Struct):
    """The rules for risks that are in force."""

    rules: list[RiskRule]
