"""What answers hold of projects."""

from __future__ import annotations

import msgspec


class WatchedProject(msgspec.Struct):
    """
    A project.

    Args:
        path: Its folder.
        error: What is amiss with it; null for nothing.
    """

    id: str
    path: str
    files: bool
    git: bool
    tasks: list[str]
    auto_commit: bool
    ignore: list[str]
    state: str
    error: str | None


class WatchedProjects(msgspec.Struct):
    """The projects that the grant holds."""

    projects: list[WatchedProject]
