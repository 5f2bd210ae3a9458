"""Every setting with its default, unit and meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from rtevents.config.logs import PartSettings
from rtevents.config.numbers import Limit, Positive, Seconds
from rtevents.config.risks import RiskSettings
from rtevents.config.sinks import SinkSettings
from rtevents.errors import ConfigError


class RetentionSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How much the store keeps; whichever limit is reached first; 0 is no limit.

    Args:
        max_events: Entries.
        max_age: Seconds since an entry was stored.
        max_bytes: Sum of the entries' wire bytes.
        interval: Seconds between two trims.
    """

    max_events: Limit = 1_000_000
    max_age: Annotated[float, msgspec.Meta(ge=0)] = 30 * 86400.0
    max_bytes: Limit = 1024**3
    interval: Seconds = 60.0


class FilesSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How files are watched.

    Args:
        settle_ms: Milliseconds of quiet after which a burst of changes is published.
        max_settle_ms: Milliseconds after which a burst is published without waiting for quiet.
        vcs: `batch` holds changes while git is at work, and tells their cause; `raw` does not.
    """

    settle_ms: Positive = 50
    max_settle_ms: Positive = 1000
    vcs: Literal["batch", "raw"] = "batch"


class GitSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How repositories are watched.

    Args:
        interval: Seconds between two looks at the refs when nothing hints at a change.
        timeout: Seconds after which a git command is given up.
    """

    interval: Seconds = 60.0
    timeout: Seconds = 60.0


class AutoCommitSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How projects are committed automatically, those that have it switched on.

    Args:
        quiet: Seconds without a change after which what changed is committed.
        max_wait: Seconds after which it is committed without waiting for quiet.
        max_files: Changed files from which on it is left to the user.
        max_file_bytes: Bytes of one file from which on it is left to the user.
        secrets: `refuse` leaves it to the user when a file looks like a secret; `allow` does not.
        message: The commit's message; `{paths}` and `{count}` stand for what changed.
        branches: Patterns of the branches on which it is done.
        timeout: Seconds after which a command of git, or a hook, is given up.
    """

    quiet: Seconds = 30.0
    max_wait: Seconds = 600.0
    max_files: Positive = 1000
    max_file_bytes: Positive = 5 * 1024**2
    secrets: Literal["refuse", "allow"] = "refuse"
    message: str = "Save {paths}"
    branches: list[str] = msgspec.field(default_factory=lambda: ["*"])
    timeout: Seconds = 300.0


class LimitSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How much each token may publish over TCP; 0 is no limit. The Unix socket has none.

    Args:
        events: Events a second.
        bytes: Bytes of events a second.
    """

    events: Limit = 0
    bytes: Limit = 0


class IssuerSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    An identity provider whose signed tokens (JWT) let in over TCP; needs `rtevents[jwt]`.

    Args:
        issuer: Its `iss`.
        audience: What `aud` of a token for this daemon holds.
        keys: File that holds its public keys, a JSON Web Key Set.
        algorithms: The algorithms that its signatures may have.
        role: The most that its tokens may do; the claim `rtevents` of a token may ask for less.
        projects: Projects that they may see; all when empty.
        types: Event types that they may see; all when empty.
    """

    issuer: str
    audience: str
    keys: str
    algorithms: list[str] = msgspec.field(default_factory=lambda: ["RS256"])
    role: str = "viewer"
    projects: list[str] = []
    types: list[str] = []


class AuditSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    The audit log: `rtevents audit` reads it.

    Args:
        max_bytes: Bytes after which a file is full, and another is begun.
        files: Full files that are kept.
    """

    max_bytes: Positive = 8 * 1024**2
    files: Positive = 8


class TlsSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How TCP is encrypted; it is not when both are empty.

    Args:
        cert: File of the certificate, in PEM; `~` is the home folder.
        key: File of its key, in PEM, without a passphrase.
    """

    cert: str = ""
    key: str = ""


TASKS = ("TODO.md",)
"""The files of tasks of a project that names none: one that is not there costs nothing."""


class ProjectSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    One project to watch.

    Args:
        path: Its folder; `~` is the home folder.
        id: Its project_id; the folder's name when empty.
        files: Whether changes of its files are published.
        git: Whether its commits are published.
        tasks: Markdown files whose task lists are published, such as `docs/**/*.md`.
        auto_commit: Whether what changes is committed automatically.
        ignore: Patterns as in .gitignore, besides those that the project has itself.
    """

    path: str
    id: str = ""
    files: bool = True
    git: bool = True
    tasks: list[str] = msgspec.field(default_factory=lambda: [*TASKS])
    auto_commit: bool = False
    ignore: list[str] = []


class TypeSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    An event type of the user's own.

    Args:
        name: A letter and up to 63 of A-Z 0-9 _.
        schema: The JSON Schema of its data; any object is accepted when there is none.
    """

    name: str
    schema: dict[str, Any] | None = None


class HealthSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    When the daemon calls itself degraded; a crossed threshold is over again below 90 % of it.

    Args:
        connections: Open connections above which it is degraded.
        queue_share: Fill of the intake queue above which it is, 0 to 1.
        latency_ms: Milliseconds to store an event, as the 95th percentile of the last minute.
        errors_per_minute: Failures of the store and of handlers.
        memory_bytes: Resident memory.
        loop_lag_ms: Milliseconds by which the event loop is late.
        interval: Seconds between two looks whether that has changed; SYSTEM_STATUS tells it.
        dashboard_interval: Seconds between two DASHBOARD_UPDATEs to each open dashboard.
        connections_interval: Seconds between two checks whether streams are served.
        connections_timeout: Seconds in which that must be answered.
        queue_interval: Seconds between two checks whether what waits is stored.
        queue_timeout: Seconds in which that must be answered.
        memory_interval: Seconds between two checks whether the memory can be read.
        memory_timeout: Seconds in which that must be answered.
        service_interval: Seconds between two checks whether the store takes events.
        service_timeout: Seconds in which that must be answered.
    """

    connections: Positive = 800
    queue_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    latency_ms: Annotated[float, msgspec.Meta(gt=0)] = 500.0
    errors_per_minute: Limit = 10
    memory_bytes: Positive = 500 * 1024**2
    loop_lag_ms: Annotated[float, msgspec.Meta(gt=0)] = 1000.0
    interval: Seconds = 5.0
    dashboard_interval: Seconds = 3.0
    connections_interval: Seconds = 30.0
    connections_timeout: Seconds = 10.0
    queue_interval: Seconds = 60.0
    queue_timeout: Seconds = 15.0
    memory_interval: Seconds = 120.0
    memory_timeout: Seconds = 30.0
    service_interval: Seconds = 30.0
    service_timeout: Seconds = 5.0


class LogSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How the daemon writes its own log, on stderr.

    Args:
        format: `text`, `json` (an object a line), or `auto`: text where stderr is a terminal.
    """

    format: Literal["auto", "text", "json"] = "auto"


NODE = r"[A-Za-z0-9._-]{0,64}\Z"
"""What a daemon may be called among those that share a store."""


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Every setting of the daemon.

    Args:
        listen: Address and port for TCP, beyond loopback with `tls` only; `none`: the Unix socket.
        tls: How TCP is encrypted.
        hosts: Further names, as `name:port`, under which browsers may reach the daemon.
        origins: Origins of front ends of one's own, as `https://app.example`, that send a token.
        issuers: Identity providers whose signed tokens (JWT) let in over TCP.
        limits: How much each token may publish over TCP; 0 is no limit. The Unix socket has none.
        audit: The audit log: `rtevents audit` reads it.
        store: `sqlite`, in the state directory, `memory`, or one that daemons share, as
            `redis://host:6379/0?log=rtevents`.
        logs: Logs of their own for some projects, besides that of `store`: `rtevents docs redis`.
        durability: `full` syncs to disk before the answer; `normal` survives kill -9 only.
        on_engine_loss: What this machine's own events do while a shared store does not answer:
            `spool` keeps them on disk; `refuse` lets what tells them wait. Others are refused.
        max_spool_bytes: Most bytes that are kept so.
        node: What this daemon is called among those that share a store; by default its host.
        node_interval: Seconds between two heartbeats there; a node without three of them is lost.
        retention: How much the store keeps.
        event_retention: Newest entries held in memory.
        window_bytes: Most wire bytes that those take.
        max_queue_size: Events that wait to be stored, at most.
        max_queue_bytes: Most bytes that those take.
        queue_timeout: Seconds a publisher waits for room in the queue before it is refused.
        cleanup_timeout: Seconds without a byte after which a connection is closed.
        heartbeat_interval: Seconds between two heartbeats to a connection.
        pong_timeout: Seconds in which a WebSocket must answer a heartbeat.
        send_timeout: Seconds without an accepted byte after which a reader is cut off.
        max_connections: Connections at once, as far as open files go; 16 by the Unix socket alone.
        max_connections_each: Connections of one principal from other machines; 0 is no limit.
        head_timeout: Seconds in which the head of a request must come.
        body_timeout: Seconds in which its body must come after that.
        keep_alive: Seconds after which a connection is closed that asks for nothing more.
        event_loop: What it all runs on: `asyncio`, Python's own, `uvloop`, of `rtevents[fast]`, or
            `auto`: uvloop where it is installed.
        log_level: What the daemon's own log tells: `debug`, `info`, `warning` or `error`.
        log: How that log is written.
        health: When the daemon calls itself degraded, and what it looks at for that.
        event_types: Event types of the user's own: a name, or a name with a JSON Schema.
        files: How files are watched.
        git: How repositories are watched.
        auto_commit: How projects are committed automatically, those that have it switched on.
        risks: Which risks are told; a rule whose severity is `none` is switched off.
        projects: Projects to watch, besides those that `rtevents project add` added.
        sinks: What is done when something happens: `rtevents docs reactions`.
    """

    listen: str = "127.0.0.1:8473"
    tls: TlsSettings = msgspec.field(default_factory=TlsSettings)
    hosts: list[str] = []
    origins: list[str] = []
    issuers: list[IssuerSettings] = []
    limits: LimitSettings = msgspec.field(default_factory=LimitSettings)
    audit: AuditSettings = msgspec.field(default_factory=AuditSettings)
    store: str = "sqlite"
    logs: list[PartSettings] = []
    durability: Literal["full", "normal"] = "full"
    on_engine_loss: Literal["spool", "refuse"] = "spool"
    max_spool_bytes: Positive = 256 * 1024**2
    node: str = ""
    node_interval: Seconds = 30.0
    retention: RetentionSettings = msgspec.field(default_factory=RetentionSettings)
    event_retention: Positive = 10_000
    window_bytes: Positive = 64 * 1024**2
    max_queue_size: Positive = 2000
    max_queue_bytes: Positive = 64 * 1024**2
    queue_timeout: Seconds = 1.0
    cleanup_timeout: Seconds = 300.0
    heartbeat_interval: Seconds = 30.0
    pong_timeout: Seconds = 10.0
    send_timeout: Seconds = 30.0
    max_connections: Positive = 20_000
    max_connections_each: Limit = 256
    head_timeout: Seconds = 10.0
    body_timeout: Seconds = 30.0
    keep_alive: Seconds = 75.0
    event_loop: Literal["auto", "asyncio", "uvloop"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    health: HealthSettings = msgspec.field(default_factory=HealthSettings)
    event_types: list[str | TypeSettings] = []
    files: FilesSettings = msgspec.field(default_factory=FilesSettings)
    git: GitSettings = msgspec.field(default_factory=GitSettings)
    auto_commit: AutoCommitSettings = msgspec.field(default_factory=AutoCommitSettings)
    risks: RiskSettings = msgspec.field(default_factory=RiskSettings)
    projects: list[ProjectSettings] = []
    sinks: list[SinkSettings] = []


def parse_listen(listen: str) -> tuple[str, int] | None:
    """
    Split ``host:port``; None for ``none``.

    Raises:
        ConfigError: It is no address with a port.
    """
    if listen == "none":
        return None
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"listen: expected HOST:PORT or none, got {listen!r}", field="listen")
    return host.strip("[]"), int(port)


def parse_origin(origin: str) -> str:
    """
    Return an origin as browsers send it.

    Raises:
        ConfigError: It is no ``http://host`` or ``https://host:port``, but a pattern or a path.
    """
    if not _ORIGIN.match(origin):
        raise ConfigError(
            f"origins: expected an origin such as https://app.example:8443, got {origin!r}",
            field="origins",
        )
    return origin.lower()


_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\Z")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The hosts that only this machine reaches: beyond them, TLS and a token are a must (S24)."""
