"""Change: what became of files, told from how they were and how they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """
    A file as it was last seen; equal when nothing about it changed.

    Args:
        is_executable: Whether its owner may run it, which git looks at; None where that was noted
            by a release that did not.
    """

    inode: int
    device: int
    size: int
    mtime_ns: int
    is_executable: bool | None = None

    @property
    def file(self) -> tuple[int, int]:
        """What names it on this machine, for as long as it is there."""
        return self.device, self.inode

    def on(self, device: int) -> Seen:
        """Return the same file where its device has another number."""
        if device == self.device:
            return self
        return msgspec.structs.replace(self, device=device)

    def is_as(self, now: Seen) -> bool:
        """Tell whether nothing about it changed, as far as is known."""
        if self.is_executable is None:
            now = msgspec.structs.replace(now, is_executable=None)
        return self == now


class Change(msgspec.Struct, frozen=True):
    """
    What happened to a file.

    Args:
        path: Relative to the root, as the system names it.
        kind: ``created modified deleted renamed``.
        old_path: Where it was before, when renamed.
        size: Bytes now; None when it is gone.
        is_by_rules: Whether it came or went because other rules show or hide it.
    """

    path: str
    kind: str
    old_path: str | None = None
    size: int | None = None
    is_by_rules: bool = False


def changes(
    before: Mapping[str, Seen], now: Mapping[str, Seen], is_same: Callable[[str, Seen], bool]
) -> list[Change]:
    """
    Return what happened, in an order in which it can be done: no move overwrites what is there.

    Args:
        before: Files as they were.
        now: The same places as they are.
        is_same: Tells whether what is in a place now is the file that was seen elsewhere before,
            though it was written to since: a number alone may have been given anew.
    """
    moves = _moves(before, now, is_same)
    left = {source for _, source in moves}
    came = {target for target, _ in moves}
    found = [
        Change(path, "deleted") for path in sorted(before) if path not in now and path not in left
    ]
    found += [
        Change(target, "renamed", old_path=source, size=now[target].size)
        for target, source in moves
    ]
    for path in sorted(now.keys() - came):
        if path not in before or path in left:
            found.append(Change(path, "created", size=now[path].size))
        elif not before[path].is_as(now[path]):
            found.append(Change(path, "modified", size=now[path].size))
    return found


def _moves(
    before: Mapping[str, Seen], now: Mapping[str, Seen], is_same: Callable[[str, Seen], bool]
) -> list[tuple[str, str]]:
    """Return where files moved, and from where; what makes room for another comes before that."""
    # Files that are not where they were.
    left: dict[tuple[int, int], list[str]] = {}
    for path, seen in before.items():
        if path not in now or now[path].file != seen.file:
            left.setdefault(seen.file, []).append(path)
    found = []
    for path in sorted(now.keys() - before.keys()):
        target: str | None = path
        # A place that a file left may be another's by now, as when logs are rotated.
        while target is not None and target in now:
            places = left.get(now[target].file, [])
            source = _source(now[target], target, {at: before[at] for at in places}, is_same)
            if source is not None:
                places.remove(source)
                found.append((target, source))
            target = source
    return found


def _source(
    seen: Seen, path: str, places: Mapping[str, Seen], is_same: Callable[[str, Seen], bool]
) -> str | None:
    """Return the place where a file was before; None where it is a new one."""
    for place, was in places.items():
        if was.is_as(seen):
            return place
    return next((place for place, was in places.items() if is_same(path, was)), None)
