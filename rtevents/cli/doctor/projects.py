"""How each project is: its folder, its file system, its hook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtevents.cli.doctor.check import Check, ok, problem, warning
from rtevents.cli.doctor.machine import REMOTE, file_system
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
        yield problem(name, f"{root} is not there", f"rtevents project remove {settings.id}")
        return
    kind = file_system(root)
    if REMOTE.match(kind):
        yield warning(
            name,
            f"{root} is on a network file system ({kind}): what others change there is not told",
            "changes are found by looking at every file, every ten minutes",
        )
    if told is not None and (told["state"] != "watching" or told["error"]):
        yield problem(name, f"{root} is {told['state']}: {told['error'] or 'in a moment'}")
    else:
        yield ok(name, f"{root}{'' if told is None else ', watched'}")
    if settings.git:
        yield from _hook(settings, root)


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
