"""What requests hold, as structs: bodies are read as these, and the reference shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from rtevents.config.settings import TASKS
from rtevents.core.draft import END_OF_TIME
from rtevents.core.event import MAX_EXTENSIONS
from rtevents.core.names import MAX_EVENT_ID, MAX_SOURCE
from rtevents.core.where_text import MAX_TEXT
from rtevents.server.tokens import MAX_LIFE, MAX_NAME, ROLES


def _told(**schema: Any) -> msgspec.Meta:
    """Return what the reference says of a text; it is checked later than a body is read."""
    return msgspec.Meta(extra_json_schema=schema)


EventId = Annotated[str, _told(pattern=rf"^(?!git:)[A-Za-z0-9._:-]{{1,{MAX_EVENT_ID}}}$")]
ProjectId = Annotated[str, _told(pattern=r"^[^\x00-\x1f\x7f-\x9f:]{1,48}$")]
TypeName = Annotated[str, _told(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Folder = Annotated[str, _told(pattern=r"^/[^\x00]*$")]
Source = Annotated[str, _told(pattern=r"^(?!rtevents/)", maxLength=MAX_SOURCE)]
Role = Annotated[str, _told(enum=ROLES)]
Glob = Annotated[str, _told(maxLength=1024)]
Condition = Annotated[str, _told(maxLength=MAX_TEXT)]
Place = Annotated[str, _told(pattern=r"^(([0-9a-f]{8}-)?[0-9]{1,18})?$")]
Duration = Annotated[str, _told(pattern=r"^([0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h|d|w))+$")]
Time = Annotated[str, _told(format="date-time", pattern=r"^(19[89][0-9]|[2-9][0-9]{3})-")]


class FilterQuery(msgspec.Struct, kw_only=True):
    """
    Which events: any of the values of a key, and all of the keys.

    Args:
        type: Event types.
        not_type: Event types that are left out.
        project: Project ids.
        source: Sources.
        path: Globs for the event's files (a COMMIT lists several): `*` stays within a folder,
            `**` does not.
        where: Conditions on any field, such as `data.severity >= "high"`.
        log: Names of logs, where there are several (`GET /v1/tokens/self` names them): what they
            keep, and not what others do.
    """

    type: list[str] = []
    not_type: list[str] = []
    project: list[str] = []
    source: list[str] = []
    path: list[Glob] = []
    where: list[Condition] = []
    log: list[str] = []


class HistoryQuery(FilterQuery):
    """
    Which page of the history.

    Args:
        since: Where it begins: `10m`, RFC 3339, unix seconds, a bookmark, an event id, `all`,
            `new`, `last` or `last-per-type`.
        until: Where it ends, written likewise.
        after: A bookmark, or a seq: the page begins after it. It comes before `since`.
        limit: Most events of the page.
        order: `asc` for the oldest first.
        wait: Seconds to wait when there is none yet.
    """

    since: str = "all"
    until: str = ""
    after: Place = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    order: Literal["asc", "desc"] = "asc"
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0


class StatsQuery(msgspec.Struct, kw_only=True):
    """
    Whose statistics.

    Args:
        log: The name of one of several logs, as `GET /v1/status` tells them.
    """

    log: str = "main"


class AnalyticsQuery(FilterQuery):
    """
    What is counted.

    Args:
        since: Where it begins, as for the history.
    """

    since: str = "all"


class PredictionQuery(msgspec.Struct, kw_only=True):
    """
    What is asked.

    Args:
        project: Which project.
        path: Files of it that have changed.
        limit: Most files of the answer.
    """

    project: ProjectId
    path: Annotated[list[str], msgspec.Meta(min_length=1, max_length=16)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class StreamQuery(FilterQuery):
    """
    Which stream.

    Args:
        since: Where it begins, as for the history; a Last-Event-ID header comes first.
        last_event_id: The same, from who can send no header.
        named: With `1`, SSE names each event by its type, so that `onmessage` does not hear it.
        max_latency: How long an event may wait for others, such as `100ms`: that spares work.
    """

    since: str = "new"
    last_event_id: str = ""
    named: Literal["0", "1"] = "0"
    max_latency: Duration = "0s"


class NewEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    An event as a publisher writes it; `type` and `data` depend on each other.

    Args:
        event_id: Made here when it is left out. The same once more is stored once.
        timestamp: When it happened, in unix seconds; now when it is left out.
        source: Who says so; names that begin with `rtevents/` are the daemon's own.
        project_id: The project it belongs to.
        extensions: Text by name, carried along.
        seq: Not looked at, so that an exported event can be published as it is.
    """

    type: str
    data: dict[str, Any]
    event_id: EventId | None = None
    timestamp: Annotated[float, msgspec.Meta(ge=0, lt=END_OF_TIME)] | None = None
    source: Source | None = None
    project_id: ProjectId | None = None
    extensions: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_EXTENSIONS)] | None = None
    seq: int | None = None


class CloudEvent(msgspec.Struct, kw_only=True):
    """
    An event as CloudEvents 1.0 writes it; every other attribute is carried along.

    Args:
        id: The same once more is stored once.
        source: Who says so; names that begin with `rtevents/` are the daemon's own.
        time: When it happened, as RFC 3339 writes it; now when it is left out.
        project: The project it belongs to.
    """

    specversion: Literal["1.0"]
    id: EventId
    source: Source
    type: str
    data: dict[str, Any]
    time: Time | None = None
    project: ProjectId | None = None


class NewType(msgspec.Struct, forbid_unknown_fields=True):
    """
    An event type of the user's own.

    Args:
        schema: The JSON Schema of its `data`; null for any object.
    """

    name: TypeName
    schema: dict[str, Any] | None = None


class NewFilter(FilterQuery, kw_only=True, forbid_unknown_fields=True):
    """
    Another filter for a stream.

    Args:
        since: Where it goes on; where it is when left out.
    """

    since: str | float | None = None


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """
    A folder to watch.

    Args:
        path: Absolute.
        id: The project's id; the folder's name when left out.
        files: Whether its files are watched.
        git: Whether its repository is.
        tasks: Markdown files whose task lists are published: paths, and patterns as of a filter.
        auto_commit: Whether its changes are committed after a quiet time.
        ignore: Rules in git's syntax that hide files, besides the repository's own.
    """

    path: Folder
    id: str = ""
    files: bool = True
    git: bool = True
    tasks: list[Glob] = msgspec.field(default_factory=lambda: [*TASKS])
    auto_commit: bool = False
    ignore: list[str] = []


class NewCommit(msgspec.Struct, forbid_unknown_fields=True):
    """
    A commit to publish; the daemon reads it from the repository itself.

    Args:
        path: A folder of the repository, absolute.
        revision: What git knows it by.
    """

    path: Folder
    revision: str = "HEAD"


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """
    A token to make.

    Args:
        role: What it lets its bearer do.
        projects: The projects it is limited to; none for every project.
        types: The event types it is limited to; none for every type.
        name: What it is for, in words.
        expires_in: Seconds, a hundred years at most; null for never.
    """

    role: Role
    projects: list[ProjectId] = []
    types: list[str] = []
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=MAX_LIFE)] | None = None


class NewTicket(msgspec.Struct, forbid_unknown_fields=True):
    """
    What a browser is to see.

    Args:
        role: `browser` for all that an admin sees, `viewer` for the stream alone.
        projects: The projects it is limited to; none for every project.
        types: The event types it is limited to; none for every type.
    """

    role: Literal["browser", "viewer"] = "browser"
    projects: list[ProjectId] = []
    types: list[str] = []


class Ticket(msgspec.Struct, forbid_unknown_fields=True):
    """What a browser exchanges for its cookie."""

    ticket: str


class Letters(msgspec.Struct):
    """
    Which dead letters.

    Args:
        id: The name of one; every one when empty.
    """

    id: str = ""
