"""The files that an event is about: its own, where that was before, and those that it lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtevents.core.event import MAX_PATH, Entry, Event
from rtevents.core.glob import Glob

MAX_TEXT = 128 * 1024
"""Most characters of paths that are looked at in one event: more than a COMMIT lists."""

# Many filters and conditions are asked about one entry after the other.
_newest: tuple[Entry, Event] | None = None
_listed: tuple[Entry, Sequence[str]] | None = None


def event_of(entry: Entry) -> Event:
    """Return the event of an entry, decoded once for all who ask one after the other."""
    global _newest  # a tuple, put there in one step: threads may each put theirs
    newest = _newest
    if newest is None or newest[0] is not entry:
        newest = _newest = entry, entry.event
    return newest[1]


def paths_of(entry: Entry) -> Sequence[str]:
    """
    Return the files that an entry is about; empty for none.

    They are ``data.file_path`` or ``data.path``, ``data.old_path``, and of ``data.files`` each text
    and each object's ``path`` and ``old_path``.
    """
    global _listed
    if not _has_more(entry.wire):
        return (entry.path,) if entry.path else ()
    listed = _listed
    if listed is None or listed[0] is not entry:
        data = event_of(entry).data
        listed = _listed = entry, list(_few([entry.path, *_more(data)]))
    return listed[1]


def committed_of(event: Event) -> list[str]:
    """Return the files of a commit by their paths in its project; see ``in_project``."""
    listed, folder = event.data.get("files"), event.data.get("folder")
    if not isinstance(listed, list):
        return []
    paths = [each.get("path") for each in listed if isinstance(each, dict)]
    return [in_project(path, folder) for path in paths if isinstance(path, str)]


def in_project(path: str, folder: object) -> str:
    """
    Return a path of a repository as the project has it, which is a folder there.

    What is not in that folder is written from the top, as git has it: ``:/README.md``.
    """
    if not isinstance(folder, str) or not folder:
        return path
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else f":/{path}"


def is_about(entry: Entry, glob: Glob) -> bool:
    """Tell whether one of an entry's files is of this pattern."""
    if glob.hint not in entry.wire:
        return False
    if entry.path and glob.matches(entry.path):
        return True
    return _has_more(entry.wire) and any(map(glob.matches, paths_of(entry)))


def _has_more(wire: bytes) -> bool:
    """Tell whether an event may be about more than one file: few are, and are decoded to tell."""
    return b'"files":[' in wire or b'"old_path":"' in wire


def _more(data: Mapping[str, Any]) -> Iterable[Any]:
    yield data.get("old_path")
    files = data.get("files")
    for each in files if isinstance(files, list) else ():
        if isinstance(each, dict):
            yield each.get("path")
            yield each.get("old_path")
        else:
            yield each


def _few(paths: Iterable[Any]) -> Iterable[str]:
    """Yield what is a path, as far as there is room for it."""
    room = MAX_TEXT
    for path in paths:
        if isinstance(path, str) and 0 < len(path) <= MAX_PATH:
            room -= len(path)
            if room < 0:
                return
            yield path
