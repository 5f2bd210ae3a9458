"""How each project is: its folder, its file system, its hook."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtevents.cli.doctor.check import Check, ok, problem, warning
from rtevents.cli.doctor.machine import REMOTE, file_system
from rtevents.cli.status import span
from rtevents.config.settings import ProjectSettings
from rtevents.errors import BadInput, RteventsError


def project(settings: ProjectSettings, told: dict[str, Any] | None) -> Iterator[Check]:
    """
    Tell how a project is.

    Args:
        settings: Its settings; the path is resolved.
        told: What the daemon tells of it; None where none runs.
    """
    name, root = f"project {settings.id}", Path(settings.path)
    if not root.is_dir():
        remedy = f"mount it, or: rtevents project remove {settings.id}"
        yield problem(name, f"{root} is not there", remedy)
        return
    kind = file_system(root)
    if REMOTE.match(kind):
        yield warning(
            name,
            f"{root} is on a network file system ({kind}): what others change there is not told",
            "changes are found by looking at every file, every ten minutes",
        )
    yield _state(name, root, told)
    if settings.files and (check := _lock(f"git in {settings.id}", root)):
        yield check
    if settings.git:
        yield from _hook(settings, root)


def _state(name: str, root: Path, told: dict[str, Any] | None) -> Check:
    """Tell how the daemon gets on with a project."""
    if told is None:
        return ok(name, str(root))
    state, error = told["state"], told["error"]
    if state == "starting":
        return warning(name, f"{root} is not watched yet", "rtevents status, in a moment")
    if not error:
        return ok(name, f"{root}, watched")
    if state == "watching":
        return warning(name, f"{root} is watched, but some is seen late: {error}")
    return problem(
        name, f"{root} is not watched: {error}", "mend that: it is tried again by itself"
    )


def _lock(name: str, root: Path) -> Check | None:
    """Tell of a lock of git's that nobody seems to hold; changes were kept back for it."""
    from rtevents.producers.operation import LOCK, STALE, git_folder

    folder = git_folder(root)
    if folder is None:
        return None
    lock = folder / LOCK
    try:
        age = time.time() - lock.stat().st_mtime
    except OSError:
        return None
    if age < STALE:
        return None
    return warning(
        name,
        f"{lock} is {span(age)} old: git changes nothing while it is there",
        f"if no git runs there: rm {shlex.quote(str(lock))}",
    )


def _hook(settings: ProjectSettings, root: Path) -> Iterator[Check]:
    from rtevents.producers import hook

    name = f"hook of {settings.id}"
    try:
        found = hook.status(root)
    except BadInput:
        return  # a plain folder
    except RteventsError as error:
        yield warning(name, str(error))
        return
    if found.problems:
        first = found.problems[0]
        yield warning(name, first.text, first.remedy)
    elif found.is_installed:
        yield ok(name, found.describe())
    else:
        yield ok(
            name, f"not installed; commits are seen by the refs (rtevents hook install -C {root})"
        )


def count_folders(settings: ProjectSettings) -> int:
    """Return how many folders are below a project: the kernel is asked to watch each."""
    count = 0
    waiting = [settings.path] if settings.files else []
    while waiting:
        folder = waiting.pop()
        count += 1
        try:
            with os.scandir(folder) as entries:
                waiting += [each.path for each in entries if each.is_dir(follow_symlinks=False)]
        except OSError:
            continue
    return count
