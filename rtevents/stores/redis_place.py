"""Place: where a log of Redis is, read from its URL."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from rtevents.errors import ConfigError

PORT = 6379
SENTINEL_PORT = 26379
NAME = "rtevents"
MOST_REPLICAS = 100

_URL = re.compile(r"(?P<scheme>[^:]*)://(?P<at>[^/?#]*)(?P<path>[^?#]*)\??(?P<query>[^#]*)")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

_EXPECTED = {
    "": "redis://host:port/db",
    "unix": "redis+unix:///path",
    "sentinel": "redis+sentinel://host:port,host:port/MASTER",
    "cluster": "redis+cluster://host:port,host:port",
}
"""The form of each kind's URL."""


class Place(NamedTuple):
    """
    Where a log is.

    Args:
        kind: Empty for one server; ``sentinel``: `hosts` know the one; ``cluster``: one of many,
            which `hosts` know; ``unix``: a server on this machine.
        hosts: Each a name or an address, and a port.
        path: Of a server's Unix socket; empty for none.
        master: What the sentinels call the server; empty for none.
        db: Its number there.
        name: The log's own name, which its keys begin with.
        username, password: Who asks; None for nobody.
        is_tls: Whether everybody is asked by TLS, with the system's authorities.
        replicas: How many replicas must have an event before it is answered.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    master: str
    db: int
    name: str
    username: str | None
    password: str | None
    is_tls: bool
    replicas: int

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return self.path or (f"{self.master} of {hosts}" if self.master else hosts)

    @property
    def told(self) -> str:
        """The same for every URL of the log, whoever asks: where it is, and its name."""
        hosts = ",".join(sorted(f"{host}:{port}" for host, port in self.hosts))
        return f"{self.kind}:{self.path or hosts}/{self.master}/{self.db}?log={self.name}"

    @classmethod
    def parse(cls, url: str) -> Place:
        """
        Read ``redis://[user:password@]host[:port][/db][?log=NAME&replicas=N]`` and its kin.

        Its kin are ``rediss``, ``redis+unix``, ``redis+sentinel`` and ``redis+cluster``, of which
        the last two have several hosts, and TLS as ``rediss+…``.

        Raises:
            ConfigError: It is not of that form; the text does not tell the password.
        """
        found = _URL.match(url)
        if not found:
            raise ConfigError(f"store: expected {_EXPECTED['']}", field="store")
        scheme, _, kind = found["scheme"].partition("+")
        who, _, where = found["at"].rpartition("@")
        username, _, password = who.partition(":")
        asked = parse_qs(found["query"], keep_blank_values=True)
        if twice := sorted(name for name, values in asked.items() if len(values) > 1):
            raise ConfigError(f"store: {', '.join(twice)[:80]} is there twice", field="store")
        path = unquote(found["path"])
        db = asked.pop("db", ["0"])[-1] if kind == "unix" else ""
        master = ""
        if kind == "unix" and where:
            raise ConfigError(
                f"store: {where[:60]!r} is a host, and a socket has none: write three slashes, "
                f"{scheme}+unix:///{where[:60]}{path[:60]}",
                field="store",
            )
        if kind == "sentinel":
            master, _, db = path.strip("/").partition("/")
            if master.isdecimal() and not db:
                raise ConfigError(
                    f"store: the master's name comes before the database: write /NAME/{master}, "
                    f"or /{master}/0 where the sentinels call it {master}",
                    field="store",
                )
        elif kind != "unix":
            db = path.strip("/")
        place = cls(
            kind=kind,
            hosts=() if kind == "unix" else _hosts(where, kind),
            path=path if kind == "unix" else "",
            master=master,
            db=int(db) if db.isdecimal() else 0,
            name=asked.pop("log", [NAME])[-1],
            username=unquote(username) or None,
            password=unquote(password) or None,
            is_tls=scheme == "rediss",
            replicas=_replicas(asked.pop("replicas", ["0"])[-1]),
        )
        if wrong := place._wrong(db or "0", sorted(asked)):
            raise ConfigError(f"store: {wrong}", field="store")
        return place

    def _wrong(self, db: str, unknown: list[str]) -> str | None:
        """Return what cannot be, in words."""
        where = self.path or (self.master if self.kind == "sentinel" else self.hosts)
        if not where or not (self.path or all(host for host, _ in self.hosts)):
            return f"expected {_EXPECTED[self.kind]}"
        if not db.isdecimal():
            return f"the database is a number, got {db[:40]!r}"
        if self.kind == "cluster" and self.db:
            return f"a cluster has no database but 0, got {self.db}"
        if not _NAME.match(self.name):
            return f"log: a name of A-Z a-z 0-9 . _ -, got {self.name[:80]!r}"
        if unknown:
            return f"unknown: {', '.join(unknown)[:80]}; there are `log` and `replicas`"
        return None


def _hosts(text: str, kind: str) -> tuple[tuple[str, int], ...]:
    """Read ``host:port,host:port``."""
    usual = SENTINEL_PORT if kind == "sentinel" else PORT
    each = text.split(",") if kind in ("sentinel", "cluster") else [text]
    try:
        parts = [urlsplit(f"//{one}") for one in each]
        return tuple((part.hostname or "", part.port or usual) for part in parts)
    except ValueError as error:
        raise ConfigError(f"store: not a URL of Redis: {error}", field="store") from error


def _replicas(text: str) -> int:
    if text.isdecimal() and int(text) <= MOST_REPLICAS:
        return int(text)
    raise ConfigError(
        f"store: replicas: a number from 0 to {MOST_REPLICAS}, got {text[:40]!r}", field="store"
    )
