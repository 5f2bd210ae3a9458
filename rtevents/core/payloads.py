"""What `data` holds for each event type: the Event Reference, as structs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from rtevents.core.draft import are_well_formed, check_event, refusal
from rtevents.core.event import Event, EventType, encode_together
from rtevents.core.names import is_type_name, type_name
from rtevents.errors import EventRefused

Count = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[str, ...] = ("low", "medium", "high", "critical")
"""From the least to the worst."""


class FileChange(msgspec.Struct, kw_only=True):
    """
    A file appeared, changed, moved or went.

    Args:
        file_path: Relative to the project, `/` between its parts.
        change_type: What happened to it.
        old_path: Where it was before, for `renamed`.
        size: Bytes after the change.
        cause: The operation of git that it was part of, such as `checkout`; `ignore` where other
            rules show or hide it.
        cause_from: The commit that was checked out before that operation.
        cause_to: The commit that is checked out after it.
        is_coded: Bytes of a path that are not UTF-8 are written as `%XX`, and `%` as `%25`.
        reconciled: It was found by looking, not by being told: the daemon was down or missed it.
    """

    file_path: Text
    change_type: Literal["created", "modified", "deleted", "renamed"]
    old_path: str | None = None
    size: Count | None = None
    cause: str | None = None
    cause_from: str | None = None
    cause_to: str | None = None
    is_coded: bool | None = None
    reconciled: bool | None = None


class CommitFile(msgspec.Struct, kw_only=True):
    """
    A file that differs from the commit's first parent.

    Args:
        path: Relative to the top of the repository.
        insertions: Lines added; null for a file that is not text.
        deletions: Lines removed.
    """

    path: Text
    insertions: Count | None = None
    deletions: Count | None = None


class Commit(msgspec.Struct, kw_only=True):
    """
    A commit that a project's repository did not have before.

    Args:
        commit_hash: The full object id.
        message: The whole message.
        author: The author's name.
        author_email: The author's address.
        branch: The branch that brought it; absent on a detached HEAD.
        parents: Object ids of its parents.
        files_changed: How many files differ from the first parent.
        insertions: Lines added.
        deletions: Lines removed.
        files: The first 200 of them: `path`, and `insertions` and `deletions` (null if binary).
        folder: The project's, in the repository whose top the paths begin at; absent for the top.
        committed_at: When it was committed, in unix seconds.
        rewritten_from: The commit it replaces, after an amend or a rebase; the first of several.
        replaces: All commits it replaces: several where a rebase squashed them into one.
        reconciled: It was found by looking, not by being told: the daemon was down or missed it.
    """

    commit_hash: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{7,64}\Z")]
    message: str
    author: str
    author_email: str | None = None
    branch: str | None = None
    parents: list[str] | None = None
    files_changed: Count | None = None
    insertions: Count | None = None
    deletions: Count | None = None
    files: list[CommitFile] | None = None
    folder: Text | None = None
    committed_at: float | None = None
    rewritten_from: str | None = None
    replaces: list[str] | None = None
    reconciled: bool | None = None


class ProgressUpdate(msgspec.Struct, kw_only=True):
    """
    How far something has come.

    Args:
        done: Units that are done.
        total: Units that there are.
        percent: `done` of `total`, 0 to 100.
        label: What progresses.
        unit: What is counted, such as `files`.
        rate: Units per second.
        eta: Seconds that remain at that rate.
        change: How many more units are done than when it was told last.
        path: The file that it is about, relative to the project.
        task_id: The task that it is about.
        reconciled: It is what happened while the daemon was down.
    """

    done: Annotated[float, msgspec.Meta(ge=0)]
    total: Annotated[float, msgspec.Meta(ge=0)]
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    label: str | None = None
    unit: str | None = None
    rate: float | None = None
    eta: float | None = None
    change: float | None = None
    path: str | None = None
    task_id: str | None = None
    reconciled: bool | None = None


class RiskAlert(msgspec.Struct, kw_only=True):
    """
    Something that somebody should look at.

    Args:
        severity: How bad it is.
        message: What it is, in one line.
        rule: The rule that found it.
        evidence: Ids of the events that show it.
        fingerprint: The same for the same risk, however often it is told.
        state: Whether the risk is open, told again, or over.
    """

    severity: Severity
    message: Text
    rule: str | None = None
    evidence: list[str] | None = None
    fingerprint: str | None = None
    state: Literal["open", "updated", "closed"] | None = None


class TaskUpdate(msgspec.Struct, kw_only=True):
    """
    A task appeared, changed its state, or went.

    Args:
        task_id: The same for the same task, wherever it moves.
        status: Its state, such as `open`, `running`, `done`, `failed`.
        title: The task in words.
        path: The file that lists it, relative to the project.
        line: Its line in that file, from 1.
        section: The headings around it there, from the outermost, with ` / ` between them.
        parent: The id of the task that it is nested in.
        change: What happened to it: `found added status moved edited removed`; see tasks.md.
        old_status: Its state before, where that is another.
        old_path: The file that listed it before, where that is another.
        reconciled: It happened while the daemon was down.
        exit_code: How its command ended; 128 and the signal's number where one ended it.
        signal: The signal that ended its command, such as `SIGKILL`.
        duration: Seconds it took.
        stderr: The last lines that its command wrote to standard error.
    """

    task_id: Text
    status: Text
    title: str | None = None
    path: str | None = None
    line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    section: str | None = None
    parent: str | None = None
    change: str | None = None
    old_status: str | None = None
    old_path: str | None = None
    reconciled: bool | None = None
    exit_code: int | None = None
    signal: str | None = None
    duration: Annotated[float, msgspec.Meta(ge=0)] | None = None
    stderr: list[str] | None = None


class SystemStatus(msgspec.Struct, kw_only=True):
    """
    How a system is, told when that changes.

    Args:
        status: The verdict.
        event: What made it change, such as `threshold_crossed`.
        reasons: Why it is not `ok`.
        metrics: The figures behind it.
        node: Which daemon it is about, of those that share the log.
    """

    status: Literal["ok", "degraded", "failed"]
    event: str | None = None
    reasons: list[str] | None = None
    metrics: dict[str, Any] | None = None
    node: str | None = None


class DashboardUpdate(msgspec.Struct, kw_only=True):
    """
    Figures for those who watch.

    Args:
        metrics: Figures by name.
    """

    metrics: dict[str, Any]


class HealthCheck(msgspec.Struct, kw_only=True):
    """
    The heartbeat of a connection. Never stored, never accepted from outside.

    Args:
        status: The daemon's verdict on itself.
        timestamp: When it was sent, in unix seconds.
        reasons: Why no event can be stored now, when it is `failed`.
    """

    status: Literal["ok", "degraded", "failed"]
    timestamp: float
    reasons: list[str] | None = None


class AutoCommitStart(msgspec.Struct, kw_only=True):
    """
    An automatic commit begins.

    Args:
        changes_count: Files it is about to commit.
    """

    changes_count: Count


class AutoCommitResult(msgspec.Struct, kw_only=True):
    """
    An automatic commit ended.

    Args:
        success: Whether there is a commit now.
        changes_count: Files it committed.
        message: The commit's message, or why there is none.
        commit_hash: The commit's object id.
    """

    success: bool
    changes_count: Count
    message: str
    commit_hash: str | None = None


class AutoCommitError(msgspec.Struct, kw_only=True):
    """
    An automatic commit failed.

    Args:
        error: What went wrong, in one line.
        details: More of it, such as what git said.
    """

    error: Text
    details: str | None = None


PAYLOADS: dict[str, type[msgspec.Struct]] = {
    EventType.FILE_CHANGE.value: FileChange,
    EventType.COMMIT.value: Commit,
    EventType.PROGRESS_UPDATE.value: ProgressUpdate,
    EventType.RISK_ALERT.value: RiskAlert,
    EventType.TASK_UPDATE.value: TaskUpdate,
    EventType.SYSTEM_STATUS.value: SystemStatus,
    EventType.DASHBOARD_UPDATE.value: DashboardUpdate,
    EventType.HEALTH_CHECK.value: HealthCheck,
    EventType.AUTO_COMMIT_START.value: AutoCommitStart,
    EventType.AUTO_COMMIT_RESULT.value: AutoCommitResult,
    EventType.AUTO_COMMIT_ERROR.value: AutoCommitError,
}
"""The payload of each built-in type. A new built-in type is a struct above and a row here."""

SEVERAL = 4
"""Events from which on it is cheaper to check them together."""

_LISTS: dict[str, Any] = {name: list[struct] for name, struct in PAYLOADS.items()}  # type: ignore[valid-type]

Checker = Callable[[dict[str, Any]], None]
"""Raises ``EventRefused`` when the data is not what a user's own type demands."""


class EventTypes:
    """
    The event types that one service knows: the built-in ones and the user's own.

    Args:
        own: A checker for each type of the user's own; None for one whose data is any object.
    """

    def __init__(self, own: Mapping[str, Checker | None] | None = None) -> None:
        self._own: dict[str, Checker | None] = {}
        self.replace(own or {})

    def __contains__(self, name: object) -> bool:
        return name in PAYLOADS or name in self._own

    def add(self, name: str, check: Checker | None) -> None:
        """
        Know a type of the user's own from now on.

        Raises:
            EventRefused: The name cannot be a type's, or is a built-in one's.
        """
        name = type_name(name)
        if not is_type_name(name):
            raise EventRefused(
                f"type: expected a letter and up to 63 of A-Z 0-9 _, got {name[:80]!r}",
                field="type",
            )
        if name in PAYLOADS:
            raise EventRefused(f"type: {name} is a built-in type already", field="type")
        self._own[name] = check

    def replace(self, own: Mapping[str, Checker | None]) -> None:
        """
        Know these types of the user's own from now on, and no others.

        Raises:
            EventRefused: As ``add``; nothing has changed then.
        """
        before, self._own = self._own, {}
        try:
            for name, check in own.items():
                self.add(name, check)
        except EventRefused:
            self._own = before
            raise

    def names(self) -> list[str]:
        """Return the name of every type, in the order of the reference."""
        return [*PAYLOADS, *self._own]

    def nearest(self, name: str) -> str | None:
        """Return the known type whose name is most like `name`; None when none is."""
        return next(iter(difflib.get_close_matches(type_name(name), self.names(), n=1)), None)

    def unknown(self, name: str) -> str:
        """Return the words for a type that is not known, with the nearest one that is."""
        near = self.nearest(name)
        return f"unknown event type {name[:80]!r}" + (f", did you mean {near}?" if near else "")

    def check(self, event: Event) -> None:
        """
        Check a whole event: its fields, its type, and its data against the type's payload.

        Raises:
            EventRefused: `field` names the place.
            EventTooLarge: Its wire form is too long.
        """
        check_event(event)
        if event.type in self._own:
            if check := self._own[event.type]:
                check(event.data)
            return
        if event.type not in PAYLOADS:
            raise EventRefused(self.unknown(event.type), field="type")
        try:
            msgspec.convert(event.data, PAYLOADS[event.type])
        except msgspec.ValidationError:
            try:
                msgspec.convert(_in_integers(event.data), PAYLOADS[event.type])
            except msgspec.ValidationError as error:
                raise refusal(error, "data") from error

    def check_all(self, events: Sequence[Event]) -> None:
        """
        Check many events as ``check`` does, at a fifth of its cost when nothing is wrong.

        Raises:
            EventRefused: As ``check``; `index` says which, where there are several.
            EventTooLarge: As ``check``.
        """
        try:
            if len(events) >= SEVERAL and self._are_right(events):
                return
        except (TypeError, ValueError, OverflowError, RecursionError, EventRefused):
            pass  # which one, and what of it, is found out below
        for index, event in enumerate(events):
            try:
                self.check(event)
            except EventRefused as error:
                error.index = index if len(events) > 1 else None
                raise

    def _are_right(self, events: Sequence[Event]) -> bool:
        if not are_well_formed(events):
            return False
        encode_together(events)
        names = {event.type for event in events}
        for name in sorted(names):
            data = [event.data for event in events if len(names) == 1 or event.type == name]
            if name in PAYLOADS:
                msgspec.convert(data, _LISTS[name])
            elif name not in self._own:
                return False
            elif check := self._own[name]:
                for one in data:
                    check(one)
        return True


def _in_integers(data: Any) -> Any:
    """Return data with 1 for 1.0: to JSON both are integers (JSON Schema 2020-12, 4.2.3)."""
    if isinstance(data, float) and data.is_integer():
        return int(data)
    if isinstance(data, list):
        return list(map(_in_integers, data))
    if isinstance(data, dict):
        return {name: _in_integers(value) for name, value in data.items()}
    return data
