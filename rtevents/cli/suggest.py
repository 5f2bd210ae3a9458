"""What a shell offers at <TAB> where a value is wanted; without a daemon, less."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rtevents.errors import RteventsError

if TYPE_CHECKING:
    from rtevents.client.sync import Client

PATIENCE = 1.0
"""Seconds that a person at <TAB> waits for the daemon."""

WORD = re.compile(r"[\w.@+-]+\Z")
"""What can be put on a command line as it is."""

UNSAFE = re.compile("[^\\w .,:/~+@\u2019-]")
"""What a shell could take for more than text."""


def types(incomplete: str) -> list[tuple[str, str]]:
    """Return the event types that begin so, with what they mean."""
    from rtevents.core.payloads import PAYLOADS
    from rtevents.core.reference import summary

    found = _ask(lambda client: client.types()) or [
        {"name": name, "summary": summary(name)} for name in PAYLOADS
    ]
    return _beginning(((each["name"], each["summary"]) for each in found), incomplete)


def projects(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of projects that begin so, with their folders."""
    found = _ask(lambda client: client.projects())
    return _beginning(((each["id"], each["path"]) for each in found), incomplete)


def logs(incomplete: str) -> list[tuple[str, str]]:
    """Return the names of logs that begin so."""
    found = _ask(lambda client: [{"name": name} for name in client.check_token()["logs"]])
    return _beginning(((each["name"], "log") for each in found), incomplete)


def connections(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of connections that begin so, with who they are."""
    found = _ask(lambda client: client.connections())
    return _beginning(((c["connection_id"], f"{c['kind']} {c['pid']}") for c in found), incomplete)


def tokens(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of tokens and browsers that begin so, with their roles."""
    found = _ask(lambda client: [*client.tokens(), *client.sessions()])
    return _beginning(
        ((each["id"], f"{each['role']} {each['name']}") for each in found), incomplete
    )


def sinks(incomplete: str) -> list[tuple[str, str]]:
    """Return the names of sinks that begin so, with what they do."""
    found = _ask(lambda client: client.sinks())
    return _beginning(((each["name"], each["kind"]) for each in found), incomplete)


def names(incomplete: str) -> list[tuple[str, str]]:
    """Return the names of `rtevents on --as NAME` that begin so."""
    from rtevents.config.paths import find_paths

    found = sorted(each.name for each in find_paths().names.glob("*") if each.is_dir())
    return _beginning(((each, "rtevents on") for each in found), incomplete)


def topics(incomplete: str) -> list[tuple[str, str]]:
    """Return the pages that begin so, with what they are about."""
    from rtevents.docs import TOPICS

    return _beginning(TOPICS.items(), incomplete)


def _beginning(found: Iterable[tuple[str, str]], incomplete: str) -> list[tuple[str, str]]:
    # A shell evaluates what it is offered, and a folder may be called `$(rm x)`.
    words = (each for each in found if each[0].startswith(incomplete))
    return [(word, _plain(about)) for word, about in words if WORD.match(word)]


def _plain(about: str) -> str:
    return UNSAFE.sub("?", about.replace("'", "\u2019"))


def _ask(question: Callable[[Client], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    from rtevents.client.sync import Client

    try:
        with Client(timeout=PATIENCE) as client:
            return question(client)
    except RteventsError:
        return []
