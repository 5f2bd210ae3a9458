"""What answers hold, as structs: the reference shows them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rtevents.core.analysis import Report
from rtevents.core.event import Stored
from rtevents.core.health import Health
from rtevents.core.node import Sum
from rtevents.core.reference import FieldReference
from rtevents.server.log_answers import Extent, LogState, Seq
from rtevents.server.sink_answers import SinkState


class StoredEvent(msgspec.Struct, kw_only=True):
    """
    An event of the log.

    Args:
        seq: Its place: greater than every one before.
        timestamp: When it happened, in unix seconds.
        corrupt: It was damaged where it is stored; what is left of it is its name.
    """

    seq: Seq
    event_id: str
    type: str
    data: dict[str, Any] | None = None
    timestamp: float
    source: str
    project_id: str | None
    extensions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    corrupt: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class Published(msgspec.Struct):
    """
    What was stored, in the order in which it was published.

    Args:
        bookmark: The place after the last of them.
    """

    events: list[Stored]
    bookmark: str


class Missing(msgspec.Struct):
    """
    Entries that can no longer be read.

    Args:
        after: The last seq before them.
        before: The first seq after them.
        reason: Why: `trimmed`, `unknown-id`, `other-epoch` or `ahead`.
        bookmark: The place from which it goes on.
        log: The name of the log, where there are several.
    """

    after: int
    before: int
    reason: Literal["trimmed", "unknown-id", "other-epoch", "ahead"]
    bookmark: str
    log: str | msgspec.UnsetType = msgspec.UNSET


class HistoryPage(msgspec.Struct):
    """
    A page of events.

    Args:
        next: The bookmark to go on from: with `after`, or newest first with `until`.
        epoch: The log's name.
        oldest: The first seq that is kept.
        newest: The last seq that was given.
        until: Newest first, the bookmark from which the page goes down.
        gap: What is missing where the page was to begin.
        gaps: Everything that is missing, where the page is of several logs.
        logs: Of several logs, what each keeps. `newest` is then the last number of `next` and how
            many come after it, `oldest` no more than that number if there are older ones.
    """

    events: list[StoredEvent]
    next: str
    epoch: str
    oldest: Seq
    newest: Seq
    until: str | msgspec.UnsetType = msgspec.UNSET
    gap: Missing | msgspec.UnsetType = msgspec.UNSET
    gaps: list[Missing] | msgspec.UnsetType = msgspec.UNSET
    logs: dict[str, Extent] | msgspec.UnsetType = msgspec.UNSET


class TypeReference(msgspec.Struct):
    """
    An event type.

    Args:
        own: Whether it is one of the user's own.
        schema: The JSON Schema of its `data`; null for any object.
    """

    name: str
    summary: str
    own: bool
    fields: list[FieldReference]
    schema: dict[str, Any] | None


class Types(msgspec.Struct):
    """Every event type."""

    types: list[TypeReference]


class ChangedFilter(msgspec.Struct):
    """
    A stream's new subscription.

    Args:
        bookmark: The place after which it holds.
        filter: What the stream wants now.
        verdict: What became of `since`.
    """

    bookmark: str
    filter: dict[str, list[str]]
    verdict: str | msgspec.UnsetType = msgspec.UNSET


class OpenConnection(msgspec.Struct):
    """
    A subscriber.

    Args:
        kind: How it is connected.
        connected_at: Unix seconds.
        last_activity: Unix seconds of the last byte that it accepted or sent.
        subscriptions: The event types it asked for; empty for every type.
        project_filter: The projects it asked for; empty for every project.
        last_event_id: The bookmark with which it could come back.
        lag: How many entries it is behind.
        delivered: Entries written to it.
        bytes: Bytes written to it.
        principal: Who it is.
        pid: Its process, when it came by the Unix socket.
    """

    connection_id: str
    kind: Literal["sse", "ndjson", "ws", "memory"]
    connected_at: float
    last_activity: float
    subscriptions: list[str]
    project_filter: list[str]
    last_event_id: str
    filter: dict[str, list[str]]
    lag: int
    delivered: int
    bytes: int
    principal: str
    pid: int | None


class Connections(msgspec.Struct):
    """Every open connection that the grant holds."""

    connections: list[OpenConnection]


class WatchedProject(msgspec.Struct):
    """
    A project.

    Args:
        path: Its folder.
        error: What is amiss with it; null for nothing.
    """

    id: str
    path: str
    files: bool
    git: bool
    tasks: list[str]
    auto_commit: bool
    ignore: list[str]
    state: str
    error: str | None


class WatchedProjects(msgspec.Struct):
    """The projects that the grant holds."""

    projects: list[WatchedProject]


class DeadLetter(msgspec.Struct):
    """
    An event that a sink gave up.

    Args:
        id: Its name: the bookmark after the event.
        at: Unix seconds of the last attempt.
        reason: Why that failed.
        attempts: How many there were.
    """

    id: str
    at: float
    reason: str
    attempts: int
    event: StoredEvent


class DeadLetters(msgspec.Struct):
    """
    The dead letters of a sink, the oldest first, as many as an answer takes.

    Args:
        total: How many there are.
    """

    letters: list[DeadLetter]
    total: int


class Count(msgspec.Struct):
    """How many it concerned."""

    count: int


class TokenInfo(msgspec.Struct):
    """
    A token, without its secret.

    Args:
        id: Its public name.
        created_at: Unix seconds.
        expires: Unix seconds; null for never.
    """

    id: str
    role: str
    projects: list[str]
    types: list[str]
    name: str
    created_at: float
    expires: float | None


class MadeToken(TokenInfo):
    """
    A token that was just made.

    Args:
        token: Its secret, told this once.
    """

    token: str


class SessionInfo(TokenInfo):
    """
    A browser that is logged in.

    Args:
        origin: Where its cookie is good.
        maker: Who made its ticket.
    """

    origin: str
    maker: str


class Credentials(msgspec.Struct):
    """Every token and every browser's session that the grant covers."""

    tokens: list[TokenInfo]
    sessions: list[SessionInfo]


class OwnCredential(msgspec.Struct):
    """
    What the credential of the request may do.

    Args:
        principal: Who it stands for.
        projects: The projects it is limited to; empty for every project.
        types: The event types it is limited to; empty for every type.
        expires: Unix seconds; null for never.
        logs: The logs that may have what it holds; `main`, where there is one alone.
    """

    principal: str
    role: str
    projects: list[str]
    types: list[str]
    expires: float | None
    logs: list[str]


class MadeTicket(msgspec.Struct):
    """
    An address that logs a browser in, once.

    Args:
        expires_in: Seconds for which it is good.
    """

    url: str
    expires_in: float


class LoggedIn(msgspec.Struct):
    """
    A session that has begun.

    Args:
        until: Unix seconds.
    """

    until: float


class Status(msgspec.Struct, kw_only=True):
    """
    What the daemon is, where it listens, how it is.

    Args:
        listen: Where it listens on TCP; null for nowhere, and `listen_error` may tell why.
        durability: `full`, `normal`, or `weak`: the store that daemons share may lose what it has
            answered, and the health tells why.
        spooled: Events of this machine that wait on disk until the shared store answers.
        thresholds: The figures above which it is degraded, by name.
        logs: Each log, where there are several; what is told of one is of the first of them.
        sinks: What is done when something happens; not told to a limited grant.
        audit: Of the audit log, the last line's number and hash; not told to a limited grant.
        nodes: The sum of all daemons on a log that several share; not told to a limited grant.
    """

    version: str
    pid: int
    started_at: float
    socket: str
    listen: str | None
    url: str | None
    listen_error: str | None
    store: str
    durability: str
    spooled: int
    epoch: str
    oldest: Seq
    newest: Seq
    bookmark: str
    health: Health
    thresholds: dict[str, float]
    projects: list[WatchedProject]
    logs: list[LogState] | msgspec.UnsetType = msgspec.UNSET
    sinks: list[SinkState] | msgspec.UnsetType = msgspec.UNSET
    audit: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    nodes: Sum | msgspec.UnsetType = msgspec.UNSET


class Statistics(msgspec.Struct):
    """
    The statistics of this moment; a limited grant is told the first four, of what it holds.

    Args:
        uptime: Seconds since the start.
        events: `published duplicates refused delivered by_type`, and `rate_1m` a second.
        log: `epoch oldest newest window_events window_bytes`.
        connections: `current total cleaned_up`.
        queue: `size max_size bytes max_bytes`: what waits to be stored.
        latency: Milliseconds from a publisher's call to the stored answer: `p50 p95 p99`, and
            `p95_1m` over the last minute.
        handlers: `registered failures`.
        errors_1m: Store and handler failures over the last minute.
        loop_lag_ms: Milliseconds by which the event loop was late in the last minute, at most.
        memory_bytes: Resident memory of the process.
    """

    uptime: float
    events: dict[str, Any]
    log: dict[str, Any]
    connections: dict[str, int]
    queue: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    latency: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    handlers: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    errors_1m: int | msgspec.UnsetType = msgspec.UNSET
    loop_lag_ms: float | msgspec.UnsetType = msgspec.UNSET
    memory_bytes: int | msgspec.UnsetType | None = msgspec.UNSET


class Reloaded(msgspec.Struct):
    """
    What the daemon took on of its configuration.

    Args:
        changed: The names of the settings that changed, and `secrets of sink NAME` where a file
            holds others than before.
        warnings: What is not watched, in words.
    """

    changed: list[str]
    warnings: list[str]


class Refusal(msgspec.Struct, kw_only=True):
    """
    Why something was not done.

    Args:
        detail: What is wrong, in one line.
        index: Of several events, the one that is meant, from 0.
        field: The field that is meant.
        event_id: The id that is taken by another event.
        seq: Where that one is.
    """

    title: str
    status: int
    detail: str
    index: int | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET
    event_id: str | msgspec.UnsetType = msgspec.UNSET
    seq: Seq | msgspec.UnsetType = msgspec.UNSET


class Analytics(Report, frozen=True, kw_only=True):
    """
    What a stretch of the log says when it is counted.

    Args:
        is_cut: Whether it was too long: only the newest 200,000 entries were looked at.
    """

    is_cut: bool


class LikelyFile(msgspec.Struct):
    """
    A file that is likely to change as well.

    Args:
        probability: How likely, from 0 to 1.
        lift: How many times as likely as in any change.
        seen: In about how many changes it was there together with what was asked for.
    """

    path: str
    probability: float
    lift: float
    seen: float


class Predictions(msgspec.Struct):
    """What is likely to change next, the likeliest first."""

    project: str
    paths: list[str]
    likely: list[LikelyFile]


class Problem(Refusal, kw_only=True):
    """Why a request was not done (RFC 9457)."""

    type: str


class Alive(msgspec.Struct):
    """The daemon runs."""

    status: Literal["ok"]


class Reference(msgspec.Struct):
    """The description of this interface."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class StreamReference(msgspec.Struct):
    """The description of the streams."""

    asyncapi: str
    info: dict[str, Any]
    defaultContentType: str  # noqa: N815 - AsyncAPI's own name
    servers: dict[str, Any]
    channels: dict[str, Any]
    operations: dict[str, Any]
    components: dict[str, Any]
