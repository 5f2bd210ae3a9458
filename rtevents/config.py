"""Config: every setting with its default, unit and meaning; read from YAML and the environment."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec

from rtevents.errors import ConfigError

MAX_CONFIG_BYTES = 256 * 1024
"""Largest configuration file, in bytes: more is a mistake or an attack (S17)."""

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
    """

    settle_ms: Positive = 50
    max_settle_ms: Positive = 1000


class GitSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How repositories are watched.

    Args:
        interval: Seconds between two looks at the refs when nothing hints at a change.
        timeout: Seconds after which a git command is given up.
    """

    interval: Seconds = 60.0
    timeout: Seconds = 60.0


class ProjectSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    One project to watch.

    Args:
        path: Its folder; `~` is the home folder.
        id: Its project_id; the folder's name when empty.
        files: Whether changes of its files are published.
        git: Whether its commits are published.
        ignore: Patterns as in .gitignore, besides those that the project has itself.
    """

    path: str
    id: str = ""
    files: bool = True
    git: bool = True
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
    projects: list[ProjectSettings] = []


class Paths(msgspec.Struct, frozen=True):
    """
    Where the daemon's files are (DESIGN section 6).

    Args:
        run: Folder of the socket and the lock.
        state: Folder of the database, the logs and every other file that is kept.
        config: The configuration file, whether or not it is there.
    """

    run: Path
    state: Path
    config: Path

    @property
    def socket(self) -> Path:
        """The Unix socket on which the daemon listens."""
        return self.run / "rtevents.sock"

    @property
    def lock(self) -> Path:
        """The file whose lock makes a daemon the only one."""
        return self.run / "rtevents.lock"

    @property
    def database(self) -> Path:
        """The SQLite database of the log."""
        return self.state / "events.db"

    @property
    def daemon_log(self) -> Path:
        """What a detached daemon has to say."""
        return self.state / "daemon.log"

    @property
    def spool(self) -> Path:
        """Folder of the events that wait for the daemon to be back."""
        return self.state / "spool"


def find_paths(environ: Mapping[str, str] = os.environ, *, config: str | None = None) -> Paths:
    """
    Return where the files are, from the XDG variables.

    Args:
        environ: The environment to read.
        config: The configuration file that the command line named.
    """
    state = _xdg(environ, "XDG_STATE_HOME", "user_state_path")
    runtime = environ.get("XDG_RUNTIME_DIR")
    run = Path(runtime) / "rtevents" if runtime else state / "run"
    named = config or environ.get("RTEVENTS_CONFIG")
    file = Path(named) if named else _xdg(environ, "XDG_CONFIG_HOME", "user_config_path")
    return Paths(run, state, file if named else file / "config.yaml")


class Target(msgspec.Struct, frozen=True):
    """
    The daemon that a client talks to.

    Args:
        address: Path of a Unix socket, or ``http://host:port``.
        token: The credential for TCP; None for none.
    """

    address: str
    token: str | None = None


def find_target(environ: Mapping[str, str] = os.environ) -> Target:
    """Return the daemon that ``$RTEVENTS_URL`` names, else the user's own, on its Unix socket."""
    address = environ.get("RTEVENTS_URL") or str(find_paths(environ).socket)
    return Target(address, environ.get("RTEVENTS_TOKEN"))


def load(paths: Paths, environ: Mapping[str, str] = os.environ) -> Config:
    """
    Read the configuration: defaults, then the file, then ``RTEVENTS_*`` variables.

    ``RTEVENTS_LISTEN`` sets ``listen``, ``RTEVENTS_RETENTION__MAX_AGE`` sets ``retention.max_age``.

    Raises:
        ConfigError: A setting cannot be used; the text names the file, the line and the key.
    """
    text = _read(paths.config, is_named="RTEVENTS_CONFIG" in environ)
    document, lines = _parse(text, str(paths.config))
    _overlay(document, environ)
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise _explain(error, paths.config, lines) from error
    _check(config)
    return config


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


def _check(config: Config) -> None:
    """Check what the structs cannot say."""
    parse_listen(config.listen)
    if config.store not in ("sqlite", "memory"):
        raise ConfigError(f"store: expected sqlite or memory, got {config.store!r}", field="store")


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    # An empty or relative value is to be ignored (XDG Base Directory Specification).
    if (value := environ.get(name, "")).startswith("/"):
        return Path(value) / "rtevents"
    # Imported here: a command that finds its variable set does not pay for it.
    import platformdirs

    path: Path = getattr(platformdirs, fallback)("rtevents", appauthor=False)
    return path


def _read(file: Path, *, is_named: bool) -> str:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & stat.S_IWOTH:
                raise ConfigError(
                    f"{file}: others can write it, so it is not read; chmod o-w it and own it"
                )
            raw = opened.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if is_named:
            raise ConfigError(f"{file}: no such file") from None
        return ""
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{file}: more than {MAX_CONFIG_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}") from error


class _Mark(Protocol):
    """Where in a text PyYAML found something."""

    line: int


def _parse(text: str, file: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the document, and the line of each key by its path, as ``$.files.settle_ms``."""
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return {}, {}
        lines = dict(_walk(node, "$", file, set()))
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark: _Mark | None = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{file}: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file}:1: expected settings as `name: value`")
    return document, lines


def _walk(node: Any, place: str, file: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the place and the line of each node; refuse aliases and keys that come twice (S17)."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise ConfigError(f"{file}:{line}: aliases are not allowed here")
    seen.add(id(node))
    yield place, line
    if node.id == "mapping":
        keys: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in keys:
                raise ConfigError(f"{file}:{line}: {name} is set twice", field=name)
            keys.add(name)
            yield f"{place}.{name}", line
            yield from ((at, of) for at, of in _walk(value, f"{place}.{name}", file, seen)
                        if at != f"{place}.{name}")  # fmt: skip
    elif node.id == "sequence":
        for index, item in enumerate(node.value):
            yield from _walk(item, f"{place}[{index}]", file, seen)


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    import yaml

    for field in msgspec.structs.fields(Config):
        prefix = f"RTEVENTS_{field.name.upper()}"
        if prefix in environ and field.name not in ("event_types", "projects"):
            document[field.name] = yaml.safe_load(environ[prefix])
        section = document.get(field.name)
        for name in environ:
            if name.startswith(f"{prefix}__"):
                section = section if isinstance(section, dict) else {}
                section[name.removeprefix(f"{prefix}__").lower()] = yaml.safe_load(environ[name])
                document[field.name] = section


def _explain(error: msgspec.ValidationError, file: Path, lines: Mapping[str, int]) -> ConfigError:
    """Return the error with file, line and key in front."""
    text, _, place = str(error).partition(" - at `")
    place = place.rstrip("`") or "$"
    if named := re.search(r"(?:unknown|missing required) field `(.+)`", text):
        place = f"{place}.{named[1]}"
        text = "unknown setting" if "unknown" in text else "missing setting"
        if text == "unknown setting" and (near := _nearest(named[1])):
            text += f", did you mean {near}?"
    text = (text[:1].lower() + text[1:]).replace("`", "")
    line = lines.get(place) or lines.get(place.rpartition(".")[0])
    where = f"{file}:{line}" if line else str(file)
    key = place.removeprefix("$.")
    return ConfigError(f"{where}: {key}: {text}", field=key)


def _nearest(name: str) -> str | None:
    import difflib

    known = [
        field.name
        for struct in (Config, RetentionSettings, FilesSettings, GitSettings, ProjectSettings)
        for field in msgspec.structs.fields(struct)
    ]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
