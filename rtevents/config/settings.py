"""Every setting with its default, unit and meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from rtevents.errors import ConfigError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=0)]


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


class ProjectSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    One project to watch.

    Args:
        path: Its folder; `~` is the home folder.
        id: Its project_id; the folder's name when empty.
        files: Whether changes of its files are published.
        git: Whether its commits are published.
        auto_commit: Whether what changes is committed automatically.
        ignore: Patterns as in .gitignore, besides those that the project has itself.
    """

    path: str
    id: str = ""
    files: bool = True
    git: bool = True
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


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Every setting of the daemon.

    Args:
        listen: Loopback address and port for TCP; `none` for the Unix socket alone.
        hosts: Further names, as `name:port`, under which browsers may reach the daemon.
        store: `sqlite`, in the state directory, or `memory`.
        durability: `full` syncs to disk before the answer; `normal` survives kill -9 only.
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
        log_level: What the daemon's own log tells: `debug`, `info`, `warning` or `error`.
        event_types: Event types of the user's own: a name, or a name with a JSON Schema.
        files: How files are watched.
        git: How repositories are watched.
        auto_commit: How projects are committed automatically, those that have it switched on.
        projects: Projects to watch, besides those that `rtevents project add` added.
    """

    listen: str = "127.0.0.1:8473"
    hosts: list[str] = []
    store: str = "sqlite"
    durability: Literal["full", "normal"] = "full"
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
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    event_types: list[str | TypeSettings] = []
    files: FilesSettings = msgspec.field(default_factory=FilesSettings)
    git: GitSettings = msgspec.field(default_factory=GitSettings)
    auto_commit: AutoCommitSettings = msgspec.field(default_factory=AutoCommitSettings)
    projects: list[ProjectSettings] = []


def parse_listen(listen: str) -> tuple[str, int] | None:
    """
    Split ``host:port``; None for ``none``.

    Raises:
        ConfigError: It is not an address of the loopback interface, or no port.
    """
    if listen == "none":
        return None
    host, _, port = listen.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"listen: expected HOST:PORT or none, got {listen!r}", field="listen")
    if host not in LOOPBACK:
        raise ConfigError(
            f"listen: {host!r} is not a loopback address, expected 127.0.0.1 or [::1]",
            field="listen",
        )
    return host.strip("[]"), int(port)


LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""The only hosts to listen on: beyond them a stranger's request would need TLS first (S24)."""
