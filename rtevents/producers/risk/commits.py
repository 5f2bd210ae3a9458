"""What commits do: change protected paths, add secrets and very large files, rewrite a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Entry
from rtevents.core.glob import Glob
from rtevents.core.where import value_of
from rtevents.errors import FilterError
from rtevents.producers.risk.book import Book, Finding
from rtevents.producers.risk.content import Changed
from rtevents.producers.risk.template import plain

MOST_PATHS = 1000
"""Files of which it is remembered when they were changed: the oldest one is forgotten."""

BEYOND = 2.0**63
"""Bytes that no file has: what an event says beyond that is odd."""

COMMIT = frozenset({"COMMIT"})

WHAT_GIT_SKIPS = frozenset({".gitignore", ".gitattributes"})
"""Files that say of others that git leaves them out, or keeps them elsewhere."""


def data_of(entry: Entry) -> Mapping[str, Any]:
    """Return what an event says; it is decoded once for all that look at it one after the other."""
    data: Mapping[str, Any] = value_of(entry, ("data",))
    return data


class Quiet:
    """What rules have in common that remember nothing and wait for nothing."""

    project_id: str | None = None

    def pass_time(self, now: float, book: Book) -> None:
        """Do nothing."""

    def remembered(self) -> Any:
        """Return nothing."""
        return None

    def remember(self, kept: Any) -> None:
        """Do nothing."""


class Protected(Quiet):
    """A commit changes a path that is protected."""

    name = "protected"
    types = COMMIT

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._globs = _globs("protected_paths", settings.protected_paths)
        self._known: dict[str, tuple[str, ...]] = {}

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Look at the files that a commit changes."""
        data = data_of(entry)
        # The first commit of all protects nothing yet.
        if is_merge(data) or data.get("parents") == []:
            return
        touched: dict[str, list[str]] = {}
        for path in paths_of(data):
            for text in self._matching(path):
                touched.setdefault(text, []).append(path)
        for text, paths in touched.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            book.found(
                Finding(
                    rule=self.name,
                    project_id=entry.project_id,
                    subject=text,
                    severity=self._settings.protected,
                    message=f"{_named(data)} changes {plain(paths[0])}{more}, which is protected",
                    when=when,
                    cause=entry,
                    file_path=paths[0],
                    close_after=self._settings.close_after,
                )
            )

    def _matching(self, path: str) -> tuple[str, ...]:
        """Return the globs of a path; most commits change what others changed before."""
        found = self._known.get(path)
        if found is None:
            if len(self._known) >= MOST_PATHS:
                self._known.clear()
            found = tuple(text for text, glob in self._globs if glob.matches(path))
            self._known[path] = found
        return found


class Secret(Quiet):
    """A commit adds what looks like a secret; over when the file has it no more."""

    name = "secret"
    types = COMMIT

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._examples = _globs("secret_examples", settings.secret_examples)

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Wait for the content."""

    def judge(self, entry: Entry, files: Sequence[Changed], when: float, book: Book) -> None:
        """Look at what a commit adds to each file."""
        for file in files:
            if file.secret is not None:
                is_example = any(glob.matches(file.path) for _, glob in self._examples)
                words = f"{_named(data_of(entry))} adds what looks like a secret"
                book.found(
                    Finding(
                        rule=self.name,
                        project_id=entry.project_id,
                        subject=file.path,
                        severity="low" if is_example else self._settings.secret,
                        message=f"{words} to {plain(file.path)} ({file.secret})",
                        when=when,
                        cause=entry,
                        file_path=file.path,
                    )
                )
            elif file.has_secret is False:
                reason = "the file has it no more; the history does: the secret has to be changed"
                book.over((self.name, entry.project_id, file.path), reason, entry)


class LargeFile(Quiet):
    """A file is very large, and not ignored; over when it is gone, or smaller."""

    name = "large_file"
    types = frozenset({"FILE_CHANGE", "COMMIT"})

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._least = settings.large_file_bytes
        # A size of so many digits, so that few events have to be decoded.
        digits = len(str(self._least))
        self._may_be_large = re.compile(rb'"size":(?:\d{%d}|\d+\.|\d+e)' % digits).search
        self.appeared: list[tuple[Entry, float, float]] = []
        """Events of very large files, their bytes, and when: they go to ``appear``."""
        self.due: set[str] = set()
        """The projects whose open risks may be over: what is ignored there is another."""

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Look at the size of a file that changed."""
        if entry.type != "FILE_CHANGE":
            return
        if not (self._may_be_large(entry.wire) or book.is_any_open(self.name)):
            return
        if entry.project_id is not None and entry.path.rpartition("/")[2] in WHAT_GIT_SKIPS:
            self.due.add(entry.project_id)
        data = data_of(entry)
        size = data.get("size")
        if size is not None and size >= self._least:
            if size < BEYOND:
                self.appeared.append((entry, size, when))
            return
        for path in (entry.path, data.get("old_path")):
            if path is not None and (size is not None or path != entry.path or _is_gone(data)):
                book.over((self.name, entry.project_id, path), "it is so large no more", entry)

    def appear(self, entry: Entry, size: float, when: float, book: Book) -> None:
        """Open the risk of a very large file that git would keep."""
        self._found(entry, entry.path, size, "is", when, book)

    def is_large(self, size: int | None) -> bool:
        """Tell whether a file of so many bytes is one; None for no file."""
        return size is not None and size >= self._least

    def judge(self, entry: Entry, files: Sequence[Changed], when: float, book: Book) -> None:
        """Look at the sizes of what a commit adds."""
        for file in files:
            if file.size is not None and file.size >= self._least:
                self._found(
                    entry, file.path, file.size, f"{_named(data_of(entry))} adds", when, book
                )
            else:
                book.over((self.name, entry.project_id, file.path), "it is so large no more", entry)

    def _found(
        self, entry: Entry, path: str, size: float, words: str, when: float, book: Book
    ) -> None:
        name, large = plain(path), f"{size / 1024**2:.0f} MiB"
        said = f"{name} is of {large}" if words == "is" else f"{words} {name}, {large}"
        book.found(
            Finding(
                rule=self.name,
                project_id=entry.project_id,
                subject=path,
                severity=self._settings.large_file,
                message=f"{said}: too large for most repositories",
                when=when,
                cause=entry,
                file_path=path,
            )
        )


class _Touched(msgspec.Struct):
    """The newest commits of a file: when, lines added, lines removed, and the event."""

    commits: list[tuple[float, int, int, str]] = []


class HotFile:
    """A file is rewritten again and again: many commits, that add as they remove."""

    name = "hot_file"
    types = COMMIT
    project_id: str | None = None

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._kept = max(20, settings.hot_file_commits)
        self._files: dict[str, _Touched] = {}

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Count a commit for each of its files."""
        data = data_of(entry)
        # What a rebase or an amend wrote anew was counted when it was new.
        if is_merge(data) or data.get("replaces"):
            return
        # Not when it was told: a pull tells the commits of weeks at once.
        when = min(when, data.get("committed_at") or when)
        for file in data.get("files") or ():
            if file.get("insertions") is not None and file.get("deletions") is not None:
                self._touch(entry, file, when, book)

    def _touch(self, entry: Entry, file: Mapping[str, Any], when: float, book: Book) -> None:
        settings, path = self._settings, file["path"]
        key = f"{entry.project_id or ''}\0{path}"
        touched = self._files.pop(key, None) or _Touched()
        self._files[key] = touched
        if len(self._files) > MOST_PATHS:
            del self._files[next(iter(self._files))]
        touched.commits.append((when, file["insertions"], file["deletions"], entry.event_id))
        del touched.commits[: -self._kept]
        if len(touched.commits) < settings.hot_file_commits:
            return
        if touched.commits[-settings.hot_file_commits][0] <= when - settings.hot_file_within:
            return
        recent = [one for one in touched.commits if one[0] > when - settings.hot_file_within]
        rewritten = min(sum(one[1] for one in recent), sum(one[2] for one in recent))
        if len(recent) < settings.hot_file_commits or rewritten < settings.hot_file_lines:
            return
        hours = settings.hot_file_within / 3600
        book.found(
            Finding(
                rule=self.name,
                project_id=entry.project_id,
                subject=path,
                severity=settings.hot_file,
                message=f"{plain(path)} is rewritten again and again: {len(recent)} commits and "
                f"{rewritten} lines within {hours:g} h",
                when=when,
                cause=entry,
                evidence=[one[3] for one in recent[:-1]],
                file_path=path,
                close_after=settings.hot_file_within,
            )
        )

    def pass_time(self, now: float, book: Book) -> None:
        """Do nothing: its end by time is the book's."""

    def remembered(self) -> Any:
        """Return the newest commits of each file."""
        return self._files

    def remember(self, kept: Any) -> None:
        """Take up the newest commits of each file."""
        self._files = msgspec.convert(kept, dict[str, _Touched])


def _globs(name: str, texts: Sequence[str]) -> list[tuple[str, Glob]]:
    try:
        return [(text, Glob(text)) for text in texts]
    except FilterError as error:
        text = str(error).removeprefix("path: ")
        raise FilterError(text, field=f"risks.{name}") from error


def is_merge(data: Mapping[str, Any]) -> bool:
    """Tell whether a commit is a merge: what it brings was told by the commits themselves."""
    return len(data.get("parents") or ()) > 1


def paths_of(data: Mapping[str, Any]) -> list[str]:
    """Return the files that a COMMIT names."""
    return [file["path"] for file in data.get("files") or ()]


def _is_gone(data: Mapping[str, Any]) -> bool:
    return data.get("change_type") == "deleted"


def _named(data: Mapping[str, Any]) -> str:
    return f"commit {data['commit_hash'][:10]}"
