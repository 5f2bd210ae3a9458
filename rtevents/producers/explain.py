"""Why a path is watched, or is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtevents.config.settings import ProjectSettings
from rtevents.producers.ignore import GIT_FOLDER, IgnoreRules
from rtevents.producers.pattern import Origin


class PathReport(msgspec.Struct, frozen=True):
    """
    What is known of a path.

    Args:
        path: The absolute path.
        project: The id of the project it belongs to; None for none.
        relative: The path in that project.
        is_watched: Whether changes of it are published.
        reason: Why, in a line.
        rule: The rule that decides; None where none does.
        folder: The folder, in the project, with which it is hidden.
    """

    path: str
    project: str | None
    relative: str | None
    is_watched: bool
    reason: str
    rule: Origin | None = None
    folder: str | None = None


def explain(path: Path, projects: Sequence[ProjectSettings]) -> PathReport:
    """
    Tell whether changes of a path are published, and why.

    Args:
        path: It need not be there.
        projects: Those that are watched; their paths are resolved.
    """
    # Not resolved: what a link points to is another path.
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute leaves `..` in
    around = [each for each in projects if whole.is_relative_to(each.path)]
    if not around:
        return _elsewhere(whole, projects)
    project = max(around, key=lambda each: len(each.path))
    relative = str(whole.relative_to(project.path))
    reason, rule, folder = "", None, None
    if relative == ".":
        is_watched, reason = project.files, "it is the project's folder"
    elif not project.files:
        is_watched, reason = False, "files of this project are not published (files: false)"
    elif link := _link_above(Path(project.path), relative):
        is_watched, reason = False, f"{link} is a link, which is not followed"
    elif _is_odd(whole):
        is_watched, reason = False, "it is neither a file nor a folder nor a link"
    else:
        rules = IgnoreRules(Path(project.path), project.ignore)
        found = rules.explain(relative, is_folder=whole.is_dir() and not whole.is_symlink())
        is_watched, rule, folder = not found.hides, found.rule, found.folder
        if GIT_FOLDER in relative.split("/"):
            reason = "it is git's own"
        elif found.is_tracked:
            reason = "a rule hides it, but git tracks it"
        elif folder is not None:
            reason = f"its folder {folder}/ is hidden, with all that is in it"
        elif rule is not None:
            reason = "a rule hides it" if found.hides else "a rule shows it"
        else:
            reason = "no rule hides it"
    return PathReport(str(whole), project.id, relative, is_watched, reason, rule, folder)


def _elsewhere(path: Path, projects: Sequence[ProjectSettings]) -> PathReport:
    """Return the report of a path that is in no project; where its real place is in one, say so."""
    real = path.resolve()
    reason = "it is in no project: rtevents project add FOLDER"
    if any(real.is_relative_to(each.path) for each in projects):
        reason = f"a link leads to it, and no link is followed: ask for {real}"
    return PathReport(str(path), None, None, is_watched=False, reason=reason)


def _link_above(root: Path, relative: str) -> str | None:
    """Return the first folder on the way that is a link; None when none is."""
    for folder in reversed(Path(relative).parents[:-1]):
        if (root / folder).is_symlink():
            return str(folder)
    return None


def _is_odd(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
