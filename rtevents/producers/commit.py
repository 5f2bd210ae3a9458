"""The COMMIT event: how a commit is told, whoever tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from rtevents.core.event import Event, EventType
from rtevents.errors import BadInput
from rtevents.producers.branches import Branches
from rtevents.producers.commitdata import CommitData
from rtevents.producers.repository import Repository

SOURCE = "rtevents/git"


def event_id(project_id: str, sha: str) -> str:
    """Return the id of a commit's event (DESIGN section 5)."""
    # An id may hold less than a project's id may: what it may not is written as its code.
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else f"_{ord(c):x}_"
                   for c in project_id)  # fmt: skip
    return f"git:{name}:{sha}"[:128] if len(name) < 80 else f"git:{name[:50]}:{sha}"


def build(
    commit: CommitData,
    project_id: str,
    *,
    branch: str | None,
    replaces: Sequence[str] = (),
    reconciled: bool = False,
    extensions: dict[str, str] | None = None,
) -> Event:
    """
    Return the COMMIT event of a commit: the only place where one is made.

    Args:
        extensions: Where it came from; None where that is unknown. They are no part of the body
            (promise P3).
    """
    data: dict[str, Any] = {
        "commit_hash": commit.commit_hash,
        "message": commit.message,
        "author": commit.author,
        "author_email": commit.author_email,
        "parents": commit.parents,
        "committed_at": commit.committed_at,
    }
    for name in ("files_changed", "insertions", "deletions"):
        if (count := getattr(commit, name)) is not None:
            data[name] = count
    if commit.files is not None:
        data["files"] = [msgspec.to_builtins(file) for file in commit.files]
    if commit.folder:
        data["folder"] = commit.folder
    if branch:
        data["branch"] = branch
    if replaces:
        data["rewritten_from"] = replaces[0]
        data["replaces"] = [*replaces]
    if reconciled:
        data["reconciled"] = True
    return Event(
        type=EventType.COMMIT,
        data=data,
        source=SOURCE,
        project_id=project_id,
        event_id=event_id(project_id, commit.commit_hash),
        extensions=extensions or msgspec.UNSET,
    )


async def build_commit(
    root: Path,
    revision: str,
    project_id: str,
    *,
    timeout: float,  # noqa: ASYNC109 - git's, per command
) -> Event:
    """
    Return the COMMIT event of a revision of a repository that is no project.

    Raises:
        BadInput: There is no such commit.
    """
    event = await build_one(Repository(root, timeout), revision, project_id)
    # It is told for the whole repository, wherever in it that was asked.
    event.data.pop("folder", None)
    return event


async def build_one(
    repository: Repository,
    revision: str,
    project_id: str,
    *,
    origins: Mapping[str, dict[str, str]] = MappingProxyType({}),
) -> Event:
    """
    Return the COMMIT event of a revision of an opened repository.

    Args:
        origins: The extensions of those commits of which it is known where they came from.
    Raises:
        BadInput: There is no such commit.
    """

    def describe() -> tuple[list[CommitData], str | None]:
        sha = repository.resolve(revision)
        return repository.describe([sha]), Branches(repository).current_of(sha)

    commits, branch = await asyncio.to_thread(describe)
    if not commits:
        raise BadInput(f"revision: no commit {revision[:80]!r} there", field="revision")
    return build(
        commits[0],
        project_id,
        branch=short(branch) if branch else None,
        extensions=origins.get(commits[0].commit_hash),
    )


def short(name: str) -> str:
    """Return a branch's name without what all have in common."""
    return name.removeprefix("refs/heads/").removeprefix("refs/remotes/")
