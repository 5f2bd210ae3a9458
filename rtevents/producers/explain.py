"""Why a path is watched, or is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtevents.config.settings import ProjectSettings
from rtevents.producers.ignore import Explanation, IgnoreRules
from rtevents.producers.pattern import Origin
from rtevents.producers.snapshot import shown


class PathReport(msgspec.Struct, frozen=True):
    """
    What is known of a path.

    Args:
        path: The absolute path, as an event would tell it.
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


def explain(
    path: Path, projects: Sequence[ProjectSettings], own: Sequence[Path] = ()
) -> PathReport:
    """
    Tell whether changes of a path are published, and why.

    Args:
        path: It need not be there.
        projects: Those that are watched; their paths are resolved.
        own: Folders of the daemon's own, resolved.
    """
    whole = _real(path, projects)
    around = [each for each in projects if whole.is_relative_to(each.path)]
    if not around:
        none = "it is in no project: rtevents project add FOLDER"
        return PathReport(shown(str(whole)), None, None, is_watched=False, reason=none)
    project = max(around, key=lambda each: len(each.path))
    relative = str(whole.relative_to(project.path))
    rules = IgnoreRules(Path(project.path), project.ignore, own)
    reason = _beyond_rules(whole, relative, project, rules)
    found = Explanation(hides=reason is not None)
    if reason is None and relative == ".":
        reason = "it is the project's folder"
    elif reason is None:
        found = rules.explain(relative, is_folder=whole.is_dir() and not whole.is_symlink())
    rule = found.rule and msgspec.structs.replace(found.rule, file=shown(found.rule.file))
    return PathReport(
        shown(str(whole)),
        project.id,
        shown(relative),
        is_watched=not found.hides,
        reason=reason or _by_rules(found),
        rule=rule,
        folder=found.folder and shown(found.folder),
    )


def _real(path: Path, projects: Sequence[ProjectSettings]) -> Path:
    """Return the absolute path by which a project knows this one."""
    # Not resolved: what a link in a project points to is another path.
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute leaves `..` in
    # From outside, a link may lead to a project, or to a folder in it.
    for real in (whole, Path(os.path.realpath(whole.parent), whole.name), whole.resolve()):
        if any(real.is_relative_to(each.path) for each in projects):
            return real
    return whole


def _beyond_rules(
    whole: Path, relative: str, project: ProjectSettings, rules: IgnoreRules
) -> str | None:
    """Return why a path is not watched whatever the rules say; None when they decide."""
    if not project.files:
        return "files of this project are not published (files: false)"
    if rules.is_own("" if relative == "." else relative):
        return "it is rtevents' own"
    if rules.is_gits(relative):
        return "it is git's own"
    if link := _link_above(Path(project.path), relative):
        return f"{shown(link)} is a link, which is not followed"
    return "it is neither a file nor a folder nor a link" if _is_odd(whole) else None


def _by_rules(found: Explanation) -> str:
    """Return in words what the rules say."""
    if found.is_tracked:
        return "a rule hides it, but git tracks it"
    if found.folder is not None:
        return f"its folder {shown(found.folder)}/ is hidden, with all that is in it"
    if found.rule is not None:
        return "a rule hides it" if found.hides else "a rule shows it"
    return "no rule hides it"


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
