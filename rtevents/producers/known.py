"""Which projects a daemon would watch, told without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtevents.config.paths import Paths, real
from rtevents.config.settings import Config, ProjectSettings
from rtevents.core.keep import load

PROJECTS_FILE = "projects.json"
"""Where the projects that were added are kept, in the state directory."""


def known_projects(config: Config, paths: Paths) -> Sequence[ProjectSettings]:
    """Return the projects of the configuration and those that were added, with id and real path."""
    found: dict[str, ProjectSettings] = {}
    for settings in (
        *config.projects,
        *load(paths.state / PROJECTS_FILE, list[ProjectSettings], []),
    ):
        root = real(settings.path)
        name = settings.id or project_id_of(root)
        found.setdefault(name, msgspec.structs.replace(settings, id=name, path=str(root)))
    return list(found.values())


def project_id_of(root: Path) -> str:
    """Return the id that a folder's name gives: at most 48 characters, no `:`."""
    return root.name.replace(":", "_")[:48] or "root"
