"""Uncommitted work: how much of a work tree is in no commit, and for how long."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.risks import RiskSettings
from rtevents.core.event import Entry
from rtevents.errors import RteventsError
from rtevents.producers.repository import PLAIN, Repository
from rtevents.producers.risk.book import Book, Finding

MOST_NEW = 500
"""New files whose lines are counted, at most."""

MOST_BYTES = 1024**2
"""Longest new file whose lines are counted, in bytes."""

MUCH_WORSE = 4
"""Times as much, or as long, from which on it is worse by one severity."""

SEVERITIES = ("low", "medium", "high", "critical")


class Work(msgspec.Struct, frozen=True):
    """What is in no commit: files, and their lines that are new or gone."""

    files: int
    lines: int


def uncommitted(repository: Repository, root: Path) -> Work | None:
    """
    Return how much of a work tree is in no commit; None where there is none; waits for git.

    Raises:
        RteventsError: git fails.
    """
    if repository.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False) == b"":
        return None
    quiet = _without_filters(repository)
    told = repository.ask(
        *quiet,
        "diff-index",
        "--numstat",
        "-z",
        *PLAIN,
        "--ignore-submodules=all",
        "HEAD",
        "--",
        ".",
    )
    files = lines = 0
    for row in told.split(b"\0"):
        added, _, rest = row.partition(b"\t")
        removed, _, path = rest.partition(b"\t")
        # A file whose time alone is another has no line that differs.
        if path and (added, removed) != (b"0", b"0"):
            files += 1
            lines += sum(int(count) for count in (added, removed) if count.isdigit())
    new = repository.ask("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    paths = [path for path in new.split(b"\0") if path]
    lines += sum(_lines(os.fsencode(root) + b"/" + path) for path in paths[:MOST_NEW])
    return Work(files + len(paths), lines)


def _without_filters(repository: Repository) -> list[str]:
    """Return the options that keep git from running a program that the repository names (S15)."""
    told = repository.ask(
        "config", "--name-only", "-z", "--get-regexp", r"^filter\..*\.(clean|process)$", check=False
    )
    options = []
    for name in {os.fsdecode(each) for each in told.split(b"\0") if each}:
        if "=" in name:  # git would take what follows it for the value, and run the program
            raise RteventsError(f"a filter whose name has a = cannot be switched off: {name}")
        driver = name.rpartition(".")[0]
        options += ["-c", f"{name}=", "-c", f"{driver}.required=false"]
    return options


def _lines(path: bytes) -> int:
    """Return how many lines a file has; none for what is no text, or follows a link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                return 0
            text = opened.read(MOST_BYTES)
    except OSError:
        return 0
    return 0 if b"\0" in text[:8000] else text.count(b"\n")


class _Much(msgspec.Struct):
    """
    Much work in a project.

    Args:
        since: Since when it is much, in unix seconds.
        told: How bad that was when it was told; empty before.
    """

    since: float
    told: str = ""


class Uncommitted:
    """
    Much work is not committed for long; over when it is, or is gone.

    When somebody else closes it, it is told again once it is worse, or begins anew.
    """

    name = "uncommitted"
    types = frozenset({"FILE_CHANGE", "COMMIT"})
    project_id: str | None = None

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        # By project.
        self._since: dict[str, _Much] = {}
        self._newest: dict[str, Entry] = {}
        self.changed: set[str] = set()
        """The projects at which something changed since they were looked at."""
        self.urgent: set[str] = set()
        """Those with much work at which git did something: it may be over, or begin anew."""

    def see(self, entry: Entry, when: float, book: Book) -> None:
        """Know that there is something to look at."""
        if entry.project_id is not None:
            self.changed.add(entry.project_id)
            if entry.type == "FILE_CHANGE":
                self._newest[entry.project_id] = entry
            is_by_git = entry.type != "FILE_CHANGE" or b'"cause"' in entry.wire
            if is_by_git and entry.project_id in self._since:
                self.urgent.add(entry.project_id)

    def is_due(self, project_id: str) -> bool:
        """Tell whether a project is to be looked at."""
        return project_id in self.changed or project_id in self._since

    def judge(self, project_id: str, work: Work | None, now: float, book: Book) -> None:
        """Look at how much there is."""
        self.changed.discard(project_id)
        self.urgent.discard(project_id)
        settings, about = self._settings, (self.name, project_id, "")
        files, lines = settings.uncommitted_files, settings.uncommitted_lines
        if work is None or (work.files < files and work.lines < lines):
            self._since.pop(project_id, None)
            book.over(about, "it is committed, or gone")
            return
        much = self._since.setdefault(project_id, _Much(now))
        much.since = min(now, much.since)
        long = now - much.since
        if long < settings.uncommitted_for:
            return
        is_worse = (
            work.files >= MUCH_WORSE * files
            or work.lines >= MUCH_WORSE * lines
            or long >= MUCH_WORSE * settings.uncommitted_for
        )
        severity = _worse(settings.uncommitted) if is_worse else settings.uncommitted
        if much.told == severity and not book.is_open(*about):
            return  # somebody closed it
        much.told = severity
        book.found(
            Finding(
                rule=self.name,
                project_id=project_id,
                subject="",
                severity=severity,
                message=f"{work.files} files with {work.lines} changed lines are not committed "
                f"for {long / 3600:.1f} h",
                when=now,
                cause=self._newest.get(project_id),
                is_state=True,
            )
        )

    def forget(self, watched: set[str]) -> None:
        """Forget the projects that are watched no more."""
        for project_id in {*self._since, *self._newest} - watched:
            self._since.pop(project_id, None)
            self._newest.pop(project_id, None)
        self.changed &= watched
        self.urgent &= watched

    def pass_time(self, now: float, book: Book) -> None:
        """Do nothing: the producer asks git every few minutes."""

    def remembered(self) -> Any:
        """Return since when there is much."""
        return self._since

    def remember(self, kept: Any) -> None:
        """Take up since when there is much."""
        known = msgspec.convert(kept, dict[str, float | _Much])  # before, it was the time alone
        self._since = {
            name: _Much(much) if isinstance(much, float) else much for name, much in known.items()
        }


def _worse(severity: str) -> str:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
