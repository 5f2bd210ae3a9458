"""What projects' own files ask for, as sinks, and whether they are trusted to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtevents.config.project_file import ProjectFile, read_project_file
from rtevents.config.sinks import SinkSettings
from rtevents.daemon.check_sinks import check_sink
from rtevents.daemon.folders import folder_name
from rtevents.daemon.running_sink import Wanted
from rtevents.errors import ConfigError
from rtevents.sinks.trust import Trust


class ProjectSinks:
    """
    The sinks that projects' own files ask for.

    Args:
        state: The folder in which they keep what they remember.
        trust: Which of the files are trusted.
    """

    def __init__(self, state: Path, trust: Trust) -> None:
        self._state = state
        self._trust = trust
        # What each project's file asked for when it was read, by what it held then.
        self._read: dict[str, tuple[str, list[SinkSettings] | ConfigError]] = {}

    def look(self, projects: list[tuple[str, Path]]) -> tuple[dict[str, Wanted], dict[str, str]]:
        """
        Look what the files ask for; may block.

        Args:
            projects: The id and the folder of each.
        Returns:
            What those that are trusted ask for, by name, and why others are not acted on, by
            project.
        """
        own: dict[str, Wanted] = {}
        untrusted: dict[str, str] = {}
        for project, root in projects:
            try:
                found = read_project_file(root)
                asked = self._reactions(project, found)
            except ConfigError as error:
                untrusted[project] = f"none of them runs: {error}"
                continue
            if found is None or not asked:
                continue
            if not self._trust.holds(found):
                known = self._trust.get(found.file)
                if known is None or not known.is_refused:
                    untrusted[project] = (
                        f"{len(asked)} do not run: {found.file} "
                        f"{'has changed since it was trusted' if known else 'is not trusted'}; "
                        f"read it, then: rtevents trust {root}, "
                        f"or never: rtevents trust --refuse {root}"
                    )
                continue
            for settings in asked:
                wanted = self._wanted(project, root, settings)
                own[wanted.name] = wanted
        return own, untrusted

    def _reactions(self, project: str, found: ProjectFile | None) -> list[SinkSettings]:
        """Return what a project's file asks for; what was read lately is not read again."""
        if found is None:
            self._read.pop(project, None)
            return []
        digest, read = self._read.get(project, ("", []))
        if digest != found.digest:
            try:
                read = _checked(found)
            except ConfigError as error:
                read = error
            self._read[project] = found.digest, read
        if isinstance(read, ConfigError):
            raise read
        return read

    def _wanted(self, project: str, root: Path, settings: SinkSettings) -> Wanted:
        command = settings.command
        assert command is not None  # noqa: S101 - a project's file has no other kind
        cwd = root if command.cwd == "~" else root / command.cwd
        placed = msgspec.structs.replace(command, cwd=str(cwd))
        folder = self._state / "projects" / folder_name(project) / "sinks" / settings.name
        return Wanted(
            f"{project}:{settings.name}",
            msgspec.structs.replace(settings, command=placed),
            folder,
            project,
        )


def _checked(found: ProjectFile) -> list[SinkSettings]:
    reactions = found.reactions()
    for index, each in enumerate(reactions):
        try:
            check_sink(each)
        except ConfigError as error:
            raise ConfigError(f"{found.file}: on[{index}].{error}") from error
    return reactions
