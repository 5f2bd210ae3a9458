"""The settings of further logs: which projects have one of their own."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence

import msgspec

from rtevents.config.numbers import Limit

MOST = 63
"""Most logs besides the main one: a bookmark names a place in each."""

MAIN = "main"
"""What the log is called that `store` names."""

_STORE = re.compile(r"(sqlite|memory)\Z|(rediss?|redis\+unix|rediss?\+(sentinel|cluster))://")
"""What names a store; what the rest of a URL may be, its backend knows."""

_WHO = re.compile(r"[a-z+]+://[A-Za-z0-9_.!~*'()$&+,;=:%-]*@[^@]*\Z")
"""A URL that says who asks, before the first character that would end that (RFC 3986, 3.2.1)."""

_PATTERN = re.compile(r"[*?[]")
"""What makes an id a pattern."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}\Z")


class LogRetention(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    How much a further log keeps, where that is something else than the others.

    Args:
        max_events: Entries; 0 is no limit.
        max_age: Seconds since an entry was stored; 0 is no limit.
        max_bytes: Sum of the entries' wire bytes; 0 is no limit.
    """

    max_events: Limit | None = None
    max_age: float | None = None
    max_bytes: Limit | None = None


class PartSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A log of its own for some projects.

    Args:
        name: Lower case letters, digits, `.`, `_` and `-`.
        projects: Ids, or patterns with `*`, `?` and `[…]`; the first log that has one gets it.
        store: As `store`; `sqlite` is a file of its own.
        retention: What it keeps otherwise than `retention` says.
    """

    name: str
    projects: list[str]
    store: str = "sqlite"
    retention: LogRetention = msgspec.field(default_factory=LogRetention)


def wrong_store(text: str) -> str | None:
    """Return why `text` names no store, in words."""
    if not _STORE.match(text):
        return (
            "expected sqlite, memory or redis://host:port/db; rediss:// asks by TLS, and there are "
            "redis+unix:///path, redis+sentinel:// and redis+cluster:// (rtevents docs redis)"
        )
    if "@" in text and not _WHO.match(text):
        # What would be taken for a host, or for a database, is named in errors.
        return (
            "in a user's name or a password only letters, digits and _.!~*'()$&+,;= - stand for "
            "themselves: write %2F for / and %40 for @"
        )
    return None


def wrong_logs(logs: Sequence[PartSettings]) -> tuple[str, str] | None:
    """
    Return what is wrong with further logs.

    Returns:
        The key, as ``logs[0].name``, and what is wrong with it, in words.
    """
    if len(logs) > MOST:
        return "logs", f"expected at most {MOST}, got {len(logs)}"
    names = {MAIN}
    claims: dict[str, str] = {}
    for index, log in enumerate(logs):
        place = f"logs[{index}]"
        if not _NAME.match(log.name):
            return f"{place}.name", f"expected 1 to 48 of a-z 0-9 . _ -, got {log.name[:60]!r}"
        if log.name in names:
            return f"{place}.name", f"{log.name!r} is the name of another log"
        if text := _wrong_projects(log, claims):
            return f"{place}.projects", text
        if text := wrong_store(log.store):
            return f"{place}.store", text
        names.add(log.name)
        claims |= dict.fromkeys(log.projects, log.name)
    return None


def _wrong_projects(log: PartSettings, claims: Mapping[str, str]) -> str | None:
    """
    Return what is wrong with a log's projects.

    Args:
        claims: The logs before that have projects, by their ids and patterns.
    """
    if not log.projects:
        return "expected the id of a project, or a pattern"
    for wanted in log.projects:
        if "[" in re.sub(r"\[!?\]?[^\]]*\]", "", wanted):
            return f"{wanted[:60]!r} has a [ without its ]: write [[] for the character itself"
        for claimed, name in claims.items():
            if _has(claimed, wanted):
                by = "" if claimed == wanted else f", by {claimed!r},"
                return (
                    f"{wanted[:60]!r} is of the log {name!r}{by} which comes before: take it out "
                    "of one of them, or put the one that is to have it first"
                )
    return None


def _has(claimed: str, wanted: str) -> bool:
    """Tell whether all that one id or pattern means is meant by another before."""
    if claimed == wanted or not claimed.strip("*"):
        return True
    return not _PATTERN.search(wanted) and fnmatch.fnmatchcase(wanted, claimed)
