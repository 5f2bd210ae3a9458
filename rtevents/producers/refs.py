"""Refs: how the branches and tags of a repository moved, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rtevents.producers.reflog import Line

REF_UPDATE = "REF_UPDATE"

_OBJECT: dict[str, Any] = {"type": ["string", "null"], "pattern": "^[0-9a-f]{40}([0-9a-f]{24})?$"}

SCHEMA: dict[str, Any] = {
    "description": "A branch or a tag appeared, moved or went.",
    "type": "object",
    "required": ["ref", "kind", "change", "old", "new"],
    "properties": {
        "ref": {"type": "string", "description": "Its full name, such as `refs/heads/main`."},
        "kind": {
            "enum": ["branch", "remote", "tag"],
            "description": "What it is; `remote` is a branch of a remote, as last fetched.",
        },
        "change": {"enum": ["created", "moved", "deleted"], "description": "What happened to it."},
        "old": {**_OBJECT, "description": "The object that it named; null for `created`."},
        "new": {**_OBJECT, "description": "The object that it names; null for `deleted`."},
        "forced": {
            "type": "boolean",
            "description": "For `moved`: commits that it had before are not in it any more.",
        },
        "reason": {
            "type": "string",
            "description": "What git wrote into the reflog, such as `commit (amend): Fix it`.",
        },
        "reconciled": {
            "type": "boolean",
            "description": "It was found by looking, not by being told: the daemon was down.",
        },
    },
}
"""What `data` of a REF_UPDATE holds."""

KINDS = {"refs/heads/": "branch", "refs/remotes/": "remote", "refs/tags/": "tag"}

MAX_STEPS = 200
"""Most moves of one ref that are told one by one; beyond that, what they come to."""

MAX_REASON = 500
"""Most characters of what git says of a move."""


class Move(msgspec.Struct, frozen=True):
    """
    A ref that came to name another object.

    Args:
        ref: Its full name.
        old: The object id before; None when it was not there.
        new: The one after; None when it is not there any more.
        reason: What git says of it.
        event_id: The id of the event that tells it.
        forced: Whether commits were dropped; None where that does not apply.
    """

    ref: str
    old: str | None
    new: str | None
    reason: str = ""
    event_id: str = ""
    forced: bool | None = None

    def as_data(self, *, reconciled: bool) -> dict[str, Any]:
        """Return the data of the event."""
        change = "created" if self.old is None else "deleted" if self.new is None else "moved"
        data: dict[str, Any] = {
            "ref": self.ref,
            "kind": next(kind for start, kind in KINDS.items() if self.ref.startswith(start)),
            "change": change,
            "old": self.old,
            "new": self.new,
        }
        if self.forced is not None:
            data["forced"] = self.forced
        if self.reason:
            data["reason"] = self.reason[:MAX_REASON]
        if reconciled:
            data["reconciled"] = True
        return data


def moves(
    before: Mapping[str, str], now: Mapping[str, str], log_of: Callable[[str], Iterable[Line]]
) -> list[Move]:
    """
    Return what happened to the refs, each ref's moves in their order.

    Args:
        before: Object ids by the names of the refs that were told.
        now: The same, of those that are there.
        log_of: Returns the reflog of a ref, the newest line first.
    """
    found = [Move(ref, before[ref], None) for ref in sorted(before.keys() - now.keys())]
    for ref in sorted(now):
        if before.get(ref) != now[ref]:
            found += _steps(ref, before.get(ref), now[ref], log_of(ref))
    return found


def _steps(ref: str, old: str | None, new: str, lines: Iterable[Line]) -> Sequence[Move]:
    """Return the way from one object to another, as the reflog tells it; else the whole as one."""
    steps: list[Move] = []
    want: str | None = new
    for line in _up_to(new, old, lines):
        if line.new != want or len(steps) == MAX_STEPS:
            break
        # A ref that is new may have the log of what it was before it was renamed.
        is_renamed = old is None and line.old == line.new
        if line.old != line.new or is_renamed:
            steps.append(Move(ref, None if is_renamed else line.old, line.new, line.words))
        if line.old == old or is_renamed:
            return steps[::-1]
        want = line.old
    return [Move(ref, old, new, steps[0].reason if steps else "")]


def _up_to(new: str, old: str | None, lines: Iterable[Line]) -> Iterator[Line]:
    """
    Yield the lines from the one on that led to `new`, the newest first; none where none did.

    The reflog is read after the refs and may be ahead of them. A ref that is back at `old` before
    that line was moved to `new` by somebody who writes no reflog, as far as can be told.
    """
    ahead = iter(lines)
    for line in ahead:
        if line.new == new:
            yield line
            yield from ahead
        elif line.new == old:
            return
